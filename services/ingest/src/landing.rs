//! Landing: what a source gives once is in raw.v1, with its bytes, before it is decoded; a tick takes it from there. So a tick that is done again has the
//! same rows, and a replay has what operations had.

use std::sync::Arc;

use nilometer_connectors::{Look, Source};
use nilometer_engine::{Entry, Log, Message, Partition};
use nilometer_schemas::{Contract, RawMessageRow, RawMessages, RawMessagesBuilder, Timestamp};
use nilometer_transforms::{Format, Payload, RawBatch, Whole};

use crate::{IngestError, PRODUCER};

/// The messages of raw.v1, as a role reads them.
pub(crate) struct Landing {
    /// whose raw.v1 holds the messages
    log: Arc<dyn Log>,
    partition: Partition,
    /// position of the first that no tick has taken
    next: u64,
    /// whether the sources have let go of what had landed when this role began
    confirmed: bool,
}

/// Messages of raw.v1 that sources may give again: a role that ended before a source could let go may have done so several times.
const RECENT: u64 = 64;

impl Landing {
    pub(crate) fn new(log: Arc<dyn Log>, partition: u32, next: u64) -> Self {
        Self { log, partition: Partition::new(Contract::Raw, partition), next, confirmed: false }
    }

    /// Position of the first message that no tick has taken.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether the sources are read for a tick: not for one that has landed, and not while ticks that were missed are made, since what is given now is
    /// not known to have been there then.
    pub(crate) async fn is_due(&self, look: Look) -> Result<bool, IngestError> {
        let newest = self.log.last_sequence(self.partition, PRODUCER).await?;
        Ok(!look.catching_up && newest.is_none_or(|newest| newest < look.tick.0))
    }

    /// Appends what the sources have given for a tick; only then may they let go of it. What recent messages have already was given again, since a role
    /// had ended before its source could let go of it.
    pub(crate) async fn land(
        &mut self,
        look: Look,
        batches: &[RawBatch],
        sources: &mut [Box<dyn Source>],
    ) -> Result<(), IngestError> {
        let landed = if self.confirmed { Vec::new() } else { self.recent().await? };
        let mut rows = RawMessagesBuilder::new();
        for batch in batches.iter().filter(|batch| !landed.iter().any(|other| is_same(other, batch))) {
            let Payload::Whole(Whole { format, bytes, .. }) = &batch.payload else { continue };
            rows.push(RawMessageRow {
                source: &batch.source,
                locator: &batch.locator,
                format: format.name,
                ingest_time: batch.arrival,
                bytes,
            });
        }
        let rows = rows.finish()?;
        if !rows.is_empty() {
            let message =
                Message { time: look.tick, producer: PRODUCER, sequence: look.tick.0, batch: rows.into_batch() };
            self.log.append(self.partition, message).await?;
        }
        sources.iter_mut().for_each(|source| source.landed());
        self.confirmed = true;
        Ok(())
    }

    /// What the newest messages hold.
    async fn recent(&self) -> Result<Vec<RawBatch>, IngestError> {
        let bounds = self.log.bounds(self.partition).await?;
        let mut batches = Vec::new();
        for position in bounds.end.saturating_sub(RECENT).max(bounds.start)..bounds.end {
            if let Some(Entry::Record(record)) = self.log.read(self.partition, position).await? {
                batches.extend(read(&RawMessages::try_from(record.batch)?));
            }
        }
        Ok(batches)
    }

    /// Takes the messages up to a tick.
    pub(crate) async fn take(&mut self, tick: Timestamp) -> Result<Vec<RawBatch>, IngestError> {
        let (mut batches, end) = (Vec::new(), self.log.bounds(self.partition).await?.end);
        while self.next < end {
            match self.log.read(self.partition, self.next).await? {
                Some(Entry::Record(record)) if record.time > tick => break,
                Some(Entry::Record(record)) => batches.extend(read(&RawMessages::try_from(record.batch)?)),
                Some(Entry::Damaged(damage)) => {
                    tracing::error!(partition = %self.partition, position = damage.position, detail = damage.detail, "messages of raw.v1 cannot be read: what they held is lost");
                }
                None => break,
            }
            self.next += 1;
        }
        Ok(batches)
    }
}

/// Whether two batches are one message, given twice.
fn is_same(one: &RawBatch, other: &RawBatch) -> bool {
    (&one.source, &one.locator, &one.payload) == (&other.source, &other.locator, &other.payload)
}

/// The messages of a batch as their sources gave them. One of a format that this build does not know is taken for text, which the decoder refuses.
fn read(rows: &RawMessages) -> Vec<RawBatch> {
    let batch = |row: usize| RawBatch {
        source: rows.source().value(row).into(),
        locator: rows.locator().value(row).to_owned(),
        arrival: Timestamp(rows.ingest_time().value(row)),
        payload: Payload::Whole(Whole {
            format: Format::named(rows.format().value(row)).unwrap_or(Format::CSV),
            bytes: rows.bytes().value(row).to_vec().into(),
            period: None,
        }),
    };
    (0..rows.len()).map(batch).collect()
}
