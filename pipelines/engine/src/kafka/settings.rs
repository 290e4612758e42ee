//! How the cluster is reached, and what every client of ours is configured with.

use std::{env, time::Duration};

use crate::{KafkaOptions, LogError, Partition, kafka_options::SECRET_FROM};
use nilometer_schemas::Contract;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::{Offset, TopicPartitionList},
};

/// How long a call to the cluster may take before it counts as failed. A broker that restarts or a leader that changes takes less.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How soon a process that has died is missed, and how often one says that it lives, where the user says nothing else.
const MEMBERSHIP: [(&str, &str); 2] = [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "300")];

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
    fn every_problem_is_reported_and_no_secret() {
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
