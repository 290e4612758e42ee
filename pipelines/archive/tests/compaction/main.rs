//! Compaction keeps every row, and a reader sees each once at any moment.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod moments;
mod outlooks;
mod rows;
mod stepped;

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use bytes::Bytes;
use futures::TryStreamExt as _;
use nilometer_archive::{ArchiveError, Day, compact, days, object_key, readings, to_parquet, visit};
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Forecasts, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, memory::InMemory, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use rows::{DAY, PUBLISHED, at, message, publish, publish_hours, rows_of_hours, visited};

/// The only day of a contract.
async fn day(store: &dyn ObjectStore, contract: Contract) -> Day {
    let days = days(store, contract, None).await.unwrap();
    let [day] = &days[..] else { unreachable!("{days:?}") };
    day.clone()
}

async fn compacted(store: &dyn ObjectStore, contract: Contract) -> Day {
    compact(store, &day(store, contract).await).await.unwrap()
}

/// Every object by its key.
async fn objects(store: &dyn ObjectStore) -> BTreeMap<String, Bytes> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        objects.insert(object.location.to_string(), bytes);
    }
    objects
}

/// The bytes of the compacted file, of which there is one.
async fn file(store: &dyn ObjectStore) -> Bytes {
    let mut files: Vec<Bytes> = objects(store)
        .await
        .into_iter()
        .filter(|(key, _)| key.contains("/compacted-"))
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[tokio::test]
async fn every_contract_keeps_its_rows_and_the_second_time_nothing_changes() {
    for contract in PUBLISHED {
        let store = InMemory::new();
        publish_hours(&store, contract, 0..6).await;
        let before = day(&store, contract).await;
        assert_eq!((before.objects(), before.is_compact()), (12, false), "{contract}");
        assert_eq!(before.newest_message(), Some(at(5)));
        assert_eq!(before.end(), Some(at(24)));
        let after = compacted(&store, contract).await;
        assert_eq!((after.objects(), after.is_compact()), (2, true), "{contract}: a file and its manifest");
        assert!(after.bytes() < before.bytes(), "{contract}: {} and {}", after.bytes(), before.bytes());
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..6), "{contract}");
        let first = objects(&store).await;
        compacted(&store, contract).await;
        assert!(objects(&store).await == first, "{contract}");
    }
}

#[tokio::test]
async fn the_same_rows_give_the_same_bytes_in_their_order_with_an_index_of_pages() {
    for contract in PUBLISHED {
        let (one, other) = (InMemory::new(), InMemory::new());
        publish_hours(&one, contract, 0..6).await;
        publish_hours(&other, contract, 0..6).await;
        compacted(&one, contract).await;
        compacted(&other, contract).await;
        assert!(objects(&one).await == objects(&other).await, "{contract}");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file(&one).await).unwrap();
        assert_eq!(reader.schema().fields(), contract.schema().fields(), "{contract}");
        let metadata = reader.metadata().clone();
        assert_eq!(metadata.file_metadata().created_by(), Some("nilometer"));
        for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            assert!(column.statistics().is_some() && column.offset_index_offset().is_some(), "{contract}");
        }
        let rows: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let name =
            |column: &str| rows[0].column_by_name(column).map(|c| c.as_string::<i32>().iter().flatten().collect());
        let places: Option<Vec<&str>> = name("catchment").or_else(|| name("station"));
        if let Some(places) = places {
            assert!(places.is_sorted(), "{contract}: {places:?}");
        }
    }
}

#[tokio::test]
async fn row_groups_are_bounded() {
    let store = InMemory::new();
    let rows = message(Contract::Observation, 0, 0);
    let rows = arrow::compute::concat_batches(&rows.schema(), &vec![rows.clone(); 12_000]).unwrap();
    for hour in 0..2 {
        let key = object_key(&Path::from(""), Partition::new(Contract::Observation, 0), at(hour), hour as u64, &rows);
        store.put(&key, to_parquet(&rows).unwrap().into()).await.unwrap();
    }
    compacted(&store, Contract::Observation).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file(&store).await).unwrap();
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [131_072, 144_000 - 131_072]);
}

#[tokio::test]
async fn readings_are_those_of_the_order_in_which_they_arrived() {
    let store = InMemory::new();
    publish_hours(&store, Contract::Observation, 0..20).await;
    let window = (Timestamp::MIN, Timestamp(i64::MAX));
    let before = readings(&store, window.0, window.1).await.unwrap();
    assert_eq!(before.len(), 6, "stations");
    compacted(&store, Contract::Observation).await;
    assert_eq!(readings(&store, window.0, window.1).await.unwrap(), before);
    // Messages behind a compaction, and a second one.
    publish_hours(&store, Contract::Observation, 20..24).await;
    let before = readings(&store, window.0, window.1).await.unwrap();
    compacted(&store, Contract::Observation).await;
    assert_eq!(readings(&store, window.0, window.1).await.unwrap(), before);
}

#[tokio::test]
async fn messages_behind_a_compaction_join_its_file_and_repeated_ones_do_not_count() {
    for contract in PUBLISHED {
        let store = InMemory::new();
        publish_hours(&store, contract, 0..3).await;
        compacted(&store, contract).await;
        publish_hours(&store, contract, 1..5).await;
        assert!(!day(&store, contract).await.is_compact());
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..5), "{contract}");
        let after = compacted(&store, contract).await;
        assert_eq!((after.objects(), after.is_compact()), (3, true), "{contract}: a file and two revisions");
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..5), "{contract}");
        // Only messages that are there once more.
        publish_hours(&store, contract, 0..5).await;
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..5), "{contract}");
        assert_eq!(compacted(&store, contract).await, after, "{contract}");
    }
}

