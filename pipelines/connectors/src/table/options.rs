//! Options of a table in a definition.

use std::{collections::BTreeMap, path::Path};

use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Conversion, Decode, RawBatch, Span, TableLayout,
    decode::{
        self, ForecastLayout, QualifierFlag, Station, StationLayout, Stations, TextLayout, TimeFormat, TimeLayout,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::{
    Arrival, Connector, Cursor, Look, OptionProblem, Source, SourceError, TimeLabel, Window,
    source::refuse_problems,
    zone::{read_zone, utc},
};

/// A table of rows in a definition. In operations it is looked at again and again: it may get new rows at its end, and it may be replaced
/// by another, as by the next weather forecast or a download of the last days; then the rows count that the file before it did not have
/// (all of them where the columns are others).
///
/// ```
/// # use nilometer_connectors::TableOptions;
/// let table: TableOptions = toml::from_str(
///     r#"
///     path = "flow.csv"
///     station = { column = "site_no" }
///     time = { column = { name = "datetime", format = "%Y-%m-%d %H:%M" } }
///     time_zone = "Europe/Paris"
///     value = "discharge_cfs"
///     qualifier = "cd"
///     variable = "discharge"
///     unit = "ft3 s-1"
///     missing = [-999999.0]
///     "#,
/// )?;
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// file below the data root
    pub path: String,
    /// default: Parquet when the path ends with `.parquet`, else CSV
    #[serde(default)]
    pub format: Option<TableFormat>,
    /// which station the rows are for
    pub station: StationOption,
    /// when they are valid
    pub time: TimeOption,
    /// zone of times without an offset: `UTC` (default), an offset or an IANA name
    #[serde(default = "utc")]
    pub time_zone: String,
    /// column of the value; absent exactly when the time is on the first line
    #[serde(default)]
    pub value: Option<String>,
    /// column of the agency's qualifier
    #[serde(default)]
    pub qualifier: Option<String>,
    /// what a code of the qualifier makes of its value: `suspect`, `missing` (the value is withheld) or `pass` (nothing); of several codes,
    /// as `P Ice`, the worst counts, and codes that are not named here change nothing
    #[serde(default)]
    pub qualifier_flags: BTreeMap<String, QualifierFlag>,
    /// what becomes of rows of stations that are no catchment's: `refuse` (default), each is a dead letter, so that a misspelt name is
    /// seen, or `skip`, they are only counted, as for a file of a whole country
    #[serde(default)]
    pub other_stations: OtherStations,
    /// where a weather forecast says when it was made; absent for what was observed
    #[serde(default)]
    pub forecast: Option<ForecastOption>,
    /// what the values are about
    pub variable: Variable,
    /// unit of `number × scale`
    pub unit: Unit,
    /// factor on the numbers; default 1
    #[serde(default = "one")]
    pub scale: f64,
    /// length of each value's period; default `0s`, an instant
    #[serde(default)]
    pub period: Span,
    /// which end of its period a row's time is; default `end`
    #[serde(default = "end")]
    pub time_label: TimeLabel,
    /// numbers, as they stand in the file, and words that mean "no value"
    #[serde(default)]
    pub missing: Vec<MissingValue>,
    /// between the cells of a line; default a comma
    #[serde(default = "comma")]
    pub delimiter: char,
    /// before the fraction of a number: `.` (default) or `,`; separators of thousands are refused
    #[serde(default = "point")]
    pub decimal: char,
    /// lines that begin with this are passed over, as `#`; default none
    #[serde(default)]
    pub comment: Option<String>,
    /// lines at the beginning of the file that are passed over; default 0
    #[serde(default)]
    pub skip_lines: usize,
    /// lines behind the header that describe its columns and are passed over, as the line of formats (`5s 15s`) in RDB; default 0
    #[serde(default)]
    pub skip_after_header: usize,
}

/// What stands in place of a value that is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "accepted is a number or a word")]
pub enum MissingValue {
    /// a number
    Number(f64),
    /// a word, which becomes the row's qualifier where it has none
    Word(String),
}

/// What becomes of rows of stations that the pipeline does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtherStations {
    /// each is a dead letter
    #[default]
    Refuse,
    /// they are counted and passed over
    Skip,
}

