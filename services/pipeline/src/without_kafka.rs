//! The topics of a log on Kafka, in a build without it: each use says what to do.

use std::sync::Arc;

use anyhow::{Result, bail};
use nilometer_engine::{KafkaOptions, Metrics, SharedLog};

const ABSENT: &str = "log.kafka is there, but this build has no Kafka; accepted is one with the feature kafka, or a definition without the section";

/// The log of a cluster.
///
/// # Errors
/// Always: this build has no Kafka.
pub async fn connect(_: &KafkaOptions, _: u32, _: &Metrics) -> Result<Arc<dyn SharedLog>> {
    bail!(ABSENT)
}

/// Makes the topics.
///
/// # Errors
/// Always: this build has no Kafka.
pub async fn create(_: &KafkaOptions, _: u32) -> Result<String> {
    bail!(ABSENT)
}

/// Says that the topics are as they must be.
///
/// # Errors
/// Always: this build has no Kafka.
pub async fn check(_: &KafkaOptions, _: u32) -> Result<String> {
    bail!(ABSENT)
}

/// Makes the topics and sees that nothing has been written to them.
///
/// # Errors
/// Always: this build has no Kafka.
pub async fn begin_empty(_: &KafkaOptions, _: u32) -> Result<()> {
    bail!(ABSENT)
}

/// Copies the log in a store to the topics.
///
/// # Errors
/// Always: this build has no Kafka.
pub async fn copy(_: &str, _: &KafkaOptions, _: u32) -> Result<String> {
    bail!(ABSENT)
}
