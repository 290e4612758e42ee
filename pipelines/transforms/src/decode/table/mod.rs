//! Tables: each usable row becomes one entry of [`RawRows`], each other one a dead letter with its bytes.

mod columns;
mod head;

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, StringBuilder};
use bytes::Bytes;
use nilometer_schemas::{DeadLetterRow, Flag, Reason, Timestamp, Variable};

use super::{
    layout::{Cells, FoundColumns, StationLayout, TableLayout},
    qualifier::{QualifierFlag, worst},
    stations::Station,
    time::{BadTime, ReadTime},
};
use crate::{
    Lines, Payload, RawBatch,
    decode::Format,
    payload::{Whole, lines_of, render_row},
};

/// A longer line is refused, and as much of it goes into its dead letter.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Rows whose station, time and value could be read, column by column. Values are in the variable's canonical unit;
/// quality has not been looked at.
#[derive(Debug, Clone)]
pub struct RawRows {
    /// name of the source
    pub source: Arc<str>,
    /// what the values are about
    pub variable: Variable,
    /// length of each value's period in seconds, 0 for instants
    pub period_s: i64,
    /// station of each row
    pub station: StringArray,
    /// valid time of each row
    pub time: Vec<Timestamp>,
    /// value of each row; none when the agency had none
    pub value: Vec<Option<f64>>,
    /// the agency's qualifier of each row
    pub qualifier: StringArray,
    /// what that says of the value, where it says something
    pub qualifier_flag: Vec<Option<Flag>>,
    /// of each row of a weather forecast, when it was made and by which member; none of an observed one
    pub forecast: Vec<Option<Forecast>>,
    /// whether they are of a weather forecast
    pub is_forecast: bool,
    /// when each row reached us
    pub ingest_time: Vec<Timestamp>,
    /// number of each row's line in its file
    pub line: Vec<u64>,
    locator: String,
    origin: Origin,
}

/// Which weather forecast a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// its reference time
    pub issue_time: Timestamp,
    /// number of the member; none for a single forecast
    pub member: Option<i32>,
}

/// Where the rows' bytes are.
#[derive(Debug, Clone)]
enum Origin {
    Lines { text: Bytes, spans: Vec<(usize, usize)> },
    Columns { rows: RecordBatch, index: Vec<usize> },
}

/// What a batch of table rows became: `received = rows + dead letters + skipped`, counted in rows.
#[derive(Debug, Clone)]
pub struct DecodedTable {
    /// rows that can be read
    pub rows: RawRows,
    /// rows that cannot
    pub dead_letters: Vec<DeadLetterRow>,
    /// rows that the batch stood for (comments, and blank lines of a table with a header, are none)
    pub received: u64,
    /// rows of other stations, which the layout passes over
    pub skipped: u64,
}

impl RawRows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Keeps these rows only, in this order; the qualifier is the caller's to set anew.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        if rows.len() == self.len() {
            return;
        }
        self.station = rows.iter().map(|row| Some(self.station.value(*row))).collect();
        self.time = rows.iter().map(|row| self.time[*row]).collect();
        self.value = rows.iter().map(|row| self.value[*row]).collect();
        self.qualifier_flag = rows.iter().map(|row| self.qualifier_flag[*row]).collect();
        self.forecast = rows.iter().map(|row| self.forecast[*row]).collect();
        self.ingest_time = rows.iter().map(|row| self.ingest_time[*row]).collect();
        self.line = rows.iter().map(|row| self.line[*row]).collect();
        match &mut self.origin {
            Origin::Lines { spans, .. } => *spans = rows.iter().map(|row| spans[*row]).collect(),
            Origin::Columns { index, .. } => *index = rows.iter().map(|row| index[*row]).collect(),
        }
    }

    /// The worse of a row's flag, which a test gave with the name of its source, and of what its qualifier says.
    pub(crate) fn with_qualifier(&self, row: usize, flag: Flag, flag_source: &'static str) -> (Flag, &'static str) {
        match self.qualifier_flag[row] {
            Some(said) if flag != Flag::Missing && flag.worst(said) != flag => (said, "qualifier"),
            _ => (flag, flag_source),
        }
    }

    /// One row as a dead letter, with its bytes and its line.
    #[must_use]
    pub fn dead_letter(&self, row: usize, reason: Reason, detail: String) -> DeadLetterRow {
        let bytes = match &self.origin {
            Origin::Lines { text, spans } => text[spans[row].0..spans[row].1].to_vec(),
            Origin::Columns { rows, index } => render_row(rows, index[row]),
        };
        row_dead_letter(&self.source, &self.locator, self.line[row], reason, detail, bytes, self.ingest_time[row])
    }
}

