//! What a table looks like: where its station, time, value and qualifier are, and how they are written.

use jiff::{
    fmt::strtime::{self, BrokenDownTime},
    tz::TimeZone,
};
use nilometer_schemas::Timestamp;

use crate::Conversion;

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
    /// columns of a weather forecast; none of a table of what was observed
    pub forecast: Option<ForecastLayout>,
    /// from the cell's number to the variable's canonical unit; carries variable and period
    pub conversion: Conversion,
    /// numbers that mean "no value", compared before the scale is applied
    pub missing: Vec<f64>,
    /// byte between the cells of a line
    pub delimiter: u8,
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
    },
    /// Line 1 is the time of the value on line 2; each further line is one step later. No header, one column.
    FirstLine {
        /// how line 1 is written
        format: TimeFormat,
        /// step in seconds, above 0
        step_s: i64,
    },
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339 with an offset or `Z`
    Rfc3339,
    /// seconds since 1970-01-01T00:00:00Z
    UnixS,
    /// a strftime pattern
    Strftime(String),
}

impl TimeFormat {
    /// The format that a definition names: `rfc3339`, `unix_s` or a strftime pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_s" => Ok(Self::UnixS),
            pattern if pattern.contains('%') => {
                let written = strtime::format(pattern, &jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, TimeZone::UTC));
                let format = Self::Strftime(pattern.to_owned());
                let back = written.map(|w| format.read(&w, &TimeZone::UTC));
                back.map_err(|e| e.to_string())?.map(|_| format).ok_or_else(|| "does not give a date".to_owned())
            }
            _ => Err("is neither rfc3339, unix_s nor a strftime pattern".to_owned()),
        }
    }

    /// The instant that `text` names; `zone` is for times written without an offset (a local time that occurs twice
    /// is its first occurrence). `None` when it names none.
    #[must_use]
    pub fn read(&self, text: &str, zone: &TimeZone) -> Option<Timestamp> {
        let text = text.trim();
        let instant = match self {
            Self::Rfc3339 => text.parse::<jiff::Timestamp>().ok()?,
            Self::UnixS => jiff::Timestamp::from_second(text.parse().ok()?).ok()?,
            Self::Strftime(pattern) => {
                let parts = BrokenDownTime::parse(pattern, text).ok()?;
                match parts.to_timestamp() {
                    Ok(instant) => instant,
                    Err(_) => zone.to_ambiguous_zoned(parts.to_datetime().ok()?).compatible().ok()?.timestamp(),
                }
            }
        };
        Some(Timestamp(instant.as_microsecond()))
    }
}

/// The columns of a layout, found in one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumns {
    /// column of the station, when a column names it
    pub station: Option<usize>,
    /// column of the time, when a column holds it
    pub time: Option<usize>,
    /// column of the value
    pub value: usize,
    /// column of the qualifier
    pub qualifier: Option<usize>,
    /// column of a forecast's reference time
    pub issue_time: Option<usize>,
    /// column of its member
    pub member: Option<usize>,
}

