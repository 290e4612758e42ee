//! CSV: lines by their arrival, and lines that were added.

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{
    Lines, Payload, TableLayout,
    decode::{TimeLayout, layout::FoundColumns},
    lines_of,
};

use super::{BATCH_ROWS, file_of_another_header, pieces};
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

/// The whole lines of a growing file beyond the first `delivered`, which moves behind them. A last line without its end
/// waits for the next read; a file with fewer lines than were delivered was replaced and is read from its start.
pub(super) fn growth(bytes: &Bytes, layout: &TableLayout, delivered: &mut u64) -> Vec<Payload> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let bytes = bytes.slice(..whole);
    let starts: Vec<usize> = lines_of(&bytes).map(|(start, _)| start).chain([whole]).collect();
    let lines = starts.len() - 1;
    let from = usize::try_from(*delivered).ok().filter(|d| *d <= lines).unwrap_or(0);
    *delivered = lines as u64;
    if lines == from {
        return Vec::new();
    }
    match Head::new(&bytes, layout) {
        Err(found) if from == 0 => file_of_another_header(&bytes, &found),
        Err(found) => pieces(&bytes.slice(starts[from]..), Reason::HeaderChanged, &found),
        Ok(head) => {
            let first = from.max(1);
            let firsts = (first..lines).step_by(BATCH_ROWS);
            firsts
                .map(|at| {
                    let end = starts[lines.min(at + BATCH_ROWS)];
                    head.lines(bytes.slice(starts[at]..end), at as u64 + 1, None)
                })
                .collect()
        }
    }
}
