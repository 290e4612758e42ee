//! What a table looks like: where its station, time, value and qualifier are, and how they are written.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use jiff::tz::TimeZone;
use nilometer_schemas::Timestamp;

use super::{
    clock::LocalClock,
    qualifier::QualifierFlag,
    stations::Stations,
    time::{BadTime, ReadTime, TimeFormat, Times, Written},
};
use crate::{Conversion, lines_of};

/// What some programs write before the first character of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A table, as its definition describes it.
#[derive(Debug, Clone)]
pub struct TableLayout {
    /// which station the rows are for
    pub station: StationLayout,
    /// when the rows are valid
    pub time: TimeLayout,
    /// zone of times written without an offset
    pub zone: TimeZone,
    /// column of the value; the first column where the table has no header
    pub value: String,
    /// column of the agency's qualifier
    pub qualifier: Option<String>,
    /// what its codes make of a value
    pub qualifier_flags: BTreeMap<String, QualifierFlag>,
    /// columns of a weather forecast; none of a table of what was observed
    pub forecast: Option<ForecastLayout>,
    /// from the cell's number to the variable's canonical unit; carries variable and period
    pub conversion: Conversion,
    /// seconds from the written time of a row to its valid time: the period where that is labelled by its start
    pub label_offset_s: i64,
    /// numbers that mean "no value", compared before the scale is applied
    pub missing: Vec<f64>,
    /// words that mean "no value"; they become the row's qualifier where it has none
    pub missing_words: Vec<String>,
    /// how its lines are written
    pub text: TextLayout,
    /// names by which its rows come
    pub stations: Stations,
}

/// How the lines of a text table are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextLayout {
    /// byte between the cells of a line
    pub delimiter: u8,
    /// between the whole and the fraction of a number
    pub decimal: u8,
    /// lines that begin with this are no rows
    pub comment: Option<String>,
    /// lines before the header
    pub skip_lines: usize,
    /// lines behind the header that describe its columns
    pub skip_after_header: usize,
}

impl Default for TextLayout {
    fn default() -> Self {
        Self { delimiter: b',', decimal: b'.', comment: None, skip_lines: 0, skip_after_header: 0 }
    }
}

impl TextLayout {
    /// Whether a line is a comment.
    #[must_use]
    pub fn is_comment(&self, line: &[u8]) -> bool {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        self.comment.as_ref().is_some_and(|comment| line.starts_with(comment.as_bytes()))
    }

    /// A cell as a number; none when it is not written as one, as with separators of thousands.
    pub(super) fn number(&self, cell: &str) -> Option<f64> {
        match self.decimal {
            b'.' => cell.parse().ok(),
            _ if cell.contains('.') => None,
            decimal => cell.replacen(char::from(decimal), ".", 1).parse().ok(),
        }
    }
}

/// Where a weather forecast says when it was made, and by which member of an ensemble. The time is written as the valid time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastLayout {
    /// column of the reference time
    pub issue_time: String,
    /// column of the member's number; none for a single forecast
    pub member: Option<String>,
}

/// Where the station is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationLayout {
    /// the whole table is about one station
    Constant(String),
    /// a column names it
    Column(String),
}

/// Where the time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeLayout {
    /// A column; the table has a header.
    Column {
        /// its name
        name: String,
        /// how it is written
        format: TimeFormat,
        /// column of the offset or zone code of times written without one
        zone: Option<String>,
    },
    /// Line 1 is the time of the value on line 2; each further line is one step later. No header, one column.
    FirstLine {
        /// how line 1 is written
        format: TimeFormat,
        /// step in seconds, above 0
        step_s: i64,
    },
}

/// The columns of a layout, found in one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumns {
    /// column of the station, when a column names it
    pub station: Option<usize>,
    /// column of the time, when a column holds it
    pub time: Option<usize>,
    /// column of its zone code
    pub zone: Option<usize>,
    /// column of the value
    pub value: usize,
    /// column of the qualifier
    pub qualifier: Option<usize>,
    /// column of a forecast's reference time
    pub issue_time: Option<usize>,
    /// column of its member
    pub member: Option<usize>,
}

