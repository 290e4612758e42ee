//! The log: what roles meet at.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::SetOnce;

use crate::{EnvelopeError, Stop};

/// One ordered stream: a contract's topic and a partition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// the topic's contract
    pub contract: Contract,
    /// partition number; a partition is a set of whole river networks
    pub number: u32,
}

impl Partition {
    /// Partition `number` of the contract's topic.
    #[must_use]
    pub const fn new(contract: Contract, number: u32) -> Self {
        Self { contract, number }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.contract, self.number)
    }
}

/// What a producer appends.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// watermark: nothing that this partition gets later was known before this instant
    pub time: Timestamp,
    /// who appends; at most a few names a partition
    pub producer: &'a str,
    /// increases with every message of the producer; one that is not above the last is a retry and changes nothing
    pub sequence: i64,
    /// rows of the partition's contract, possibly none (a heartbeat)
    pub batch: RecordBatch,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// at this position
    At(u64),
    /// the producer's sequence had been appended before
    Already,
}

/// What will become of a message that was handed over.
pub type Appending = BoxFuture<'static, Result<Appended, LogError>>;

/// Ties messages together that are handed over one behind the other: where one fails, none behind it in its partition is appended. A hole would
/// stay, as a sequence that is not above the producer's last counts as a retry.
#[derive(Debug, Clone, Default)]
pub struct Chain(Arc<SetOnce<Tear>>);

/// What failed first.
#[derive(Debug)]
struct Tear {
    cause: String,
    retryable: bool,
}

impl Tear {
    fn error(&self) -> LogError {
        LogError::Torn { cause: self.cause.clone(), retryable: self.retryable }
    }
}

impl Chain {
    /// Says that a message failed; the first that did is remembered.
    pub fn tear(&self, error: &LogError) {
        let all = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let cause = all.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        drop(self.0.set(Tear { cause, retryable: error.is_retryable() }));
    }

    /// What failed, if a message did.
    #[must_use]
    pub fn torn(&self) -> Option<LogError> {
        self.0.get().map(Tear::error)
    }

    /// Does `work`, which is given up when a message fails.
    ///
    /// # Errors
    /// [`LogError::Torn`] then.
    pub async fn unless_torn<T>(&self, work: impl Future<Output = T>) -> Result<T, LogError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            tear = self.0.wait() => Err(tear.error()),
        }
    }
}

/// One message, read.
#[derive(Debug, Clone)]
pub struct Record {
    /// position in its partition, from 0 without holes
    pub position: u64,
    /// watermark of the message
    pub time: Timestamp,
    /// rows appended to the partition before this message, so that a reader knows how many a damaged segment held
    pub rows_before: u64,
    /// the rows
    pub batch: RecordBatch,
}

/// A position whose message cannot be read any more.
#[derive(Debug, Clone)]
pub struct Damage {
    /// its position
    pub position: u64,
    /// what is wrong
    pub detail: String,
    /// the bytes as they are now
    pub bytes: Bytes,
}

/// What lies at a position.
#[derive(Debug, Clone)]
pub enum Entry {
    /// a message
    Record(Record),
    /// a message lost to damage; the reader says so and goes on behind it
    Damaged(Damage),
}

impl Entry {
    /// The entry's position.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match self {
            Self::Record(r) => r.position,
            Self::Damaged(d) => d.position,
        }
    }
}

/// Positions that a partition holds: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// oldest position that retention has left
    pub start: u64,
    /// where the next message will lie
    pub end: u64,
}

/// What a partition holds, and what the next message lies behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extent {
    /// oldest position that retention has left
    pub start: u64,
    /// where the next message will lie
    pub end: u64,
    /// rows of all messages before the end, also of those that have left
    pub rows: u64,
    /// sequence of each producer's last message
    pub producers: BTreeMap<String, i64>,
}

