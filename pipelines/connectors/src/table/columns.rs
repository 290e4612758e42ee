//! Parquet: rows by their arrival, and rows that were added.

use std::{iter::once, ops::Range};

use arrow::{
    array::RecordBatch,
    row::{RowConverter, SortField},
};
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{
    Columns, Payload, TableLayout,
    decode::{Times, table::column_times},
};
use parquet::errors::ParquetError;

use super::{BATCH_ROWS, delivered::hash, parquet_file::read};
use crate::{Cursor, Window};

/// The rows of the window in order of arrival, then of the file.
pub(super) struct RowIndex {
    rows: RecordBatch,
    /// none where the time column cannot be read
    times: Option<Times>,
    delay_s: i64,
    entries: Vec<Entry>,
}

/// One row of the index.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    arrival: Timestamp,
    row: usize,
    /// whether its time can be read; a run is either or
    timed: bool,
}

impl RowIndex {
    /// # Errors
    /// Why the file is no readable Parquet file.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout, delay_s: i64, window: Window) -> Result<Self, String> {
        let rows = read(bytes).map_err(|error| format!("not a readable Parquet file: {error}"))?;
        // Without its time column no row can be placed in time: all arrive first, and decoding says what is wrong.
        let times = column_times(&rows, layout).ok();
        let origin = |row| times.as_ref().and_then(|times| times.origin(row));
        let arrival = |time: Option<Timestamp>| match time {
            None => Some(window.from),
            Some(time) => Some(time.plus_s(delay_s)).filter(|arrival| window.contains(time, *arrival)),
        };
        let entry = |row: usize| {
            let time = origin(row);
            Some(Entry { arrival: arrival(time)?, row, timed: time.is_some() })
        };
        let mut entries: Vec<Entry> = (0..rows.num_rows()).filter_map(entry).collect();
        entries.sort_unstable();
        Ok(Self { rows, times, delay_s, entries })
    }

    /// What arrived in `(cursor, until]`: one batch for each run of rows that follow each other in the file.
    pub(super) fn due(&self, cursor: &Cursor, until: Timestamp) -> Vec<(Timestamp, Payload)> {
        let first = self.entries.partition_point(|e| cursor.arrival >= Some(e.arrival));
        let end = self.entries.partition_point(|e| e.arrival <= until).max(first);
        let runs = self.entries[first..end].chunk_by(|a, b| a.row + 1 == b.row && a.timed == b.timed);
        runs.flat_map(|run| run.chunks(BATCH_ROWS))
            .map(|run| {
                let payload = payload(&self.rows, self.times.as_ref(), run[0].row, run.len(), Some(self.delay_s));
                (run[run.len() - 1].arrival, payload)
            })
            .collect()
    }

    pub(super) fn last_arrival(&self) -> Option<Timestamp> {
        self.entries.last().map(|e| e.arrival)
    }
}

/// The rows of a file that is replaced whole whenever it grows.
pub(super) struct WholeRows {
    rows: RecordBatch,
    times: Option<Times>,
    /// of the columns' names and types, then of each row
    hashes: Vec<u64>,
}

impl WholeRows {
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, ParquetError> {
        let rows = read(bytes)?;
        let times = column_times(&rows, layout).ok();
        let fields = rows.schema_ref().fields().iter();
        let head: Vec<String> = fields.clone().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let converter = RowConverter::new(fields.map(|f| SortField::new(f.data_type().clone())).collect())?;
        let content = converter.convert_columns(rows.columns())?;
        let hashes = once(hash(head.join(",").as_bytes())).chain(content.iter().map(|row| hash(row.data()))).collect();
        Ok(Self { rows, times, hashes })
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The rows at `places`, the columns' names being at the first.
    pub(super) fn payloads(&self, places: Range<usize>) -> Vec<Payload> {
        let (first, end) = (places.start.max(1) - 1, places.end - 1);
        let firsts = (first..end).step_by(BATCH_ROWS);
        firsts.map(|at| payload(&self.rows, self.times.as_ref(), at, BATCH_ROWS.min(end - at), None)).collect()
    }
}

fn payload(rows: &RecordBatch, times: Option<&Times>, first: usize, count: usize, delay_s: Option<i64>) -> Payload {
    let times = times.map(|times| times.slice(first..first + count));
    Payload::Columns(Columns { rows: rows.slice(first, count), first_row: first as u64 + 1, times, delay_s })
}
