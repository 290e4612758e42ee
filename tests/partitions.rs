//! Partitions of a log, shared by processes: whole rivers go to each, and wherever they go their forecasts are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::support::{
    files, means, nilometer,
    processes::{Process, create_topics, until, watermarks},
    refused,
    rivers::rivers,
    same, succeed,
};
use arrow::array::AsArray as _;
use nilometer_engine::{Broker, Partition};
use nilometer_needs::needs;
use nilometer_schemas::Contract;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const RIVERS: usize = 24;
const PARTITIONS: u32 = 12;

fn store(at: &Path) -> Vec<String> {
    vec![format!("log.store={}", at.display())]
}

#[needs(onnxruntime)]
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
        Some((name.split('-').nth(1)?.to_owned(), key.clone()))
    }) {
        for gauge in gauges(&out.join("archive/forecast.v1").join(rows)) {
            assert_eq!(*of_gauge.entry(gauge).or_insert_with(|| partition.clone()), partition);
        }
    }
    for river in 0..RIVERS {
        assert_eq!(of_gauge[&format!("upper-{river}")], of_gauge[&format!("lower-{river}")]);
    }
    let used: BTreeSet<&String> = of_gauge.values().collect();
    assert!(used.len() > PARTITIONS as usize / 2, "{used:?}");

    let other = [store(&out), vec!["log.partitions=7".to_owned()]].concat();
    refused(
        &nilometer("replay", &definition, &other).output().unwrap(),
        &["the state in log.store was made with log.partitions: 12; the definition says 7", "another log.store"],
    );
    let none = [store(&out), vec!["log.partitions=0".to_owned()]].concat();
    refused(&nilometer("replay", &definition, &none).output().unwrap(), &["log.partitions", "1 to 256"]);
}

/// Whose forecasts a file has.
fn gauges(file: &Path) -> BTreeSet<String> {
    let bytes = bytes::Bytes::from(fs::read(file).unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let names = batch.column_by_name("catchment").unwrap().as_string::<i32>();
            names.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// How often a process was given partitions.
fn taken(process: &Process) -> usize {
    process.said().lines().filter(|line| line.contains("partitions are ours") && !line.contains("[]")).count()
}

#[needs(kafka)]
#[test]
fn processes_that_come_go_and_die_share_the_partitions_without_a_gap_or_a_double_forecast() {
    const HOURS: i64 = 240;
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let definition = rivers(folder.path(), RIVERS, HOURS, PARTITIONS);
    let (quiet, shared) = (folder.path().join("quiet"), folder.path().join("shared"));
    succeed(nilometer("replay", &definition, &store(&quiet)));

    let on_kafka = |member: &str| {
        let member = if member.is_empty() { String::new() } else { format!(", member = \"{member}\"") };
        let kafka = format!("log.kafka={{ brokers = \"{}\", prefix = \"shared.\"{member} }}", broker.address());
        [store(&shared), vec![kafka]].concat()
    };
    create_topics(&definition, &on_kafka(""));

    let start = |role: &str, name: &str, member: &str, more: &[&str]| {
        let mut command = nilometer("replay", &definition, &on_kafka(member));
        command.args(["--role", role]).args(more);
        Process::start(command, folder.path().join(format!("{name}.log")))
    };
    // Ten hours a second.
    let ingest = start("ingest", "ingest", "", &["--speed", "36000"]);
    let publish = start("alert,publish", "publish", "", &[]);
    let published = || files(&shared.join("archive/forecast.v1")).len();
    let further = |files: usize| {
        let before = published();
        until("forecasts go on", || published() >= before + files);
    };
    let first = start("forecast", "first", "", &[]);
    until("the first has partitions", || taken(&first) > 0);
    further(PARTITIONS as usize);
    let mut second = start("forecast", "second", "second", &[]);
    let third = start("forecast", "third", "", &[]);
    let fourth = start("forecast", "fourth", "", &[]);
    for process in [&second, &third, &fourth] {
        until("all have partitions", || taken(process) > 0);
    }
    assert!(first.said().contains("partitions go to another process"));
    further(PARTITIONS as usize);
    // One dies and comes back by its name, one sleeps until others have its partitions and wakes as if it still had them, one leaves.
    second.kill();
    let again = start("forecast", "again", "second", &[]);
    until("it has its partitions again", || taken(&again) > 0);
    third.signal("STOP");
    let theirs = taken(&first) + taken(&again) + taken(&fourth);
    until("others have its partitions", || taken(&first) + taken(&again) + taken(&fourth) > theirs);
    further(PARTITIONS as usize);
    third.signal("CONT");
    until("it knows that it has lost them", || third.said().contains("lost=true"));
    fourth.signal("TERM");
    [fourth, third, ingest, again, first, publish].into_iter().for_each(Process::end);
    same(&files(&quiet.join("archive")), &files(&shared.join("archive")));

    let used = (0..PARTITIONS).filter(|number| {
        let times = watermarks(&broker, "shared", Partition::new(Contract::Forecast, *number));
        assert!(times.is_sorted_by(|a, b| a < b), "no forecast twice in partition {number}");
        assert!(times.is_empty() || times.len() == HOURS as usize, "{} in partition {number}", times.len());
        !times.is_empty()
    });
    assert!(used.count() > PARTITIONS as usize / 2);
}
