//! The topics: made, and looked at before anything is written to them.

use nilometer_schemas::Contract;
use rdkafka::{
    admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{KafkaLog, settings::PATIENCE};

/// What is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProblem {
    /// its name
    pub topic: String,
    /// what is there, and what is accepted
    pub problem: String,
}

impl KafkaLog {
    /// Makes every topic that is not there, with `partitions` each; gives the names of those made.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn create_topics(&self, partitions: u32) -> Result<Vec<String>, KafkaError> {
        let settings = &self.settings;
        let names: Vec<String> = Contract::ALL.iter().map(|contract| settings.topic(*contract)).collect();
        let max_message_bytes = settings.max_message_bytes.to_string();
        let new = names.iter().map(|name| {
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            NewTopic::new(name, partitions, TopicReplication::Fixed(settings.replication))
                .set("max.message.bytes", &max_message_bytes)
                // What leaves the log we say ourselves: nothing that a snapshot needs.
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("cleanup.policy", "delete")
        });
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let mut made = Vec::new();
        for result in settings.admin()?.create_topics(&new.collect::<Vec<_>>(), &options).await? {
            match result {
                Ok(name) => made.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        Ok(made)
    }

    /// Whether every topic is there, with at least `partitions`, large enough messages and nothing that removes them but us.
    ///
    /// # Errors
    /// What the cluster says when it cannot be asked.
    pub async fn check_topics(&self, partitions: u32) -> Result<Vec<TopicProblem>, KafkaError> {
        let settings = self.settings.clone();
        let metadata = tokio::task::spawn_blocking(move || {
            let admin = settings.admin()?;
            let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
            let sizes = metadata.topics().iter().map(|topic| (topic.name().to_owned(), topic.partitions().len()));
            Ok::<Vec<(String, usize)>, KafkaError>(sizes.collect())
        });
        let there = metadata.await.map_err(|panicked| KafkaError::AdminOpCreation(panicked.to_string()))??;
        let (mut problems, mut present) = (Vec::new(), Vec::new());
        for contract in Contract::ALL {
            let topic = self.settings.topic(contract);
            match there.iter().find(|(name, _)| *name == topic) {
                None => problems.push(TopicProblem {
                    topic,
                    problem: format!("is absent; accepted is a topic of {partitions} partitions, as `nilometer topics create` makes it"),
                }),
                Some((_, count)) if *count < partitions as usize => problems.push(TopicProblem {
                    topic,
                    problem: format!("has {count} partitions; accepted are {partitions} or more"),
                }),
                Some(_) => present.push(topic),
            }
        }
        let specifiers: Vec<_> = present.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        if specifiers.is_empty() {
            return Ok(problems);
        }
        let described = self.settings.admin()?.describe_configs(&specifiers, &options).await?;
        for (topic, config) in present.iter().zip(described) {
            let config = config.map_err(KafkaError::AdminOp)?;
            let value = |key: &str| config.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
            let mut expect = |key: &str, accepted: String, holds: bool| {
                if !holds {
                    let problem = format!("has {key} = {}; accepted is {accepted}", value(key));
                    problems.push(TopicProblem { topic: topic.clone(), problem });
                }
            };
            let size = value("max.message.bytes").parse::<usize>().unwrap_or(0);
            let accepted = self.settings.max_message_bytes;
            expect("max.message.bytes", format!("{accepted} or more"), size >= accepted);
            expect("cleanup.policy", "delete".to_owned(), value("cleanup.policy") == "delete");
            expect(
                "retention.ms",
                "-1, as the log removes what no snapshot needs".to_owned(),
                value("retention.ms") == "-1",
            );
            expect("retention.bytes", "-1".to_owned(), value("retention.bytes") == "-1");
        }
        Ok(problems)
    }
}
