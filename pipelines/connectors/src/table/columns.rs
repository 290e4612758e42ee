//! Parquet: the rows of a columnar file.

use std::ops::Range;

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    error::ArrowError,
    row::{RowConverter, SortField},
};
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Columns, Payload, TableLayout, decode::table::column_origins};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use crate::delivered::{hash, hash_behind};

/// The rows of a columnar file.
pub(super) struct ColumnRows {
    rows: RecordBatch,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
}

impl ColumnRows {
    /// # Errors
    /// Why the file is no readable Parquet file.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let rows = read(bytes).map_err(|error| format!("not a readable Parquet file: {error}"))?;
        // Without its time column no row can be placed in time: all count at once, and decoding says what is wrong.
        let origins = column_origins(&rows, layout).unwrap_or_else(|_| vec![None; rows.num_rows()]);
        let hashes = hashes(&rows).map_err(|error| format!("not a readable Parquet file: {error}"))?;
        Ok(Self { rows, origins, hashes })
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
        Payload::Columns(Columns { rows: self.rows.slice(rows.start, rows.len()), first_row, delay_s })
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

fn read(bytes: &Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build()?.collect::<Result<_, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}
