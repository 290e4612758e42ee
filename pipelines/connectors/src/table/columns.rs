//! Parquet: rows by their arrival, and rows that were added.

use arrow::{array::RecordBatch, compute::concat_batches};
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Columns, Payload, TableLayout, decode::table::column_origins};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use super::BATCH_ROWS;
use crate::{Cursor, Window};

/// The rows of the window in order of arrival, then of the file.
pub(super) struct RowIndex {
    rows: RecordBatch,
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
        let times = column_origins(&rows, layout).unwrap_or_else(|_| vec![None; rows.num_rows()]);
        let arrival = |time: Option<Timestamp>| match time {
            None => Some(window.from),
            Some(time) => Some(time.plus_s(delay_s)).filter(|arrival| window.contains(time, *arrival)),
        };
        let entry = |(row, time): (usize, Option<Timestamp>)| {
            Some(Entry { arrival: arrival(time)?, row, timed: time.is_some() })
        };
        let mut entries: Vec<Entry> = times.into_iter().enumerate().filter_map(entry).collect();
        entries.sort_unstable();
        Ok(Self { rows, delay_s, entries })
    }

    /// What arrived in `(cursor, until]`: one batch for each run of rows that follow each other in the file.
    pub(super) fn due(&self, cursor: &Cursor, until: Timestamp) -> Vec<(Timestamp, Payload)> {
        let first = self.entries.partition_point(|e| cursor.arrival >= Some(e.arrival));
        let end = self.entries.partition_point(|e| e.arrival <= until).max(first);
        let runs = self.entries[first..end].chunk_by(|a, b| a.row + 1 == b.row && a.timed == b.timed);
        runs.flat_map(|run| run.chunks(BATCH_ROWS))
            .map(|run| (run[run.len() - 1].arrival, payload(&self.rows, run[0].row, run.len(), Some(self.delay_s))))
            .collect()
    }

    pub(super) fn last_arrival(&self) -> Option<Timestamp> {
        self.entries.last().map(|e| e.arrival)
    }
}

/// The rows of a replaced file beyond the first `delivered`, which moves behind them; all of them when there are fewer.
pub(super) fn growth(bytes: &Bytes, delivered: &mut u64) -> Result<Vec<Payload>, ParquetError> {
    let rows = read(bytes)?;
    let from = usize::try_from(*delivered).ok().filter(|d| *d <= rows.num_rows()).unwrap_or(0);
    *delivered = rows.num_rows() as u64;
    let firsts = (from..rows.num_rows()).step_by(BATCH_ROWS);
    Ok(firsts.map(|at| payload(&rows, at, BATCH_ROWS.min(rows.num_rows() - at), None)).collect())
}

fn payload(rows: &RecordBatch, first: usize, count: usize, delay_s: Option<i64>) -> Payload {
    Payload::Columns(Columns { rows: rows.slice(first, count), first_row: first as u64 + 1, delay_s })
}

fn read(bytes: &Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build()?.collect::<Result<_, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}
