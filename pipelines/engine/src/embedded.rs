//! The embedded log: sealed Arrow segments in an object store, created conditionally. No server.
//!
//! `<root>/<topic>/<partition>/<position, 20 digits>.arrow` holds one message. Creation fails when the object exists, so
//! two writers cannot take one position. Each segment carries the last sequence of every producer and the rows before
//! it, so opening a partition reads one segment, not all of them. A last segment that is torn (the machine lost power
//! while it was written) is cut: moved to `<root>/torn/…`, and its producer appends it again.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use tokio::sync::{OnceCell, watch};

use crate::{
    Appended, Bounds, Damage, Entry, EnvelopeError, Log, LogError, Message, Metrics, Partition, Record,
    envelope::{header, numbered, numbers_in, open, seal},
};

const TIME: &str = "nilometer.time";
const PRODUCERS: &str = "nilometer.producers";
const ROWS_BEFORE: &str = "nilometer.rows_before";
/// How often an append looks for the end again before it gives up.
const ATTEMPTS: u32 = 64;

/// A log in an object store, for one process; see the module's text.
pub struct EmbeddedLog {
    store: Arc<dyn ObjectStore>,
    root: Path,
    metrics: Metrics,
    ends: Mutex<HashMap<Partition, Arc<OnceCell<watch::Sender<Tail>>>>>,
}

/// What an append must know of a partition.
#[derive(Debug, Clone, Default)]
struct Tail {
    start: u64,
    end: u64,
    rows: u64,
    producers: BTreeMap<String, i64>,
}

impl EmbeddedLog {
    /// A log below `root` in `store`. Nothing is read until a partition is used.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, root: &str, metrics: &Metrics) -> Self {
        Self { store, root: Path::from(root), metrics: metrics.clone(), ends: Mutex::default() }
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
        let Range { start, mut end } = self.listed(partition).await?;
        if start == end {
            return Ok(Tail::default());
        }
        if let Err((detail, bytes)) = self.fetch(partition, end - 1).await? {
            self.cut(partition, end - 1, &detail, bytes).await?;
            end -= 1;
        }
        // The newest intact segment knows the producers; damaged ones between it and the end are reported to readers.
        for position in (start..end).rev() {
            if let Ok((record, producers)) = self.fetch(partition, position).await? {
                return Ok(Tail { start, end, rows: record.rows_before + record.batch.num_rows() as u64, producers });
            }
        }
        Ok(Tail { start, end, ..Tail::default() })
    }

    /// The positions that have an object, as the hull of their names.
    async fn listed(&self, partition: Partition) -> Result<Range<u64>, LogError> {
        let folder = self.folder(partition);
        let positions = numbers_in(&*self.store, &folder)
            .await
            .map_err(|source| LogError::Store { key: folder.to_string(), source })?;
        Ok(positions.first().copied().unwrap_or(0)..positions.last().map_or(0, |last| last + 1))
    }

    /// The segment at a position, or what is wrong with it and its bytes.
    pub(crate) async fn fetch(
        &self,
        partition: Partition,
        position: u64,
    ) -> Result<Result<(Record, BTreeMap<String, i64>), (String, Bytes)>, LogError> {
        let key = self.key(partition, position);
        let fail = |source| LogError::Store { key: key.to_string(), source };
        let bytes = match self.store.get(&key).await {
            Ok(object) => object.bytes().await.map_err(fail)?,
            Err(object_store::Error::NotFound { .. }) => {
                return Ok(Err((format!("{key} is missing although later positions exist"), Bytes::new())));
            }
            Err(source) => return Err(fail(source)),
        };
        Ok(parse(position, &bytes).map_err(|e| (format!("{key} is {e}"), bytes)))
    }

    async fn cut(&self, partition: Partition, position: u64, detail: &str, bytes: Bytes) -> Result<(), LogError> {
        let key = self.key(partition, position);
        let kept = self
            .root
            .clone()
            .join("torn")
            .join(partition.contract.topic())
            .join(partition.number.to_string())
            .join(numbered(position));
        tracing::warn!(%partition, position, detail, kept = %kept, "cut a torn segment from the end of the log");
        self.metrics.torn_segments.inc();
        self.store
            .put(&kept, bytes.into())
            .await
            .map_err(|source| LogError::Store { key: kept.to_string(), source })?;
        self.store.delete(&key).await.map_err(|source| LogError::Store { key: key.to_string(), source })
    }
}

