//! Roles as processes of their own, with the log on a real Apache Kafka: they give what one process with the embedded log gives, also
//! when they and the broker are killed.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::support::{
    Arbitrary, definition, files, nilometer,
    processes::{Process, create_topics, end_all, subcommand, until, watermarks},
    refused, same,
    service::Service,
    succeed, window,
};
use nilometer_engine::{Broker, Partition};
use nilometer_needs::needs;
use nilometer_schemas::Contract;

const FROM: &str = "2014-10-08T00:00:00Z";
const ROLES: [&str; 5] = ["ingest", "forecast", "score", "alert", "publish"];
/// A replay in which eight hours come a second: however fast the machine is, kills meet living processes.
const PACED: [&str; 2] = ["--speed", "28800"];

/// Overrides that put the log on Kafka as well.
fn on_kafka(mut set: Vec<String>, broker: &Broker, prefix: &str) -> Vec<String> {
    set.push(format!("log.kafka={{ brokers = \"{}\", prefix = \"{prefix}.\" }}", broker.address()));
    set
}

/// A role, which says what it does below `folder`.
fn start(role: &str, set: &[String], folder: &Path) -> Process {
    start_with(role, set, folder, &[])
}

fn start_with(role: &str, set: &[String], folder: &Path, more: &[&str]) -> Process {
    let mut command = nilometer("replay", &definition(), set);
    command.args(["--role", role]).args(more);
    Process::start(command, folder.join(format!("{role}.log")))
}

#[needs(cance, kafka)]
#[test]
fn one_process_and_many_give_what_the_embedded_log_gives() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let to = "2014-10-10T23:00:00Z";
    let stores = ["embedded", "one", "many"].map(|name| folder.path().join(name));
    succeed(nilometer("replay", &definition(), &window(&stores[0], FROM, to)));
    let expected = files(&stores[0].join("archive"));
    assert!(expected.keys().any(|key| key.starts_with("score.v1")));

    let mut one = on_kafka(window(&stores[1], FROM, to), &broker, "one");
    // A receiver is passed over in a replay, and no role waits for it.
    one.push("alerts.webhook.url=\"http://127.0.0.1:9/\"".to_owned());
    let absent = nilometer("replay", &definition(), &one).output().unwrap();
    refused(&absent, &["one.forecast.v1 is absent", "nilometer topics create"]);
    let mut hindcast = nilometer("hindcast", &definition(), &one);
    hindcast.arg("--out").arg(&stores[1]);
    succeed(hindcast);
    same(&expected, &files(&stores[1].join("archive")));
    let mut again = nilometer("hindcast", &definition(), &one);
    again.arg("--out").arg(&stores[1]);
    refused(&again.output().unwrap(), &["messages of an earlier run", "another prefix"]);

    let many = on_kafka(window(&stores[2], FROM, to), &broker, "many");
    create_topics(&definition(), &many);
    // Readers are there before writers, and the other way round.
    end_all(["publish", "forecast", "alert", "ingest", "score"].map(|role| start(role, &many, folder.path())));
    same(&expected, &files(&stores[2].join("archive")));
    assert!(
        watermarks(&broker, "many", Partition::new(Contract::Forecast, 0)).is_sorted_by(|a, b| a < b),
        "no forecast twice"
    );

    let alone = nilometer("replay", &definition(), &window(&stores[0], FROM, to)).args(["--role", "ingest"]).output();
    refused(&alone.unwrap(), &["log.kafka", "one process"]);
}