/// The columns of a weather forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastOption {
    /// column of its reference time, written as the valid time is
    pub issue_time: String,
    /// column of the member's number, a whole one; absent for a single forecast
    pub member: Option<String>,
}

/// How a table is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// text, a row a line
    Csv,
    /// columns
    Parquet,
}

/// Which station the rows are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StationOption {
    /// the table is about this one
    Constant(String),
    /// this column says
    Column(String),
}

/// When the rows are valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TimeOption {
    /// A column says.
    Column {
        /// its name
        name: String,
        /// `rfc3339`, `unix_s` or a strftime pattern, whose end may be `%Z` for a zone code
        format: String,
        /// column of each row's zone, as `tz_cd`: an offset (`-05:00`) or a zone code (`EST`)
        #[serde(default)]
        zone: Option<String>,
    },
    /// Line 1 is the time of the value on line 2, and each further line is a step later; no header, one column.
    FirstLine {
        /// `rfc3339`, `unix_s` or a strftime pattern
        format: String,
        /// time between two lines
        step: Span,
    },
}

const fn one() -> f64 {
    1.0
}

const fn comma() -> char {
    ','
}

const fn point() -> char {
    '.'
}

const fn end() -> TimeLabel {
    TimeLabel::End
}

impl MissingValue {
    const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Word(_) => None,
        }
    }
}

impl TableOptions {
    /// What [`table`](nilometer_transforms::decode::table()) needs to read the rows.
    ///
    /// # Errors
    /// Key and problem of the first option that [`Self::problems`] would name.
    pub fn layout(&self) -> Result<TableLayout, (String, String)> {
        let format =
            |text: &str| TimeFormat::new(text).map_err(|problem| (format!("{}.format", self.time_key()), problem));
        let conversion = Conversion::new(self.unit, self.variable, self.period.seconds());
        Ok(TableLayout {
            station: match &self.station {
                StationOption::Constant(name) => StationLayout::Constant(name.clone()),
                StationOption::Column(name) => StationLayout::Column(name.clone()),
            },
            time: match &self.time {
                TimeOption::Column { name, format: text, zone } => {
                    TimeLayout::Column { name: name.clone(), format: format(text)?, zone: zone.clone() }
                }
                TimeOption::FirstLine { format: text, step } => {
                    TimeLayout::FirstLine { format: format(text)?, step_s: step.seconds() }
                }
            },
            zone: read_zone(&self.time_zone).map_err(|problem| ("time_zone".to_owned(), problem))?,
            value: self.value.clone().unwrap_or_default(),
            qualifier: self.qualifier.clone(),
            forecast: self
                .forecast
                .as_ref()
                .map(|f| ForecastLayout { issue_time: f.issue_time.clone(), member: f.member.clone() }),
            conversion: conversion.map_err(|e| ("unit".to_owned(), e.to_string()))?.scaled(self.scale),
            qualifier_flags: self.qualifier_flags.clone(),
            label_offset_s: if self.time_label == TimeLabel::Start { self.period.seconds() } else { 0 },
            missing: self.missing.iter().filter_map(MissingValue::number).collect(),
            missing_words: self.words().map(str::to_owned).collect(),
            text: TextLayout {
                delimiter: u8::try_from(self.delimiter).map_err(|e| ("delimiter".to_owned(), e.to_string()))?,
                decimal: u8::try_from(self.decimal).map_err(|e| ("decimal".to_owned(), e.to_string()))?,
                comment: self.comment.clone(),
                skip_lines: self.skip_lines,
                skip_after_header: self.skip_after_header,
            },
            stations: Stations::default(),
        })
    }

    /// Words that mean "no value".
    fn words(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().filter_map(|missing| match missing {
            MissingValue::Word(word) => Some(word.as_str()),
            MissingValue::Number(_) => None,
        })
    }

    /// How it is stored: as `format` says, else as the path's ending.
    #[must_use]
    pub fn format(&self) -> TableFormat {
        let named = if self.path.ends_with(".parquet") { TableFormat::Parquet } else { TableFormat::Csv };
        self.format.unwrap_or(named)
    }

    const fn time_key(&self) -> &'static str {
        match self.time {
            TimeOption::Column { .. } => "time.column",
            TimeOption::FirstLine { .. } => "time.first_line",
        }
    }
}

