//! Reads one partition: cursors that go on where they were, and a probe that looks something up.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::FutureExt;
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::{Offset, TopicPartitionList},
};

use super::{
    message::{Found, Tail},
    settings::{PATIENCE, Settings, ask_again, is_absence, number, will_pass},
};
use crate::{Bounds, Entry, LogError, Partition};

/// Cursors kept for later reads: those of a partition in one process.
const KEPT: usize = 6;
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// The cursors of a partition that are not in use.
pub(super) struct Cursors {
    settings: Arc<Settings>,
    partition: Partition,
    /// the one used last at the end
    idle: Mutex<Vec<Cursor>>,
    probe: Mutex<Option<Probe>>,
    /// end of the partition as far as this process knows
    end: AtomicU64,
}

impl Cursors {
    pub(super) const fn new(settings: Arc<Settings>, partition: Partition) -> Self {
        Self { settings, partition, idle: Mutex::new(Vec::new()), probe: Mutex::new(None), end: AtomicU64::new(0) }
    }

    /// A cursor whose next message is the one at `position`.
    pub(super) async fn at(&self, position: u64) -> Result<Cursor, LogError> {
        let found = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().position(|cursor| cursor.position == position).map(|at| idle.remove(at))
        };
        match found {
            Some(cursor) => Ok(cursor),
            None => Cursor::seek(self.settings.clone(), self.partition, position).await,
        }
    }

    /// Says that there is a message at `position`.
    pub(super) fn ends_behind(&self, position: u64) {
        self.end.fetch_max(position + 1, Ordering::Relaxed);
    }

    pub(super) fn is_there(&self, position: u64) -> bool {
        position < self.end.load(Ordering::Relaxed)
    }

    /// Looks something up, with the probe that did it last if that is free.
    pub(super) fn with_probe<T>(&self, ask: impl FnOnce(&mut Probe) -> Result<T, LogError>) -> Result<T, LogError> {
        let kept = self.probe.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut probe = match kept {
            Some(probe) => probe,
            None => Probe::new(&self.settings, self.partition)?,
        };
        let found = ask(&mut probe)?;
        probe.rest();
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(probe);
        Ok(found)
    }

    pub(super) fn put_back(&self, cursor: Cursor) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (idle.len() == KEPT).then(|| idle.remove(0));
        idle.push(cursor);
        drop(idle);
        // A consumer takes its time to close, in the background.
        drop(surplus.map(|cursor| tokio::task::spawn_blocking(move || drop(cursor))));
    }
}

/// How long a cursor waits for its message.
#[derive(Clone, Copy)]
enum Patience {
    /// not at all
    None,
    /// as long as a cluster may take for what it has
    Some,
    /// until it is appended
    All,
}

/// A consumer that stands before a position.
pub(super) struct Cursor {
    partition: Partition,
    consumer: StreamConsumer,
    /// of the next message
    position: u64,
    /// that message, when it was waited for
    head: Option<Entry>,
}

impl Cursor {
    async fn seek(settings: Arc<Settings>, partition: Partition, position: u64) -> Result<Self, LogError> {
        let opened = tokio::task::spawn_blocking(move || {
            let mut probe = Probe::new(&settings, partition)?;
            // Waited for, it would pass over everything that comes before it.
            let (end, behind) = probe.end_and_offset()?;
            if position > end {
                return Err(LogError::Beyond { partition, position, end });
            }
            let offset = if position == end { behind } else { probe.offset_of(position)? };
            let consumer: StreamConsumer = settings.consumer().create().map_err(|error| failed(partition, &error))?;
            let assignment = assignment(&settings, partition, offset).map_err(|error| failed(partition, &error))?;
            consumer.assign(&assignment).map_err(|error| failed(partition, &error))?;
            Ok(Self { partition, consumer, position, head: None })
        });
        opened
            .await
            .unwrap_or_else(|panicked| Err(LogError::broker(partition, format!("a reader failed: {panicked}"), false)))
    }

    /// The message at the cursor, which moves behind it; `None` where none has come yet, unless it is known to be there.
    pub(super) async fn next(&mut self, is_there: bool) -> Result<Option<Entry>, LogError> {
        if self.head.is_none() {
            self.fetch(if is_there { Patience::Some } else { Patience::None }).await?;
        }
        let head = self.head.take();
        self.position += u64::from(head.is_some());
        Ok(head)
    }

    /// Completes when there is a message at the cursor, which stays before it.
    pub(super) async fn wait(&mut self) -> Result<(), LogError> {
        while self.head.is_none() {
            self.fetch(Patience::All).await?;
        }
        Ok(())
    }

