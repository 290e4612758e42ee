//! CSV: the lines of a text file as rows.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{TableHead, Times},
    lines_of,
};

use crate::delivered::{hash, hash_behind};

/// Where a row is in its file.
struct Place {
    /// lines between it and the head
    at: usize,
    start: usize,
    /// behind its end of line
    end: usize,
}

/// The rows of a text file whose head is what the layout says.
pub(super) struct LineRows {
    bytes: Bytes,
    head: TableHead,
    times: Times,
    places: Vec<Place>,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
}

impl LineRows {
    /// # Errors
    /// What is wrong with the head.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let head = TableHead::new(bytes, layout)?;
        let head_hash = head.header.as_deref().map_or(0, hash);
        let times = head.times(bytes, layout);
        let text = &bytes[head.body..];
        let (mut places, mut origins, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (start, end)) in lines_of(text).enumerate() {
            let content = &text[start..end];
            if !layout.is_row(content) {
                continue;
            }
            let origin = times.origin(at);
            // Without a time of its own a line means something by its place.
            let meaning = if layout.has_header() { head_hash } else { origin.map_or(0, |time| time.0.cast_unsigned()) };
            // The end of line belongs to the line, so that lines which follow each other are one slice.
            let end = (end..text.len()).find(|at| text[*at] == b'\n').map_or(text.len(), |at| at + 1);
            places.push(Place { at, start: head.body + start, end: head.body + end });
            origins.push(origin);
            hashes.push(hash_behind(meaning, content));
        }
        Ok(Self { bytes: bytes.clone(), head, times, places, origins, hashes })
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
            first_line: self.head.first_line + first.at as u64,
            start: self.head.start,
            times: Some(self.times.slice(first.at..last.at + 1)),
            delay_s,
        })
    }
}
