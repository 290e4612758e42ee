//! Head: what stands before the rows of a text table.

use bytes::Bytes;
use nilometer_schemas::Timestamp;

use crate::{
    decode::{
        BadTime, Times,
        layout::{FoundColumns, TableLayout, TimeLayout},
    },
    payload::lines_of,
};

/// What stands before the rows of a table, understood.
#[derive(Debug, Clone)]
pub struct TableHead {
    /// the header line without its end; none of a table without one
    pub header: Option<Bytes>,
    columns: FoundColumns,
    /// time of the value on line 2, for tables without a header
    pub start: Option<Timestamp>,
    /// where the rows begin
    pub body: usize,
    /// the number of the first line there
    pub first_line: u64,
}

impl TableHead {
    /// That of a whole table.
    ///
    /// # Errors
    /// What is wrong with the header or line 1, and what is accepted.
    pub fn new(bytes: &Bytes, layout: &TableLayout) -> Result<Self, String> {
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
    #[must_use]
    pub fn times(&self, bytes: &Bytes, layout: &TableLayout) -> Times {
        layout.line_times(&bytes[self.body..], &self.columns, self.start, self.first_line)
    }
}

/// Number, start and end of each line, without its end.
fn numbered_lines(text: &[u8]) -> impl Iterator<Item = (u64, usize, usize)> {
    (1..).zip(lines_of(text)).map(|(line, (start, end))| (line, start, end))
}
