//! Tail: the newest messages of one topic in memory, found by catchment or station without a scan.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::{Array as _, ArrayRef, RecordBatch, StringArray},
    compute::concat_batches,
};
use bytes::Bytes;
use nilometer_engine::Record;
use nilometer_schemas::{Contract, SchemaError, Timestamp};

/// A message, and where the rows of each catchment or station lie in it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) position: u64,
    pub(crate) time: Timestamp,
    pub(crate) batch: RecordBatch,
    contract: Contract,
    /// by key, each run of rows in their order
    runs: Vec<(Box<str>, Range<usize>)>,
    /// what streams say of each key, written once for all clients; in the order of `runs`, at the first run of a key
    frames: Vec<OnceLock<Bytes>>,
    /// bytes of the frames that are written
    framed: AtomicUsize,
    bytes: usize,
}

impl Held {
    fn new(contract: Contract, record: Record) -> Result<Self, SchemaError> {
        let batch = contract.accept(record.batch)?;
        let runs = key_column(contract, &batch).map_or_else(Vec::new, runs);
        // Arrays are slices of a message's body, which each would count whole.
        let size = |column: &ArrayRef| {
            column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
        };
        let bytes = batch.columns().iter().map(size).sum();
        let frames = runs.iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            position: record.position,
            time: record.time,
            batch,
            contract,
            runs,
            frames,
            framed: AtomicUsize::new(0),
            bytes,
        })
    }

    /// The rows of a catchment or station; none where it has none.
    pub(crate) fn of(&self, key: &str) -> Option<RecordBatch> {
        let first = self.runs.partition_point(|(of, _)| &**of < key);
        let mut slices = self.runs[first..].iter().take_while(|(of, _)| &**of == key).map(|(_, rows)| self.slice(rows));
        let one = slices.next()?;
        let more: Vec<RecordBatch> = slices.collect();
        if more.is_empty() {
            return Some(one);
        }
        // Slices of one batch have one schema.
        concat_batches(&self.batch.schema(), [&one].into_iter().chain(&more)).ok()
    }

    /// What streams say of a key: as `write` writes its rows, once. None where it has none.
    pub(crate) fn frame(&self, key: &str, write: impl FnOnce(Contract, RecordBatch) -> Bytes) -> Option<Bytes> {
        let first = self.runs.partition_point(|(of, _)| &**of < key);
        self.runs.get(first).filter(|(of, _)| &**of == key)?;
        if let Some(written) = self.frames[first].get() {
            return Some(written.clone());
        }
        let rows = self.of(key)?;
        let frame = self.frames[first].get_or_init(|| {
            let frame = write(self.contract, rows);
            self.framed.fetch_add(frame.len(), Ordering::Relaxed);
            frame
        });
        Some(frame.clone())
    }

    /// Bytes that it takes.
    fn taken(&self) -> usize {
        self.bytes + self.framed.load(Ordering::Relaxed)
    }

    /// Whether it has rows of a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.runs.binary_search_by(|(of, _)| (**of).cmp(key)).is_ok()
    }

    /// Whose rows it has, each once.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        self.runs.iter().map(|(key, _)| &**key).filter(move |key| last.replace(*key) != Some(*key))
    }

    fn slice(&self, rows: &Range<usize>) -> RecordBatch {
        self.batch.slice(rows.start, rows.len())
    }
}

/// What rows of a contract are known by: the catchment, or the station of what a gauge says and what operators do.
fn key_column(contract: Contract, batch: &RecordBatch) -> Option<&StringArray> {
    let name = match contract {
        Contract::Observation | Contract::Operator => "station",
        _ => "catchment",
    };
    batch.column_by_name(name)?.as_any().downcast_ref()
}

/// Rows that follow each other under one key, sorted by it.
fn runs(keys: &StringArray) -> Vec<(Box<str>, Range<usize>)> {
    let mut runs: Vec<(Box<str>, Range<usize>)> = Vec::new();
    let mut start = 0;
    for row in 1..=keys.len() {
        if row == keys.len() || keys.value(row) != keys.value(start) {
            runs.push((keys.value(start).into(), start..row));
            start = row;
        }
    }
    // Stable: of one key the earlier rows stay first.
    runs.sort_by(|(a, _), (b, _)| a.cmp(b));
    runs
}

/// The newest messages of a topic's partition, oldest first, as far as they fit.
#[derive(Debug)]
pub(crate) struct Tail {
    contract: Contract,
    messages: VecDeque<Arc<Held>>,
    keep_s: i64,
    keep_bytes: usize,
    /// position from which on nothing that had rows has left; none before the first message
    start: Option<u64>,
    /// position behind the newest, also of messages without rows
    next: u64,
}

impl Tail {
    /// Keeps messages of `keep_s` and at most `keep_bytes`, the newest whatever it takes.
    pub(crate) const fn new(contract: Contract, keep_s: i64, keep_bytes: usize) -> Self {
        Self { contract, messages: VecDeque::new(), keep_s, keep_bytes, start: None, next: 0 }
    }

