//! Series of GeoTIFFs: one field a file, its time in its name.

mod series;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Conversion, Decode, GridDecoding, Range, Span,
    decode::{MAX_CELLS, Station},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Arrival, Connector, OptionProblem, Source, SourceError, Template, Window,
    source::refuse_problems,
    zone::{read_zone, utc},
};
use series::GeotiffSeries;

/// A series of GeoTIFFs in a definition.
///
/// ```
/// # use nilometer_connectors::{Connector as _, GeotiffOptions};
/// let rain: GeotiffOptions = toml::from_str(
///     r#"
///     path = "prcp/%Y/%m/%d/rain_precipitation_%Y%m%d%H%M_*.tif"
///     period = "1h"
///     time_label = "end"
///     variable = "precipitation"
///     unit = "mm"
///     scale = 0.1
///     valid_range = { min = 0.0, max = 200.0 }
///     crs = "EPSG:2154"
///     "#,
/// )?;
/// assert!(rain.problems("data".as_ref()).iter().all(|(key, _)| key == "path"), "only the folder is absent");
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeotiffOptions {
    /// path below the data root with the time in it, see [`Template`]
    pub path: String,
    /// length of each field's period
    pub period: Span,
    /// which end of the period the name's time is
    pub time_label: TimeLabel,
    /// zone of the name's time: `UTC` (default), an offset or an IANA name
    #[serde(default = "utc")]
    pub time_zone: String,
    /// names without a year that stand for every year; its fields arrive counted from the START of their period,
    /// also in operations, for they are known beforehand
    #[serde(default)]
    pub recurring: Option<Recurring>,
    /// what the fields are about
    pub variable: Variable,
    /// unit of `sample × scale`
    pub unit: Unit,
    /// factor on the samples; default 1
    #[serde(default = "one")]
    pub scale: f64,
    /// possible values in the variable's canonical unit; cells outside become missing
    #[serde(default)]
    pub valid_range: Option<Range>,
    /// coordinate reference system, as `EPSG:2154`; needed where the files name it vaguely
    #[serde(default)]
    pub crs: Option<String>,
    /// cells of one field at most; default 64 million
    #[serde(default = "max_cells")]
    pub max_cells: u64,
}

/// Which end of its period a name's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeLabel {
    /// the period begins at the name's time
    Start,
    /// the period ends at the name's time
    End,
}

/// How far before a window files are looked for; those of every year need a first one.
const CENTURY_S: i64 = 100 * 366 * 86_400;

/// How often the names come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recurring {
    /// every year; a 29 February without a file of its own is a gap
    Yearly,
}

const fn one() -> f64 {
    1.0
}

const fn max_cells() -> u64 {
    MAX_CELLS
}

impl Connector for GeotiffOptions {
    fn variable(&self) -> Variable {
        self.variable
    }

    fn period(&self) -> Span {
        self.period
    }

    fn delivers_fields(&self) -> bool {
        true
    }

    fn recurs(&self) -> bool {
        self.recurring.is_some()
    }

    fn problems(&self, root: &Path) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |key: &str, problem: String| problems.push((key.to_owned(), problem));
        match Template::new(&self.path) {
            Err(error) => add("path", error.to_string()),
            Ok(template) => {
                match (template.has_year(), self.recurring) {
                    (false, None) => {
                        add("path", "names no year; accepted is %Y in it, or recurring = \"yearly\"".to_owned())
                    }
                    (true, Some(_)) => {
                        add("recurring", "is yearly, but path names a year; accepted is one of them".to_owned())
                    }
                    _ => {}
                }
                let folder: PathBuf = self.path.split('/').take_while(|n| !n.contains(['%', '*'])).collect();
                if !root.join(&folder).is_dir() {
                    let at = root.join(&folder);
                    add(
                        "path",
                        format!("is below {}, which is no folder; accepted is a folder that exists", at.display()),
                    );
                }
            }
        }
        if self.period.seconds() <= 0 {
            add("period", format!("is {}; accepted is a time above 0 s, as 1h", self.period));
        }
        if let Err(problem) = read_zone(&self.time_zone) {
            add("time_zone", problem);
        }
        if let Err(error) = Conversion::new(self.unit, self.variable, self.period.seconds().max(1)) {
            add("unit", error.to_string());
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            add("scale", format!("is {}; accepted is a finite number other than 0", self.scale));
        }
        if let Some(range) = self.valid_range.filter(|r| r.min.partial_cmp(&r.max) != Some(std::cmp::Ordering::Less)) {
            add("valid_range", format!("is {} to {}; accepted is min below max", range.min, range.max));
        }
        if self.max_cells == 0 {
            add("max_cells", "is 0; accepted is 1 or more".to_owned());
        }
        problems
    }

    /// Opens the series. With a delay the names are listed now, once; with [`Arrival::WhenSeen`] at each read, and a
    /// file is given when it is new or its content is another: write elsewhere and rename into place, so that none is found half written.
    fn open(&self, name: &str, arrival: Arrival, root: &Path, window: Window) -> Result<Box<dyn Source>, SourceError> {
        refuse_problems(name, self.problems(root))?;
        let refuse =
            |key: &str, problem: String| SourceError::Options { name: name.to_owned(), key: key.to_owned(), problem };
        if self.recurring.is_some() && window.from == Timestamp::MIN {
            return Err(refuse("recurring", "needs a window with a start: there is no first year".to_owned()));
        }
        let series = GeotiffSeries {
            name: name.into(),
            root: root.to_owned(),
            template: Template::new(&self.path).map_err(|e| refuse("path", e.to_string()))?,
            zone: read_zone(&self.time_zone).map_err(|e| refuse("time_zone", e))?,
            period_s: self.period.seconds(),
            time_label: self.time_label,
            recurring: self.recurring,
            arrival,
            window,
            names: Vec::new(),
            fields: Vec::new(),
            unreadable: BTreeSet::new(),
        };
        Ok(Box::new(series.listed()?))
    }

    fn decoder(&self, _: BTreeMap<String, Station>) -> Result<Box<dyn Decode>, OptionProblem> {
        Ok(Box::new(self.decoding()))
    }

    fn holdings(&self, name: &str, root: &Path, window: Window) -> String {
        let everything = Arrival::Delay { delay: Span::default() };
        let before = Window { from: window.from.plus_s(-CENTURY_S), ..Window::ALL };
        let opened = self.open(name, everything, root, before);
        match opened.ok().and_then(|series| series.last_arrival()) {
            Some(last) => format!("the newest file of {} is of {last}", self.path),
            None => format!("no file is named as {}", self.path),
        }
    }
}

impl GeotiffOptions {
    /// How [`nilometer_transforms::decode::grid`] reads the files.
    #[must_use]
    pub fn decoding(&self) -> GridDecoding {
        GridDecoding {
            variable: self.variable,
            unit: self.unit,
            scale: self.scale,
            valid_range: self.valid_range,
            crs: self.crs.clone(),
            max_cells: self.max_cells,
        }
    }
}
