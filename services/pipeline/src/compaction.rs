//! Compaction: days of the archive that have ended become one file a topic.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use nilometer_archive::{ArchiveError, compact, days};
use nilometer_engine::Use;
use nilometer_schemas::{Contract, Timestamp};
use object_store::ObjectStore;

use crate::{
    flow::published,
    storage::{self, ARCHIVE},
};

/// What compaction has made of a topic: before and after.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    days: u64,
    objects: [u64; 2],
    bytes: [u64; 2],
    failed_days: u64,
}

/// `store compact`: compacts the days that end by `before`, or all; gives a table with a line a topic.
///
/// # Errors
/// When another process has the store, it has no archive, or a day cannot be compacted; the other days are then.
pub async fn compact_store(address: &str, before: Option<Timestamp>) -> Result<String> {
    storage::look(address, &[ARCHIVE]).await?;
    let lease = storage::lease(address, "store compact", Use::Alone).await?;
    let archive = storage::below(&storage::open(address)?, ARCHIVE);
    let mut text =
        format!("{:<22}{:>6}{:>10}{:>10}{:>16}{:>16}\n", "topic", "days", "objects", "after", "bytes", "after");
    let mut failed_days = 0;
    for contract in published() {
        let Tally { days, objects, bytes, failed_days: failed } =
            lease.during(compact_topic(&*archive, contract, before)).await??;
        let topic = contract.topic();
        writeln!(text, "{topic:<22}{days:>6}{:>10}{:>10}{:>16}{:>16}", objects[0], objects[1], bytes[0], bytes[1])?;
        failed_days += failed;
    }
    lease.release().await?;
    if failed_days > 0 {
        bail!("{text}{failed_days} days could not be compacted, as the warnings say; they are as they were");
    }
    Ok(text)
}

/// Compacts the days that ended `after_s` before the newest published time. What fails is logged, and tried again by the next call.
pub async fn compact_ended(archive: &dyn ObjectStore, after_s: i64) {
    if let Err(error) = compact_topics(archive, after_s).await {
        let error = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(error, "the archive could not be compacted; tried again in an hour");
    }
}

async fn compact_topics(archive: &dyn ObjectStore, after_s: i64) -> Result<(), ArchiveError> {
    let mut newest = None;
    for contract in published() {
        let days = days(archive, contract, None).await?;
        newest = newest.max(days.iter().filter_map(|day| day.newest_message()).max());
    }
    let Some(newest) = newest else { return Ok(()) };
    for contract in published() {
        let tally = compact_topic(archive, contract, Some(newest.plus_s(-after_s))).await?;
        let [before, after] = tally.objects;
        if before != after {
            tracing::info!(%contract, before, after, "compaction: objects of the archive");
        }
    }
    Ok(())
}

async fn compact_topic(
    archive: &dyn ObjectStore,
    contract: Contract,
    before: Option<Timestamp>,
) -> Result<Tally, ArchiveError> {
    let mut tally = Tally::default();
    for day in days(archive, contract, None).await? {
        if before.is_some_and(|before| day.end().is_none_or(|end| end > before)) {
            continue;
        }
        let after = if day.is_compact() { Ok(day.clone()) } else { compact(archive, &day).await };
        let after = after.unwrap_or_else(|error| {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(%day, error, "a day could not be compacted");
            tally.failed_days += 1;
            day.clone()
        });
        tally.days += 1;
        for (at, day) in [&day, &after].into_iter().enumerate() {
            tally.objects[at] += day.objects();
            tally.bytes[at] += day.bytes();
        }
    }
    Ok(tally)
}
