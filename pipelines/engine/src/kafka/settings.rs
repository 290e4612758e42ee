//! How the cluster is reached, and what every client of ours is configured with.

use std::{collections::BTreeMap, env, fmt, time::Duration};

use nilometer_schemas::Contract;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::{Offset, TopicPartitionList},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{LogError, Partition};

/// How long a call to the cluster may take before it counts as failed. A broker that restarts or a leader that changes takes less.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What an option's value begins with when the rest names the environment variable that holds it.
const SECRET_FROM: &str = "env:";
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
/// How soon a process that has died is missed, and how often one says that it lives, where the user says nothing else.
const MEMBERSHIP: [(&str, &str); 2] = [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "300")];

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

/// A value, or that of the environment variable that it names.
fn resolved(key: &str, value: &str) -> Result<String, String> {
    match value.strip_prefix(SECRET_FROM) {
        Some(name) => env::var(name).map_err(|error| format!("log.kafka.{key}: {name} is {error}")),
        None => Ok(value.to_owned()),
    }
}

/// Options that have no problems, as configurations of clients.
pub(super) struct Settings {
    base: ClientConfig,
    pub(super) prefix: String,
    pub(super) max_message_bytes: usize,
    pub(super) replication: i32,
    member: Option<String>,
}

impl Settings {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, String> {
        if let Some((key, problem)) = options.problems().into_iter().next() {
            return Err(format!("log.kafka.{key} {problem}"));
        }
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", &options.brokers).set("client.id", "nilometer");
        // A broker that comes back is met soon, not after ten seconds.
        base.set("reconnect.backoff.max.ms", "1000");
        for (key, value) in &options.options {
            base.set(key, resolved(&format!("options.{key}"), value)?);
        }
        let settings = Self {
            base,
            prefix: options.prefix.clone(),
            max_message_bytes: options.max_message_bytes,
            replication: options.replication,
            member: options.member.as_deref().map(|name| resolved("member", name)).transpose()?,
        };
        settings.consumer().create_native_config().map_err(|error| format!("log.kafka.options: {error}"))?;
        Ok(settings)
    }

    pub(super) fn topic(&self, contract: Contract) -> String {
        format!("{}{}", self.prefix, contract.topic())
    }

    /// Of one partition's writers: the next owner fences the one before.
    pub(super) fn producer(&self, partition: Partition) -> ClientConfig {
        let mut config = self.base.clone();
        config
            .set("transactional.id", format!("{}{partition}", self.prefix))
            .set("enable.idempotence", "true")
            // Messages are compressed Arrow already.
            .set("compression.type", "none")
            .set("linger.ms", "0")
            .set("transaction.timeout.ms", "60000")
            .set("message.max.bytes", self.max_message_bytes.to_string());
        config
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.base.clone();
        config
            // Required by librdkafka; positions are kept in snapshots, and nothing is committed under it.
            .set("group.id", format!("{}nilometer-readers", self.prefix))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "4096")
            // A full queue is looked at again soon, not after a second.
            .set("fetch.queue.backoff.ms", "2")
            .set("message.max.bytes", self.max_message_bytes.to_string())
            .set("fetch.max.bytes", self.max_message_bytes.to_string())
            .set("fetch.message.max.bytes", (4 << 20).min(self.max_message_bytes).to_string())
            .set("receive.message.max.bytes", (self.max_message_bytes + (1 << 20)).to_string());
        config
    }

    /// A consumer that looks for something and does not wait for what may come.
    pub(super) fn prober(&self) -> ClientConfig {
        let mut config = self.consumer();
        config.set("fetch.wait.max.ms", "5").set("queued.max.messages.kbytes", "4096");
        config
    }

    /// A member of the group of processes that share a role's partitions; it reads nothing.
    pub(super) fn member(&self, role: &str) -> ClientConfig {
        let mut config = self.base.clone();
        config
            .set("group.id", format!("{}nilometer-{role}", self.prefix))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest");
        for (key, value) in MEMBERSHIP {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        }
        if let Some(name) = &self.member {
            config.set("group.instance.id", name);
        }
        config
    }

    pub(super) fn admin(&self) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
        self.base.create()
    }

    /// Removes what lies before an offset.
    pub(super) async fn delete_before(&self, partition: Partition, offset: i64) -> Result<(), LogError> {
        let fail = |error: KafkaError| LogError::broker(partition, format!("cannot be trimmed: {error}"), true);
        let topic = self.topic(partition.contract);
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&topic, number(partition), Offset::Offset(offset)).map_err(fail)?;
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let trimmed = self.admin().map_err(fail)?.delete_records(&before, &options).await.map_err(fail)?;
        trimmed.elements().first().map_or(Ok(()), |element| element.error()).map_err(fail)
    }
}

