//! Folders that are the whole of a definition's input: forcing and discharge of many catchments, in a layout that others publish.
//!
//! ```text
//! camels   FOLDER/basin_inventory.csv              basin, area_m2
//!          FOLDER/attributes/camels_*.txt          gauge_id; attribute; …            (semicolons)
//!          FOLDER/**/forcing_*.parquet             basin, date, prcp_mm_x100, tmin_c_x100, tmax_c_x100, dayl_s_x100, srad_wm2_x100, vp_pa_x100
//!          FOLDER/**/streamflow_*.parquet          basin, date, q_cfs_x100
//!
//! nwrfc    FOLDER/**/ID/forcing_por_ID-ZONE.csv    year, month, day, hour, map_mm, mat_degc
//!          FOLDER/**/ID/flow_instantaneous_ID.csv  year, month, day, hour, flow_cfs
//!          FOLDER/**/ID/pars_default.csv           name, zone, value: zone_area in km², alat in degrees
//!          FOLDER/**/ID/upflow_OTHER.csv           says that gauge OTHER lies upstream
//! ```
//!
//! `camels`, a folder in the CAMELS layout: numbers are hundredths as integers, null where missing. A date is a local calendar day; its row
//! is the sum or mean over that day and so valid at the day's end. A basin is in the run when it has forcing.
//!
//! `nwrfc`, the layout of the Northwest River Forecast Center: steps of six hours, UTC, labelled by their end. A gauge's catchment is its own
//! zones and those of the gauges upstream that the folder has; forcing is their mean by area.

mod camels;
mod nwrfc;
mod rows;
mod series;
mod source;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, datatypes::DataType};
use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Conversion, ConvertError, TableLayout,
    decode::{StationLayout, TimeFormat, TimeLayout},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SourceError;

pub use series::{FolderSeries, Gap, discharge_m3_s};
pub use source::FolderSource;

pub(crate) const BASIN: &str = "basin";
pub(crate) const VALID_TIME: &str = "valid_time";
pub(crate) const FILE: &str = "file";
pub(crate) const DAY_S: i64 = 86_400;
/// Problems worth reading at once.
const SHOWN: usize = 20;

/// A layout that others publish: what its files hold, and how they are read. Each is a file of this module and listed in [`LAYOUTS`].
#[derive(Debug)]
struct Layout {
    /// in a definition
    kind: &'static str,
    /// in messages
    name: &'static str,
    /// seconds between two rows
    step_s: i64,
    /// what drives a model
    forcing: &'static [FolderColumn],
    /// what the gauges read
    discharge: FolderColumn,
    /// where forcing and discharge stand below the folder
    patterns: [&'static str; 2],
    /// of the numbers of [`Layout::rows`]
    number: DataType,
    inventory: fn(&FolderOptions, &mut Found) -> Result<Inventory, String>,
    rows: Rows,
    /// whether a folder has this layout
    is_of: fn(&Path) -> bool,
}

/// The rows of forcing or (where it says so) of discharge that are valid in a window.
type Rows = fn(&FolderOptions, bool, &[FolderColumn], (Timestamp, Timestamp)) -> Result<Vec<RecordBatch>, SourceError>;

/// Every layout.
static LAYOUTS: [&Layout; 2] = [&camels::LAYOUT, &nwrfc::LAYOUT];

/// How a folder is laid out.
#[derive(Debug, Clone, Copy)]
pub struct FolderLayout(&'static Layout);

impl Default for FolderLayout {
    fn default() -> Self {
        Self(LAYOUTS[0])
    }
}

impl PartialEq for FolderLayout {
    fn eq(&self, other: &Self) -> bool {
        self.0.kind == other.0.kind
    }
}

/// A folder in a definition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderOptions {
    /// its layout
    #[serde(skip)]
    pub layout: FolderLayout,
    /// the folder
    pub path: PathBuf,
    /// basins that are not run
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// the only basins that are run; all when empty
    #[serde(default)]
    pub only: Vec<String>,
    /// area of a basin where the folder does not say it, or not of all of it, km²
    #[serde(default)]
    pub area_km2: BTreeMap<String, f64>,
}

/// One basin with forcing.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderCatchment {
    /// its name
    pub id: String,
    /// area, km²
    pub area_km2: f64,
    /// static attributes by name; NaN where the file has no number
    pub attributes: BTreeMap<String, f64>,
}

/// The basins of a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventory {
    /// by name
    pub catchments: Vec<FolderCatchment>,
    /// the file that each attribute stands in
    pub files: BTreeMap<String, String>,
}

/// Key of an option, and what is wrong with it.
type Found = Vec<(String, String)>;

