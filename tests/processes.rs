//! Roles as processes of their own, with the log on a real Apache Kafka: they give what one process with the embedded log gives, also
//! when they and the broker are killed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod support;

use std::{
    collections::BTreeMap,
    process::{Child, Command},
    time::{Duration, Instant},
};

use nilometer_engine::{Broker, Entry, KafkaLog, KafkaOptions, Log, Metrics, Partition};
use nilometer_schemas::Contract;
use support::{Arbitrary, cance, definition, files, nilometer, refused, root, same, start, succeed, window};

const FROM: &str = "2014-10-08T00:00:00Z";
const ROLES: [&str; 4] = ["ingest", "forecast", "score", "publish"];
/// Until every process has ended.
const PATIENCE: Duration = Duration::from_secs(300);

/// Overrides that put the log on Kafka as well.
fn on_kafka(mut set: Vec<String>, broker: &Broker, prefix: &str) -> Vec<String> {
    set.push(format!("log.kafka={{ brokers = \"{}\", prefix = \"{prefix}.\" }}", broker.address()));
    set
}

fn create_topics(set: &[String]) {
    succeed(subcommand(&["topics", "create"], set));
}

fn subcommand(words: &[&str], set: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(words).arg(definition());
    command.args(set.iter().flat_map(|text| ["--set", text]));
    command
}

fn start_role(role: &str, set: &[String]) -> Child {
    let mut command = nilometer("replay", &definition(), set);
    command.args(["--role", role]);
    start(command)
}

/// A role of a run in which eight hours come a second: however fast the machine is, kills meet living processes.
fn start_paced(role: &str, set: &[String]) -> Child {
    let mut command = nilometer("replay", &definition(), set);
    command.args(["--role", role, "--speed", "28800"]);
    start(command)
}

fn await_end(mut processes: BTreeMap<&str, Child>) {
    let begin = Instant::now();
    while let Some((role, process)) = processes.iter_mut().next() {
        match process.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "{role} ended with {status}");
                let role = *role;
                processes.remove(role);
            }
            None if begin.elapsed() > PATIENCE => {
                let left: Vec<&str> = processes.keys().copied().collect();
                processes.into_values().for_each(|mut process| process.kill().unwrap());
                panic!("{left:?} did not end");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Of every message of a topic its watermark, in order; positions have no holes.
fn watermarks(broker: &Broker, prefix: &str, contract: Contract) -> Vec<i64> {
    let options = KafkaOptions::new(&broker.address(), &format!("{prefix}."));
    let partition = Partition::new(contract, 0);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let log = KafkaLog::new(&options, &Metrics::unregistered()).unwrap();
        let (end, mut found) = (log.bounds(partition).await.unwrap().end, Vec::new());
        for position in 0..end {
            let Some(Entry::Record(record)) = log.read(partition, position).await.unwrap() else {
                panic!("{position}")
            };
            assert_eq!(record.position, position);
            found.push(record.time.0);
        }
        found
    })
}

#[test]
fn one_process_and_four_give_what_the_embedded_log_gives() {
    if cance().is_none() {
        return;
    }
    let Some(broker) = Broker::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let to = "2014-10-10T23:00:00Z";
    let stores = ["embedded", "one", "four"].map(|name| folder.path().join(name));
    succeed(nilometer("replay", &definition(), &window(&stores[0], FROM, to)));
    let expected = files(&stores[0].join("archive"));
    assert!(expected.keys().any(|key| key.starts_with("score.v1")));

    let one = on_kafka(window(&stores[1], FROM, to), &broker, "one");
    let absent = nilometer("replay", &definition(), &one).output().unwrap();
    refused(&absent, &["one.forecast.v1 is absent", "nilometer topics create"]);
    let mut hindcast = nilometer("hindcast", &definition(), &one);
    hindcast.arg("--out").arg(&stores[1]);
    succeed(hindcast);
    same(&expected, &files(&stores[1].join("archive")));
    let mut again = nilometer("hindcast", &definition(), &one);
    again.arg("--out").arg(&stores[1]);
    refused(&again.output().unwrap(), &["messages of an earlier run", "another prefix"]);

    let four = on_kafka(window(&stores[2], FROM, to), &broker, "four");
    create_topics(&four);
    // Whoever reads is there before whoever writes, and the other way round.
    await_end(["publish", "forecast", "ingest", "score"].map(|role| (role, start_role(role, &four))).into());
    same(&expected, &files(&stores[2].join("archive")));
    assert!(watermarks(&broker, "four", Contract::Forecast).is_sorted_by(|a, b| a < b), "no forecast twice");

    let alone = nilometer("replay", &definition(), &window(&stores[0], FROM, to)).args(["--role", "ingest"]).output();
    refused(&alone.unwrap(), &["log.kafka", "one process"]);
}

