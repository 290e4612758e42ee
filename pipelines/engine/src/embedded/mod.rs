//! The embedded log: sealed Arrow segments in an object store, created conditionally. No server.
//!
//! `<root>/<topic>/<partition>/<position, 20 digits>.arrow` holds one message. Creation fails when the object exists, so
//! two writers cannot take one position. Each segment carries the last sequence of every producer and the rows before
//! it, so opening a partition reads one segment, not all of them. A last segment that is torn (the machine lost power
//! while it was written) is cut: moved to `<root>/torn/…`, and its producer appends it again.
//!
//! What was appended last is also held in memory (`recent`), for the roles of the same process.
//!
//! A [`Survey`] opens all of them and knows of snapshots how far the partition has reached. What it finds lost keeps its position: only what its
//! producer appends again goes there, if it had the same rows, or a segment that says it was given up.

mod lost;
mod recent;
mod segment;
mod survey;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use tokio::sync::{OnceCell, watch};

use crate::{
    Appended, Bounds, Damage, Entry, Extent, Log, LogError, Message, Metrics, Partition, Record,
    envelope::{numbered, numbers_in},
};
use recent::Recent;
use segment::Opened;

pub use survey::{Hole, Survey};

/// How often an append looks for the end again before it gives up.
const ATTEMPTS: u32 = 64;

/// A log in an object store, for one process; see the module's text.
pub struct EmbeddedLog {
    store: Arc<dyn ObjectStore>,
    root: Path,
    metrics: Metrics,
    accept_loss: bool,
    recent: Recent,
    ends: Mutex<HashMap<Partition, Arc<OnceCell<watch::Sender<Tail>>>>>,
}

/// What an append must know of a partition.
#[derive(Debug, Clone, Default)]
struct Tail {
    extent: Extent,
    /// positions below the end whose messages are still to be appended again
    holes: Vec<Hole>,
}

impl EmbeddedLog {
    /// A log below `root` in `store`. Nothing is read until a partition is used.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, root: &str, metrics: &Metrics) -> Self {
        let (recent, ends) = (Recent::default(), Mutex::default());
        Self { store, root: Path::from(root), metrics: metrics.clone(), accept_loss: false, recent, ends }
    }

    /// What is lost is given up when its producer appends something else.
    #[must_use]
    pub fn accepting_loss(self, accept_loss: bool) -> Self {
        Self { accept_loss, ..self }
    }

    fn folder(&self, partition: Partition) -> Path {
        self.root.clone().join(partition.contract.topic()).join(partition.number.to_string())
    }

    fn key(&self, partition: Partition, position: u64) -> Path {
        self.folder(partition).join(numbered(position))
    }

    /// The partition's tail as we know it; the first use of a partition finds it in the store, once for all who ask.
    async fn tail(&self, partition: Partition) -> Result<watch::Sender<Tail>, LogError> {
        let known = self.ends.lock().unwrap_or_else(PoisonError::into_inner).entry(partition).or_default().clone();
        let found = known.get_or_try_init(|| async { self.find_tail(partition).await.map(watch::Sender::new) }).await?;
        Ok(found.clone())
    }

    async fn find_tail(&self, partition: Partition) -> Result<Tail, LogError> {
        let positions = self.listed(partition).await?;
        let (Some(&start), Some(last)) = (positions.first(), positions.last()) else { return Ok(Tail::default()) };
        let mut end = last + 1;
        if let Err((detail, bytes)) = self.fetch(partition, end - 1).await? {
            self.cut(partition, end - 1, &detail, bytes).await?;
            end -= 1;
        }
        // The newest intact segment knows the producers; damaged ones between it and the end are reported to readers.
        for position in (start..end).rev() {
            if let Ok(opened) = self.fetch(partition, position).await? {
                let extent = Extent { start, end, rows: opened.rows_behind(), producers: opened.producers };
                return Ok(Tail { extent, holes: Vec::new() });
            }
        }
        Ok(Tail { extent: Extent { start, end, ..Extent::default() }, holes: Vec::new() })
    }

    /// The positions that have an object, ascending.
    async fn listed(&self, partition: Partition) -> Result<Vec<u64>, LogError> {
        let folder = self.folder(partition);
        let positions = numbers_in(&*self.store, &folder).await;
        positions.map_err(|source| LogError::Store { key: folder.to_string(), source })
    }

    /// The segment at a position, or what is wrong with it and its bytes.
    pub(crate) async fn fetch(
        &self,
        partition: Partition,
        position: u64,
    ) -> Result<Result<Opened, (String, Bytes)>, LogError> {
        let key = self.key(partition, position);
        let fail = |source| LogError::Store { key: key.to_string(), source };
        let bytes = match self.store.get(&key).await {
            Ok(object) => object.bytes().await.map_err(fail)?,
            Err(object_store::Error::NotFound { .. }) => {
                return Ok(Err((format!("{key} is missing although later positions exist"), Bytes::new())));
            }
            Err(source) => return Err(fail(source)),
        };
        Ok(segment::parse(position, &bytes).map_err(|e| (format!("{key} is {e}"), bytes)))
    }

    async fn cut(&self, partition: Partition, position: u64, detail: &str, bytes: Bytes) -> Result<(), LogError> {
        let (key, kept) = (self.key(partition, position), self.torn_key(partition, position));
        tracing::warn!(%partition, position, detail, kept = %kept, "cut a torn segment from the end of the log");
        self.metrics.torn_segments.inc();
        self.set_aside(partition, position, bytes).await?;
        self.store.delete(&key).await.map_err(|source| LogError::Store { key: key.to_string(), source })
    }
}

