//! CSV: the lines of a text file as rows.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{TimeLayout, layout::FoundColumns},
    lines_of,
};

use crate::delivered::{hash, hash_behind};

/// The first line of a table, understood.
struct Head {
    header: Option<Bytes>,
    columns: FoundColumns,
    /// time of the value on line 2, for tables without a header
    start: Option<Timestamp>,
    /// where line 2 begins
    body: usize,
}

impl Head {
    /// # Errors
    /// What is wrong with line 1, and what is accepted.
    fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let (start, end) = lines_of(bytes).next().unwrap_or((0, 0));
        let body = bytes[end..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| end + at + 1);
        let line = bytes.slice(start..end);
        let cells = layout.header_cells(&line);
        let columns = layout.find_columns(&cells)?;
        let TimeLayout::FirstLine { format, .. } = &layout.time else {
            return Ok(Self { header: Some(line), columns, start: None, body });
        };
        let text = cells.first().map_or("", String::as_str);
        match format.read(text, &layout.zone) {
            Some(time) => Ok(Self { header: None, columns, start: Some(time), body }),
            None => Err(format!("line 1 is {text:?}; accepted is the time of the first value in the layout's format")),
        }
    }
}

/// Where a row is in its file.
struct Place {
    line: u64,
    start: usize,
    /// behind its end of line
    end: usize,
}

/// The rows of a text file whose first line is what the layout says.
pub(super) struct LineRows {
    bytes: Bytes,
    head: Head,
    places: Vec<Place>,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
}

impl LineRows {
    /// # Errors
    /// What is wrong with the first line.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let head = Head::new(bytes, layout)?;
        let head_hash = head.header.as_deref().map_or(0, hash);
        let text = &bytes[head.body..];
        let (mut places, mut origins, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for ((start, end), line) in lines_of(text).zip(2..) {
            let content = &text[start..end];
            if layout.has_header() && content.is_empty() {
                continue;
            }
            let origin = layout.line_origin(&layout.cells(content), &head.columns, head.start, line);
            // Without a time of its own a line means something by its place.
            let meaning = if layout.has_header() { head_hash } else { origin.map_or(0, |time| time.0.cast_unsigned()) };
            // The end of line belongs to the line, so that lines which follow each other are one slice.
            let end = (end..text.len()).find(|at| text[*at] == b'\n').map_or(text.len(), |at| at + 1);
            places.push(Place { line, start: head.body + start, end: head.body + end });
            origins.push(origin);
            hashes.push(hash_behind(meaning, content));
        }
        Ok(Self { bytes: bytes.clone(), head, places, origins, hashes })
    }

    pub(super) fn origins(&self) -> &[Option<Timestamp>] {
        &self.origins
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Whether a row follows directly on the one before it.
    pub(super) fn follows(&self, before: usize, row: usize) -> bool {
        self.places[before].end == self.places[row].start
    }

    /// Rows that follow each other.
    pub(super) fn payload(&self, rows: Range<usize>, delay_s: Option<i64>) -> Payload {
        let (first, last) = (&self.places[rows.start], &self.places[rows.end - 1]);
        Payload::Lines(Lines {
            header: self.head.header.clone(),
            lines: self.bytes.slice(first.start..last.end),
            first_line: first.line,
            start: self.head.start,
            delay_s,
        })
    }
}
