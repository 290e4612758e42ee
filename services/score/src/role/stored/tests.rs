//! Frozen snapshots, of every version that there has been: each is read by this build, or refused with a sentence that says what to do.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{fs, path::Path, sync::Arc};

use nilometer_engine::Snapshot;
use nilometer_statistics::RunningScore;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

use super::*;

async fn snapshot(version: u32) -> Snapshot<Stored> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("frozen/scores-{version}.arrow"));
    store.put(&"snapshots/score/00000000000000000007.arrow".into(), fs::read(file).unwrap().into()).await.unwrap();
    Snapshots::new(store, "snapshots", "score", 2).newest().await.unwrap().unwrap()
}

#[tokio::test]
async fn version_2_is_read() {
    let Snapshot { content, columns, .. } = snapshot(2).await;
    let scores = current(content).unwrap();
    assert_eq!((scores.step_s, scores.partitions, scores.catchments.len()), (86_400, 1, 2));
    let rows = columns.keyed(["g1", "g0"]);
    assert_eq!(rows.f64("running", 0).unwrap().len(), 3 * 7, "three lead times");
    assert_eq!(rows.f64("floods.thresholds_m3_s", 1), Some(&[4.0][..]));
    assert!(!rows.f32("climate.discharge_m3_s", 0).unwrap().is_empty());
    let parts: [f64; 7] = rows.f64("running", 0).unwrap()[..7].try_into().unwrap();
    assert!(RunningScore::from_parts(parts).nse().is_ok());
    assert_eq!((scores.issuers, scores.shadow), (vec![None], (0, 0)), "of one model, which it does not name");
}

#[tokio::test]
async fn version_3_is_read_and_names_whose_scores_there_are() {
    let Snapshot { content, columns, .. } = snapshot(3).await;
    let scores = current(content).unwrap();
    let issuer =
        |shadow: Option<&str>| Some(Issuer { model: "straight".to_owned(), shadow: shadow.map(ToOwned::to_owned) });
    assert_eq!(scores.issuers, [issuer(None), issuer(Some("ff"))]);
    assert!(scores.shadow.1 > 0 && scores.shadow.1 < scores.balance.received);
    let rows = columns.keyed(["V3524010"]);
    let pairs = |name: &str| {
        let parts = rows.f64(name, 0).unwrap()[..7].try_into().unwrap();
        RunningScore::from_parts(parts).pairs()
    };
    assert!(pairs("running") > pairs("1.running") && pairs("1.running") > 0);
}

#[tokio::test]
async fn version_1_is_refused_with_what_to_do() {
    let error = current(snapshot(1).await.content).unwrap_err().to_string();
    assert!(error.contains("of version 1") && error.contains("remove the folder snapshots/score"), "{error}");
}