fn row_dead_letter(
    source: &str,
    locator: &str,
    line: u64,
    reason: Reason,
    detail: String,
    bytes: Vec<u8>,
    ingest_time: Timestamp,
) -> DeadLetterRow {
    DeadLetterRow {
        source: source.to_owned(),
        locator: format!("{locator}:{line}"),
        reason,
        detail,
        rows: 1,
        content_type: "text/csv",
        bytes,
        ingest_time,
    }
}

pub use columns::column_times;
pub use head::TableHead;

/// Reads the rows of a batch. An empty cell, a configured missing number or word and a qualifier that withholds the value are rows
/// without a value, not errors.
///
/// Reasons of dead letters: `bad_time`, `not_finite` (words, NaN, infinities), `undecodable` (no such cell, text that is
/// no UTF-8, a line of more than 1 MiB), `unknown_station` (discharge in mm of a catchment whose area is not known), `header_changed` (the
/// whole batch), and what the connector said of an unreadable batch.
#[must_use]
pub fn table(batch: &RawBatch, layout: &TableLayout) -> DecodedTable {
    let decoded = match &batch.payload {
        Payload::Lines(lines) => decode_lines(batch, lines, layout),
        Payload::Whole(Whole { format: Format::CSV, bytes, .. }) => decode_message(batch, bytes, layout),
        Payload::Columns(columns) => columns::decode(batch, columns, layout),
        Payload::Whole(_) => Err((Reason::Undecodable, "a field where a table was expected".to_owned())),
        Payload::Unreadable { reason, detail, .. } => Err((*reason, detail.clone())),
    };
    decoded.unwrap_or_else(|(reason, detail)| DecodedTable {
        rows: Rows::new(batch, layout, None).finish(Origin::Lines { text: Bytes::new(), spans: Vec::new() }),
        dead_letters: vec![batch.dead_letter(reason, detail)],
        received: batch.rows(),
        skipped: 0,
    })
}

/// Why one row cannot be used.
type Refusal = (Reason, String);

/// Rows in the making.
struct Rows<'a> {
    batch: &'a RawBatch,
    layout: &'a TableLayout,
    delay_s: Option<i64>,
    station: StringBuilder,
    time: Vec<Timestamp>,
    value: Vec<Option<f64>>,
    qualifier: StringBuilder,
    qualifier_flag: Vec<Option<Flag>>,
    forecast: Vec<Option<Forecast>>,
    ingest_time: Vec<Timestamp>,
    line: Vec<u64>,
    skipped: u64,
}

/// A cell of the value column.
enum Cell<'a> {
    Absent,
    Number(f64),
    Word(&'a str),
}