    /// Fetches the head.
    async fn fetch(&mut self, patience: Patience) -> Result<(), LogError> {
        let (begun, mut failing) = (Instant::now(), None);
        loop {
            let received = match patience {
                Patience::None => match self.consumer.recv().now_or_never() {
                    Some(received) => received,
                    None => return Ok(()),
                },
                Patience::All => self.consumer.recv().await,
                Patience::Some => {
                    let left = PATIENCE.saturating_sub(begun.elapsed());
                    let Ok(received) = tokio::time::timeout(left, self.consumer.recv()).await else {
                        let detail =
                            format!("the message at {} did not come within {} s", self.position, PATIENCE.as_secs());
                        return Err(LogError::broker(self.partition, detail, true));
                    };
                    received
                }
            };
            match received {
                Ok(message) => {
                    let Some(found) = Found::new(&message) else {
                        tracing::error!(partition = %self.partition, offset = message.offset(), "a message that is not of this log was skipped; another program writes to its topic");
                        continue;
                    };
                    if found.position < self.position {
                        continue;
                    }
                    if found.position > self.position {
                        return Err(LogError::Expired {
                            partition: self.partition,
                            position: self.position,
                            start: found.position,
                        });
                    }
                    self.head = Some(found.entry(message.payload().unwrap_or_default()));
                    return Ok(());
                }
                Err(KafkaError::PartitionEOF(_)) => failing = None,
                Err(error) if ask_again(&error, failing.get_or_insert_with(Instant::now).elapsed()) => {
                    tracing::warn!(partition = %self.partition, %error, "reading goes on when the cluster does");
                }
                Err(error) => return Err(failed(self.partition, &error)),
            }
        }
    }
}

/// Looks things up in a partition; on a thread that may block.
pub(super) struct Probe {
    partition: Partition,
    topic: String,
    consumer: BaseConsumer,
    /// the tail as it was when the partition ended at this offset
    tail_at: Option<(i64, Option<Tail>)>,
    /// position of the oldest message when the partition began at this offset
    first_at: Option<(i64, u64)>,
}

impl Probe {
    pub(super) fn new(settings: &Settings, partition: Partition) -> Result<Self, LogError> {
        Self::connect(settings, partition).map_err(|error| failed(partition, &error))
    }

    pub(super) fn connect(settings: &Settings, partition: Partition) -> Result<Self, KafkaError> {
        Ok(Self {
            partition,
            topic: settings.topic(partition.contract),
            consumer: settings.prober().create()?,
            tail_at: None,
            first_at: None,
        })
    }

    /// The tail as it is now; that of an empty partition where there is none.
    pub(super) fn tail(&mut self) -> Result<Tail, LogError> {
        Ok(self.newest().map_err(|error| failed(self.partition, &error))?.unwrap_or_default())
    }

    /// Where the partition ends: the position and the offset behind its newest message.
    pub(super) fn end_and_offset(&mut self) -> Result<(u64, i64), LogError> {
        let partition = self.partition;
        let (low, high) = self.offsets().map_err(|error| failed(partition, &error))?;
        let newest = self.newest_between(low, high).map_err(|error| failed(partition, &error))?;
        Ok((newest.map_or(0, |tail| tail.end), high))
    }

    /// The positions that the partition holds.
    pub(super) fn bounds(&mut self) -> Result<Bounds, LogError> {
        self.find_bounds().map_err(|error| failed(self.partition, &error))
    }

    fn find_bounds(&mut self) -> Result<Bounds, KafkaError> {
        let (low, high) = self.offsets()?;
        let end = self.newest_between(low, high)?.map_or(0, |tail| tail.end);
        let known = self.first_at.filter(|(at, _)| *at == low).map(|(_, first)| first);
        let start = match known {
            Some(start) => start,
            None => match self.first_from(low)? {
                Some(found) => self.first_at.insert((low, found.position)).1,
                None => end,
            },
        };
        Ok(Bounds { start, end })
    }

    /// The tail behind the newest message that is committed.
    pub(super) fn newest(&mut self) -> Result<Option<Tail>, KafkaError> {
        let (low, high) = self.offsets()?;
        self.newest_between(low, high)
    }

    /// The oldest position whose message is at most `age_s` older than the newest; the start where that is damaged.
    pub(super) fn younger_than(&mut self, age_s: i64) -> Result<u64, LogError> {
        let partition = self.partition;
        self.find_younger_than(age_s).map_err(|error| failed(partition, &error))
    }

