//! CSV: lines by their arrival, and lines that were added.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{TimeLayout, layout::FoundColumns},
    lines_of,
};

use super::{BATCH_ROWS, delivered::hash, file_of_another_header, pieces};
use crate::{Cursor, Window};

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

    fn lines(&self, lines: Bytes, first_line: u64, delay_s: Option<i64>) -> Payload {
        Payload::Lines(Lines { header: self.header.clone(), lines, first_line, start: self.start, delay_s })
    }
}

/// One line of the index.
struct Entry {
    arrival: Timestamp,
    /// whether its time can be read; a run is either or
    timed: bool,
    line: u64,
    start: usize,
    end: usize,
}

/// The lines of the window in order of arrival, then of the file.
pub(super) struct LineIndex {
    bytes: Bytes,
    head: Head,
    delay_s: i64,
    entries: Vec<Entry>,
}

impl LineIndex {
    /// # Errors
    /// The whole file in pieces, when its first line is not what the layout says.
    pub(super) fn new(bytes: Bytes, layout: &TableLayout, delay_s: i64, window: Window) -> Result<Self, Vec<Payload>> {
        let head = Head::new(&bytes, layout).map_err(|found| file_of_another_header(&bytes, &found))?;
        let text = &bytes[head.body..];
        let mut entries = Vec::new();
        for ((start, end), line) in lines_of(text).zip(2..) {
            let content = &text[start..end];
            if layout.has_header() && content.is_empty() {
                continue;
            }
            let time = layout.line_origin(&layout.cells(content), &head.columns, head.start, line);
            let arrival = match time {
                None => window.from,
                Some(time) if window.contains(time, time.plus_s(delay_s)) => time.plus_s(delay_s),
                Some(_) => continue,
            };
            // The end of line belongs to the line, so that lines which follow each other are one slice.
            let end = (end..text.len()).find(|at| text[*at] == b'\n').map_or(text.len(), |at| at + 1);
            entries.push(Entry {
                arrival,
                timed: time.is_some(),
                line,
                start: head.body + start,
                end: head.body + end,
            });
        }
        if !entries.is_sorted_by_key(|e| e.arrival) {
            entries.sort_by_key(|e| e.arrival);
        }
        Ok(Self { bytes, head, delay_s, entries })
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
                (last.arrival, self.head.lines(lines, head.line, Some(self.delay_s)))
            })
            .collect()
    }

    pub(super) fn last_arrival(&self) -> Option<Timestamp> {
        self.entries.last().map(|e| e.arrival)
    }
}

/// The whole lines of a growing file; a last line without its end waits for the next read.
pub(super) struct WholeLines {
    bytes: Bytes,
    /// where each line begins, and the end
    starts: Vec<usize>,
    hashes: Vec<u64>,
}

impl WholeLines {
    pub(super) fn new(bytes: &Bytes) -> Self {
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let bytes = bytes.slice(..whole);
        let lines = || lines_of(&bytes);
        let starts = lines().map(|(start, _)| start).chain([whole]).collect();
        let hashes = lines().map(|(start, end)| hash(&bytes[start..end])).collect();
        Self { bytes, starts, hashes }
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The lines at `places`, the first line being what the others are understood by.
    pub(super) fn payloads(&self, places: Range<usize>, layout: &TableLayout) -> Vec<Payload> {
        let lines = |places: Range<usize>| self.bytes.slice(self.starts[places.start]..self.starts[places.end]);
        match Head::new(&self.bytes, layout) {
            Err(found) if places.start == 0 => file_of_another_header(&self.bytes, &found),
            Err(found) => pieces(&lines(places), Reason::HeaderChanged, &found),
            Ok(head) => {
                let firsts = (places.start.max(1)..places.end).step_by(BATCH_ROWS);
                firsts.map(|at| head.lines(lines(at..places.end.min(at + BATCH_ROWS)), at as u64 + 1, None)).collect()
            }
        }
    }
}
