//! Landing: what a source gives once is in raw.v1, with its bytes, before it is decoded; a tick takes it from there. So a tick that is done again has the
//! same rows, and a replay has what operations had.

use std::sync::Arc;

use nilometer_connectors::{Look, Source};
use nilometer_engine::{Entry, Log, Message, Partition};
use nilometer_schemas::{Contract, RawMessageRow, RawMessages, RawMessagesBuilder, Reason, Timestamp};
use nilometer_transforms::{Format, Payload, RawBatch, Whole};

use crate::{IngestError, PRODUCER};

/// Messages of raw.v1 that sources may give again: a role that ended before a source could let go may have done so several times.
const RECENT: u64 = 64;
/// The format of bytes that their source could not read.
const UNREADABLE: &str = "unreadable";

/// Sources that give a message once, and what of theirs a role reads of raw.v1.
pub(crate) struct Landing {
    /// none in a replay
    sources: Vec<Box<dyn Source>>,
    /// whose raw.v1 holds the messages
    log: Arc<dyn Log>,
    partition: Partition,
    /// position of the first that no tick has taken
    next: u64,
    /// whether the sources have let go of what had landed when this role began
    confirmed: bool,
}

impl Landing {
    pub(crate) fn new(sources: Vec<Box<dyn Source>>, log: Arc<dyn Log>, partition: u32, next: u64) -> Self {
        Self { sources, log, partition: Partition::new(Contract::Raw, partition), next, confirmed: false }
    }

    pub(crate) fn sources(&mut self) -> &mut [Box<dyn Source>] {
        &mut self.sources
    }

    /// Position of the first message that no tick has taken.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether the sources are read for a tick: not for one that has landed, and not while ticks that were missed are made, since what is given now is
    /// not known to have been there then.
    pub(crate) async fn is_due(&mut self, look: Look) -> Result<bool, IngestError> {
        if self.sources.is_empty() || look.catching_up {
            return Ok(false);
        }
        let newest = self.log.last_sequence(self.partition, PRODUCER).await?;
        Ok(newest.is_none_or(|newest| newest < look.tick.0))
    }

