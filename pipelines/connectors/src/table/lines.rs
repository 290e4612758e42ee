//! CSV: lines by their arrival, and lines that were added.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{BadTime, TimeLayout, Times, layout::FoundColumns},
    lines_of,
};

use super::{BATCH_ROWS, delivered::hash, file_of_another_header, pieces};
use crate::{Cursor, Window};

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

    fn lines(&self, lines: Bytes, first_line: u64, times: Times, delay_s: Option<i64>) -> Payload {
        let (header, start) = (self.header.clone(), self.start);
        Payload::Lines(Lines { header, lines, first_line, start, times: Some(times), delay_s })
    }
}

/// Number, start and end of each line, without its end.
fn numbered_lines(text: &[u8]) -> impl Iterator<Item = (u64, usize, usize)> {
    (1..).zip(lines_of(text)).map(|(line, (start, end))| (line, start, end))
}

/// One line of the index.
struct Entry {
    arrival: Timestamp,
    /// whether its time can be read; a run is either or
    timed: bool,
    /// lines between it and the head
    at: usize,
    start: usize,
    end: usize,
}

/// The lines of the window in order of arrival, then of the file.
pub(super) struct LineIndex {
    bytes: Bytes,
    head: Head,
    times: Times,
    delay_s: i64,
    entries: Vec<Entry>,
}

impl LineIndex {
    /// # Errors
    /// The whole file in pieces, when its first line is not what the layout says.
    pub(super) fn new(bytes: Bytes, layout: &TableLayout, delay_s: i64, window: Window) -> Result<Self, Vec<Payload>> {
        let head = Head::new(&bytes, layout).map_err(|found| file_of_another_header(&bytes, &found))?;
        let text = &bytes[head.body..];
        let times = head.times(&bytes, layout);
        let mut entries = Vec::new();
        for (at, (start, end)) in lines_of(text).enumerate() {
            if !layout.is_row(&text[start..end]) {
                continue;
            }
            let time = times.origin(at);
            let arrival = match time {
                None => window.from,
                Some(time) if window.contains(time, time.plus_s(delay_s)) => time.plus_s(delay_s),
                Some(_) => continue,
            };
            // The end of line belongs to the line, so that lines which follow each other are one slice.
            let end = (end..text.len()).find(|at| text[*at] == b'\n').map_or(text.len(), |at| at + 1);
            entries.push(Entry { arrival, timed: time.is_some(), at, start: head.body + start, end: head.body + end });
        }
        if !entries.is_sorted_by_key(|e| e.arrival) {
            entries.sort_by_key(|e| e.arrival);
        }
        Ok(Self { bytes, head, times, delay_s, entries })
    }

    /// What arrived in `(cursor, until]`: one batch for each run of lines that follow each other in the file.
    pub(super) fn due(&self, cursor: &Cursor, until: Timestamp) -> Vec<(Timestamp, Payload)> {
        let first = self.entries.partition_point(|e| cursor.arrival >= Some(e.arrival));
        let end = self.entries.partition_point(|e| e.arrival <= until).max(first);
        let runs = self.entries[first..end].chunk_by(|a, b| a.end == b.start && a.timed == b.timed);
        runs.flat_map(|run| run.chunks(BATCH_ROWS))
            .map(|run| {
                let (head, last) = (&run[0], &run[run.len() - 1]);
                let lines = self.bytes.slice(head.start..last.end);
                let (first_line, times) =
                    (self.head.first_line + head.at as u64, self.times.slice(head.at..last.at + 1));
                (last.arrival, self.head.lines(lines, first_line, times, Some(self.delay_s)))
            })
            .collect()
    }

    pub(super) fn last_arrival(&self) -> Option<Timestamp> {
        self.entries.last().map(|e| e.arrival)
    }
}

/// The whole rows of a growing file; a last line without its end waits for the next read.
pub(super) struct WholeLines {
    bytes: Bytes,
    head: Result<Head, String>,
    /// each row, or each line where there is no head
    rows: Vec<WholeLine>,
    /// of the header, then of each row; a comment that says when the file was made is no row
    hashes: Vec<u64>,
}

/// One whole line.
struct WholeLine {
    /// lines between it and the head
    at: usize,
    start: usize,
    /// behind its line feed
    end: usize,
}

impl WholeLines {
    pub(super) fn new(bytes: &Bytes, layout: &TableLayout) -> Self {
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let bytes = bytes.slice(..whole);
        let head = Head::new(&bytes, layout);
        let body = head.as_ref().map_or(0, |head| head.body);
        let text = &bytes[body..];
        let is_row = |line: &[u8]| head.is_err() || layout.is_row(line);
        let (mut rows, mut hashes) = (Vec::new(), Vec::new());
        if let Ok(head) = &head {
            let (start, end) = lines_of(&bytes).next().unwrap_or_default();
            hashes.push(hash(head.header.as_deref().unwrap_or(&bytes[start..end])));
        }
        let starts = lines_of(text).map(|(start, _)| start).skip(1).chain([text.len()]);
        for (at, ((start, end), next)) in lines_of(text).zip(starts).enumerate() {
            if is_row(&text[start..end]) {
                hashes.push(hash(&text[start..end]));
                rows.push(WholeLine { at, start: body + start, end: body + next });
            }
        }
        Self { bytes: bytes.clone(), head, rows, hashes }
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The rows at `places`, the header being at the first.
    pub(super) fn payloads(&self, places: Range<usize>, layout: &TableLayout) -> Vec<Payload> {
        let head = match &self.head {
            Ok(head) => head,
            Err(found) if places.start == 0 => return file_of_another_header(&self.bytes, found),
            Err(found) => {
                let lines = self.bytes.slice(self.rows[places.start].start..self.rows[places.end - 1].end);
                return pieces(&lines, Reason::HeaderChanged, found);
            }
        };
        let times = head.times(&self.bytes, layout);
        let rows = &self.rows[places.start.max(1) - 1..places.end - 1];
        let runs = rows.chunk_by(|a, b| a.end == b.start).flat_map(|run| run.chunks(BATCH_ROWS));
        let payload = |run: &[WholeLine]| {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let lines = self.bytes.slice(first.start..last.end);
            head.lines(lines, head.first_line + first.at as u64, times.slice(first.at..last.at + 1), None)
        };
        runs.map(payload).collect()
    }
}