fn parse(position: u64, bytes: &[u8]) -> Result<(Record, BTreeMap<String, i64>), EnvelopeError> {
    let (batch, headers) = open(bytes)?;
    let time = Timestamp(header(&headers, TIME, "microseconds since 1970")?);
    let rows_before = header(&headers, ROWS_BEFORE, "a count of rows")?;
    let producers: String = header(&headers, PRODUCERS, "a JSON object of sequences")?;
    let producers = serde_json::from_str(&producers).map_err(|_| EnvelopeError::Header {
        key: PRODUCERS,
        found: Some(producers),
        accepted: "a JSON object of sequences",
    })?;
    Ok((Record { position, time, rows_before, batch }, producers))
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, partition: Partition, message: Message<'_>) -> Result<Appended, LogError> {
        let _timer = self.metrics.append_seconds.start_timer();
        let tail = self.tail(partition).await?;
        for _ in 0..ATTEMPTS {
            let mut now = tail.borrow().clone();
            if now.producers.get(message.producer).is_some_and(|last| message.sequence <= *last) {
                return Ok(Appended::Already);
            }
            now.producers.insert(message.producer.to_owned(), message.sequence);
            let headers = [
                (TIME, message.time.0.to_string()),
                (ROWS_BEFORE, now.rows.to_string()),
                (PRODUCERS, serde_json::to_string(&now.producers).unwrap_or_default()),
            ];
            let bytes = seal(&message.batch, &headers).map_err(|source| LogError::Encode { partition, source })?;
            let (position, key) = (now.end, self.key(partition, now.end));
            match self.store.put_opts(&key, bytes.into(), PutMode::Create.into()).await {
                Ok(_) => {
                    now.end += 1;
                    now.rows += message.batch.num_rows() as u64;
                    advance(&tail, now);
                    self.metrics.appended(partition, position);
                    return Ok(Appended::At(position));
                }
                // Another writer took the position: learn what it wrote and try behind it.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    now = tail.borrow().clone();
                    if now.end > position {
                        continue;
                    }
                    if let Ok((record, producers)) = self.fetch(partition, position).await? {
                        now.rows = record.rows_before + record.batch.num_rows() as u64;
                        now.producers = producers;
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
        if position >= end {
            return Ok(None);
        }
        Ok(Some(match self.fetch(partition, position).await? {
            Ok((record, _)) => Entry::Record(record),
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
        let _ = tail.wait_for(|t| t.end > position).await;
        Ok(())
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        let tail = self.tail(partition).await?;
        let Range { start, end } = span(&tail);
        Ok(Bounds { start, end })
    }

    async fn last_sequence(&self, partition: Partition, producer: &str) -> Result<Option<i64>, LogError> {
        Ok(self.tail(partition).await?.borrow().producers.get(producer).copied())
    }

    async fn trim(&self, partition: Partition, before: u64) -> Result<u64, LogError> {
        let tail = self.tail(partition).await?;
        let Range { start, end } = span(&tail);
        let before = before.min(end.saturating_sub(1));
        for position in start..before {
            let key = self.key(partition, position);
            match self.store.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(LogError::Store { key: key.to_string(), source }),
            }
            tail.send_modify(|t| t.start = t.start.max(position + 1));
        }
        Ok(before.saturating_sub(start))
    }
}

/// First position and the one behind the last, from one borrow: a second while a writer waits would wait for that writer.
fn span(tail: &watch::Sender<Tail>) -> Range<u64> {
    let known = tail.borrow();
    known.start..known.end
}

/// Moves the tail forward, never back: the later of two writers may come to tell first.
fn advance(tail: &watch::Sender<Tail>, to: Tail) {
    tail.send_if_modified(|known| {
        let newer = to.end > known.end;
        if newer {
            *known = Tail { start: known.start, ..to };
        }
        newer
    });
}
