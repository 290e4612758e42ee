//! CSV: the lines of a text file as rows.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{BadTime, TimeLayout, Times, layout::FoundColumns},
    lines_of,
};

use crate::delivered::{hash, hash_behind};

/// What stands before the rows of a table, understood.
struct Head {
    header: Option<Bytes>,
    columns: FoundColumns,
    /// time of the value on line 2, for tables without a header
    start: Option<Timestamp>,
    /// where the rows begin
    body: usize,
    /// the number of the first line there
    first_line: u64,
}

impl Head {
    /// # Errors
    /// What is wrong with the header or line 1, and what is accepted.
    fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let TimeLayout::FirstLine { format, .. } = &layout.time else { return Self::of_columns(bytes, layout) };
        let mut lines = numbered_lines(bytes);
        let (_, start, end) = lines.next().unwrap_or((1, 0, 0));
        let cells = layout.header_cells(&bytes[start..end]);
        let columns = layout.find_columns(&cells)?;
        let text = cells.first().map_or("", String::as_str);
        let time = format.read(text, &layout.zone).map_err(|problem| match problem {
            BadTime::Unreadable => {
                format!("line 1 is {text:?}; accepted is the time of the first value in the layout's format")
            }
            problem => format!("line 1 is {text:?}, {}", problem.problem()),
        })?;
        let body = lines.next().map_or(bytes.len(), |(_, start, _)| start);
        Ok(Self { header: None, columns, start: Some(time), body, first_line: 2 })
    }

    /// The head of a table with a header: what is skipped before it, the header, and what is skipped behind it.
    fn of_columns(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let text = &layout.text;
        let mut lines = numbered_lines(bytes)
            .skip(text.skip_lines)
            .filter(|(_, start, end)| !text.is_comment(&bytes[*start..*end]));
        let (line, start, end) = lines.next().unwrap_or((1, 0, 0));
        let header = bytes.slice(start..end);
        let found = |problem: String| if line == 1 { problem } else { format!("line {line}: {problem}") };
        let columns = layout.find_columns(&layout.header_cells(&header)).map_err(found)?;
        for (line, start, end) in lines.by_ref().take(text.skip_after_header) {
            let content = &bytes[start..end];
            if layout.line_times(content, &columns, None, line).origin(0).is_some() {
                return Err(format!(
                    "line {line} holds a time, but skip_after_header = {} passes over it; accepted is the number of lines that describe the columns",
                    text.skip_after_header
                ));
            }
        }
        let (first_line, body, _) = lines.next().unwrap_or((line + 1, bytes.len(), 0));
        Ok(Self { header: Some(header), columns, start: None, body, first_line })
    }

    /// The times of all lines behind the head.
    fn times(&self, bytes: &Bytes, layout: &TableLayout) -> Times {
        layout.line_times(&bytes[self.body..], &self.columns, self.start, self.first_line)
    }
}

/// Number, start and end of each line, without its end.
fn numbered_lines(text: &[u8]) -> impl Iterator<Item = (u64, usize, usize)> {
    (1..).zip(lines_of(text)).map(|(line, (start, end))| (line, start, end))
}

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
    head: Head,
    times: Times,
    places: Vec<Place>,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
}

impl LineRows {
    /// # Errors
    /// What is wrong with the head.
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
        let head = Head::new(bytes, layout)?;
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
