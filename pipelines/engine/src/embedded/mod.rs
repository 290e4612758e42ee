//! The embedded log: sealed Arrow segments in an object store, created conditionally. No server.
//!
//! `<root>/<topic>/<partition>/<position, 20 digits>.arrow` holds one message. Creation fails when the object exists, so
//! two writers cannot take one position. Each segment carries the last sequence of every producer and the rows before
//! it, so opening a partition reads one segment, not all of them. A last segment that is torn (the machine lost power
//! while it was written) is cut: moved to `<root>/torn/…`, and its producer appends it again.
//!
//! A [`Survey`] opens all of them and knows of snapshots how far the partition has reached. What it finds lost keeps its position: only what its
//! producer appends again goes there, if it had the same rows, or a segment that says it was given up.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_schemas::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use tokio::sync::{OnceCell, watch};

use crate::{
    Appended, Bounds, Damage, Entry, EnvelopeError, Extent, Hole, Log, LogError, Message, Metrics, Partition, Record,
    Survey,
    envelope::{header, numbered, numbers_in, open, seal},
    survey::{Intact, Segment},
};

const TIME: &str = "nilometer.time";
const PRODUCERS: &str = "nilometer.producers";
const ROWS_BEFORE: &str = "nilometer.rows_before";
/// Who appended the segment; earlier versions did not say.
const PRODUCER: &str = "nilometer.producer";
/// That the segment stands for a message which was given up, and how many rows that had.
const GIVEN_UP: &str = "nilometer.given_up";
/// How often an append looks for the end again before it gives up.
const ATTEMPTS: u32 = 64;
/// Segments that a survey reads at once.
const READ_AT_ONCE: usize = 16;

/// A log in an object store, for one process; see the module's text.
pub struct EmbeddedLog {
    store: Arc<dyn ObjectStore>,
    root: Path,
    metrics: Metrics,
    accept_loss: bool,
    ends: Mutex<HashMap<Partition, Arc<OnceCell<watch::Sender<Tail>>>>>,
}

/// What an append must know of a partition.
#[derive(Debug, Clone, Default)]
struct Tail {
    extent: Extent,
    /// positions below the end whose messages are still to be appended again
    holes: Vec<Hole>,
}

/// A segment, read.
pub(crate) struct Opened {
    pub(crate) record: Record,
    pub(crate) producers: BTreeMap<String, i64>,
    producer: Option<String>,
    /// rows of the message that was given up here
    given_up: Option<u64>,
}