/// The content of a row, without its line.
struct RowContent<'a> {
    station: &'a str,
    time: Timestamp,
    value: Cell<'a>,
    qualifier: Option<&'a str>,
    forecast: Option<Forecast>,
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RawBatch, layout: &'a TableLayout, delay_s: Option<i64>) -> Self {
        Self {
            batch,
            layout,
            delay_s,
            station: StringBuilder::new(),
            time: Vec::new(),
            value: Vec::new(),
            qualifier: StringBuilder::new(),
            qualifier_flag: Vec::new(),
            forecast: Vec::new(),
            ingest_time: Vec::new(),
            line: Vec::new(),
            skipped: 0,
        }
    }

    fn push(&mut self, line: u64, content: RowContent<'_>) -> Result<(), Refusal> {
        let layout = self.layout;
        let station = layout.stations.of(content.station);
        let (mut value, word) = self.value(&content.value, content.station, station)?;
        let qualifier = content.qualifier.or(word);
        let says = qualifier.and_then(|qualifier| worst(&layout.qualifier_flags, qualifier));
        if says == Some(QualifierFlag::Missing) {
            value = None;
        }
        self.station.append_value(station.map_or(content.station, |station| &station.name));
        self.time.push(content.time);
        self.value.push(value);
        self.qualifier.append_option(qualifier);
        self.qualifier_flag.push(says.map(QualifierFlag::flag));
        self.forecast.push(content.forecast);
        self.ingest_time
            .push(self.arrival(Some(content.forecast.map_or(content.time, |forecast| forecast.issue_time))));
        self.line.push(line);
        Ok(())
    }

    /// When a row reached us: the time from which on it was known and the delay, or with its batch.
    fn arrival(&self, time: Option<Timestamp>) -> Timestamp {
        time.zip(self.delay_s).map_or(self.batch.arrival, |(time, delay_s)| time.plus_s(delay_s))
    }

    /// A cell as a value: none when it is empty, a configured missing number or a configured missing word, which is given too.
    fn value<'c>(
        &self,
        cell: &Cell<'c>,
        name: &str,
        station: Option<&Station>,
    ) -> Result<(Option<f64>, Option<&'c str>), Refusal> {
        let layout = self.layout;
        let raw = match *cell {
            Cell::Absent => return Ok((None, None)),
            Cell::Word(word) if layout.missing_words.iter().any(|missing| missing == word) => {
                return Ok((None, Some(word)));
            }
            Cell::Word(word) => layout.text.number(word).ok_or_else(|| no_number(word, layout))?,
            Cell::Number(number) => number,
        };
        if layout.missing.contains(&raw) {
            return Ok((None, None));
        }
        let value = match (layout.conversion.is_per_km2(), station) {
            (false, _) => layout.conversion.apply(raw),
            (true, Some(station)) => layout.conversion.apply(raw) * station.area_km2,
            (true, None) => return Err(no_area(name)),
        };
        if value.is_finite() { Ok((Some(value), None)) } else { Err(not_finite(&raw.to_string())) }
    }

    fn finish_table(self, origin: Origin, dead_letters: Vec<DeadLetterRow>) -> DecodedTable {
        let skipped = self.skipped;
        let received = (self.line.len() + dead_letters.len()) as u64 + skipped;
        DecodedTable { rows: self.finish(origin), dead_letters, received, skipped }
    }

    fn dead_letter(&self, line: u64, time: Option<Timestamp>, refusal: Refusal, bytes: Vec<u8>) -> DeadLetterRow {
        let batch = self.batch;
        row_dead_letter(&batch.source, &batch.locator, line, refusal.0, refusal.1, bytes, self.arrival(time))
    }

    fn finish(mut self, origin: Origin) -> RawRows {
        RawRows {
            source: self.batch.source.clone(),
            variable: self.layout.conversion.variable(),
            period_s: self.layout.conversion.period_s(),
            station: self.station.finish(),
            time: self.time,
            value: self.value,
            qualifier: self.qualifier.finish(),
            qualifier_flag: self.qualifier_flag,
            forecast: self.forecast,
            is_forecast: self.layout.forecast.is_some(),
            ingest_time: self.ingest_time,
            line: self.line,
            locator: self.batch.locator.clone(),
            origin,
        }
    }
}

fn not_finite(found: &str) -> Refusal {
    (Reason::NotFinite, format!("value is {found:?}; accepted is a finite number, a missing number or an empty cell"))
}

fn no_number(word: &str, layout: &TableLayout) -> Refusal {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '\'' | ' ' | '\u{a0}');
    if word.chars().all(digits) && word.chars().any(|c| c.is_ascii_digit()) {
        let (found, decimal) = (format!("value is {word:?}"), char::from(layout.text.decimal));
        let accepted = format!("a number with {decimal:?} before its fraction (decimal) and no separator of thousands");
        return (Reason::NotFinite, format!("{found}; accepted is {accepted}"));
    }
    not_finite(word)
}

fn no_area(station: &str) -> Refusal {
    let detail =
        format!("discharge in mm of {station:?}, whose area is not known; accepted are the pipeline's stations");
    (Reason::UnknownStation, detail)
}

fn member_number(found: &str) -> Result<i32, Refusal> {
    let refuse = |_| (Reason::Undecodable, format!("member is {found:?}; accepted is a whole number"));
    found.parse().map_err(refuse)
}

fn bad_time(found: &str, problem: BadTime) -> Refusal {
    (Reason::BadTime, format!("time is {found:?}, {}", problem.problem()))
}

fn decode_message(batch: &RawBatch, bytes: &Bytes, layout: &TableLayout) -> Result<DecodedTable, Refusal> {
    let head = TableHead::new(bytes, layout).map_err(|found| (Reason::HeaderChanged, found))?;
    let lines = Lines {
        lines: bytes.slice(head.body..),
        times: Some(head.times(bytes, layout)),
        header: head.header,
        first_line: head.first_line,
        start: head.start,
        delay_s: None,
    };
    decode_lines(batch, &lines, layout)
}