/// The columns of a header, as many as a person reads.
fn shortened<S: AsRef<str>>(header: &[S]) -> String {
    let whole = header.iter().map(|h| h.as_ref().trim()).collect::<Vec<_>>().join(", ");
    match whole.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}… ({} columns)", &whole[..end], header.len()),
        None => whole,
    }
}

/// Characters of a header that a message shows.
const SHOWN_CHARS: usize = 200;

impl TableLayout {
    /// A table of columns in UTC with a header, commas and nothing that means "no value".
    #[must_use]
    pub fn new(station: StationLayout, time: TimeLayout, value: &str, conversion: Conversion) -> Self {
        Self {
            station,
            time,
            zone: TimeZone::UTC,
            value: value.to_owned(),
            qualifier: None,
            qualifier_flags: BTreeMap::new(),
            forecast: None,
            conversion,
            label_offset_s: 0,
            missing: Vec::new(),
            missing_words: Vec::new(),
            text: TextLayout::default(),
            stations: Stations::default(),
        }
    }

    /// Whether line 1 names the columns (otherwise it holds the time of the first value).
    #[must_use]
    pub const fn has_header(&self) -> bool {
        matches!(self.time, TimeLayout::Column { .. })
    }

    /// Where the layout's columns are among `header`; a table without header has its value first.
    ///
    /// # Errors
    /// A sentence with the columns found and expected, when one is absent or there twice.
    pub fn find_columns<S: AsRef<str>>(&self, header: &[S]) -> Result<FoundColumns, String> {
        let TimeLayout::Column { name: time, zone, .. } = &self.time else {
            let (time, zone, qualifier, issue_time, member) = (None, None, None, None, None);
            return Ok(FoundColumns { station: None, time, zone, value: 0, qualifier, issue_time, member });
        };
        let find = |name: &str| {
            let mut at = header.iter().enumerate().filter(|(_, h)| h.as_ref().trim() == name).map(|(i, _)| i);
            match (at.next(), at.next()) {
                (Some(i), None) => Ok(i),
                (found, _) => Err(format!(
                    "column {name:?} is {}; found {:?}",
                    if found.is_some() { "there twice" } else { "absent" },
                    shortened(header)
                )),
            }
        };
        Ok(FoundColumns {
            station: match &self.station {
                StationLayout::Constant(_) => None,
                StationLayout::Column(name) => Some(find(name)?),
            },
            time: Some(find(time)?),
            zone: zone.as_deref().map(find).transpose()?,
            value: find(&self.value)?,
            qualifier: self.qualifier.as_deref().map(find).transpose()?,
            issue_time: self.forecast.as_ref().map(|f| find(&f.issue_time)).transpose()?,
            member: self.forecast.as_ref().and_then(|f| f.member.as_deref()).map(find).transpose()?,
        })
    }

    /// Whether a line is a row: not a comment, and in a table with a header not blank.
    #[must_use]
    pub fn is_row(&self, line: &[u8]) -> bool {
        !(self.text.is_comment(line) || self.has_header() && line.is_empty())
    }

