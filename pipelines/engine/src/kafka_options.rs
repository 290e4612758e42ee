//! Kafka options: how a cluster is reached. Read and checked also by a build that has no Kafka.

use std::{collections::BTreeMap, env, fmt};

use schemars::JsonSchema;
use serde::Deserialize;

/// What an option's value begins with when the rest names the environment variable that holds it.
pub(crate) const SECRET_FROM: &str = "env:";
/// What we set ourselves, because the promises of the log or its speed hang on it: what a user sets is heeded or refused, never passed over.
const OURS: [&str; 20] = [
    "bootstrap.servers",
    "transactional.id",
    "enable.idempotence",
    "isolation.level",
    "enable.auto.commit",
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "auto.offset.reset",
    "compression.type",
    "linger.ms",
    "transaction.timeout.ms",
    "message.max.bytes",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "queued.max.messages.kbytes",
    "receive.message.max.bytes",
];
/// `[log.kafka]`: a cluster instead of segments in the store. Snapshots and the archive stay in the store.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// where to ask first, as `host:9092,other:9092`
    pub brokers: String,
    /// before every topic's name, so that several pipelines share a cluster; default none
    #[serde(default)]
    pub prefix: String,
    /// largest message, bytes; default 64 MiB
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: usize,
    /// copies of each partition when topics are created; default 1
    #[serde(default = "one")]
    pub replication: i32,
    /// this process's name among those that share its roles' partitions, the same after a restart, as `env:HOSTNAME`: it goes on at once
    /// where a nameless one is waited for until its session has ended; default none
    #[serde(default)]
    pub member: Option<String>,
    /// librdkafka's own, as `security.protocol` or `sasl.password`; a value `env:NAME` is taken from the environment
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

const fn max_message_bytes() -> usize {
    64 << 20
}

const fn one() -> i32 {
    1
}

impl fmt::Debug for KafkaOptions {
    /// Without the values of `options`, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("max_message_bytes", &self.max_message_bytes)
            .field("replication", &self.replication)
            .field("member", &self.member)
            .field("options", &self.options.keys())
            .finish()
    }
}

impl KafkaOptions {
    /// A cluster with nothing else said.
    #[must_use]
    pub fn new(brokers: &str, prefix: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            prefix: prefix.to_owned(),
            max_message_bytes: max_message_bytes(),
            replication: one(),
            member: None,
            options: BTreeMap::new(),
        }
    }

    /// Every problem: key and what is wrong with it, what is accepted.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |key: &str, problem: String| problems.push((key.to_owned(), problem));
        if self.brokers.trim().is_empty() {
            add("brokers", "is empty; accepted is host:port, several parted by commas".to_owned());
        }
        if !self.prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            add("prefix", format!("is {:?}; accepted are letters, digits, '.', '_' and '-'", self.prefix));
        }
        if !(1 << 16..=1 << 30).contains(&self.max_message_bytes) {
            add("max_message_bytes", format!("is {}; accepted is 65536 to 1073741824", self.max_message_bytes));
        }
        if self.replication < 1 {
            add("replication", format!("is {}; accepted is 1 or more", self.replication));
        }
        if let Some(name) = self.member.as_deref().and_then(absent) {
            add("member", format!("names the environment variable {name}, which is not set"));
        }
        for (key, value) in &self.options {
            if OURS.contains(&key.as_str()) {
                add(
                    &format!("options.{key}"),
                    "is set by the log itself; accepted are others of librdkafka's".to_owned(),
                );
            }
            if let Some(name) = absent(value) {
                add(&format!("options.{key}"), format!("names the environment variable {name}, which is not set"));
            }
        }
        problems
    }
}

/// The environment variable that a value names and that is not set.
fn absent(value: &str) -> Option<&str> {
    value.strip_prefix(SECRET_FROM).filter(|name| env::var(name).is_err())
}