/// Why the log cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// the object store refused or failed
    #[error("log object {key}: the object store failed")]
    Store {
        /// object key
        key: String,
        /// the store's error
        #[source]
        source: object_store::Error,
    },
    /// the batch cannot be sealed
    #[error("message of {partition} cannot be encoded")]
    Encode {
        /// where it should have gone
        partition: Partition,
        /// why not
        #[source]
        source: EnvelopeError,
    },
    /// the position is gone for good
    #[error(
        "{partition} starts at {start}, position {position} was removed by retention; resume from a newer snapshot"
    )]
    Expired {
        /// which partition
        partition: Partition,
        /// position asked for
        position: u64,
        /// oldest position left
        start: u64,
    },
    /// the reader knows more than there is
    #[error(
        "{partition} ends at {end}, and a snapshot goes on from {position}: it is of another log; `nilometer log copy` brings that one here, or choose another log.store"
    )]
    Beyond {
        /// which partition
        partition: Partition,
        /// position asked for
        position: u64,
        /// where the next message will lie
        end: u64,
    },
    /// a lost message was to be appended again, and was not
    #[error(
        "{partition}: position {position} is lost, and its producer has ended without appending it again; --accept-loss goes on without it"
    )]
    Unmended {
        /// which partition
        partition: Partition,
        /// position that is lost
        position: u64,
    },
    /// what a producer appends again is not what it had appended
    #[error(
        "{partition}: position {position} is lost, and what {producer} appends again is not what it had appended ({detail}), as after a change of its model, definition or sources; accepted are those of then, or --accept-loss, which goes on without it"
    )]
    Redone {
        /// which partition
        partition: Partition,
        /// position that is lost
        position: u64,
        /// who had appended it
        producer: String,
        /// how it differs
        detail: String,
    },
    /// others append faster than we can find the end
    #[error("{partition}: {attempts} appends in a row lost the race for the next position; too many writers")]
    Contended {
        /// which partition
        partition: Partition,
        /// how often we tried
        attempts: u32,
    },
    /// another message of the same chain failed
    #[error("not appended, as a message that was handed over with it failed: {cause}")]
    Torn {
        /// what that one failed of
        cause: String,
        /// whether it may succeed later
        retryable: bool,
    },
    /// the message is larger than the log takes
    #[error(
        "{partition}: a message of {bytes} bytes; accepted are {accepted} (log.kafka.max_message_bytes), or fewer catchments a partition"
    )]
    TooLarge {
        /// where it should have gone
        partition: Partition,
        /// its length
        bytes: usize,
        /// the longest
        accepted: usize,
    },
    /// what is to be copied does not go on what is there
    #[error("{partition} holds positions {} to {} of another log; accepted is an empty one (another log.kafka.prefix), or the beginning of {} to {}", found.start, found.end, copied.start, copied.end)]
    Foreign {
        /// which partition
        partition: Partition,
        /// what is there
        found: Bounds,
        /// what was to be copied
        copied: Bounds,
    },
    /// the cluster refused or failed
    #[error("{partition}: {detail}")]
    Broker {
        /// which partition
        partition: Partition,
        /// what the cluster said
        detail: String,
        /// whether the same call may succeed later
        retryable: bool,
    },
}

impl LogError {
    /// Whether the same call may succeed later. The only place that decides it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Store { source: object_store::Error::Generic { .. }, .. }
                | Self::Contended { .. }
                | Self::Broker { retryable: true, .. }
                | Self::Torn { retryable: true, .. }
        )
    }

    #[cfg(feature = "kafka")]
    pub(crate) const fn broker(partition: Partition, detail: String, retryable: bool) -> Self {
        Self::Broker { partition, detail, retryable }
    }
}