impl Connector for TableOptions {
    fn variable(&self) -> Variable {
        self.variable
    }

    fn period(&self) -> Span {
        self.period
    }

    fn is_forecast(&self) -> bool {
        self.forecast.is_some()
    }

    fn station(&self) -> Option<&str> {
        match &self.station {
            StationOption::Constant(station) => Some(station),
            StationOption::Column(_) => None,
        }
    }

    fn has_every_station(&self) -> bool {
        false
    }

    fn problems(&self, root: &Path) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |key: &str, problem: String| problems.push((key.to_owned(), problem));
        if self.path.is_empty() || self.path.starts_with('/') || self.path.split('/').any(|n| n == "..") {
            add("path", format!("is {:?}; accepted is a path below the data root", self.path));
        } else if root.join(&self.path).is_dir() || !root.join(&self.path).parent().is_some_and(Path::is_dir) {
            let at = root.join(&self.path);
            add("path", format!("is {}; accepted is a file in a folder that exists", at.display()));
        }
        let (StationOption::Constant(station) | StationOption::Column(station)) = &self.station;
        if station.is_empty() {
            add("station", "is empty; accepted is { constant = \"<id>\" } or { column = \"<name>\" }".to_owned());
        }
        let (key, TimeOption::Column { format, .. } | TimeOption::FirstLine { format, .. }) =
            (self.time_key(), &self.time);
        if let Err(problem) = TimeFormat::new(format) {
            add(
                &format!("{key}.format"),
                format!("is {format:?}, which {problem}; accepted is rfc3339, unix_s, or a pattern as %Y-%m-%d %H:%M"),
            );
        }
        if self.forecast.is_some() && (!self.variable.is_forcing() || !matches!(self.time, TimeOption::Column { .. })) {
            add("forecast", "is there; accepted with weather whose time is a column".to_owned());
        }
        match &self.time {
            TimeOption::Column { .. } if self.value.is_none() => {
                add("value", "is absent; accepted is the name of a column".to_owned());
            }
            TimeOption::FirstLine { step, .. } => {
                if step.seconds() <= 0 {
                    add(&format!("{key}.step"), format!("is {step}; accepted is a time above 0 s, as 1h"));
                }
                let headless = "but a table with its time on the first line has no header; accepted is";
                if self.value.is_some() || self.qualifier.is_some() {
                    add("value", format!("or qualifier names a column, {headless} neither"));
                }
                if matches!(self.station, StationOption::Column(_)) {
                    add("station", format!("is a column, {headless} {{ constant = \"<id>\" }}"));
                }
                if self.format() == TableFormat::Parquet {
                    add("time", format!("is first_line, {headless} a column in Parquet"));
                }
                if self.comment.is_some() || self.skip_lines + self.skip_after_header > 0 {
                    let counted = "time is first_line: every line is a step";
                    add(
                        "comment",
                        format!("or skip_lines, skip_after_header is there, but {counted}; accepted is none of them"),
                    );
                }
            }
            TimeOption::Column { .. } => {}
        }
        if let Err(problem) = read_zone(&self.time_zone) {
            add("time_zone", problem);
        }
        if !self.qualifier_flags.is_empty() && self.qualifier.is_none() && self.words().next().is_none() {
            add("qualifier_flags", "is there, but qualifier names no column; accepted is both or neither".to_owned());
        }
        if self.time_label == TimeLabel::Start && self.period.seconds() <= 0 {
            add("time_label", "is start, but period is 0s, an instant; accepted is start with a period".to_owned());
        }
        if self.other_stations == OtherStations::Skip && matches!(self.station, StationOption::Constant(_)) {
            add(
                "other_stations",
                "is skip, but all rows are of one station; accepted is skip with a column".to_owned(),
            );
        }
        let text = self.comment.is_some() || self.skip_lines + self.skip_after_header > 0 || self.decimal != '.';
        if text && self.format() == TableFormat::Parquet {
            let keys = "comment, skip_lines, skip_after_header or decimal";
            add("format", format!("is parquet, but {keys} is there; accepted are these with csv"));
        }
        if self.comment.as_ref().is_some_and(|comment| comment.trim().is_empty()) {
            add("comment", "is blank; accepted is what begins a comment, as #".to_owned());
        }
        if !matches!(self.decimal, '.' | ',') || self.decimal == self.delimiter {
            let accepted = "accepted is '.' or ',', whichever is not the delimiter";
            add("decimal", format!("is {:?} with delimiter {:?}; {accepted}", self.decimal, self.delimiter));
        }
        if self.variable.is_forcing() && self.period.seconds() <= 0 {
            add("period", format!("is {}; accepted with weather is a time above 0 s, as 1h", self.period));
        } else if self.period.seconds() < 0 {
            add("period", format!("is {}; accepted is 0s or more", self.period));
        }
        if let Err(error) = Conversion::new(self.unit, self.variable, self.period.seconds()) {
            add("unit", error.to_string());
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            add("scale", format!("is {}; accepted is a finite number other than 0", self.scale));
        }
        if self.missing.iter().any(|missing| matches!(missing, MissingValue::Number(number) if !number.is_finite())) {
            add("missing", "has a number that no cell equals; accepted are finite numbers".to_owned());
        }
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            add(
                "delimiter",
                format!("is {:?}; accepted is one ASCII character, no quote and no end of line", self.delimiter),
            );
        }
        problems
    }

    /// Opens the table. With a delay its rows are indexed now; with [`Arrival::WhenSeen`] the file is looked at in each
    /// read.
    fn open(&self, name: &str, arrival: Arrival, root: &Path, window: Window) -> Result<Box<dyn Source>, SourceError> {
        refuse_problems(name, self.problems(root))?;
        let refuse = |(key, problem)| SourceError::Options { name: name.to_owned(), key, problem };
        let table = Table {
            name: name.into(),
            at: root.join(&self.path),
            locator: self.path.clone(),
            format: self.format(),
            layout: self.layout().map_err(refuse)?,
            arrival,
            window,
            seen: None,
            index: Vec::new(),
        };
        Ok(Box::new(table.open()?))
    }

    fn decoder(&self, stations: BTreeMap<String, Station>) -> Result<Box<dyn Decode>, OptionProblem> {
        let skip_others = self.other_stations == OtherStations::Skip;
        Ok(Box::new(TableLayout { stations: Stations::new(stations, skip_others), ..self.layout()? }))
    }

    fn holdings(&self, name: &str, root: &Path, _: Window) -> String {
        let at = root.join(&self.path);
        match std::fs::metadata(&at) {
            Err(error) => format!("{} cannot be read: {error}", at.display()),
            Ok(file) if file.len() == 0 => format!("{} is empty", at.display()),
            Ok(_) => match self.first_and_last(name, root) {
                Some((first, last)) => format!("{} holds rows from {first} to {last}", at.display()),
                None => format!("{} holds no row", at.display()),
            },
        }
    }

    fn awaited(&self, root: &Path) -> Option<String> {
        let at = root.join(&self.path);
        (!at.exists()).then(|| format!("{} is not there yet; it is looked for at each tick", at.display()))
    }

    fn without_effect(&self, given: &dyn Fn(&str) -> bool) -> Vec<OptionProblem> {
        let mut found = Vec::new();
        if self.format() == TableFormat::Parquet && given("delimiter") {
            let message = "is there, but the table is Parquet; without effect";
            found.push(("delimiter".to_owned(), message.to_owned()));
        }
        let (TimeOption::Column { format, .. } | TimeOption::FirstLine { format, .. }) = &self.time;
        if ["rfc3339", "unix_s"].contains(&format.as_str()) && given("time_zone") {
            let message = format!("is there, but times written as {format} say their zone; without effect");
            found.push(("time_zone".to_owned(), message));
        }
        found
    }
}

impl TableOptions {
    /// Times of the first and the last row.
    fn first_and_last(&self, name: &str, root: &Path) -> Option<(Timestamp, Timestamp)> {
        let arrival = Arrival::Delay { delay: Span::default() };
        let layout = self.layout().ok()?;
        let mut table = self.open(name, arrival, root, Window::ALL).ok()?;
        let (batches, _) = table.read(&Cursor::default(), Look::at(Window::ALL.until)).ok()?;
        let times = |batch: &RawBatch| decode::table(batch, &layout).rows.time;
        let times: Vec<Timestamp> = batches.iter().flat_map(times).collect();
        Some((*times.iter().min()?, *times.iter().max()?))
    }
}
