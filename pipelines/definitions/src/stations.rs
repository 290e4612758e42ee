//! What stations are called and where they lie, and the levels that matter there: from `[[catchment]]`, or from a table of an agency.

use std::{collections::BTreeMap, path::PathBuf};

use nilometer_connectors::read_text_table;
use nilometer_schemas::{Unit, Variable};
use nilometer_transforms::Conversion;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Catchment, Problem};

/// What a threshold is a value of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdKind {
    /// discharge
    Flow,
    /// water level above the gauge's datum
    Stage,
}

impl ThresholdKind {
    /// What the threshold is compared with.
    #[must_use]
    pub const fn variable(self) -> Variable {
        match self {
            Self::Flow => Variable::Discharge,
            Self::Stage => Variable::Stage,
        }
    }

    /// Whether a threshold of this kind may be in a unit.
    #[must_use]
    pub fn takes(self, unit: Unit) -> bool {
        self.conversion(unit).is_ok()
    }

    /// The way from a unit to the canonical one, or why the unit is none of this kind.
    fn conversion(self, unit: Unit) -> Result<Conversion, String> {
        let conversion = Conversion::new(unit, self.variable(), 0).map_err(|error| error.to_string())?;
        if conversion.is_per_km2() {
            return Err(format!("{:?} is a depth; accepted is m3 s-1 or ft3 s-1", unit.name()));
        }
        Ok(conversion)
    }
}

/// A level of the river that has a name, in an agency's words and unit.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// short name in topics, labels and addresses: a to z, digits, `-` and `_`, as `minor` or `q10`
    pub id: String,
    /// what people call it; the identifier when absent
    pub name: Option<String>,
    /// the level
    pub value: f64,
    /// its unit: `m3 s-1` or `ft3 s-1` of a flow, `m` or `ft` of a stage
    pub unit: Unit,
    /// `flow`, or `stage` above the gauge's datum, which needs a rating
    pub kind: ThresholdKind,
    /// whether it is reached from above, as a low flow is
    #[serde(default)]
    pub below: bool,
    /// who says so, and when
    pub source: Option<String>,
}

impl Threshold {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// The level in m³ s⁻¹, or in m above the gauge's datum; NaN for a unit that is refused.
    #[must_use]
    pub fn canonical(&self) -> f64 {
        self.conversion().map_or(f64::NAN, |conversion| conversion.apply(self.value))
    }

    /// Whether a value in the canonical unit reaches it.
    #[must_use]
    pub fn is_reached(&self, value: f64) -> bool {
        if self.below { value <= self.canonical() } else { value >= self.canonical() }
    }

    /// The way from its unit to the canonical one.
    ///
    /// # Errors
    /// Why the unit is none of its kind.
    pub(crate) fn conversion(&self) -> Result<Conversion, String> {
        self.kind.conversion(self.unit)
    }

    /// The level in its own unit, for messages.
    pub(crate) fn shown(&self) -> String {
        format!("{} at {} {}", self.id, self.value, self.unit)
    }
}

/// `[stations]`: names, places and thresholds of stations from an agency's table. What a `[[catchment]]` says itself counts first; one with thresholds
/// of its own takes none from here.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StationTable {
    /// CSV or Parquet file
    pub path: PathBuf,
    /// column of the station's identifier; leading zeros do not count
    pub station: String,
    /// column of its name
    pub name: Option<String>,
    /// column of its river
    pub river: Option<String>,
    /// column of its latitude, ° north
    pub latitude: Option<String>,
    /// column of its longitude, ° east
    pub longitude: Option<String>,
    /// column of its time zone, a name of the IANA database
    pub timezone: Option<String>,
    /// column of the datum that its stages are above
    pub datum: Option<String>,
    /// numbers that stand for none, as -9999
    #[serde(default)]
    pub missing: Vec<f64>,
    /// thresholds, a column each, in the order in which they are reached
    #[serde(default)]
    pub thresholds: Vec<ThresholdColumn>,
}