impl EmbeddedLog {
    /// A log below `root` in `store`. Nothing is read until a partition is used.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, root: &str, metrics: &Metrics) -> Self {
        Self { store, root: Path::from(root), metrics: metrics.clone(), accept_loss: false, ends: Mutex::default() }
    }

    /// What is lost is given up when its producer appends something else.
    #[must_use]
    pub fn accepting_loss(self, accept_loss: bool) -> Self {
        Self { accept_loss, ..self }
    }

    /// Opens every segment of a partition, of which `known` has been there for certain. Nothing is changed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn survey(&self, partition: Partition, known: &Extent) -> Result<Survey, LogError> {
        let positions = self.listed(partition).await?;
        let segments = stream::iter(positions)
            .map(async |position| {
                let segment = match self.fetch(partition, position).await? {
                    Ok(Opened { record, producers, producer, given_up }) => Segment::Intact(Intact {
                        time: record.time,
                        rows_before: record.rows_before,
                        rows: given_up.unwrap_or(record.batch.num_rows() as u64),
                        producer,
                        producers,
                        given_up: given_up.is_some(),
                    }),
                    Err((detail, _)) => Segment::Damaged(detail),
                };
                Ok::<_, LogError>((position, segment))
            })
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Survey::of(&segments, known))
    }

    /// Goes on from a survey: what it found torn behind the end is cut, and what it found lost awaits its producers.
    ///
    /// # Errors
    /// What the store says.
    pub async fn go_on(&self, partition: Partition, survey: Survey) -> Result<(), LogError> {
        for position in survey.torn.iter().rev() {
            if let Err((detail, bytes)) = self.fetch(partition, *position).await? {
                self.cut(partition, *position, &detail, bytes).await?;
            }
        }
        let tail = Tail { extent: survey.extent, holes: survey.holes };
        let known = Arc::new(OnceCell::new_with(Some(watch::Sender::new(tail))));
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, known);
        Ok(())
    }

    /// Gives up what is lost at some positions: readers are told of each as damaged, with the bytes that are left, and it is never looked for
    /// again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn give_up(&self, partition: Partition, hole: &Hole) -> Result<(), LogError> {
        let mut producers = hole.after.clone().unwrap_or_default();
        let mut rows = hole.rows.unwrap_or(0);
        let mut rows_before = hole.rows_before;
        for position in hole.positions.clone() {
            if position + 1 == hole.positions.end {
                producers.extend(hole.until.iter().flatten().map(|(name, last)| (name.clone(), *last)));
            }
            let headers = [
                (TIME, hole.time.0.to_string()),
                (ROWS_BEFORE, rows_before.to_string()),
                (PRODUCERS, serde_json::to_string(&producers).unwrap_or_default()),
                (GIVEN_UP, rows.to_string()),
            ];
            let batch = RecordBatch::new_empty(partition.contract.schema());
            let bytes = seal(&batch, &headers).map_err(|source| LogError::Encode { partition, source })?;
            self.replace(partition, position, bytes).await?;
            tracing::warn!(%partition, position, rows, "given up");
            // The first answers for the rows of all.
            rows_before += std::mem::take(&mut rows);
        }
        Ok(())
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
        Ok(parse(position, &bytes).map_err(|e| (format!("{key} is {e}"), bytes)))
    }

    async fn cut(&self, partition: Partition, position: u64, detail: &str, bytes: Bytes) -> Result<(), LogError> {
        let (key, kept) = (self.key(partition, position), self.torn_key(partition, position));
        tracing::warn!(%partition, position, detail, kept = %kept, "cut a torn segment from the end of the log");
        self.metrics.torn_segments.inc();
        self.set_aside(partition, position, bytes).await?;
        self.store.delete(&key).await.map_err(|source| LogError::Store { key: key.to_string(), source })
    }

    /// Where the bytes of a damaged segment are kept.
    fn torn_key(&self, partition: Partition, position: u64) -> Path {
        let folder = self.root.clone().join("torn").join(partition.contract.topic());
        folder.join(partition.number.to_string()).join(numbered(position))
    }

    async fn set_aside(&self, partition: Partition, position: u64, bytes: Bytes) -> Result<(), LogError> {
        let kept = self.torn_key(partition, position);
        let put = self.store.put(&kept, bytes.into()).await;
        put.map(drop).map_err(|source| LogError::Store { key: kept.to_string(), source })
    }

    /// Puts a segment in the place of one that is lost, whose bytes are kept.
    async fn replace(&self, partition: Partition, position: u64, segment: Vec<u8>) -> Result<(), LogError> {
        match self.fetch(partition, position).await? {
            Err((_, bytes)) if !bytes.is_empty() => self.set_aside(partition, position, bytes).await?,
            _ => {}
        }
        let key = self.key(partition, position);
        let put = self.store.put(&key, segment.into()).await;
        put.map(drop).map_err(|source| LogError::Store { key: key.to_string(), source })
    }

    /// What is left of the bytes of a message that was given up.
    async fn left_of(&self, partition: Partition, position: u64) -> Bytes {
        match self.store.get(&self.torn_key(partition, position)).await {
            Ok(object) => object.bytes().await.unwrap_or_default(),
            Err(_) => Bytes::new(),
        }
    }

    /// Appends a lost message again, where it was.
    async fn fill(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        message: &Message<'_>,
    ) -> Result<Appended, LogError> {
        let (position, rows) = (hole.positions.start, message.batch.num_rows() as u64);
        let fits = hole.rows.is_none_or(|lost| if hole.len() == 1 { rows == lost } else { rows <= lost });
        if !fits {
            let lost = hole.rows.unwrap_or(0);
            return self
                .differs(partition, tail, hole, message.producer, format!("{rows} rows, {lost} were lost"))
                .await;
        }
        let mut filled = hole.clone();
        filled.fill(message.producer, message.sequence, message.time, rows);
        let headers = headers(message, hole.rows_before, filled.after.as_ref());
        let bytes = seal(&message.batch, &headers).map_err(|source| LogError::Encode { partition, source })?;
        self.replace(partition, position, bytes).await?;
        if filled.is_empty() {
            tracing::info!(%partition, up_to = position, producer = message.producer, "what was lost is appended again");
        }
        tail.send_modify(|tail| match tail.holes.iter().position(|hole| hole.positions.start == position) {
            Some(at) if filled.is_empty() => drop(tail.holes.remove(at)),
            Some(at) => tail.holes[at] = filled,
            None => {}
        });
        Ok(Appended::At(position))
    }

    /// Holds what is appended again against the message before a hole, which its producer appended too.
    async fn compare(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        message: &Message<'_>,
    ) -> Result<Appended, LogError> {
        let before = hole.positions.start - 1;
        match self.fetch(partition, before).await? {
            Ok(there) if there.given_up.is_none() && there.record.batch.columns() != message.batch.columns() => {
                let detail = format!("other rows at position {before}, which is there");
                self.differs(partition, tail, hole, message.producer, detail).await
            }
            _ => Ok(Appended::Already),
        }
    }

    /// What is appended again is something else: that is an error, or the lost is given up.
    async fn differs(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        producer: &str,
        detail: String,
    ) -> Result<Appended, LogError> {
        let position = hole.positions.start;
        if !self.accept_loss {
            return Err(LogError::Redone { partition, position, producer: producer.to_owned(), detail });
        }
        self.give_up(partition, &hole).await?;
        tail.send_modify(|tail| tail.holes.retain(|hole| hole.positions.start != position));
        Ok(Appended::Already)
    }
}