impl Tail {
    fn is_lost(&self, position: u64) -> bool {
        self.holes.iter().any(|hole| hole.positions.contains(&position))
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, partition: Partition, message: Message<'_>) -> Result<Appended, LogError> {
        let _timer = self.metrics.append_seconds.start_timer();
        let tail = self.tail(partition).await?;
        for _ in 0..ATTEMPTS {
            let known = tail.borrow().clone();
            if let Some(hole) = known.awaiting(&message) {
                return self.fill(partition, &tail, hole, &message).await;
            }
            if let Some(hole) = known.behind(&message) {
                return self.compare(partition, &tail, hole, &message).await;
            }
            let mut now = known.extent;
            if now.producers.get(message.producer).is_some_and(|last| message.sequence <= *last) {
                return Ok(Appended::Already);
            }
            now.producers.insert(message.producer.to_owned(), message.sequence);
            let segment = segment::of_message(partition, &message, now.rows, &now.producers)?;
            let (position, key) = (now.end, self.key(partition, now.end));
            match self.store.put_opts(&key, segment.into(), PutMode::Create.into()).await {
                Ok(_) => {
                    let (time, batch) = (message.time, message.batch);
                    let rows = batch.num_rows() as u64;
                    self.recent.keep(partition, Record { position, time, rows_before: now.rows, batch });
                    now.end += 1;
                    now.rows += rows;
                    advance(&tail, now);
                    self.metrics.appended(partition, position);
                    return Ok(Appended::At(position));
                }
                // Another writer took the position: learn what it wrote and try behind it.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    now = tail.borrow().extent.clone();
                    if now.end > position {
                        continue;
                    }
                    if let Ok(opened) = self.fetch(partition, position).await? {
                        now.rows = opened.rows_behind();
                        now.producers = opened.producers;
                    }
                    now.end = position + 1;
                    advance(&tail, now);
                }
                Err(source) => return Err(LogError::Store { key: key.to_string(), source }),
            }
        }
        Err(LogError::Contended { partition, attempts: ATTEMPTS })
    }

    async fn read(&self, partition: Partition, position: u64) -> Result<Option<Entry>, LogError> {
        let Bounds { start, end } = self.bounds(partition).await?;
        if position < start {
            return Err(LogError::Expired { partition, position, start });
        }
        if position >= end || self.is_lost(partition, position).await? {
            return Ok(None);
        }
        if let Some(record) = self.recent.get(partition, position) {
            return Ok(Some(Entry::Record(record)));
        }
        Ok(Some(match self.fetch(partition, position).await? {
            Ok(Opened { given_up: Some(rows), .. }) => {
                let bytes = self.left_of(partition, position).await;
                let detail = format!("the message is lost, with those behind it that are lost too {rows} rows");
                Entry::Damaged(Damage { position, detail, bytes })
            }
            Ok(opened) => Entry::Record(opened.record),
            Err((detail, bytes)) => {
                tracing::error!(%partition, position, detail, "a log segment is damaged");
                self.metrics.damaged_segments.inc();
                Entry::Damaged(Damage { position, detail, bytes })
            }
        }))
    }

    async fn wait(&self, partition: Partition, position: u64) -> Result<(), LogError> {
        let mut tail = self.tail(partition).await?.subscribe();
        // The sender lives in `self`, so the wait can only end by the condition.
        let _ = tail.wait_for(|t| t.extent.end > position && !t.is_lost(position)).await;
        Ok(())
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        let tail = self.tail(partition).await?;
        let Range { start, end } = span(&tail);
        Ok(Bounds { start, end })
    }

    async fn extent(&self, partition: Partition) -> Result<Option<Extent>, LogError> {
        Ok(Some(self.tail(partition).await?.borrow().extent.clone()))
    }

    async fn is_lost(&self, partition: Partition, position: u64) -> Result<bool, LogError> {
        Ok(self.tail(partition).await?.borrow().is_lost(position))
    }

    async fn last_sequence(&self, partition: Partition, producer: &str) -> Result<Option<i64>, LogError> {
        Ok(self.tail(partition).await?.borrow().extent.producers.get(producer).copied())
    }

    async fn trim(&self, partition: Partition, before: u64) -> Result<u64, LogError> {
        let tail = self.tail(partition).await?;
        let Range { start, end } = span(&tail);
        let lost = tail.borrow().holes.first().map_or(end, |hole| hole.positions.start);
        let before = before.min(end.saturating_sub(1)).min(lost);
        for position in start..before {
            let key = self.key(partition, position);
            match self.store.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(LogError::Store { key: key.to_string(), source }),
            }
            tail.send_modify(|t| t.extent.start = t.extent.start.max(position + 1));
        }
        Ok(before.saturating_sub(start))
    }
}

/// First position and the one behind the last, from one borrow: a second while a writer waits would wait for that writer.
fn span(tail: &watch::Sender<Tail>) -> Range<u64> {
    let known = tail.borrow();
    known.extent.start..known.extent.end
}

/// Moves the tail forward, never back: the later of two writers may come to tell first.
fn advance(tail: &watch::Sender<Tail>, to: Extent) {
    tail.send_if_modified(|known| {
        let newer = to.end > known.extent.end;
        if newer {
            known.extent = Extent { start: known.extent.start, ..to };
        }
        newer
    });
}