impl TableLayout {
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
        let TimeLayout::Column { name: time, .. } = &self.time else {
            let (time, qualifier, issue_time, member) = (None, None, None, None);
            return Ok(FoundColumns { station: None, time, value: 0, qualifier, issue_time, member });
        };
        let find = |name: &str| {
            let mut at = header.iter().enumerate().filter(|(_, h)| h.as_ref().trim() == name).map(|(i, _)| i);
            match (at.next(), at.next()) {
                (Some(i), None) => Ok(i),
                (found, _) => Err(format!(
                    "column {name:?} is {}; found {:?}",
                    if found.is_some() { "there twice" } else { "absent" },
                    header.iter().map(|h| h.as_ref().trim()).collect::<Vec<_>>().join(", ")
                )),
            }
        };
        Ok(FoundColumns {
            station: match &self.station {
                StationLayout::Constant(_) => None,
                StationLayout::Column(name) => Some(find(name)?),
            },
            time: Some(find(time)?),
            value: find(&self.value)?,
            qualifier: self.qualifier.as_deref().map(find).transpose()?,
            issue_time: self.forecast.as_ref().map(|f| find(&f.issue_time)).transpose()?,
            member: self.forecast.as_ref().and_then(|f| f.member.as_deref()).map(find).transpose()?,
        })
    }

    /// Cells of one line. Quotes are read as in RFC 4180, but a cell cannot span lines.
    #[must_use]
    pub fn cells<'a>(&self, line: &'a [u8]) -> Cells<'a> {
        Cells::split(line, self.delimiter)
    }

    /// The cells of a header line as text.
    #[must_use]
    pub fn header_cells(&self, header: &[u8]) -> Vec<String> {
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let cells = self.cells(header);
        (0..cells.len()).map(|i| String::from_utf8_lossy(cells.get(i).unwrap_or_default()).into_owned()).collect()
    }

    /// The time of a line: from its cell, or from `start` and its number (counted from 1; line 2 is at `start`).
    /// `None` when it cannot be told.
    #[must_use]
    pub fn line_time(
        &self,
        cells: &Cells<'_>,
        columns: &FoundColumns,
        start: Option<Timestamp>,
        line: u64,
    ) -> Option<Timestamp> {
        match &self.time {
            TimeLayout::FirstLine { step_s, .. } => {
                let steps = i64::try_from(line).ok()?.checked_sub(2)?;
                Some(start?.plus_s(steps.saturating_mul(*step_s)))
            }
            TimeLayout::Column { .. } => self.read_time(cells, columns.time?),
        }
    }

    /// From when on a line is known, but for its source's delay: a forecast from when it was made, anything else from its own time.
    #[must_use]
    pub fn line_origin(
        &self,
        cells: &Cells<'_>,
        columns: &FoundColumns,
        start: Option<Timestamp>,
        line: u64,
    ) -> Option<Timestamp> {
        match columns.issue_time {
            Some(column) => self.read_time(cells, column),
            None => self.line_time(cells, columns, start, line),
        }
    }

    pub(super) fn read_time(&self, cells: &Cells<'_>, column: usize) -> Option<Timestamp> {
        let TimeLayout::Column { format, .. } = &self.time else { return None };
        format.read(std::str::from_utf8(cells.get(column)?).ok()?, &self.zone)
    }
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
    fn times_are_read_in_their_format_and_zone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let read = |format: &str, text: &str, zone: &TimeZone| TimeFormat::new(format).unwrap().read(text, zone);
        let paris = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(read("%Y%m%d%H%M", "201411042000", &TimeZone::UTC), Some(at("2014-11-04T20:00:00Z")));
        assert_eq!(read("%Y%m%d%H%M", "201411042000", &paris), Some(at("2014-11-04T19:00:00Z")));
        assert_eq!(read("%Y-%m-%d", "2014-11-04", &TimeZone::UTC), Some(at("2014-11-04")));
        assert_eq!(
            read("%Y-%m-%d %H:%M:%S%z", "2014-11-04 20:00:00+0100", &TimeZone::UTC),
            Some(at("2014-11-04T19:00:00Z"))
        );
        assert_eq!(read("rfc3339", " 2014-11-04T20:00:00+01:00", &paris), Some(at("2014-11-04T19:00:00Z")));
        assert_eq!(read("unix_s", "1415131200", &paris), Some(at("2014-11-04T20:00:00Z")));
        for (format, text) in
            [("rfc3339", "2014-11-04T20:00:00"), ("unix_s", "9e99"), ("%Y%m%d", "2014"), ("%Y%m%d", "20141399")]
        {
            assert_eq!(read(format, text, &TimeZone::UTC), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_without_a_date_is_refused() {
        assert!(TimeFormat::new("%H:%M").is_err());
        assert!(TimeFormat::new("%Q!").is_err());
        assert!(TimeFormat::new("iso").unwrap_err().contains("rfc3339"));
    }

    #[test]
    fn an_open_quote_stays_on_its_line() {
        let cells = Cells::split(b"\"a,b\",\"c", b',');
        assert_eq!((cells.get(0), cells.get(1), cells.get(2)), (Some(&b"a,b"[..]), Some(&b"c"[..]), None));
    }
}