#[test]
fn a_log_that_moves_to_kafka_goes_on_where_it_was() {
    if cance().is_none() {
        return;
    }
    let Some(broker) = Broker::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (whole, moved) = (folder.path().join("whole"), folder.path().join("moved"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&whole, FROM, to)));
    succeed(nilometer("replay", &definition(), &window(&moved, FROM, "2014-10-09T12:00:00Z")));
    let set = on_kafka(window(&moved, FROM, to), &broker, "moved");
    create_topics(&set);
    for copied in ["moved.forecast.v1/0: 37 messages", "moved.forecast.v1/0: 0 messages"] {
        let said = succeed(subcommand(&["log", "copy"], &set)).stdout;
        assert!(String::from_utf8_lossy(&said).contains(copied), "{}", String::from_utf8_lossy(&said));
    }
    let resumed = succeed(nilometer("replay", &definition(), &set));
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("resuming from a snapshot"));
    same(&files(&whole.join("archive")), &files(&moved.join("archive")));
    assert_eq!(watermarks(&broker, "moved", Contract::Forecast).len(), 72);

    // The shorter log is not what these topics begin with any more.
    refused(&subcommand(&["log", "copy"], &set).output().unwrap(), &["of another log", "another log.kafka.prefix"]);
}

#[test]
fn a_subscriber_that_sleeps_holds_nobody_up_and_misses_nothing() {
    if cance().is_none() {
        return;
    }
    let Some(broker) = Broker::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (quiet, slow) = (folder.path().join("quiet"), folder.path().join("slow"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, to)));
    let set = on_kafka(window(&slow, FROM, to), &broker, "slow");
    create_topics(&set);
    let mut publish = start_role("publish", &set);
    let signal = |name: &str, process: &Child| {
        let id = process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-STOP", &publish);
    await_end(["ingest", "forecast", "score"].map(|role| (role, start_role(role, &set))).into());
    assert!(publish.try_wait().unwrap().is_none() && files(&slow.join("archive")).is_empty());
    signal("-CONT", &publish);
    await_end([("publish", publish)].into());
    same(&files(&quiet.join("archive")), &files(&slow.join("archive")));
}

#[test]
fn roles_and_the_broker_killed_at_any_moment_leave_the_same_archive_and_no_forecast_twice() {
    const KILLS: usize = 12;
    if cance().is_none() {
        return;
    }
    let Some(mut broker) = Broker::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let to = "2014-10-17T23:00:00Z";
    let (quiet, disturbed) = (folder.path().join("quiet"), folder.path().join("disturbed"));
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, to)));

    let set = on_kafka(window(&disturbed, FROM, to), &broker, "killed");
    create_topics(&set);
    let mut processes: BTreeMap<&str, Child> = ROLES.map(|role| (role, start_paced(role, &set))).into();
    // ops/soak gives each round another seed.
    let seed = std::env::var("NILOMETER_SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut arbitrary = Arbitrary(seed.unwrap_or(1_017));
    let mut met = 0;
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(500 + arbitrary.below(1_500)));
        if kill % 6 == 5 {
            broker.kill(0);
            broker.revive(0);
            continue;
        }
        let role = ROLES[arbitrary.below(4) as usize];
        let process = processes.get_mut(role).unwrap();
        met += usize::from(process.try_wait().unwrap().is_none());
        process.kill().unwrap();
        process.wait().unwrap();
        processes.insert(role, start_paced(role, &set));
    }
    assert!(met >= KILLS / 2, "only {met} kills met a living process: the window is too short");
    await_end(processes);
    same(&files(&quiet.join("archive")), &files(&disturbed.join("archive")));
    for contract in [Contract::Forecast, Contract::Observation, Contract::Forcing] {
        let times = watermarks(&broker, "killed", contract);
        assert!(times.is_sorted_by(|a, b| a < b) && times.len() == 240, "{contract}: {}", times.len());
    }
}