impl Opened {
    /// Rows of the partition behind the segment.
    fn rows_behind(&self) -> u64 {
        self.record.rows_before + self.given_up.unwrap_or(self.record.batch.num_rows() as u64)
    }
}

impl Tail {
    /// The hole that a message fills.
    fn awaiting(&self, message: &Message<'_>) -> Option<Hole> {
        self.holes.iter().find(|hole| hole.awaits(message.producer, message.sequence)).cloned()
    }

    /// The hole that begins behind a message.
    fn behind(&self, message: &Message<'_>) -> Option<Hole> {
        let is_before = |hole: &&Hole| {
            let last = hole.after.as_ref().and_then(|after| after.get(message.producer));
            hole.previous.as_deref() == Some(message.producer) && last == Some(&message.sequence)
        };
        self.holes.iter().find(is_before).cloned()
    }

    fn is_lost(&self, position: u64) -> bool {
        self.holes.iter().any(|hole| hole.positions.contains(&position))
    }
}

/// What a segment says besides its rows.
fn headers(
    message: &Message<'_>,
    rows_before: u64,
    producers: Option<&BTreeMap<String, i64>>,
) -> [(&'static str, String); 4] {
    [
        (TIME, message.time.0.to_string()),
        (ROWS_BEFORE, rows_before.to_string()),
        (PRODUCER, message.producer.to_owned()),
        (PRODUCERS, serde_json::to_string(&producers).unwrap_or_default()),
    ]
}

fn parse(position: u64, bytes: &[u8]) -> Result<Opened, EnvelopeError> {
    let (batch, headers) = open(bytes)?;
    let time = Timestamp(header(&headers, TIME, "microseconds since 1970")?);
    let rows_before = header(&headers, ROWS_BEFORE, "a count of rows")?;
    let producers: String = header(&headers, PRODUCERS, "a JSON object of sequences")?;
    let producers = serde_json::from_str(&producers).map_err(|_| EnvelopeError::Header {
        key: PRODUCERS,
        found: Some(producers),
        accepted: "a JSON object of sequences",
    })?;
    let given_up = headers.get(GIVEN_UP).map(|_| header(&headers, GIVEN_UP, "a count of rows")).transpose()?;
    let producer = headers.get(PRODUCER).cloned();
    Ok(Opened { record: Record { position, time, rows_before, batch }, producers, producer, given_up })
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
            let headers = headers(&message, now.rows, Some(&now.producers));
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
