//! Log and snapshots on a real S3 server: conditional puts keep the promises that a folder's exclusive creation keeps.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::sync::Arc;

use nilometer_engine::{
    Bucket, Columns, ColumnsBuilder, EmbeddedLog, Lease, LeaseError, Metrics, Owner, SnapshotError, Snapshots, Use,
    conformance,
};
use nilometer_needs::needs;
use object_store::{ObjectStore, prefix::PrefixStore};

fn store(bucket: &Bucket, prefix: &'static str) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(bucket.store(), prefix))
}

fn numbers(number: i64) -> Columns {
    let mut columns = ColumnsBuilder::new(["catchment"]);
    columns.f32("store", |_| [number as f32]);
    columns.finish().unwrap()
}

#[needs(s3)]
#[tokio::test(flavor = "multi_thread")]
async fn the_log_passes_the_suite_and_a_second_owner_of_a_state_is_noticed() {
    let bucket = Bucket::start();
    let shared = store(&bucket, "suite");
    conformance::run(|| async { EmbeddedLog::new(shared.clone(), "log", &Metrics::unregistered()) }).await.unwrap();

    let owner = || Snapshots::new(store(&bucket, "owners"), "snapshots", "forecast", 2).of_partition(3);
    let (ours, theirs) = (owner(), owner());
    assert!(ours.newest::<u64>().await.unwrap().is_none());
    for ordinal in 1..=4_i64 {
        ours.save(ordinal, &ordinal, &numbers(ordinal)).await.unwrap();
    }
    theirs.save(4, &4_u64, &numbers(4)).await.unwrap();
    assert!(matches!(theirs.save(4, &5_u64, &numbers(4)).await, Err(SnapshotError::Fenced { .. })));
    assert_eq!(theirs.newest::<u64>().await.unwrap().unwrap().content, 4);
    assert_eq!(theirs.ordinals().await.unwrap(), [3, 4], "older ones are removed");
    theirs.replace(3, &33_u64, &Columns::default()).await.unwrap();
    assert_eq!(ours.oldest::<u64>().await.unwrap().unwrap().content, 33);
}

#[needs(s3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_one_owner_until_it_lets_go() {
    let bucket = Bucket::start();
    let there = store(&bucket, "owned");
    let take = || Lease::of_store(there.clone(), "s3://owned", Owner::here("run"), Use::Alone);
    let first = take().await.unwrap();
    let second = first.during(take()).await.unwrap();
    let refused = second.unwrap_err();
    assert!(matches!(&refused, LeaseError::InUse { owner, .. } if owner.contains("`nilometer run`")), "{refused}");
    first.release().await.unwrap();
    take().await.unwrap();
}
