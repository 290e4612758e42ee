//! Tables: each usable row becomes one entry of [`RawRows`], each other one a dead letter with its bytes.

mod columns;

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, StringBuilder};
use bytes::Bytes;
use nilometer_schemas::{DeadLetterRow, Reason, Timestamp, Variable};

use super::layout::{Cells, FoundColumns, StationLayout, TableLayout};
use crate::{
    Lines, Payload, RawBatch,
    payload::{lines_of, render_row},
};

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
    /// of each row of a weather forecast, when it was made and by which member; none of an observed one
    pub forecast: Vec<Option<Forecast>>,
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

/// What a batch of table rows became: `received = rows + dead letters`, counted in rows.
#[derive(Debug, Clone)]
pub struct DecodedTable {
    /// rows that can be read
    pub rows: RawRows,
    /// rows that cannot
    pub dead_letters: Vec<DeadLetterRow>,
    /// rows that the batch stood for (blank lines of a table with a header are none)
    pub received: u64,
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
        self.forecast = rows.iter().map(|row| self.forecast[*row]).collect();
        self.ingest_time = rows.iter().map(|row| self.ingest_time[*row]).collect();
        self.line = rows.iter().map(|row| self.line[*row]).collect();
        match &mut self.origin {
            Origin::Lines { spans, .. } => *spans = rows.iter().map(|row| spans[*row]).collect(),
            Origin::Columns { index, .. } => *index = rows.iter().map(|row| index[*row]).collect(),
        }
    }

    /// One row as a dead letter, with its bytes and its line.
    #[must_use]
    pub fn dead_letter(&self, row: usize, reason: Reason, detail: String) -> DeadLetterRow {
        let bytes = match &self.origin {
            Origin::Lines { text, spans } => text[spans[row].0..spans[row].1].to_vec(),
            Origin::Columns { rows, index } => render_row(rows, index[row]),
        };
        row_letter(&self.source, &self.locator, self.line[row], reason, detail, bytes, self.ingest_time[row])
    }
}