#[tokio::test]
async fn a_day_of_one_object_stays() {
    let store = InMemory::new();
    publish(&store, Contract::Score, 0, 3).await;
    let before = objects(&store).await;
    assert!(day(&store, Contract::Score).await.is_compact());
    compacted(&store, Contract::Score).await;
    assert!(objects(&store).await == before);
}

#[tokio::test]
async fn forecasts_of_an_earlier_build_whose_names_have_no_model_count_once() {
    let store = InMemory::new();
    publish_hours(&store, Contract::Forecast, 0..4).await;
    // Hours 2 and 3 of a partition by an earlier build: 2 once more by this one, 3 not.
    for hour in [2, 3] {
        let new = publish(&store, Contract::Forecast, 0, hour).await;
        let earlier = Path::from(new.as_ref().replace("-lstm.parquet", ".parquet"));
        store.copy(&new, &earlier).await.unwrap();
        if hour == 3 {
            store.delete(&new).await.unwrap();
        }
    }
    assert_eq!(visited(&store, Contract::Forecast).await, rows_of_hours(Contract::Forecast, 0..4));
    assert_eq!(compacted(&store, Contract::Forecast).await.objects(), 2);
    assert_eq!(visited(&store, Contract::Forecast).await, rows_of_hours(Contract::Forecast, 0..4));
    // A crash lets this build publish again what the file has from a name of the earlier one.
    publish(&store, Contract::Forecast, 0, 3).await;
    assert_eq!(visited(&store, Contract::Forecast).await, rows_of_hours(Contract::Forecast, 0..4));
    assert_eq!(compacted(&store, Contract::Forecast).await.objects(), 2);
}

#[tokio::test]
async fn earlier_versions_get_this_builds_columns_and_later_ones_are_left_alone() {
    let store = InMemory::new();
    publish(&store, Contract::Forecast, 0, 0).await;
    let rows = message(Contract::Forecast, 0, 1);
    let version = |name: &str, fields: Vec<_>| {
        let metadata = [("nilometer.contract".to_owned(), name.to_owned())].into();
        Arc::new(arrow::datatypes::Schema::new_with_metadata(fields, metadata))
    };
    let (schema, before) = (rows.schema(), rows.schema().index_of("stage_q05").unwrap());
    let first = version("forecast.v1", schema.fields()[..before].to_vec());
    let first = RecordBatch::try_new(first, rows.columns()[..before].to_vec()).unwrap();
    let key = |hour| object_key(&Path::from(""), Partition::new(Contract::Forecast, 0), at(hour), 0, &rows);
    store.put(&key(1), to_parquet(&first).unwrap().into()).await.unwrap();
    compacted(&store, Contract::Forecast).await;
    let mut shadows = Vec::new();
    visit(&store, Contract::Forecast, None, |batch| {
        let forecasts = Forecasts::try_from(batch)?;
        shadows.extend((0..forecasts.len()).map(|row| forecasts.shadow().is_valid(row)));
        Ok::<_, ArchiveError>(())
    })
    .await
    .unwrap();
    assert_eq!(shadows.iter().filter(|known| **known).count(), 6, "null in rows of version 1: {shadows:?}");
    assert_eq!(shadows.len(), 12);

    let more = arrow::datatypes::Field::new("more", arrow::datatypes::DataType::Float64, true);
    let later = version("forecast.v9", schema.fields().iter().cloned().chain([Arc::new(more)]).collect());
    let column = arrow::array::new_null_array(&arrow::datatypes::DataType::Float64, rows.num_rows());
    let later = RecordBatch::try_new(later, rows.columns().iter().cloned().chain([column]).collect()).unwrap();
    store.put(&key(2), to_parquet(&later).unwrap().into()).await.unwrap();
    let before = objects(&store).await;
    let error = compact(&store, &day(&store, Contract::Forecast).await).await.unwrap_err();
    assert!(matches!(error, ArchiveError::LaterVersion { .. }), "{error}");
    assert!(objects(&store).await == before);
}

#[tokio::test]
async fn what_is_wrong_with_a_manifest_is_an_error_that_names_it() {
    let store = InMemory::new();
    publish_hours(&store, Contract::Score, 0..2).await;
    compacted(&store, Contract::Score).await;
    let visit_error = async || {
        let visited = visit(&store, Contract::Score, None, |_| Ok::<_, ArchiveError>(())).await;
        visited.unwrap_err().to_string()
    };
    let file = objects(&store).await.into_keys().find(|key| key.contains("/compacted-")).unwrap();
    store.delete(&Path::from(file.as_str())).await.unwrap();
    let error = visit_error().await;
    assert!(error.contains(&file) && error.contains("is gone or was replaced"), "{error}");
    let second = Path::from(format!("score.v1/date={DAY}/_manifest-2.json"));
    store.put(&second, r#"{"version": 2, "pages": []}"#.into()).await.unwrap();
    let error = visit_error().await;
    assert!(error.contains("_manifest-2.json") && error.contains("version 2"), "{error}");
    store.put(&second, "{}".into()).await.unwrap();
    assert!(visit_error().await.contains("_manifest-2.json is no manifest"));
}

#[tokio::test]
async fn a_folder_is_compacted_as_a_store_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    for contract in PUBLISHED {
        publish_hours(&store, contract, 0..3).await;
        compacted(&store, contract).await;
        publish_hours(&store, contract, 2..5).await;
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..5), "{contract}");
        assert_eq!(compacted(&store, contract).await.objects(), 3, "{contract}");
        assert_eq!(visited(&store, contract).await, rows_of_hours(contract, 0..5), "{contract}");
    }
}