    fn find_younger_than(&mut self, age_s: i64) -> Result<u64, KafkaError> {
        let (low, high) = self.offsets()?;
        let Some(newest) = self.find_newest(low, high)? else { return Ok(0) };
        let horizon = newest.time.plus_s(-age_s);
        // Not by Kafka's own index of times: markers of transactions are of the wall clock.
        let (mut from, mut to, mut oldest) = (low, newest.offset, newest.position);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.first_from(middle)? {
                Some(found) if found.time < horizon => from = found.offset + 1,
                found => {
                    to = middle;
                    oldest = found.map_or(oldest, |found| found.position.min(oldest));
                }
            }
        }
        Ok(oldest)
    }

    fn newest_between(&mut self, low: i64, high: i64) -> Result<Option<Tail>, KafkaError> {
        if let Some((_, tail)) = self.tail_at.as_ref().filter(|(at, _)| *at == high) {
            return Ok(tail.clone());
        }
        let newest = self.find_newest(low, high)?.map(|found| found.tail);
        self.tail_at = Some((high, newest.clone()));
        Ok(newest)
    }

    fn find_newest(&mut self, low: i64, high: i64) -> Result<Option<Found>, KafkaError> {
        // Behind a message lies a marker, more of them and what was not committed where transactions were aborted.
        let mut back = 2;
        loop {
            let from = (high - back).max(low);
            let mut newest = None;
            if from < high {
                self.walk_from(from, |found| {
                    // What is last is the marker behind the newest message.
                    let is_last = found.offset + 2 >= high;
                    newest = Some(found);
                    is_last
                })?;
            }
            if newest.is_some() || from == low {
                return Ok(newest);
            }
            back *= 4;
        }
    }

    /// The offset behind the newest message that is committed.
    pub(super) fn end(&self) -> Result<i64, KafkaError> {
        Ok(self.offsets()?.1)
    }

    /// Fetches nothing until it is asked again.
    pub(super) fn rest(&self) {
        drop(self.consumer.unassign());
    }

    /// The offset to read from to meet the message at `position` first; the end where it has not been appended yet.
    ///
    /// # Errors
    /// [`LogError::Expired`] where it is gone.
    pub(super) fn offset_of(&mut self, position: u64) -> Result<i64, LogError> {
        let partition = self.partition;
        let fail = |error: KafkaError| failed(partition, &error);
        let (low, high) = self.offsets().map_err(fail)?;
        let Some(first) = self.first_from(low).map_err(fail)? else { return Ok(high) };
        if position < first.position {
            return Err(LogError::Expired { partition, position, start: first.position });
        }
        let (mut from, mut to) = (first.offset, high);
        // A message and its marker: where each had its own transaction and none was aborted the first guess is right.
        let mut guess =
            first.offset.saturating_add(2 * i64::try_from(position - first.position).unwrap_or(i64::MAX / 4));
        while from < to {
            let middle = guess.clamp(from, to - 1);
            match self.first_from(middle).map_err(fail)? {
                Some(found) if found.position == position => return Ok(found.offset),
                Some(found) if found.position < position => from = found.offset + 1,
                _ => to = middle,
            }
            guess = from + (to - from) / 2;
        }
        Ok(high)
    }

    /// The oldest offset and the one behind the newest that is committed.
    fn offsets(&self) -> Result<(i64, i64), KafkaError> {
        let begun = Instant::now();
        loop {
            match self.consumer.fetch_watermarks(&self.topic, number(self.partition), PATIENCE) {
                // A leader that changes is another one soon.
                Err(error)
                    if begun.elapsed() < PATIENCE
                        && (ask_again(&error, begun.elapsed()) || is_absence(&error) && self.is_there()) =>
                {
                    thread::sleep(POLL);
                }
                found => return found,
            }
        }
    }

    /// Whether the cluster has the partition: one whose nodes are all away is unknown as well.
    fn is_there(&self) -> bool {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), PATIENCE);
        let topic = metadata.as_ref().ok().and_then(|metadata| metadata.topics().first());
        topic.is_some_and(|topic| topic.partitions().iter().any(|partition| partition.id() == number(self.partition)))
    }

    /// The first message of this log at or behind an offset.
    fn first_from(&mut self, offset: i64) -> Result<Option<Found>, KafkaError> {
        let mut first = None;
        self.walk_from(offset, |found| {
            first = Some(found);
            true
        })?;
        Ok(first)
    }

    /// Gives the messages of this log at or behind an offset to `see`, until that has seen enough or the partition ends.
    fn walk_from(&mut self, offset: i64, mut see: impl FnMut(Found) -> bool) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, number(self.partition), Offset::Offset(offset))?;
        self.consumer.assign(&assignment)?;
        let mut begun = Instant::now();
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    begun = Instant::now();
                    if Found::new(&message).is_some_and(&mut see) {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if !ask_again(&error, begun.elapsed()) => return Err(error),
                _ if begun.elapsed() > PATIENCE => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                _ => {}
            }
        }
    }
}

fn assignment(settings: &Settings, partition: Partition, offset: i64) -> Result<TopicPartitionList, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&settings.topic(partition.contract), number(partition), Offset::Offset(offset))?;
    Ok(assignment)
}

/// What a reader's error means.
fn failed(partition: Partition, error: &KafkaError) -> LogError {
    let hint = if is_absence(error) { "; `nilometer topics create` makes what is missing" } else { "" };
    let detail = format!("{error}{hint}");
    LogError::broker(partition, detail, will_pass(error))
}