fn row_letter(
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

pub use columns::{column_origins, column_times};

/// Reads the rows of a batch. An empty cell and a configured missing number are rows without a value, not errors.
///
/// Reasons of dead letters: `bad_time`, `not_finite` (words, NaN, infinities), `undecodable` (no such cell, text that is
/// no UTF-8), `header_changed` (the whole batch), and what the connector said of an unreadable batch.
#[must_use]
pub fn table(batch: &RawBatch, layout: &TableLayout) -> DecodedTable {
    let decoded = match &batch.payload {
        Payload::Lines(lines) => decode_lines(batch, lines, layout),
        Payload::Columns(columns) => columns::decode(batch, columns, layout),
        Payload::Grid { .. } => Err((Reason::Undecodable, "a field where a table was expected".to_owned())),
        Payload::Unreadable { reason, detail, .. } => Err((*reason, detail.clone())),
    };
    decoded.unwrap_or_else(|(reason, detail)| DecodedTable {
        rows: Rows::new(batch, layout, None).finish(Origin::Lines { text: Bytes::new(), spans: Vec::new() }),
        dead_letters: vec![batch.dead_letter(reason, detail)],
        received: batch.rows(),
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
    forecast: Vec<Option<Forecast>>,
    ingest_time: Vec<Timestamp>,
    line: Vec<u64>,
}

/// What a row says, but for its line.
struct Said<'a> {
    station: &'a str,
    time: Timestamp,
    value: Option<f64>,
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
            forecast: Vec::new(),
            ingest_time: Vec::new(),
            line: Vec::new(),
        }
    }

    fn push(&mut self, line: u64, said: Said<'_>) {
        self.station.append_value(said.station);
        self.time.push(said.time);
        self.value.push(said.value);
        self.qualifier.append_option(said.qualifier);
        self.forecast.push(said.forecast);
        self.ingest_time.push(self.arrival(Some(said.forecast.map_or(said.time, |forecast| forecast.issue_time))));
        self.line.push(line);
    }

    /// When a row reached us: the time from which on it was known and the delay, or with its batch.
    fn arrival(&self, time: Option<Timestamp>) -> Timestamp {
        time.zip(self.delay_s).map_or(self.batch.arrival, |(time, delay_s)| time.plus_s(delay_s))
    }

    /// A number of the file as a value: none when it is a configured missing one.
    fn value(&self, raw: f64) -> Result<Option<f64>, Refusal> {
        if self.layout.missing.contains(&raw) {
            return Ok(None);
        }
        let value = self.layout.conversion.apply(raw);
        if value.is_finite() { Ok(Some(value)) } else { Err(not_finite(&raw.to_string())) }
    }

    fn letter(&self, line: u64, time: Option<Timestamp>, refusal: Refusal, bytes: Vec<u8>) -> DeadLetterRow {
        let batch = self.batch;
        row_letter(&batch.source, &batch.locator, line, refusal.0, refusal.1, bytes, self.arrival(time))
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
            forecast: self.forecast,
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

fn member_number(found: &str) -> Result<i32, Refusal> {
    let refuse = |_| (Reason::Undecodable, format!("member is {found:?}; accepted is a whole number"));
    found.parse().map_err(refuse)
}

fn bad_time(found: &str) -> Refusal {
    (Reason::BadTime, format!("time is {found:?}, which the layout's format does not read"))
}

fn decode_lines(batch: &RawBatch, lines: &Lines, layout: &TableLayout) -> Result<DecodedTable, Refusal> {
    let header = lines.header.as_deref().map(|h| layout.header_cells(h)).unwrap_or_default();
    let columns = layout.find_columns(&header).map_err(|found| (Reason::HeaderChanged, found))?;
    let (mut rows, mut spans, mut dead_letters) = (Rows::new(batch, layout, lines.delay_s), Vec::new(), Vec::new());
    let mut received = 0;
    for ((start, end), line) in lines_of(&lines.lines).zip(lines.first_line..) {
        let text = &lines.lines[start..end];
        if layout.has_header() && text.is_empty() {
            continue;
        }
        received += 1;
        let cells = layout.cells(text);
        let time = layout.line_time(&cells, &columns, lines.start, line);
        match push_line(&mut rows, layout, &columns, line, time, &cells) {
            Ok(()) => spans.push((start, end)),
            Err(refusal) => dead_letters.push(rows.letter(line, time, refusal, text.to_vec())),
        }
    }
    let rows = rows.finish(Origin::Lines { text: lines.lines.clone(), spans });
    Ok(DecodedTable { rows, dead_letters, received })
}

fn push_line(
    rows: &mut Rows<'_>,
    layout: &TableLayout,
    columns: &FoundColumns,
    line: u64,
    time: Option<Timestamp>,
    cells: &Cells<'_>,
) -> Result<(), Refusal> {
    let station = match (&layout.station, columns.station) {
        (StationLayout::Column(_), Some(index)) => text_cell(cells, index)?,
        (StationLayout::Constant(name) | StationLayout::Column(name), _) => name,
    };
    let time = time.ok_or_else(|| {
        let cell = columns.time.and_then(|i| cells.get(i)).unwrap_or_default();
        bad_time(&String::from_utf8_lossy(cell))
    })?;
    let value = match text_cell(cells, columns.value)? {
        "" => None,
        word => rows.value(word.parse().map_err(|_| not_finite(word))?)?,
    };
    let qualifier = columns.qualifier.map(|i| text_cell(cells, i)).transpose()?.filter(|q| !q.is_empty());
    let forecast = match columns.issue_time {
        None => None,
        Some(column) => {
            let unreadable = || bad_time(&String::from_utf8_lossy(cells.get(column).unwrap_or_default()));
            let issue_time = layout.read_time(cells, column).ok_or_else(unreadable)?;
            let member = columns.member.map(|i| text_cell(cells, i)).transpose()?.map(member_number).transpose()?;
            Some(Forecast { issue_time, member })
        }
    };
    rows.push(line, Said { station, time, value, qualifier, forecast });
    Ok(())
}

fn text_cell<'a>(cells: &'a Cells<'_>, index: usize) -> Result<&'a str, Refusal> {
    let cell = cells.get(index).ok_or_else(|| {
        (Reason::Undecodable, format!("line has {} cells; accepted are at least {}", cells.len(), index + 1))
    })?;
    let text =
        std::str::from_utf8(cell).map_err(|e| (Reason::Undecodable, format!("cell {} is no UTF-8: {e}", index + 1)))?;
    Ok(text.trim())
}