    /// Cells of one line. Quotes are read as in RFC 4180, but a cell cannot span lines.
    #[must_use]
    pub fn cells<'a>(&self, line: &'a [u8]) -> Cells<'a> {
        Cells::split(line, self.text.delimiter)
    }

    /// The cells of a header line as text.
    #[must_use]
    pub fn header_cells(&self, header: &[u8]) -> Vec<String> {
        let header = header.strip_prefix(BYTE_ORDER_MARK).unwrap_or(header);
        let cells = self.cells(header);
        cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
    }

    /// The times of all lines of `text`, whose first is `first_line` of its file: from their cells, or from `start` and their number (line 2
    /// is at `start`). Give a whole file, without its header: the order of its rows tells the doubled hour of autumn apart.
    #[must_use]
    pub fn line_times(&self, text: &[u8], columns: &FoundColumns, start: Option<Timestamp>, first_line: u64) -> Times {
        let TimeLayout::Column { format, .. } = &self.time else {
            let valid = lines_of(text).zip(first_line..).map(|(_, line)| self.counted_time(start, line)).collect();
            return Times::new(valid, None);
        };
        let mut valid = LocalClock::new(&self.zone);
        let mut issued = Vec::new();
        for (begin, end) in lines_of(text) {
            let line = &text[begin..end];
            if !self.is_row(line) {
                valid.push(None, None, || 0);
                issued.push(Err(BadTime::Unreadable));
                continue;
            }
            let cells = self.cells(line);
            let word = |column: Option<usize>| std::str::from_utf8(cells.get(column?)?).ok();
            let code = word(columns.zone);
            let written = |column: Option<usize>| format.written(word(column)?);
            let series = [columns.station, columns.issue_time, columns.member];
            valid.push(written(columns.time), code, || series_hash(series.map(|column| cells.get(column?))));
            if columns.issue_time.is_some() {
                issued.push(self.issue_time(written(columns.issue_time), code));
            }
        }
        self.labelled(valid.finish(), columns.issue_time.map(|_| issued))
    }

    /// The time of a line of a table whose times are counted from line 2.
    fn counted_time(&self, start: Option<Timestamp>, line: u64) -> ReadTime {
        let TimeLayout::FirstLine { step_s, .. } = &self.time else { return Err(BadTime::Unreadable) };
        let steps = i64::try_from(line).ok().and_then(|line| line.checked_sub(2)).ok_or(BadTime::Unreadable)?;
        Ok(start.ok_or(BadTime::Unreadable)?.plus_s(steps.saturating_mul(*step_s).saturating_add(self.label_offset_s)))
    }

    /// When a forecast was made. Many rows have it in common, so their order tells nothing of the doubled hour.
    pub(super) fn issue_time(&self, written: Option<Written<'_>>, code: Option<&str>) -> ReadTime {
        written.ok_or(BadTime::Unreadable)?.alone(code, &self.zone)
    }

    /// Written times as valid times.
    pub(super) fn labelled(&self, mut written: Vec<ReadTime>, issued: Option<Vec<ReadTime>>) -> Times {
        if self.label_offset_s != 0 {
            written.iter_mut().flatten().for_each(|time| *time = time.plus_s(self.label_offset_s));
        }
        Times::new(written, issued)
    }
}

/// The hash of what a row is about.
pub(super) fn series_hash(names: [Option<&[u8]>; 3]) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish()
}

/// Cells of one line.
#[derive(Debug)]
pub enum Cells<'a> {
    /// no quote in the line
    Plain(&'a [u8], u8),
    /// unquoted copies
    Quoted(csv::ByteRecord),
}

impl<'a> Cells<'a> {
    fn split(line: &'a [u8], delimiter: u8) -> Self {
        if !line.contains(&b'"') {
            return Self::Plain(line, delimiter);
        }
        let mut record = csv::ByteRecord::new();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(line.len().max(16))
            .from_reader(line);
        match reader.read_byte_record(&mut record) {
            Ok(true) => Self::Quoted(record),
            Ok(false) | Err(_) => Self::Plain(line, delimiter),
        }
    }

    /// One cell, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Plain(line, delimiter) => line.split(|b| b == delimiter).nth(index),
            Self::Quoted(record) => record.get(index),
        }
    }

    /// The cells in order, each looked for once.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (plain, quoted) = match self {
            Self::Plain(line, delimiter) => (Some(line.split(move |b| b == delimiter)), None),
            Self::Quoted(record) => (None, Some(record.iter())),
        };
        plain.into_iter().flatten().chain(quoted.into_iter().flatten())
    }

    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(line, delimiter) => line.split(|b| b == delimiter).count(),
            Self::Quoted(record) => record.len(),
        }
    }

    /// Whether there is no cell at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_quote_stays_on_its_line() {
        let cells = Cells::split(b"\"a,b\",\"c", b',');
        assert_eq!((cells.get(0), cells.get(1), cells.get(2)), (Some(&b"a,b"[..]), Some(&b"c"[..]), None));
    }
}
