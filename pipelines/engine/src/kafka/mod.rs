//! The log on Apache Kafka: the same promises, kept by transactions, for many processes on many machines.
//!
//! ```text
//!  hand over ─▶ writer (one thread a partition written) ─▶ transaction: begin, produce, commit ─▶ topic, partition
//!               ├─ takes in what comes while the transaction is open
//!               └─ knows the tail: position, rows and sequences of the newest message, read back whenever it takes over
//!  read, wait ─▶ cursors (consumers, read_committed) ◀────────────────────────────────────────── topic, partition
//! ```
//!
//! A position is not an offset: transactions leave markers between messages. Each message carries its position in a header, and a
//! reader that begins somewhere looks for it by halves. A partition has one `transactional.id`. Who begins to write initialises it, which fences
//! the writer before; a fenced writer reads the tail again and finds out what the other has appended. So two writers behave as one that
//! compares and swaps, and a zombie changes nothing.
//!
//! A message is one Arrow IPC stream, as it is; what the log adds lies in headers.

mod copy;
mod group;
mod message;
mod reader;
mod settings;
mod topics;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use async_trait::async_trait;
use tokio::sync::Semaphore;

pub use self::topics::TopicProblem;
use self::{
    message::Sealed,
    reader::{Cursors, Probe},
    settings::Settings,
    writer::{Owner, Thread, WHOLE_ROOM_KIB, Writer},
};
use crate::{Appended, Appending, Bounds, Chain, Entry, KafkaOptions, Log, LogError, Message, Metrics, Partition};

/// A log on a Kafka cluster; see the module's text.
pub struct KafkaLog {
    settings: Arc<Settings>,
    metrics: Metrics,
    cursors: Mutex<HashMap<Partition, Arc<Cursors>>>,
    writers: Mutex<HashMap<Partition, Written>>,
    room: Arc<Semaphore>,
}

/// A partition that is written, or was.
#[derive(Default)]
struct Written {
    /// none where it was released
    writer: Option<Writer>,
    thread: Thread,
}

impl KafkaLog {
    /// A log on the cluster that `options` name. Nothing is connected to until it is used.
    ///
    /// # Errors
    /// What is wrong with an option, and what is accepted.
    pub fn new(options: &KafkaOptions, metrics: &Metrics) -> Result<Self, String> {
        let settings = Arc::new(Settings::new(options)?);
        Ok(Self {
            settings,
            metrics: metrics.clone(),
            cursors: Mutex::default(),
            writers: Mutex::default(),
            room: Arc::new(Semaphore::new(WHOLE_ROOM_KIB)),
        })
    }

    fn close(&self, number: u32) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = cursors.extract_if(|partition, _| partition.number == number).collect();
        drop(cursors);
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let of_number = writers.iter_mut().filter(|(partition, _)| partition.number == number);
        of_number.for_each(|(_, written)| written.writer = None);
        drop(writers);
        // Consumers take their time to close, in the background.
        drop(thread::Builder::new().name(format!("release {number}")).spawn(move || drop(gone)));
    }

    fn cursors(&self, partition: Partition) -> Arc<Cursors> {
        let mut all = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(partition).or_insert_with(|| Arc::new(Cursors::new(self.settings.clone(), partition))).clone()
    }

    fn writer(&self, partition: Partition) -> Writer {
        let mut all = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let written = all.entry(partition).or_default();
        let thread = &mut written.thread;
        let start = || {
            let (settings, metrics) = (self.settings.clone(), self.metrics.clone());
            let owner = Owner { settings, partition, metrics, cursors: self.cursors(partition), open: None };
            let (writer, started) = Writer::start(owner, self.room.clone(), thread.take());
            *thread = started;
            writer
        };
        written.writer.get_or_insert_with(start).clone()
    }

    /// Asks the cluster something on a thread that may block.
    async fn probe<T: Send + 'static>(
        &self,
        partition: Partition,
        ask: impl FnOnce(&mut Probe) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let cursors = self.cursors(partition);
        let asked = tokio::task::spawn_blocking(move || cursors.with_probe(ask)).await;
        asked.unwrap_or_else(|panicked| Err(LogError::broker(partition, format!("a reader failed: {panicked}"), false)))
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(&self, partition: Partition, message: Message<'_>) -> Result<Appended, LogError> {
        self.hand_over(partition, message, &Chain::default()).await?.await
    }

    async fn hand_over(
        &self,
        partition: Partition,
        message: Message<'_>,
        chain: &Chain,
    ) -> Result<Appending, LogError> {
        let sealed = Sealed::new(&message).map_err(|source| LogError::Encode { partition, source });
        let message = sealed.inspect_err(|error| chain.tear(error))?;
        self.writer(partition).hand_over(message, chain).await
    }

    async fn read(&self, partition: Partition, position: u64) -> Result<Option<Entry>, LogError> {
        let cursors = self.cursors(partition);
        let mut cursor = cursors.at(position).await?;
        let entry = cursor.next(cursors.is_there(position)).await?;
        if let Some(Entry::Damaged(damage)) = &entry {
            tracing::error!(%partition, position, detail = damage.detail, "a message of the log is damaged");
            self.metrics.damaged_segments.inc();
        }
        cursors.put_back(cursor);
        Ok(entry)
    }

    async fn wait(&self, partition: Partition, position: u64) -> Result<(), LogError> {
        let cursors = self.cursors(partition);
        let mut cursor = cursors.at(position).await?;
        cursor.wait().await?;
        cursors.put_back(cursor);
        Ok(())
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        let bounds = self.probe(partition, Probe::bounds).await?;
        if let Some(newest) = bounds.end.checked_sub(1) {
            self.cursors(partition).ends_behind(newest);
        }
        Ok(bounds)
    }

    async fn last_sequence(&self, partition: Partition, producer: &str) -> Result<Option<i64>, LogError> {
        let producer = producer.to_owned();
        self.probe(partition, move |probe| Ok(probe.tail()?.producers.get(&producer).copied())).await
    }

    async fn younger_than(&self, partition: Partition, age_s: i64) -> Result<u64, LogError> {
        self.probe(partition, move |probe| probe.younger_than(age_s)).await
    }

    async fn trim(&self, partition: Partition, before: u64) -> Result<u64, LogError> {
        let Bounds { start, end } = self.bounds(partition).await?;
        let before = before.min(end.saturating_sub(1));
        if before <= start {
            return Ok(0);
        }
        let offset = self.probe(partition, move |probe| probe.offset_of(before)).await?;
        self.settings.delete_before(partition, offset).await?;
        Ok(before - start)
    }
}