fn decode_lines(batch: &RawBatch, lines: &Lines, layout: &TableLayout) -> Result<DecodedTable, Refusal> {
    let header = lines.header.as_deref().map(|h| layout.header_cells(h)).unwrap_or_default();
    let columns = layout.find_columns(&header).map_err(|found| (Reason::HeaderChanged, found))?;
    let of_batch;
    let times = match &lines.times {
        Some(times) => times,
        None => {
            of_batch = layout.line_times(&lines.lines, &columns, lines.start, lines.first_line);
            &of_batch
        }
    };
    let (mut rows, mut spans, mut dead_letters) = (Rows::new(batch, layout, lines.delay_s), Vec::new(), Vec::new());
    for (at, ((start, end), line)) in lines_of(&lines.lines).zip(lines.first_line..).enumerate() {
        let text = &lines.lines[start..end];
        if !layout.is_row(text) {
            continue;
        }
        let cells = layout.cells(text);
        let station = columns.station.and_then(|index| text_cell(&cells, index).ok());
        if station.is_some_and(|station| layout.stations.skips(station)) {
            rows.skipped += 1;
            continue;
        }
        let read = too_many_cells(&cells, header.len().max(1)).and_then(|()| {
            push_line(&mut rows, layout, &columns, line, (times.valid(at), times.issued(at)), &cells, text.len())
        });
        match read {
            Ok(()) => spans.push((start, end)),
            Err(refusal) => {
                let kept = text[..text.len().min(MAX_LINE_BYTES)].to_vec();
                dead_letters.push(rows.dead_letter(line, times.origin(at), refusal, kept));
            }
        }
    }
    Ok(rows.finish_table(Origin::Lines { text: lines.lines.clone(), spans }, dead_letters))
}

/// A line with more cells than the table has columns is no row of it: a decimal comma beside a comma between the cells makes two numbers of one.
fn too_many_cells(cells: &Cells<'_>, columns: usize) -> Result<(), Refusal> {
    if cells.iter().skip(columns).all(|cell| cell.trim_ascii().is_empty()) {
        return Ok(());
    }
    let found = cells.len();
    let accepted = format!("accepted are {columns}, as many as there are columns (delimiter, decimal)");
    Err((Reason::Undecodable, format!("line has {found} cells; {accepted}")))
}

fn push_line(
    rows: &mut Rows<'_>,
    layout: &TableLayout,
    columns: &FoundColumns,
    line: u64,
    (valid, issued): (ReadTime, Option<ReadTime>),
    cells: &Cells<'_>,
    bytes: usize,
) -> Result<(), Refusal> {
    if bytes > MAX_LINE_BYTES {
        let detail = format!("line has {bytes} bytes; accepted are at most {MAX_LINE_BYTES}, which are kept here");
        return Err((Reason::Undecodable, detail));
    }
    let station = match (&layout.station, columns.station) {
        (StationLayout::Column(_), Some(index)) => text_cell(cells, index)?,
        (StationLayout::Constant(name) | StationLayout::Column(name), _) => name,
    };
    let refuse = |column: Option<usize>, problem| {
        let cell =
            |column: Option<usize>| String::from_utf8_lossy(column.and_then(|i| cells.get(i)).unwrap_or_default());
        let code = if columns.zone.is_some() { format!(" {}", cell(columns.zone)) } else { String::new() };
        bad_time(&format!("{}{code}", cell(column)), problem)
    };
    let time = valid.map_err(|problem| refuse(columns.time, problem))?;
    let value = match text_cell(cells, columns.value)? {
        "" => Cell::Absent,
        word => Cell::Word(word),
    };
    let qualifier = columns.qualifier.map(|i| text_cell(cells, i)).transpose()?.filter(|q| !q.is_empty());
    let forecast = match issued {
        None => None,
        Some(issued) => {
            let issue_time = issued.map_err(|problem| refuse(columns.issue_time, problem))?;
            let member = columns.member.map(|i| text_cell(cells, i)).transpose()?.map(member_number).transpose()?;
            Some(Forecast { issue_time, member })
        }
    };
    rows.push(line, RowContent { station, time, value, qualifier, forecast })
}

fn text_cell<'a>(cells: &'a Cells<'_>, index: usize) -> Result<&'a str, Refusal> {
    let cell = cells.get(index).ok_or_else(|| {
        (Reason::Undecodable, format!("line has {} cells; accepted are at least {}", cells.len(), index + 1))
    })?;
    let text =
        std::str::from_utf8(cell).map_err(|e| (Reason::Undecodable, format!("cell {} is no UTF-8: {e}", index + 1)))?;
    Ok(text.trim())
}