impl FolderOptions {
    /// The basins that have forcing, with their areas and attributes.
    ///
    /// # Errors
    /// Every problem: key of the option and what is wrong in which file.
    pub fn inventory(&self) -> Result<Inventory, Vec<(String, String)>> {
        let refuse = |problem: String| vec![("path".to_owned(), problem)];
        if !self.path.is_dir() {
            let layout = self.layout.name();
            return Err(refuse(format!("is {}; accepted is a folder in the {layout} layout", self.path.display())));
        }
        if let Some((basin, area)) = self.area_km2.iter().find(|(_, area)| !(area.is_finite() && **area > 0.0)) {
            return Err(vec![(format!("area_km2.{basin}"), format!("is {area}, accepted is a number above 0"))]);
        }
        let mut problems = Vec::new();
        let inventory = (self.layout.0.inventory)(self, &mut problems).map_err(refuse)?;
        let has = |basin: &String| inventory.catchments.iter().any(|c| c.id == *basin);
        if problems.is_empty() {
            for basin in self.only.iter().filter(|b| !has(b)) {
                let found = if self.leave_out.contains(basin) {
                    format!("names basin {basin:?}, which leave_out names too; accepted is one of them")
                } else {
                    format!(
                        "names basin {basin:?}, which has no forcing in {}; accepted are names as in its files",
                        self.path.display()
                    )
                };
                problems.push(("only".to_owned(), found));
            }
        }
        if inventory.catchments.is_empty() && problems.is_empty() {
            return Err(refuse(format!(
                "{}: no basin is left; accepted is one with forcing or more",
                self.path.display()
            )));
        }
        if problems.is_empty() { Ok(inventory) } else { Err(shortened(problems)) }
    }

    pub(crate) fn wants(&self, basin: &str) -> bool {
        !self.leave_out.iter().any(|b| b == basin) && (self.only.is_empty() || self.only.iter().any(|b| b == basin))
    }
}

/// The first problems, and how many there are besides.
fn shortened(mut problems: Found) -> Found {
    let more = problems.len().saturating_sub(SHOWN);
    if more > 0 {
        problems.truncate(SHOWN);
        problems.push(("path".to_owned(), format!("and {more} more problems of this kind")));
    }
    problems
}

/// A column of the folder's files, and what it measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FolderColumn {
    /// what the values are about
    pub variable: Variable,
    /// name in the files, or of what is computed from them
    pub name: &'static str,
    unit: Unit,
    scale: f64,
    period_s: i64,
}

impl FolderLayout {
    /// The layout of a kind of source; none where there is no such layout.
    #[must_use]
    pub fn named(kind: &str) -> Option<Self> {
        LAYOUTS.into_iter().find(|layout| layout.kind == kind).map(Self)
    }

    /// Every kind of source that is a folder.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        LAYOUTS.into_iter().map(|layout| layout.kind)
    }

    /// The layout of a folder that is there.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        LAYOUTS.into_iter().find(|layout| (layout.is_of)(folder)).map_or_else(Self::default, Self)
    }

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Seconds between two rows.
    #[must_use]
    pub const fn step_s(self) -> i64 {
        self.0.step_s
    }

    /// What drives a model.
    #[must_use]
    pub const fn forcing(self) -> &'static [FolderColumn] {
        self.0.forcing
    }

    /// What the gauges read.
    #[must_use]
    pub const fn discharge(self) -> FolderColumn {
        self.0.discharge
    }

    /// Where forcing or discharge stands below the folder.
    pub(crate) fn pattern(self, discharge: bool) -> &'static str {
        self.0.patterns[usize::from(discharge)]
    }
}

impl FolderColumn {
    const fn new(variable: Variable, name: &'static str, unit: Unit, scale: f64, period_s: i64) -> Self {
        Self { variable, name, unit, scale, period_s }
    }

    /// How its rows are decoded.
    ///
    /// # Errors
    /// [`ConvertError`], which the columns of this module do not give.
    pub fn layout(self) -> Result<TableLayout, ConvertError> {
        let station = StationLayout::Column(BASIN.to_owned());
        let time = TimeLayout::Column { name: VALID_TIME.to_owned(), format: TimeFormat::Rfc3339, zone: None };
        let conversion = Conversion::new(self.unit, self.variable, self.period_s)?.scaled(self.scale);
        Ok(TableLayout::new(station, time, self.name, conversion))
    }
}

/// Files below `folder` whose name is `prefix*suffix`, in the order of their paths; all folders are looked into.
pub(crate) fn files(folder: &Path, prefix: &str, suffix: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if name.starts_with(prefix) && name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
