//! The topics of a log on Kafka: made by a command, looked at before every run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nilometer_engine::{Bounds, EmbeddedLog, KafkaLog, KafkaOptions, Log, Metrics, Partition, SharedLog, Use};
use nilometer_schemas::Contract;

use crate::storage;

/// How long topics may be otherwise than they must be before that is said.
const ABSENT_AFTER: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The log that a definition's `log.kafka` names, which can be written to.
///
/// # Errors
/// What is wrong with an option, or with the topics.
pub async fn connect(options: &KafkaOptions, partitions: u32, metrics: &Metrics) -> Result<Arc<dyn SharedLog>> {
    let log = open(options, metrics)?;
    require(&log, partitions).await?;
    Ok(Arc::new(log))
}

/// The log that a definition's `log.kafka` names.
///
/// # Errors
/// What is wrong with an option.
fn open(options: &KafkaOptions, metrics: &Metrics) -> Result<KafkaLog> {
    KafkaLog::new(options, metrics).map_err(|problem| anyhow!("{problem}"))
}

/// Makes what is missing and says what it made.
///
/// # Errors
/// What the cluster says.
pub async fn create(options: &KafkaOptions, partitions: u32) -> Result<String> {
    let log = open(options, &Metrics::unregistered())?;
    let made = log.create_topics(partitions).await.with_context(|| unmade(options))?;
    let lines: String = made.iter().map(|name| format!("created {name}\n")).collect();
    Ok(if made.is_empty() { "every topic was there\n".to_owned() } else { lines })
}

/// Says that the topics are as they must be.
///
/// # Errors
/// Everything that is wrong with them.
pub async fn check(options: &KafkaOptions, partitions: u32) -> Result<String> {
    require(&open(options, &Metrics::unregistered())?, partitions).await?;
    Ok(format!("{} topics of {partitions} partitions, no problem found\n", Contract::ALL.len()))
}

/// Whether the log can be written to.
///
/// # Errors
/// Everything that is wrong with its topics.
async fn require(log: &KafkaLog, partitions: u32) -> Result<()> {
    let begun = Instant::now();
    let problems = loop {
        match log.check_topics(partitions).await {
            Ok(problems) if problems.is_empty() => return Ok(()),
            // A node that has just come up does not know all topics yet.
            _ if begun.elapsed() < ABSENT_AFTER => tokio::time::sleep(LOOK_EVERY).await,
            found => break found.context("log.kafka.brokers: the cluster cannot be asked")?,
        }
    };
    let lines: Vec<String> = problems.iter().map(|p| format!("  {} {}", p.topic, p.problem)).collect();
    bail!(
        "topics are not as they must be (`nilometer topics create` makes those that are absent):\n{}",
        lines.join("\n")
    )
}

/// Makes the topics and sees that nothing has been written to them.
///
/// # Errors
/// When there are messages: nothing of a cluster's is deleted for a hindcast.
pub async fn begin_empty(options: &KafkaOptions, partitions: u32) -> Result<()> {
    create(options, partitions).await?;
    let log = open(options, &Metrics::unregistered())?;
    for Partition { contract, number } in all(partitions) {
        let Bounds { end, .. } = log.bounds(Partition::new(contract, number)).await?;
        if end > 0 {
            bail!(
                "log.kafka.prefix: {}{contract} holds {end} messages of an earlier run; accepted is another prefix",
                options.prefix
            );
        }
    }
    Ok(())
}

/// Copies the log in a store to the topics, and says how much.
///
/// # Errors
/// When the topics hold something else, or what either log says.
pub async fn copy(store: &str, options: &KafkaOptions, partitions: u32) -> Result<String> {
    storage::look(store, &[storage::LOG]).await?;
    let lease = storage::lease(store, "log copy", Use::Alone).await?;
    let said = lease.during(copy_all(store, options, partitions)).await??;
    lease.release().await?;
    Ok(said)
}

async fn copy_all(store: &str, options: &KafkaOptions, partitions: u32) -> Result<String> {
    let metrics = Metrics::unregistered();
    let embedded = EmbeddedLog::new(storage::open(store)?, storage::LOG, &metrics);
    let log = open(options, &metrics)?;
    require(&log, partitions).await?;
    let mut said = String::new();
    for partition in all(partitions) {
        let copied = log.copy_from(&embedded, partition).await?;
        tracing::info!(%partition, copied, "copied");
        said.push_str(&format!("{}{partition}: {copied} messages\n", options.prefix));
    }
    Ok(said)
}

/// Every partition of every topic.
fn all(partitions: u32) -> impl Iterator<Item = Partition> {
    Contract::ALL
        .into_iter()
        .flat_map(move |contract| (0..partitions).map(move |number| Partition::new(contract, number)))
}

fn unmade(options: &KafkaOptions) -> String {
    format!("the topics cannot be made at {}", options.brokers)
}