/// How long a topic or a partition may be unknown before it counts as absent: a node that has just come up knows nothing yet.
const ABSENT_AFTER: Duration = Duration::from_secs(5);

/// Whether to ask again, where that has failed for so long.
pub(super) fn ask_again(error: &KafkaError, failing: Duration) -> bool {
    will_pass(error) || is_absence(error) && failing < ABSENT_AFTER
}

/// Whether it says that there is no such topic or partition.
pub(super) fn is_absence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(error.rdkafka_error_code(), Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition))
}

/// Whether the same may succeed a little later: a cluster that moves or rests, a broker that goes, a transaction that has to be aborted. What
/// is wrong with the message, the topic, the offset or our rights stays so.
pub(super) fn will_pass(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AutoOffsetReset, ClusterAuthorizationFailed, GroupAuthorizationFailed, InvalidTopic, MessageSizeTooLarge,
        OffsetOutOfRange, SaslAuthenticationFailed, TopicAuthorizationFailed, TransactionalIdAuthorizationFailed,
    };
    let stays = matches!(
        error.rdkafka_error_code(),
        Some(
            AutoOffsetReset
                | ClusterAuthorizationFailed
                | GroupAuthorizationFailed
                | InvalidTopic
                | MessageSizeTooLarge
                | OffsetOutOfRange
                | SaslAuthenticationFailed
                | TopicAuthorizationFailed
                | TransactionalIdAuthorizationFailed
        )
    );
    !stays && !is_absence(error) && !matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
}

/// A partition's number as Kafka has it.
pub(super) fn number(partition: Partition) -> i32 {
    i32::try_from(partition.number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("127.0.0.1:9092", "rhone.")
    }

    #[test]
    fn every_problem_is_told_and_no_secret() {
        assert_eq!(options().problems(), []);
        let wrong = KafkaOptions {
            brokers: " ".to_owned(),
            prefix: "a b".to_owned(),
            max_message_bytes: 1,
            replication: 0,
            member: Some("env:NILOMETER_NO_SUCH_VARIABLE".to_owned()),
            options: [("group.id", "mine"), ("sasl.password", "env:NILOMETER_NO_SUCH_VARIABLE")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        let keys: Vec<String> = wrong.problems().into_iter().map(|(key, _)| key).collect();
        let expected = [
            "brokers",
            "prefix",
            "max_message_bytes",
            "replication",
            "member",
            "options.group.id",
            "options.sasl.password",
        ];
        assert_eq!(keys, expected);
        let secret = KafkaOptions { options: [("sasl.password".to_owned(), "hunter2".to_owned())].into(), ..options() };
        assert!(!format!("{secret:?}").contains("hunter2"));
        let patient =
            KafkaOptions { options: [("session.timeout.ms".to_owned(), "30000".to_owned())].into(), ..options() };
        let session = |options: &KafkaOptions| {
            Settings::new(options).unwrap().member("forecast").get("session.timeout.ms").map(str::to_owned)
        };
        assert_eq!((session(&options()), session(&patient)), (Some("10000".to_owned()), Some("30000".to_owned())));
        let misspelt = KafkaOptions { options: [("no.such".to_owned(), "1".to_owned())].into(), ..options() };
        assert!(Settings::new(&misspelt).err().unwrap().contains("no.such"));
    }
}