    /// Appends what the sources have given for a tick; only then may they let go of it. What recent messages have already was given again, since a role
    /// had ended before its source could let go of it.
    pub(crate) async fn land(&mut self, look: Look, given: &[RawBatch]) -> Result<(), IngestError> {
        let landed = if self.confirmed { Vec::new() } else { self.recent().await? };
        let mut rows = RawMessagesBuilder::new();
        for batch in given.iter().filter(|batch| !landed.iter().any(|other| is_same(other, batch))) {
            let (format, bytes) = whole(batch).ok_or_else(|| IngestError::NoMessage {
                name: batch.source.to_string(),
                locator: batch.locator.clone(),
            })?;
            rows.push(RawMessageRow {
                source: &batch.source,
                locator: &batch.locator,
                format,
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
        self.sources.iter_mut().for_each(|source| source.landed());
        self.confirmed = true;
        Ok(())
    }

    /// What the newest messages hold.
    async fn recent(&mut self) -> Result<Vec<RawBatch>, IngestError> {
        let bounds = self.log.bounds(self.partition).await?;
        let mut batches = Vec::new();
        for position in bounds.end.saturating_sub(RECENT).max(bounds.start)..bounds.end {
            if let Some(Entry::Record(record)) = self.log.read(self.partition, position).await? {
                batches.extend(read(&RawMessages::try_from(record.batch)?));
            }
        }
        Ok(batches)
    }

    /// Takes the messages up to a tick. One that is damaged is a batch that cannot be read.
    pub(crate) async fn take(&mut self, tick: Timestamp) -> Result<Vec<RawBatch>, IngestError> {
        let bounds = self.log.bounds(self.partition).await?;
        let mut batches = Vec::new();
        self.next = self.next.max(bounds.start);
        while self.next < bounds.end {
            match self.log.read(self.partition, self.next).await? {
                Some(Entry::Record(record)) if record.time > tick => break,
                Some(Entry::Record(record)) => batches.extend(read(&RawMessages::try_from(record.batch)?)),
                Some(Entry::Damaged(damage)) => batches.push(RawBatch {
                    source: Contract::Raw.topic().into(),
                    locator: format!("{}@{}", self.partition, damage.position),
                    arrival: tick,
                    payload: Payload::Unreadable {
                        reason: Reason::DamagedSegment,
                        detail: damage.detail,
                        bytes: damage.bytes,
                        rows: 1,
                    },
                }),
                None => break,
            }
            self.next += 1;
        }
        Ok(batches)
    }
}

/// The name of the format and the bytes of a batch that is a message.
fn whole(batch: &RawBatch) -> Option<(&'static str, &[u8])> {
    match &batch.payload {
        Payload::Whole(Whole { format, bytes, .. }) => Some((format.name, bytes)),
        Payload::Unreadable { bytes, .. } => Some((UNREADABLE, bytes)),
        Payload::Lines(_) | Payload::Columns(_) => None,
    }
}

/// Whether two batches are one message, given twice.
fn is_same(one: &RawBatch, other: &RawBatch) -> bool {
    (&one.source, &one.locator, whole(one)) == (&other.source, &other.locator, whole(other))
}

/// The messages of a batch as their sources gave them.
fn read(rows: &RawMessages) -> Vec<RawBatch> {
    let payload = |row: usize| {
        let (name, bytes) = (rows.format().value(row), rows.bytes().value(row).to_vec().into());
        match Format::named(name) {
            Some(format) => Payload::Whole(Whole { format, bytes, period: None }),
            None => Payload::Unreadable {
                reason: Reason::Undecodable,
                detail: format!("its format is {name:?}; accepted are {}", Format::ALL.map(|f| f.name).join(", ")),
                bytes,
                rows: 1,
            },
        }
    };
    let batch = |row: usize| RawBatch {
        source: rows.source().value(row).into(),
        locator: rows.locator().value(row).to_owned(),
        arrival: Timestamp(rows.ingest_time().value(row)),
        payload: payload(row),
    };
    (0..rows.len()).map(batch).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use nilometer_engine::{EmbeddedLog, Metrics};
    use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

    use super::*;

    fn batch(locator: &str, payload: Payload) -> RawBatch {
        RawBatch { source: "push".into(), locator: locator.to_owned(), arrival: Timestamp(1), payload }
    }

    fn text(locator: &str) -> RawBatch {
        batch(locator, Payload::Whole(Whole { format: Format::CSV, bytes: "a,b\n".into(), period: None }))
    }

    fn landing(store: &Arc<dyn ObjectStore>) -> Landing {
        Landing::new(Vec::new(), Arc::new(EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())), 0, 0)
    }

    fn unreadable(batch: &RawBatch) -> (Reason, &str) {
        let Payload::Unreadable { reason, detail, .. } = &batch.payload else { unreachable!("{batch:?}") };
        (*reason, detail)
    }

    #[tokio::test]
    async fn what_landed_is_taken_once_and_what_cannot_be_read_is_a_batch_that_says_so() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut first = landing(&store);
        let reason = Reason::Undecodable;
        let cut = Payload::Unreadable { reason, detail: "cut".to_owned(), bytes: "\u{1}".into(), rows: 1 };
        first.land(Look::at(Timestamp(10)), &[text("1"), batch("2", cut)]).await.unwrap();
        first.land(Look::at(Timestamp(20)), &[text("3")]).await.unwrap();
        let taken = first.take(Timestamp(10)).await.unwrap();
        assert_eq!((taken.len(), &taken[0]), (2, &text("1")));
        assert_eq!(unreadable(&taken[1]).0, Reason::Undecodable);
        assert!(unreadable(&taken[1]).1.contains("accepted are geotiff, csv"));
        assert_eq!(first.take(Timestamp(20)).await.unwrap(), [text("3")]);
        assert!(first.take(Timestamp(30)).await.unwrap().is_empty());

        // A role that begins again is given the newest again, and one more.
        let mut second = landing(&store);
        second.land(Look::at(Timestamp(30)), &[text("3"), text("4")]).await.unwrap();
        second.next = first.next();
        assert_eq!(second.take(Timestamp(30)).await.unwrap(), [text("4")]);

        // Part of a table is no message.
        let columns = nilometer_transforms::Lines {
            header: None,
            lines: "1\n".into(),
            first_line: 1,
            start: None,
            times: None,
            delay_s: None,
        };
        let error = second.land(Look::at(Timestamp(40)), &[batch("5", Payload::Lines(columns))]).await.unwrap_err();
        assert!(error.to_string().contains("source push gives once"), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_message_is_a_batch_with_its_bytes_and_those_behind_it_are_taken() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut first = landing(&store);
        for (tick, locator) in [(10, "1"), (20, "2")] {
            first.land(Look::at(Timestamp(tick)), &[text(locator)]).await.unwrap();
        }
        let key = format!("log/{}/0/{:020}.arrow", Contract::Raw, 0);
        store.put(&key.into(), "damaged".into()).await.unwrap();
        let taken = landing(&store).take(Timestamp(20)).await.unwrap();
        assert_eq!((unreadable(&taken[0]).0, &taken[0].locator[..]), (Reason::DamagedSegment, "raw.v1/0@0"));
        assert_eq!(taken[1..], [text("2")]);
    }
}
