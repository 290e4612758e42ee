//! Inputs: a role's topics, each read message by message; several are taken in the order of their watermarks.

use std::sync::Arc;

use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Damage, Entry, Log, LogError, Partition, Record, Stop, next_entry};

/// Where a reader is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// position of the next message
    pub next: u64,
    /// rows of the partition before that message
    pub rows: u64,
}

impl Position {
    /// The oldest message that the log still has of a partition.
    ///
    /// # Errors
    /// What the log says.
    pub async fn first(log: &dyn Log, partition: Partition) -> Result<Self, LogError> {
        let next = log.bounds(partition).await?.start;
        let rows = match log.read(partition, next).await? {
            Some(Entry::Record(record)) => record.rows_before,
            _ => 0,
        };
        Ok(Self { next, rows })
    }
}

/// A message that could not be read, and how many rows it held.
#[derive(Debug)]
pub struct Lost {
    /// what the log said
    pub damage: Damage,
    /// rows that it held; 0 when nothing behind it tells
    pub rows: u64,
}

/// One topic of a role.
pub struct Input {
    log: Arc<dyn Log>,
    partition: Partition,
    position: Position,
    head: Option<Record>,
    damage: Vec<Damage>,
    lost: Vec<Lost>,
}

impl Input {
    /// Reads on from `position`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, partition: Partition, position: Position) -> Self {
        Self { log, partition, position, head: None, damage: Vec::new(), lost: Vec::new() }
    }

    /// The partition that is read.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// Where the reader is: behind everything that was taken.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The partition, and the position of the message that is taken next.
    #[must_use]
    pub const fn place(&self) -> (Partition, u64) {
        (self.partition, self.position.next)
    }

    /// The watermark of the next message; waits for one unless the input is complete.
    ///
    /// # Errors
    /// What the log says.
    pub async fn next_time(&mut self, stop: &Stop) -> Result<Option<Timestamp>, LogError> {
        loop {
            if let Some(head) = &self.head {
                return Ok(Some(head.time));
            }
            match next_entry(&*self.log, self.partition, self.at(), stop).await? {
                Some(entry) => self.receive(entry),
                None => return Ok(None),
            }
        }
    }

    /// Has the next message at hand if it is known of, without waiting and without asking where the input ends.
    ///
    /// # Errors
    /// What the log says.
    pub async fn look(&mut self) -> Result<(), LogError> {
        while self.head.is_none() {
            let Some(entry) = self.log.read(self.partition, self.at()).await? else { break };
            self.receive(entry);
        }
        Ok(())
    }

    /// Where the input ends for now.
    ///
    /// # Errors
    /// What the log says.
    pub async fn end(&self) -> Result<u64, LogError> {
        Ok(self.log.bounds(self.partition).await?.end)
    }

    /// Has the next message at hand if one lies before `end`, which is waited for unless everything is to end now.
    ///
    /// # Errors
    /// What the log says, as where the message is lost and its producer has ended.
    pub async fn look_until(&mut self, end: u64, stop: &Stop) -> Result<(), LogError> {
        while self.head.is_none() && self.at() < end {
            let Some(entry) = next_entry(&*self.log, self.partition, self.at(), stop).await? else { break };
            self.receive(entry);
        }
        Ok(())
    }

    /// Position of the message that is fetched next.
    const fn at(&self) -> u64 {
        self.position.next + self.damage.len() as u64
    }

    fn receive(&mut self, entry: Entry) {
        match entry {
            Entry::Record(record) => {
                self.settle(record.rows_before);
                self.head = Some(record);
            }
            Entry::Damaged(damage) => self.damage.push(damage),
        }
    }

    /// Takes the message whose watermark [`Input::next_time`] gave, if it is not after `tick`.
    pub fn take(&mut self, tick: Timestamp) -> Option<Record> {
        let record = self.head.take_if(|r| r.time <= tick)?;
        self.position =
            Position { next: record.position + 1, rows: record.rows_before + record.batch.num_rows() as u64 };
        Some(record)
    }

    /// Takes all messages up to `tick` that the log has: of a topic whose messages are known to be there by that of another.
    ///
    /// # Errors
    /// As [`Input::look_until`].
    pub async fn take_up_to(&mut self, tick: Timestamp, stop: &Stop) -> Result<Vec<Record>, LogError> {
        let (end, mut records) = (self.end().await?, Vec::new());
        self.look_until(end, stop).await?;
        while let Some(record) = self.take(tick) {
            records.push(record);
            self.look_until(end, stop).await?;
        }
        Ok(records)
    }

    /// Messages that turned out to be unreadable since the last call.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// Says how many rows the damaged messages before a readable one held; the first of them answers for all.
    fn settle(&mut self, rows_before: u64) {
        let mut rows = rows_before.saturating_sub(self.position.rows);
        for damage in self.damage.drain(..) {
            self.position = Position { next: damage.position + 1, rows: self.position.rows + rows };
            self.lost.push(Lost { damage, rows });
            rows = 0;
        }
    }
}