/// An append-only log of Arrow batches. Implementations pass [`crate::conformance`].
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends one message, durably against the end of the process, or reports that it was there.
    async fn append(&self, partition: Partition, message: Message<'_>) -> Result<Appended, LogError>;

    /// Hands a message over behind those of the same chain, and gives what will become of it, whether or not that is waited for. Unless a log
    /// does otherwise, it is appended when this returns.
    async fn hand_over(
        &self,
        partition: Partition,
        message: Message<'_>,
        chain: &Chain,
    ) -> Result<Appending, LogError> {
        chain.torn().map_or(Ok(()), Err)?;
        let appended = self.append(partition, message).await.inspect_err(|error| chain.tear(error))?;
        Ok(ready(Ok(appended)).boxed())
    }

    /// The entry at a position; `None` where none is known of, or where a lost one is still to be appended again, without waiting: only
    /// [`bounds`](Self::bounds) says for certain where the end is. A position below the start is an error.
    async fn read(&self, partition: Partition, position: u64) -> Result<Option<Entry>, LogError>;

    /// Completes when there is an entry at `position`.
    async fn wait(&self, partition: Partition, position: u64) -> Result<(), LogError>;

    /// The positions that the partition holds.
    async fn bounds(&self, partition: Partition) -> Result<Bounds, LogError>;

    /// What the partition holds, for snapshots to say what had been appended when they were made; `None` where the log has a record of its own.
    async fn extent(&self, _partition: Partition) -> Result<Option<Extent>, LogError> {
        Ok(None)
    }

    /// Whether a position is below the end, but its message is lost and still to be appended again.
    async fn is_lost(&self, _partition: Partition, _position: u64) -> Result<bool, LogError> {
        Ok(false)
    }

    /// The sequence of the producer's last message in the partition.
    async fn last_sequence(&self, partition: Partition, producer: &str) -> Result<Option<i64>, LogError>;

    /// The oldest position whose message is at most `age_s` older than the newest; the start where that cannot be said. What is damaged counts
    /// as old.
    async fn younger_than(&self, partition: Partition, age_s: i64) -> Result<u64, LogError> {
        let Bounds { start, end } = self.bounds(partition).await?;
        let newest = if end > start { self.read(partition, end - 1).await? } else { None };
        let Some(Entry::Record(newest)) = newest else { return Ok(start) };
        let horizon = newest.time.plus_s(-age_s);
        // Times grow with positions.
        let (mut low, mut high) = (start, end - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(partition, middle).await? {
                Some(Entry::Record(record)) if record.time >= horizon => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(high)
    }

    /// Retention: removes messages below `before`, the newest message always stays. Returns how many went.
    async fn trim(&self, partition: Partition, before: u64) -> Result<u64, LogError>;
}

/// The entry at a position, waited for; `None` when the input is complete and nothing lies there.
///
/// # Errors
/// What the log says.
pub async fn next_entry(
    log: &dyn Log,
    partition: Partition,
    position: u64,
    stop: &Stop,
) -> Result<Option<Entry>, LogError> {
    loop {
        // Asked before looking: what was appended before the input was declared complete is found.
        let complete = stop.is_draining() || stop.is_now();
        if let Some(entry) = log.read(partition, position).await? {
            return Ok(Some(entry));
        }
        if !complete {
            stop.or(log.wait(partition, position)).await.transpose()?;
        } else if log.bounds(partition).await?.end <= position {
            return Ok(None);
        } else if log.is_lost(partition, position).await? {
            // Its producer has ended, unless everything is to end now.
            return if stop.is_now() { Ok(None) } else { Err(LogError::Unmended { partition, position }) };
        }
    }
}

/// Retention by age: removes messages that are more than `age_s` older than the newest, but none at or behind `needed_from`.
/// Returns how many went.
///
/// # Errors
/// What the log says.
pub async fn retain(log: &dyn Log, partition: Partition, age_s: i64, needed_from: u64) -> Result<u64, LogError> {
    let Bounds { start, end } = log.bounds(partition).await?;
    // Nothing may go, so nothing is asked for.
    if needed_from.min(end) <= start {
        return Ok(0);
    }
    let before = log.younger_than(partition, age_s).await?.min(needed_from);
    if before > start { log.trim(partition, before).await } else { Ok(0) }
}
