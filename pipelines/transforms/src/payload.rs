//! What a connector hands over: bytes that have not been decoded.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::cast, datatypes::DataType};
use bytes::Bytes;
use nilometer_schemas::{DeadLetterRow, Reason, Timestamp};

use crate::decode::{format::Format, time::Times};

/// Bytes of one source, with the place where they were found and the time at which they reached us.
#[derive(Debug, Clone, PartialEq)]
pub struct RawBatch {
    /// name of the source in the pipeline definition
    pub source: Arc<str>,
    /// path below the data root; rows add `:line`
    pub locator: String,
    /// when the batch reached us; the newest arrival among its rows
    pub arrival: Timestamp,
    /// the bytes
    pub payload: Payload,
}

/// The bytes of a batch and what is needed to read them.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A whole file, or a message.
    Whole(Whole),
    /// Lines of a text table.
    Lines(Lines),
    /// Rows of a columnar table.
    Columns(Columns),
    /// Something whose rows are not known; it becomes a dead letter.
    Unreadable {
        /// machine-readable reason
        reason: Reason,
        /// sentence for people
        detail: String,
        /// the bytes as they came
        bytes: Bytes,
        /// rows that the bytes stand for
        rows: u64,
    },
}

/// A whole file or message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// what the bytes are
    pub format: Format,
    /// all of them
    pub bytes: Bytes,
    /// the period that the name of a file says; none where the bytes say it themselves
    pub period: Option<Period>,
}

/// A period by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// its end
    pub valid_time: Timestamp,
    /// its length, seconds
    pub period_s: i64,
}

/// Consecutive lines of one text file, ends of line included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// the header line without its end, absent in tables without one
    pub header: Option<Bytes>,
    /// the lines, each ended by a line feed but perhaps the last
    pub lines: Bytes,
    /// number of the first of them in its file, counted from 1
    pub first_line: u64,
    /// time of the table's first value, for tables without a time column (that value is on line 2)
    pub start: Option<Timestamp>,
    /// when each line is valid, as the whole file tells it; absent where these lines tell it by themselves
    pub times: Option<Times>,
    /// when set, each row arrived this long after its valid time; otherwise with its batch
    pub delay_s: Option<i64>,
}

/// Consecutive rows of one columnar file.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// the rows, with the file's own columns
    pub rows: RecordBatch,
    /// number of the first of them in its file, counted from 1
    pub first_row: u64,
    /// when each row is valid, as the whole file tells it; absent where these rows tell it by themselves
    pub times: Option<Times>,
    /// when set, each row arrived this long after its valid time; otherwise with its batch
    pub delay_s: Option<i64>,
}

impl Lines {
    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> u64 {
        lines_of(&self.lines).count() as u64
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Start and end of each line of `text`, without its `\n` or `\r\n`. What follows the last line feed is a line too.
pub fn lines_of(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let feed = text[start..].iter().position(|b| *b == b'\n').map_or(text.len(), |at| start + at);
        let end = if feed > start && text[feed - 1] == b'\r' { feed - 1 } else { feed };
        let line = (start, end);
        start = feed + 1;
        Some(line)
    })
}

impl RawBatch {
    /// Rows that the batch stands for: 1 for a field, of a text table its lines.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match &self.payload {
            Payload::Whole(Whole { format: Format::CSV, bytes, .. }) => lines_of(bytes).count() as u64,
            Payload::Whole(_) => 1,
            Payload::Lines(lines) => lines.len(),
            Payload::Columns(columns) => columns.rows.num_rows() as u64,
            Payload::Unreadable { rows, .. } => *rows,
        }
    }

    /// The whole batch as one dead letter, its bytes with it.
    #[must_use]
    pub fn dead_letter(&self, reason: Reason, detail: String) -> DeadLetterRow {
        let (content_type, bytes) = match &self.payload {
            Payload::Whole(whole) => (whole.format.content_type, whole.bytes.to_vec()),
            Payload::Lines(lines) => (Format::CSV.content_type, lines.lines.to_vec()),
            Payload::Columns(columns) => (Format::CSV.content_type, rendered(&columns.rows)),
            Payload::Unreadable { bytes, .. } => ("application/octet-stream", bytes.to_vec()),
        };
        DeadLetterRow {
            source: self.source.to_string(),
            locator: self.locator.clone(),
            reason,
            detail,
            rows: self.rows(),
            content_type,
            bytes,
            ingest_time: self.arrival,
        }
    }
}

/// Rows as text, a line each.
fn rendered(rows: &RecordBatch) -> Vec<u8> {
    (0..rows.num_rows()).flat_map(|row| [render_row(rows, row), vec![b'\n']].concat()).collect()
}

/// One row as comma-separated text: columnar files have no bytes of a row to show.
pub(crate) fn render_row(rows: &RecordBatch, row: usize) -> Vec<u8> {
    let cells: Vec<String> = (0..rows.num_columns()).map(|column| render_cell(rows, column, row)).collect();
    cells.join(",").into_bytes()
}

/// One cell as text; an instant is shown in UTC, whatever zone its column names.
pub(crate) fn render_cell(rows: &RecordBatch, column: usize, row: usize) -> String {
    let shown = |cell: &dyn arrow::array::Array, row| arrow::util::display::array_value_to_string(cell, row);
    let cell = rows.column(column).slice(row, 1);
    match cell.data_type() {
        DataType::Timestamp(unit, Some(_)) if cell.is_valid(0) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            cast(&cell, &utc).and_then(|cell| shown(&cell, 0))
        }
        _ => shown(&cell, 0),
    }
    .unwrap_or_else(|_| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_either_ending_or_none() {
        let text = b"a\r\nb\n\nc";
        let found: Vec<&[u8]> = lines_of(text).map(|(s, e)| &text[s..e]).collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(lines_of(b"").count(), 0);
        assert_eq!(lines_of(b"x\n").count(), 1);
    }
}
