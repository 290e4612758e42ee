//! How forecasts scale with processes that share twelve partitions, and how long a partition pauses when it changes hands.
//!
//! `ops/bench scale` runs it in the release profile, with one node of Apache Kafka on this machine.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nilometer_engine::{Broker, KafkaLog, KafkaOptions, Log, Metrics, Partition};
use nilometer_schemas::Contract;
use support::{nilometer, processes::create_topics, rivers::rivers};

const PARTITIONS: u32 = 12;
/// Behind a change of hands, until every partition has surely gone on.
const SETTLED: Duration = Duration::from_secs(20);

fn main() {
    let broker = Broker::start(1);
    let folder = tempfile::tempdir().unwrap();
    throughput(&broker, folder.path());
    pauses(&broker, folder.path());
}

/// A pipeline on the cluster, by the prefix of its topics.
struct Run<'a> {
    definition: PathBuf,
    set: Vec<String>,
    prefix: &'a str,
    address: String,
}

impl<'a> Run<'a> {
    fn new(broker: &Broker, folder: &Path, prefix: &'a str, rivers_count: usize, hours: i64) -> Self {
        let folder = folder.join(prefix);
        std::fs::create_dir(&folder).unwrap();
        let definition = rivers(&folder, rivers_count, hours, PARTITIONS);
        let set = vec![format!("log.store={}", folder.join("store").display())];
        let run = Self { definition, set, prefix, address: broker.address() };
        create_topics(&run.definition, &run.on_kafka(None));
        run
    }

    fn on_kafka(&self, member: Option<&str>) -> Vec<String> {
        let member = member.map(|name| format!(", member = \"{name}\"")).unwrap_or_default();
        let kafka = format!("log.kafka={{ brokers = \"{}\", prefix = \"{}.\"{member} }}", self.address, self.prefix);
        [self.set.clone(), vec![kafka]].concat()
    }

    fn start(&self, role: &str, member: Option<&str>, more: &[&str]) -> Child {
        let mut command = nilometer("replay", &self.definition, &self.on_kafka(member));
        command.args(["--role", role]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// The same hours, all in the log beforehand, by one process, two and four.
fn throughput(broker: &Broker, folder: &Path) {
    const RIVERS: usize = 120;
    const HOURS: i64 = 240;
    const LEADS: usize = 6;
    println!(
        "forecasts of {} gauges, 32 members, {HOURS} hours, {PARTITIONS} partitions, from start to end",
        2 * RIVERS
    );
    println!("{:>9}  {:>7}  {:>12}  {:>11}", "processes", "seconds", "forecasts/s", "rows/s");
    for (processes, prefix) in [(1, "one"), (2, "two"), (4, "four")] {
        let run = Run::new(broker, folder, prefix, RIVERS, HOURS);
        assert!(run.start("ingest", None, &[]).wait().unwrap().success());
        let begin = Instant::now();
        let all: Vec<Child> = (0..processes).map(|_| run.start("forecast", None, &[])).collect();
        all.into_iter().for_each(|mut process| assert!(process.wait().unwrap().success()));
        let seconds = begin.elapsed().as_secs_f64();
        let forecasts = (2 * RIVERS) as f64 * HOURS as f64;
        println!(
            "{processes:>9}  {seconds:>7.1}  {:>12.0}  {:>11.0}",
            forecasts / seconds,
            forecasts * LEADS as f64 / seconds
        );
    }
}

/// When each partition's forecasts came.
type Seen = Arc<Mutex<Vec<Vec<Instant>>>>;

/// A run of ten hours a second, watched by a subscriber, while processes come and go.
fn pauses(broker: &Broker, folder: &Path) {
    let run = Run::new(broker, folder, "paced", 24, 2_000);
    let seen: Seen = Arc::new(Mutex::new(vec![Vec::new(); PARTITIONS as usize]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = KafkaOptions::new(&broker.address(), "paced.");
    let log = Arc::new(KafkaLog::new(&options, &Metrics::unregistered()).unwrap());
    for number in 0..PARTITIONS {
        let (log, seen) = (log.clone(), seen.clone());
        runtime.spawn(async move {
            let partition = Partition::new(Contract::Forecast, number);
            for position in 0.. {
                log.wait(partition, position).await.unwrap();
                seen.lock().unwrap()[number as usize].push(Instant::now());
                log.read(partition, position).await.unwrap();
            }
        });
    }
    let mut ingest = run.start("ingest", None, &["--speed", "36000"]);
    let mut first = run.start("forecast", None, &[]);
    std::thread::sleep(SETTLED);
    println!(
        "\na forecast every 100 ms and partition: longest wait of a subscriber, of the partitions that changed hands"
    );
    println!("{:<60}  {:>3}  {:>8}  {:>8}", "", "", "median", "longest");
    let watch = |what: &str, change: &mut dyn FnMut()| {
        let begin = Instant::now();
        change();
        std::thread::sleep(SETTLED);
        let mut waits: Vec<f64> = seen
            .lock()
            .unwrap()
            .iter()
            .filter_map(|times| {
                let since = times.iter().rev().take_while(|time| **time >= begin).count();
                let from = times.len().checked_sub(since + 1)?;
                times[from..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).max_by(f64::total_cmp)
            })
            // A partition that kept its process waits no longer than usual.
            .filter(|wait| *wait > 0.3)
            .collect();
        waits.sort_by(f64::total_cmp);
        let (median, longest) = (waits.get(waits.len() / 2), waits.last());
        let said = |wait: Option<&f64>| wait.map_or("-".to_owned(), |wait| format!("{wait:.2} s"));
        println!("{what:<60}  {:>3}  {:>8}  {:>8}", waits.len(), said(median), said(longest));
    };
    let mut second = None;
    watch("a second process comes", &mut || second = Some(run.start("forecast", Some("second"), &[])));
    watch("it is killed and comes back by its name (log.kafka.member)", &mut || {
        let mut killed = second.take().unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
        second = Some(run.start("forecast", Some("second"), &[]));
    });
    let mut third = None;
    watch("a third comes", &mut || third = Some(run.start("forecast", None, &[])));
    watch("it is asked to stop", &mut || {
        let id = third.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    });
    let mut fourth = None;
    watch("a fourth comes", &mut || fourth = Some(run.start("forecast", None, &[])));
    watch("it is killed and does not come back", &mut || fourth.as_mut().unwrap().kill().unwrap());
    for process in
        [&mut ingest, &mut first, second.as_mut().unwrap(), third.as_mut().unwrap(), fourth.as_mut().unwrap()]
    {
        let _ = process.kill();
        process.wait().unwrap();
    }
    runtime.shutdown_background();
}