    /// Takes the next message. One without rows only moves the end, as does one that breaks the contract.
    pub(crate) fn take(&mut self, record: Record) -> Result<Option<Arc<Held>>, SchemaError> {
        self.next = record.position + 1;
        self.start.get_or_insert(record.position);
        if record.batch.num_rows() == 0 {
            return Ok(None);
        }
        let held = Arc::new(Held::new(self.contract, record)?);
        self.messages.push_back(held.clone());
        // Frames are written later, so all is counted anew.
        let mut bytes = self.bytes();
        let horizon = held.time.plus_s(-self.keep_s);
        while let Some(oldest) = self.messages.front().filter(|_| self.messages.len() > 1) {
            if oldest.time >= horizon && bytes <= self.keep_bytes {
                break;
            }
            bytes -= oldest.taken().min(bytes);
            self.start = Some(oldest.position + 1);
            self.messages.pop_front();
        }
        Ok(Some(held))
    }

    /// Says that what lies before a position is lost or gone, and was not taken.
    pub(crate) fn skip(&mut self, position: u64) {
        self.next = position;
        self.start = Some(position);
    }

    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(|held| held.taken()).sum()
    }

    /// Position behind the newest message.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Position from which on every message is here that has rows.
    pub(crate) fn start(&self) -> u64 {
        self.start.unwrap_or(self.next)
    }

    /// The message at a position; none where it has no rows or has left.
    pub(crate) fn at(&self, position: u64) -> Option<Arc<Held>> {
        let found = self.messages.binary_search_by_key(&position, |held| held.position).ok()?;
        self.messages.get(found).cloned()
    }

    /// Time of the oldest message that is kept.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.messages.front().map(|oldest| oldest.time)
    }

    /// Every message, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.messages.iter().rev()
    }

    /// Those at or behind a position, oldest first.
    pub(crate) fn from(&self, position: u64) -> Vec<Arc<Held>> {
        let first = self.messages.partition_point(|held| held.position < position);
        self.messages.iter().skip(first).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use nilometer_schemas::{Flag, ObservationRow, ObservationsBuilder, Variable};

    use super::*;

    fn record(position: u64, stations: &[&str]) -> Record {
        let mut rows = ObservationsBuilder::new();
        for (row, station) in stations.iter().enumerate() {
            rows.push(ObservationRow {
                station,
                variable: Variable::Discharge,
                valid_time: Timestamp(0).plus_s(i64::try_from(position).unwrap() * 3_600),
                period_s: 0,
                value: Some(row as f64),
                flag: Flag::Pass,
                flag_source: "checks",
                qualifier: None,
                source: "gauges",
                ingest_time: Timestamp(0),
            });
        }
        let time = Timestamp(0).plus_s(i64::try_from(position).unwrap() * 3_600);
        Record { position, time, rows_before: 0, batch: rows.finish().unwrap().into_batch() }
    }

    fn values(batch: &RecordBatch) -> Vec<f64> {
        let column = batch.column_by_name("value").unwrap().as_any();
        column.downcast_ref::<arrow::array::Float64Array>().unwrap().values().to_vec()
    }

    #[test]
    fn rows_are_found_by_key_in_their_order_also_where_they_lie_apart() {
        let mut tail = Tail::new(Contract::Observation, 1 << 40, usize::MAX);
        let held = tail.take(record(0, &["b", "b", "a", "c", "b"])).unwrap().unwrap();
        assert_eq!(values(&held.of("b").unwrap()), [0.0, 1.0, 4.0]);
        assert_eq!(values(&held.of("a").unwrap()), [2.0]);
        assert!(held.of("ab").is_none() && held.of("d").is_none());
        assert_eq!(held.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_old_or_too_much_leaves_and_the_newest_stays() {
        let mut tail = Tail::new(Contract::Observation, 2 * 3_600, usize::MAX);
        (0..5).for_each(|position| drop(tail.take(record(position, &["a"]))));
        assert_eq!((tail.start(), tail.next()), (2, 5));
        assert_eq!(tail.from(4).len(), 1);
        let mut small = Tail::new(Contract::Observation, 1 << 40, 1);
        (0..3).for_each(|position| drop(small.take(record(position, &["a", "b"]))));
        assert_eq!((small.start(), small.next()), (2, 3));
        assert_eq!(small.bytes(), small.from(0)[0].bytes);
        // What was lost is not there, and readers that ask for it learn that.
        small.skip(7);
        assert_eq!((small.start(), small.next()), (7, 7));
        let mut small = Tail::new(Contract::Observation, 1 << 40, 1);
        (0..3).for_each(|position| drop(small.take(record(position, &["a", "b"]))));
        // A message without rows moves the end alone.
        assert!(small.take(record(3, &[])).unwrap().is_none());
        assert_eq!((small.start(), small.next()), (2, 4));
    }
}
