//! Roles as processes on a cluster, and what they leave in its topics.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nilometer_engine::{Broker, Entry, KafkaLog, KafkaOptions, Log, Metrics, Partition};

use super::{root, succeed};

/// Until something has happened that must.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process, and where it says what it does.
pub struct Process {
    pub child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts one that says what it does in a file of this name.
    pub fn start(mut command: Command, said: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&said).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, said }
    }

    /// Everything that it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for its end, which is to be a good one.
    pub fn end(self) {
        end_all([self]);
    }
}

/// Waits for the end of every one, each of which is to be a good one: of those that wait for each other, one that failed is the first to say so.
pub fn end_all(processes: impl IntoIterator<Item = Process>) {
    let mut living: Vec<Process> = processes.into_iter().collect();
    let begin = Instant::now();
    loop {
        living.retain_mut(|process| match process.child.try_wait().unwrap() {
            None => true,
            Some(status) => {
                assert!(status.success(), "{} ended with {status}:\n{}", process.said.display(), process.said());
                false
            }
        });
        if living.is_empty() {
            return;
        }
        if begin.elapsed() > PATIENCE {
            let said = living.iter().map(|process| format!("{}:\n{}", process.said.display(), process.said()));
            panic!("{} processes do not end\n{}", living.len(), said.collect::<Vec<_>>().join("\n"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Drop for Process {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "it did not happen that {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A subcommand of two words with a definition and overrides.
pub fn subcommand(words: [&str; 2], definition: &Path, set: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(words).arg(definition);
    command.args(set.iter().flat_map(|text| ["--set", text]));
    command
}

pub fn create_topics(definition: &Path, set: &[String]) {
    succeed(subcommand(["topics", "create"], definition, set));
}

/// Of every message of a partition its watermark, in order; positions have no holes.
pub fn watermarks(broker: &Broker, prefix: &str, partition: Partition) -> Vec<i64> {
    let options = KafkaOptions::new(&broker.address(), &format!("{prefix}."));
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