#[needs(cance, kafka)]
#[test]
fn a_log_that_moves_to_kafka_goes_on_where_it_was() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let (whole, moved) = (folder.path().join("whole"), folder.path().join("moved"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&whole, FROM, to)));
    succeed(nilometer("replay", &definition(), &window(&moved, FROM, "2014-10-09T12:00:00Z")));
    let set = on_kafka(window(&moved, FROM, to), &broker, "moved");
    create_topics(&definition(), &set);
    for copied in ["moved.forecast.v1/0: 37 messages", "moved.forecast.v1/0: 0 messages"] {
        let said = succeed(subcommand(["log", "copy"], &definition(), &set)).stdout;
        assert!(String::from_utf8_lossy(&said).contains(copied), "{}", String::from_utf8_lossy(&said));
    }
    let resumed = succeed(nilometer("replay", &definition(), &set));
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("resuming from a snapshot"));
    same(&files(&whole.join("archive")), &files(&moved.join("archive")));
    assert_eq!(watermarks(&broker, "moved", Partition::new(Contract::Forecast, 0)).len(), 72);

    // The shorter log is not what these topics begin with any more.
    refused(
        &subcommand(["log", "copy"], &definition(), &set).output().unwrap(),
        &["of another log", "another log.kafka.prefix"],
    );
}

#[needs(cance, kafka)]
#[test]
fn a_subscriber_that_sleeps_holds_no_role_up_and_misses_nothing() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let (quiet, slow) = (folder.path().join("quiet"), folder.path().join("slow"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, to)));
    let set = on_kafka(window(&slow, FROM, to), &broker, "slow");
    create_topics(&definition(), &set);
    let mut publish = start("publish", &set, folder.path());
    publish.signal("STOP");
    end_all(["ingest", "forecast", "score", "alert"].map(|role| start(role, &set, folder.path())));
    assert!(publish.lives() && files(&slow.join("archive")).is_empty());
    publish.signal("CONT");
    publish.end();
    same(&files(&quiet.join("archive")), &files(&slow.join("archive")));
}

#[needs(cance, kafka)]
#[test]
fn roles_and_the_broker_killed_at_any_moment_leave_the_same_archive_and_no_forecast_twice() {
    const KILLS: usize = 12;
    let mut broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let to = "2014-10-17T23:00:00Z";
    let (quiet, disturbed) = (folder.path().join("quiet"), folder.path().join("disturbed"));
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, to)));

    let set = on_kafka(window(&disturbed, FROM, to), &broker, "killed");
    create_topics(&definition(), &set);
    let paced = |role: &str| start_with(role, &set, folder.path(), &PACED);
    let mut processes: BTreeMap<&str, Process> = ROLES.map(|role| (role, paced(role))).into();
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
        let role = ROLES[arbitrary.below(ROLES.len() as u64) as usize];
        let process = processes.get_mut(role).unwrap();
        met += usize::from(process.lives());
        process.kill();
        processes.insert(role, paced(role));
    }
    assert!(met >= KILLS / 2, "only {met} kills met a living process: the window is too short");
    end_all(processes.into_values());
    same(&files(&quiet.join("archive")), &files(&disturbed.join("archive")));
    for contract in [Contract::Forecast, Contract::Observation, Contract::Forcing] {
        let times = watermarks(&broker, "killed", Partition::new(contract, 0));
        assert!(times.is_sorted_by(|a, b| a < b) && times.len() == 240, "{contract}: {}", times.len());
    }
}

#[needs(cance, kafka)]
#[test]
fn a_process_that_only_serves_has_what_the_others_make_and_stays() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    let to = "2014-10-08T12:00:00Z";
    let set = on_kafka(window(&folder.path().join("store"), FROM, to), &broker, "served");
    create_topics(&definition(), &set);
    let service = Service::start(&set, &["--role", "serve"], &folder.path().join("serve.log"));
    end_all(["ingest", "forecast", "score", "alert", "publish"].map(|role| start(role, &set, folder.path())));
    until("everything is served", || service.root("/ready").json()["time"] == to);
    assert_eq!(service.get("/stations/V3524010/forecast").json()["issue_time"], to);
    let heard = service.listen("/events?topics=forecast&from=f0:-1", None, |events| events.len() == 13 * 3);
    assert!(heard.iter().all(|event| event.name == "forecast"));
    // Forecasts are made again from the topics and the snapshots of the others.
    let split = service.get("/stations/V3524010/explain");
    assert!(split.status.is_success() && split.json()["issue_time"] == to, "{}", split.text());
    service.process.signal("TERM");
    service.process.end();
}
