use std::collections::BTreeMap;

use nilometer_schemas::{Contract, Timestamp};
use object_store::memory::InMemory;

use arrow::array::RecordBatch;

use super::*;
use crate::{EmbeddedLog, Message, Metrics};

fn numbers(number: f32) -> Columns {
    let mut columns = ColumnsBuilder::new(["catchment"]);
    columns.f32("store", |_| [number]);
    columns.finish().unwrap()
}

#[tokio::test]
async fn the_newest_readable_snapshot_serves() {
    let store = Arc::new(InMemory::new());
    let snapshots = Snapshots::new(store.clone(), "snapshots", "forecast", 2);
    assert!(snapshots.newest::<u32>().await.unwrap().is_none());
    for ordinal in 1..=4_u32 {
        snapshots.save(i64::from(ordinal), &ordinal, &numbers(ordinal as f32)).await.unwrap();
    }
    assert_eq!(snapshots.oldest::<u32>().await.unwrap().unwrap().ordinal, 3, "only two are kept");
    let newest = snapshots.newest::<u32>().await.unwrap().unwrap();
    assert_eq!(newest, Snapshot { ordinal: 4, content: 4, columns: numbers(4.0) });

    store.put(&snapshots.key(4), b"torn".to_vec().into()).await.unwrap();
    assert_eq!(snapshots.newest::<u32>().await.unwrap().unwrap().ordinal, 3);
    store.put(&snapshots.key(3), b"torn".to_vec().into()).await.unwrap();
    let error = snapshots.newest::<u32>().await.unwrap_err().to_string();
    assert!(error.contains("none of the 2 snapshots"), "starting over silently would repeat history: {error}");
}

#[tokio::test]
async fn numbers_of_the_content_come_back_to_the_last_bit() {
    let snapshots = Snapshots::new(Arc::new(InMemory::new()), "snapshots", "forecast", 2);
    let rated: Vec<f64> = (1..4_000).map(|mm| 8.0 * (f64::from(mm) / 1_000.0).powf(1.8)).collect();
    snapshots.save(1, &rated, &Columns::default()).await.unwrap();
    assert_eq!(snapshots.newest::<Vec<f64>>().await.unwrap().unwrap().content, rated);
}

#[tokio::test]
async fn a_reach_keeps_what_lies_beyond_it_and_one_a_stride() {
    let snapshots = Snapshots::new(Arc::new(InMemory::new()), "snapshots", "forecast", 2).reaching(160);
    for ordinal in (0..=1_000).step_by(2) {
        snapshots.save(ordinal, &ordinal, &Columns::default()).await.unwrap();
    }
    let kept = snapshots.ordinals().await.unwrap();
    assert!(kept[0] <= 840 && kept[0] > 820, "{kept:?}");
    assert!(kept.windows(2).all(|pair| pair[1] - pair[0] <= 12), "no long way back from anywhere: {kept:?}");
    assert!(kept.len() <= 16 + 5, "and not more than that: {kept:?}");
    let before = snapshots.newest_before::<i64>(900, |found| found.content != 898).await.unwrap().unwrap();
    assert!(before.ordinal < 900 && before.ordinal >= 886, "{}", before.ordinal);
    snapshots.replace(before.ordinal, &7_i64, &numbers(1.0)).await.unwrap();
    assert_eq!(snapshots.newest_before::<i64>(before.ordinal + 1, |_| true).await.unwrap().unwrap().content, 7);
}

#[tokio::test]
async fn ordinals_before_1970_come_before_those_after() {
    let snapshots = Snapshots::new(Arc::new(InMemory::new()), "snapshots", "forecast", 2);
    for ordinal in [-631_152_000_000_000, -1, 0, 1_415_131_200_000_000] {
        snapshots.save(ordinal, &ordinal, &Columns::default()).await.unwrap();
    }
    assert_eq!(snapshots.ordinals().await.unwrap(), [0, 1_415_131_200_000_000]);
    let newest = snapshots.key(1_415_131_200_000_000).to_string();
    assert!(newest.ends_with("/00001415131200000000.arrow"), "names after 1970 are as they always were: {newest}");
    snapshots.save(-2, &-2, &Columns::default()).await.unwrap();
    assert_eq!(snapshots.oldest::<i64>().await.unwrap().unwrap().ordinal, -2);
}

#[tokio::test]
async fn a_role_that_goes_back_makes_the_snapshots_again_that_there_are() {
    let store = Arc::new(InMemory::new());
    let snapshots = Snapshots::new(store.clone(), "snapshots", "forecast", 3);
    for ordinal in [10, 20, 30] {
        snapshots.save(ordinal, &ordinal, &Columns::default()).await.unwrap();
    }
    let back = snapshots.clone().resuming_at(15, 30);
    assert_eq!(back.newest::<u64>().await.unwrap().unwrap().ordinal, 10);
    assert!(snapshots.clone().resuming_at(0, 30).newest::<u64>().await.unwrap().is_none(), "it begins anew");
    back.save(20, &21, &Columns::default()).await.unwrap();
    back.save(25, &25, &Columns::default()).await.unwrap();
    assert_eq!(back.ordinals().await.unwrap(), [10, 20, 30]);
    assert_eq!(snapshots.readable::<u64>(20).await.unwrap().unwrap().content, 21);
    back.save(40, &40, &Columns::default()).await.unwrap();
    assert!(
        matches!(back.save(40, &41, &Columns::default()).await, Err(SnapshotError::Fenced { .. })),
        "made by this process"
    );
    assert_eq!(back.ordinals().await.unwrap(), [20, 30, 40]);
}

#[tokio::test]
async fn what_the_log_held_is_recorded() {
    let store = Arc::new(InMemory::new());
    let log = Arc::new(EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered()));
    let dead_letters = Partition::new(Contract::DeadLetter, 2);
    let snapshots = Snapshots::new(store, "snapshots", "ingest", 2)
        .recording(log.clone(), vec![dead_letters, Partition::new(Contract::Score, 2)]);
    let batch = RecordBatch::new_empty(Contract::DeadLetter.schema());
    log.append(dead_letters, Message { time: Timestamp(7), producer: "ingest", sequence: 7, batch }).await.unwrap();
    snapshots.save(7, &"state", &Columns::default()).await.unwrap();
    let recorded = snapshots.recorded_at(7).await.unwrap().flatten().unwrap();
    let producers = BTreeMap::from([("ingest".to_owned(), 7)]);
    let extent = Extent { start: 0, end: 1, rows: 0, producers };
    assert_eq!(recorded, [Recorded { topic: "dead_letter.v1".to_owned(), number: 2, extent }]);
    assert_eq!(snapshots.recorded_at(8).await.unwrap(), None);
}

#[tokio::test]
async fn a_second_owner_is_noticed_and_a_replay_is_not_one() {
    let snapshots = Snapshots::new(Arc::new(InMemory::new()), "snapshots", "forecast", 2);
    snapshots.save(7, &"mine", &numbers(1.0)).await.unwrap();
    snapshots.save(7, &"mine", &numbers(1.0)).await.unwrap();
    assert!(matches!(snapshots.save(7, &"theirs", &numbers(1.0)).await, Err(SnapshotError::Fenced { .. })));
}
