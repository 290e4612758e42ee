//! Log, snapshots and archive on S3: a run there leaves what it leaves in a folder, also when it was killed on the way.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use crate::support::{definition, files, nilometer, refused, same, start, succeed, window};
use futures::TryStreamExt as _;
use nilometer_engine::Bucket;
use nilometer_needs::needs;
use object_store::{ObjectStore, ObjectStoreExt as _};

const FROM: &str = "2014-10-08T00:00:00Z";
const TO: &str = "2014-10-10T23:00:00Z";

/// A replay whose store is the bucket, or another one.
fn replay(server: &Bucket, bucket: &str) -> Command {
    let mut set = window("unused".as_ref(), FROM, TO);
    set[0] = format!("log.store=s3://{bucket}/run");
    let mut command = nilometer("replay", &definition(), &set);
    command.envs(server.environment());
    command
}

/// Every object below a prefix of the bucket, by its path below it.
fn objects(bucket: &Bucket, prefix: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let store = bucket.store();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut found = BTreeMap::new();
        let listed: Vec<_> = store.list(Some(&prefix.into())).try_collect().await.unwrap();
        for object in listed {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            let key = object.location.as_ref().strip_prefix(&format!("{prefix}/")).unwrap();
            found.insert(PathBuf::from(key), bytes.to_vec());
        }
        found
    })
}

#[needs(cance, s3)]
#[test]
fn a_run_on_s3_leaves_what_it_leaves_in_a_folder_also_when_it_is_killed_on_the_way() {
    let server = Bucket::start();
    let folder = tempfile::tempdir().unwrap();
    succeed(nilometer("replay", &definition(), &window(folder.path(), FROM, TO)));
    for segments in [5, 20, 40] {
        let mut killed = start(replay(&server, Bucket::NAME));
        while objects(&server, "run/log/forecast.v1").len() < segments && killed.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    succeed(replay(&server, Bucket::NAME));
    same(&files(&folder.path().join("archive")), &objects(&server, "run/archive"));
    let log = |files: BTreeMap<PathBuf, Vec<u8>>| files.into_keys().collect::<Vec<_>>();
    assert_eq!(log(files(&folder.path().join("log"))), log(objects(&server, "run/log")), "the same segments");

    let compact = |store: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(["store", "compact", &store]).envs(server.environment());
        succeed(command)
    };
    compact(folder.path().display().to_string());
    compact(format!("s3://{}/run", Bucket::NAME));
    let compacted = objects(&server, "run/archive");
    assert!(compacted.keys().any(|key| key.ends_with("_manifest-1.json")), "{:?}", compacted.keys());
    same(&files(&folder.path().join("archive")), &compacted);

    let absent = replay(&server, "elsewhere").output().unwrap();
    refused(&absent, &["object store", "NoSuchBucket"]);
}
