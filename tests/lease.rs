//! A store has one owner: a second one is refused by name, a dead one is not waited for, and what only reads makes nothing.

use std::{fs, path::Path, process::Command};

use crate::support::{definition, files, nilometer, refused, same, start, succeed, window};
use nilometer_needs::needs;

const FROM: &str = "2014-10-08T00:00:00Z";
const TO: &str = "2014-10-08T05:00:00Z";

/// A process that has a store and keeps it.
fn keep(store: &Path) -> std::process::Child {
    let mut replay = nilometer("replay", &definition(), &window(store, FROM, TO));
    replay.args(["--speed", "1"]);
    let mut process = start(replay);
    let lease = store.join("lease.json");
    while fs::read(&lease).map_or(true, |text| text.is_empty()) || !store.join("log").exists() {
        assert!(process.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    process
}

#[needs(cance)]
#[test]
fn a_store_in_use_is_refused_and_not_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut process = keep(&store);
    let log = files(&store.join("log"));
    let in_use = ["is in use by `nilometer replay`, process", "accepted is another log.store"];
    for command in ["run", "replay"] {
        refused(&nilometer(command, &definition(), &window(&store, FROM, TO)).output().unwrap(), &in_use);
    }
    let mut hindcast = nilometer("hindcast", &definition(), &window(folder.path(), FROM, TO));
    refused(&hindcast.arg("--out").arg(&store).output().unwrap(), &in_use);
    let there = files(&store.join("log"));
    assert!(log.keys().all(|key| there.contains_key(key)), "nothing was removed");
    process.kill().unwrap();
    process.wait().unwrap();
    // A dead owner is not waited for.
    let quiet = folder.path().join("quiet");
    succeed(nilometer("replay", &definition(), &window(&store, FROM, TO)));
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, TO)));
    same(&files(&quiet.join("archive")), &files(&store.join("archive")));
    let mut hindcast = nilometer("hindcast", &definition(), &window(folder.path(), FROM, TO));
    hindcast.arg("--out").arg(&store);
    succeed(hindcast);
}

#[test]
fn what_only_reads_makes_nothing_and_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, other) = (folder.path().join("absent"), folder.path().join("other"));
    fs::create_dir_all(other.join("pictures")).unwrap();
    for arguments in [&["verify"][..], &["store", "check"], &["ledger", "V3524010", "2014-11-04T06:00:00Z", "--store"]]
    {
        let run =
            |store: &Path| Command::new(env!("CARGO_BIN_EXE_nilometer")).args(arguments).arg(store).output().unwrap();
        refused(&run(&absent), &[&absent.display().to_string(), "is no folder"]);
        assert!(!absent.exists(), "{arguments:?}");
        refused(&run(&other), &[&other.display().to_string(), "it holds pictures"]);
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1, "{arguments:?}");
    }
}
