//! Compaction of an archive that a pipeline has made: fewer objects, and every command that reads says what it said before.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{files, nilometer, refused, rivers::rivers, root, succeed};
use nilometer_needs::needs;

const HOURS: i64 = 80;

/// Commands that read a store.
struct Readers<'a> {
    definition: &'a Path,
    store: &'a Path,
}

impl Readers<'_> {
    /// What they write and print.
    fn say(&self, out: &Path) -> Vec<String> {
        let (store, out) = (self.store, out.join("numbers"));
        let binary = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
            command.current_dir(root());
            command
        };
        let mut verify = binary();
        verify.arg("verify").arg(store).arg("--out").arg(&out);
        let mut report = nilometer("report", self.definition, &set(store));
        report.arg("--out").arg(out.join("report"));
        let mut ledger = binary();
        ledger.args(["ledger", "lower-1", "2014-10-09T06:00:00Z", "--store"]).arg(store);
        let mut status = binary();
        status.args(["sources", "status"]).arg(self.definition).args(["--set", &set(store)[0]]);
        let mut said: Vec<String> = Vec::new();
        for command in [verify, report, ledger, status] {
            said.push(String::from_utf8(succeed(command).stdout).unwrap());
        }
        for (name, bytes) in files(&out) {
            if name.extension().is_some_and(|extension| extension == "csv") {
                said.push(format!("{}: {}", name.display(), String::from_utf8(bytes).unwrap()));
            }
        }
        fs::remove_dir_all(&out).unwrap();
        said
    }
}

fn set(store: &Path) -> Vec<String> {
    vec![format!("log.store={}", store.display()), "forecast.score=true".to_owned()]
}

fn compact(store: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.args(["store", "compact"]).arg(store).args(more);
    command
}

/// Topic, days, objects before and after, bytes before and after.
fn table(command: Command) -> Vec<(String, [u64; 5])> {
    let text = String::from_utf8(succeed(command).stdout).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        (cells[0].to_owned(), std::array::from_fn(|i| cells[i + 1].parse().unwrap()))
    };
    text.lines().skip(1).map(row).collect()
}

fn objects(store: &Path, topic: &str) -> Vec<PathBuf> {
    files(&store.join("archive").join(topic)).into_keys().collect()
}

#[needs(onnxruntime)]
#[test]
fn commands_say_the_same_of_a_compacted_archive() {
    let folder = tempfile::tempdir().unwrap();
    let definition = rivers(folder.path(), 6, HOURS, 3);
    let store = folder.path().join("store");
    succeed(nilometer("replay", &definition, &set(&store)));
    let readers = Readers { definition: &definition, store: &store };
    let before = readers.say(folder.path());
    assert!(before.len() >= 6 && before[0].contains("NSE"), "{before:?}");

    // Only the days that end before a time.
    let rows = table(compact(&store, &["--before", "2014-10-10"]));
    let forecasts = rows.iter().find(|(topic, _)| topic == "forecast.v1").unwrap();
    let [days, from, to, ..] = forecasts.1;
    assert_eq!((days, to), (2, 4), "2014-10-08 and 09, a file and a manifest each: {rows:?}");
    assert!(from > 48, "several partitions: {rows:?}");
    assert_eq!(readers.say(folder.path()), before);

    let rows = table(compact(&store, &[]));
    assert!(rows.iter().any(|(topic, _)| topic == "score.v1"), "{rows:?}");
    for (topic, [days, _, objects_after, bytes_before, bytes_after]) in &rows {
        assert!(*objects_after <= 2 * days && bytes_after <= bytes_before, "{topic}: {rows:?}");
        assert_eq!(objects(&store, topic).len() as u64, *objects_after);
    }
    assert_eq!(readers.say(folder.path()), before);

    // Nothing changes again, and a restart of the pipeline goes on with the archive as it is.
    let compacted = files(&store.join("archive"));
    assert!(table(compact(&store, &[])).iter().all(|(_, [_, from, to, ..])| from == to));
    succeed(nilometer("replay", &definition, &set(&store)));
    assert!(files(&store.join("archive")) == compacted);

    let nothing = tempfile::tempdir().unwrap();
    refused(&compact(nothing.path(), &[]).output().unwrap(), &["has no archive: it holds nothing"]);
    assert!(files(nothing.path()).is_empty(), "a command that finds no store makes none");
}

#[needs(onnxruntime)]
#[test]
fn a_pipeline_compacts_days_that_have_ended_long_enough_ago() {
    let folder = tempfile::tempdir().unwrap();
    let definition = rivers(folder.path(), 2, HOURS, 1);
    let [plain, compacted] = ["plain", "compacted"].map(|name| folder.path().join(name));
    succeed(nilometer("replay", &definition, &set(&plain)));
    let mut after = set(&compacted);
    after.push("log.compact_after=1d".to_owned());
    succeed(nilometer("replay", &definition, &after));
    // It ends at 2014-10-11T08:00:00Z, so 2014-10-09 ended more than a day ago, and 2014-10-10 did not.
    let days = |topic: &str, day: &str| {
        objects(&compacted, topic).iter().filter(|path| path.starts_with(format!("date=2014-10-{day}"))).count()
    };
    for topic in ["forecast.v1", "observation.v1", "analysis.v1", "score.v1"] {
        assert_eq!((days(topic, "08"), days(topic, "09")), (2, 2), "{topic}");
        assert!(days(topic, "10") >= 23, "{topic}");
    }
    let say = |store| Readers { definition: &definition, store }.say(folder.path());
    assert_eq!(say(&plain), say(&compacted));
}