/// A column of thresholds, a station a row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdColumn {
    /// the column
    pub column: String,
    /// as of a threshold
    pub id: String,
    /// as of a threshold
    pub name: Option<String>,
    /// as of a threshold
    pub unit: Unit,
    /// as of a threshold
    pub kind: ThresholdKind,
    /// as of a threshold
    #[serde(default)]
    pub below: bool,
    /// as of a threshold
    pub source: Option<String>,
}

/// A row of the table, and where it is.
struct Row {
    line: usize,
    texts: Vec<String>,
}

impl StationTable {
    /// Gives `catchments` what the table says of their stations.
    pub(crate) fn complete(&self, catchments: &mut [Catchment], problems: &mut Vec<Problem>) {
        let optional = [&self.name, &self.river, &self.latitude, &self.longitude, &self.timezone, &self.datum];
        let thresholds = self.thresholds.iter().map(|threshold| &threshold.column);
        let columns: Vec<&str> = std::iter::once(&self.station)
            .chain(optional.into_iter().flatten())
            .chain(thresholds)
            .map(String::as_str)
            .collect();
        let mut say = |message: String| problems.push(Problem { path: "stations.path".to_owned(), message });
        let rows = match read_text_table(&self.path, &columns) {
            Ok(rows) => rows,
            Err(error) => return say(format!("{} {error}", self.path.display())),
        };
        let mut by_station: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for (at, texts) in rows.into_iter().enumerate().filter(|(_, texts)| !texts[0].is_empty()) {
            by_station.entry(key(&texts[0])).or_default().push(Row { line: at + 1, texts });
        }
        for catchment in catchments {
            let station = catchment.station().to_owned();
            let (row, again) = match by_station.get(&key(&station)).map(Vec::as_slice) {
                None | Some([]) => continue,
                Some([row]) => (row, None),
                Some([row, again, ..]) => (row, Some(again)),
            };
            if let Some(again) = again {
                say(format!(
                    "has station {station} in rows {} and {}; accepted is one row a station",
                    row.line, again.line
                ));
                continue;
            }
            if let Err(message) = self.complete_one(catchment, row) {
                say(format!("row {}, station {station}: {message}", row.line));
            }
        }
    }

    fn complete_one(&self, catchment: &mut Catchment, row: &Row) -> Result<(), String> {
        let mut texts = row.texts.iter().skip(1);
        let mut next =
            |column: &Option<String>| column.as_ref().and_then(|_| texts.next()).filter(|text| !text.is_empty());
        let (name, river) = (next(&self.name).cloned(), next(&self.river).cloned());
        let latitude = self.number(next(&self.latitude), self.latitude.as_deref())?;
        let longitude = self.number(next(&self.longitude), self.longitude.as_deref())?;
        let (timezone, datum) = (next(&self.timezone).cloned(), next(&self.datum).cloned());
        let own = !catchment.thresholds.is_empty();
        for column in &self.thresholds {
            let value = self.number(texts.next(), Some(&column.column))?;
            if let Some(value) = value.filter(|_| !own) {
                catchment.thresholds.push(Threshold {
                    id: column.id.clone(),
                    name: column.name.clone(),
                    value,
                    unit: column.unit,
                    kind: column.kind,
                    below: column.below,
                    source: column.source.clone(),
                });
            }
        }
        catchment.name = catchment.name.take().or(name);
        catchment.river = catchment.river.take().or(river);
        catchment.latitude = catchment.latitude.or(latitude);
        catchment.longitude = catchment.longitude.or(longitude);
        catchment.timezone = catchment.timezone.take().or(timezone);
        catchment.datum = catchment.datum.take().or(datum);
        Ok(())
    }

    /// A cell's number; none where it is empty, or stands for none.
    fn number(&self, text: Option<&String>, column: Option<&str>) -> Result<Option<f64>, String> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let value: f64 = text
            .parse()
            .map_err(|_| format!("column {} has {text:?}; accepted is a number", column.unwrap_or_default()))?;
        Ok(Some(value).filter(|value| !self.missing.contains(value)))
    }
}

/// A station's identifier as tables of any program have it: those that took it for a number have lost its leading zeros.
fn key(station: &str) -> String {
    let digits = station.bytes().all(|byte| byte.is_ascii_digit());
    if digits { station.trim_start_matches('0').to_owned() } else { station.to_owned() }
}
