//! Parquet: the rows of a columnar file.

use std::ops::Range;

use arrow::{
    array::RecordBatch,
    error::ArrowError,
    row::{RowConverter, SortField},
};
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{
    Columns, Payload, TableLayout,
    decode::{Times, table::column_times},
};

use super::parquet_file::read;
use crate::delivered::{hash, hash_behind};

/// The rows of a columnar file.
pub(super) struct ColumnRows {
    rows: RecordBatch,
    /// none where the time column cannot be read
    times: Option<Times>,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
}

impl ColumnRows {
    /// # Errors
    /// Why the file is no readable Parquet file.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let rows = read(bytes).map_err(|error| format!("not a readable Parquet file: {error}"))?;
        // Without its time column no row can be placed in time: all count at once, and decoding says what is wrong.
        let times = column_times(&rows, layout).ok();
        let origins = (0..rows.num_rows()).map(|row| times.as_ref()?.origin(row)).collect();
        let hashes = hashes(&rows).map_err(|error| format!("not a readable Parquet file: {error}"))?;
        Ok(Self { rows, times, origins, hashes })
    }

    pub(super) fn origins(&self) -> &[Option<Timestamp>] {
        &self.origins
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Rows that follow each other.
    pub(super) fn payload(&self, rows: Range<usize>, delay_s: Option<i64>) -> Payload {
        let first_row = rows.start as u64 + 1;
        let times = self.times.as_ref().map(|times| times.slice(rows.clone()));
        Payload::Columns(Columns { rows: self.rows.slice(rows.start, rows.len()), first_row, times, delay_s })
    }
}

/// Of each row, behind the columns' names and types.
fn hashes(rows: &RecordBatch) -> Result<Vec<u64>, ArrowError> {
    let fields = rows.schema_ref().fields().iter();
    let head: Vec<String> = fields.clone().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    let head = hash(head.join(",").as_bytes());
    let converter = RowConverter::new(fields.map(|f| SortField::new(f.data_type().clone())).collect())?;
    let content = converter.convert_columns(rows.columns())?;
    Ok(content.iter().map(|row| hash_behind(head, row.data())).collect())
}
