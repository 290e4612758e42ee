//! Partitions of a log, shared by processes: whole rivers go to each, and wherever they go their forecasts are the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nilometer_engine::{Broker, Entry, KafkaLog, KafkaOptions, Log, Metrics, Partition};
use nilometer_schemas::Contract;
use support::{files, means, nilometer, refused, rivers::rivers, root, same, succeed};

const RIVERS: usize = 24;
const PARTITIONS: u32 = 12;
/// Until something has happened that must.
const PATIENCE: Duration = Duration::from_secs(240);

fn store(at: &Path) -> Vec<String> {
    vec![format!("log.store={}", at.display())]
}

#[test]
fn a_river_in_whatever_partition_is_forecast_and_parted_from_no_other_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let definition = rivers(folder.path(), RIVERS, 30, PARTITIONS);
    let out = folder.path().join("parted");
    succeed(nilometer("replay", &definition, &store(&out)));
    let forecasts = means(&out);
    assert_eq!(forecasts.len(), 2 * RIVERS * 6, "every gauge at every lead time");
    let mut of_gauge: BTreeMap<String, String> = BTreeMap::new();
    for (partition, rows) in files(&out.join("archive/forecast.v1")).keys().filter_map(|key| {
        let name = key.file_stem()?.to_str()?;
        Some((name.rsplit_once('-')?.1.to_owned(), key.clone()))
    }) {
        for gauge in gauges(&out.join("archive/forecast.v1").join(rows)) {
            assert_eq!(*of_gauge.entry(gauge).or_insert_with(|| partition.clone()), partition);
        }
    }
    for river in 0..RIVERS {
        assert_eq!(of_gauge[&format!("upper-{river}")], of_gauge[&format!("lower-{river}")]);
    }
    let used: std::collections::BTreeSet<&String> = of_gauge.values().collect();
    assert!(used.len() > PARTITIONS as usize / 2, "{used:?}");

    let other = [store(&out), vec!["log.partitions=7".to_owned()]].concat();
    refused(
        &nilometer("replay", &definition, &other).output().unwrap(),
        &["the snapshot is of", "log.store elsewhere"],
    );
    let none = [store(&out), vec!["log.partitions=0".to_owned()]].concat();
    refused(&nilometer("replay", &definition, &none).output().unwrap(), &["log.partitions", "1 to 256"]);
}

/// Whose forecasts a file has.
fn gauges(file: &Path) -> std::collections::BTreeSet<String> {
    use arrow::array::AsArray;
    let bytes = bytes::Bytes::from(fs::read(file).unwrap());
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let names = batch.column_by_name("catchment").unwrap().as_string::<i32>();
            names.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// One process, and where it says what it does.
struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Of a role, by a name of its own.
    fn start(role: &str, name: &str, definition: &Path, folder: &Path, set: &[String], more: &[&str]) -> Self {
        let said = folder.join(format!("{name}.log"));
        let mut command = nilometer("replay", definition, set);
        command.args(["--role", role]).args(more);
        let file = fs::File::create(&said).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, said }
    }

    fn says(&self, words: &str) -> bool {
        fs::read_to_string(&self.said).unwrap().lines().any(|line| line.contains(words))
    }

    /// Whether it was given a partition.
    fn shares(&self) -> bool {
        self.taken() > 0
    }

    /// How often it was given one.
    fn taken(&self) -> usize {
        let given = |line: &&str| line.contains("partitions are ours") && !line.contains("[]");
        fs::read_to_string(&self.said).unwrap().lines().filter(given).count()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "it did not happen that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn processes_that_come_go_and_die_share_the_partitions_without_a_gap_or_a_double_forecast() {
    const HOURS: i64 = 240;
    let Some(broker) = Broker::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let definition = rivers(folder.path(), RIVERS, HOURS, PARTITIONS);
    let (quiet, shared) = (folder.path().join("quiet"), folder.path().join("shared"));
    succeed(nilometer("replay", &definition, &store(&quiet)));

    let on_kafka = |member: &str| {
        let member = if member.is_empty() { String::new() } else { format!(", member = \"{member}\"") };
        let kafka = format!("log.kafka={{ brokers = \"{}\", prefix = \"shared.\"{member} }}", broker.address());
        [store(&shared), vec![kafka]].concat()
    };
    let mut create = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    create.current_dir(root()).args(["topics", "create"]).arg(&definition);
    create.args(on_kafka("").iter().flat_map(|text| ["--set", text]));
    succeed(create);

    let start = |role: &str, name: &str, member: &str, more: &[&str]| {
        Process::start(role, name, &definition, folder.path(), &on_kafka(member), more)
    };
    // Ten hours a second.
    let mut ingest = start("ingest", "ingest", "", &["--speed", "36000"]);
    let mut publish = start("publish", "publish", "", &[]);
    let published = || files(&shared.join("archive/forecast.v1")).len();
    let further = |files: usize| {
        let before = published();
        until("forecasts go on", || published() >= before + files);
    };
    let mut first = start("forecast", "first", "", &[]);
    until("the first has partitions", || first.shares());
    further(PARTITIONS as usize);
    let mut second = start("forecast", "second", "second", &[]);
    let mut third = start("forecast", "third", "", &[]);
    let fourth = start("forecast", "fourth", "", &[]);
    let mut fourth = fourth;
    for process in [&second, &third, &fourth] {
        until("all have partitions", || process.shares());
    }
    assert!(first.says("partitions go to another process"));
    further(PARTITIONS as usize);
    // One dies and comes back by its name, one sleeps until others have its partitions and wakes as if it still had them, one leaves.
    second.child.kill().unwrap();
    second.child.wait().unwrap();
    let again = start("forecast", "again", "second", &[]);
    until("it has its partitions again", || again.shares());
    let mut again = again;
    third.signal("STOP");
    let theirs = first.taken() + again.taken() + fourth.taken();
    until("others have its partitions", || first.taken() + again.taken() + fourth.taken() > theirs);
    further(PARTITIONS as usize);
    third.signal("CONT");
    until("it knows that it has lost them", || third.says("lost=true"));
    fourth.signal("TERM");
    for process in [&mut fourth, &mut third, &mut ingest, &mut again, &mut first, &mut publish] {
        until(&format!("{} ends", process.said.display()), || process.child.try_wait().unwrap().is_some());
        assert!(process.child.wait().unwrap().success(), "{}", fs::read_to_string(&process.said).unwrap());
    }
    same(&files(&quiet.join("archive")), &files(&shared.join("archive")));

    let used = (0..PARTITIONS).filter(|number| {
        let times = watermarks(&broker, *number);
        assert!(times.is_sorted_by(|a, b| a < b), "no forecast twice in partition {number}");
        assert!(times.is_empty() || times.len() == HOURS as usize, "{} in partition {number}", times.len());
        !times.is_empty()
    });
    assert!(used.count() > PARTITIONS as usize / 2);
}

/// Of every forecast message of a partition its watermark, in order.
fn watermarks(broker: &Broker, number: u32) -> Vec<i64> {
    let options = KafkaOptions::new(&broker.address(), "shared.");
    let partition = Partition::new(Contract::Forecast, number);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let log = KafkaLog::new(&options, &Metrics::unregistered()).unwrap();
        let (end, mut found) = (log.bounds(partition).await.unwrap().end, Vec::new());
        for position in 0..end {
            let Some(Entry::Record(record)) = log.read(partition, position).await.unwrap() else {
                panic!("{position}")
            };
            found.push(record.time.0);
        }
        found
    })
}
