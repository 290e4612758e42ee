//! Folders in the layout of CAMELS-US: many catchments' daily forcing, discharge and static attributes.
//!
//! ```text
//! FOLDER/basin_inventory.csv              basin, area_m2
//! FOLDER/attributes/camels_*.txt          gauge_id; attribute; …            (semicolons)
//! FOLDER/**/forcing_*.parquet             basin, date, prcp_mm_x100, tmin_c_x100, tmax_c_x100, dayl_s_x100, srad_wm2_x100, vp_pa_x100
//! FOLDER/**/streamflow_*.parquet          basin, date, q_cfs_x100
//! ```
//!
//! Numbers are hundredths as integers, null where missing. A date is a local calendar day; its row is the sum or mean over that
//! day and so valid at the day's end. A basin is in the run when it has forcing.

mod inventory;
mod series;

use std::path::{Path, PathBuf};

use nilometer_schemas::{Unit, Variable};
use nilometer_transforms::{
    Conversion, ConvertError, TableLayout,
    decode::{StationLayout, TimeFormat, TimeLayout},
};
use serde::{Deserialize, Serialize};

pub use inventory::{CamelsCatchment, CamelsInventory};
pub use series::{CamelsSeries, Gap, discharge_m3_s};

pub(crate) const BASIN: &str = "basin";
pub(crate) const DATE: &str = "date";
pub(crate) const VALID_TIME: &str = "valid_time";
pub(crate) const FILE: &str = "file";
pub(crate) const DAY_S: i64 = 86_400;

/// A folder in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CamelsOptions {
    /// the folder
    pub path: PathBuf,
    /// basins that are not run
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// the only basins that are run; all when empty
    #[serde(default)]
    pub only: Vec<String>,
}

impl CamelsOptions {
    pub(crate) fn wants(&self, basin: &str) -> bool {
        !self.leave_out.iter().any(|b| b == basin) && (self.only.is_empty() || self.only.iter().any(|b| b == basin))
    }
}

/// A column of the folder's files, and what it measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CamelsColumn {
    /// what the values are about
    pub variable: Variable,
    /// name in the files, which hold hundredths
    pub name: &'static str,
    unit: Unit,
}

/// What the forcing files hold.
pub const FORCING: [CamelsColumn; 6] = [
    CamelsColumn { variable: Variable::Precipitation, name: "prcp_mm_x100", unit: Unit::Millimetre },
    CamelsColumn { variable: Variable::MinimumAirTemperature, name: "tmin_c_x100", unit: Unit::DegreeCelsius },
    CamelsColumn { variable: Variable::MaximumAirTemperature, name: "tmax_c_x100", unit: Unit::DegreeCelsius },
    CamelsColumn { variable: Variable::DayLength, name: "dayl_s_x100", unit: Unit::Second },
    CamelsColumn { variable: Variable::ShortwaveRadiation, name: "srad_wm2_x100", unit: Unit::WattPerSquareMetre },
    CamelsColumn { variable: Variable::VapourPressure, name: "vp_pa_x100", unit: Unit::Pascal },
];
/// What the streamflow files hold.
pub const DISCHARGE: CamelsColumn =
    CamelsColumn { variable: Variable::Discharge, name: "q_cfs_x100", unit: Unit::CubicFootPerSecond };

impl CamelsColumn {
    /// How its rows are decoded.
    ///
    /// # Errors
    /// [`ConvertError`], which the columns of this module do not give.
    pub fn layout(self) -> Result<TableLayout, ConvertError> {
        Ok(TableLayout {
            station: StationLayout::Column(BASIN.to_owned()),
            time: TimeLayout::Column { name: VALID_TIME.to_owned(), format: TimeFormat::Rfc3339 },
            zone: jiff::tz::TimeZone::UTC,
            value: self.name.to_owned(),
            qualifier: None,
            conversion: Conversion::new(self.unit, self.variable, DAY_S)?.scaled(0.01),
            missing: Vec::new(),
            delimiter: b',',
        })
    }
}

/// Files below `folder` whose name is `prefix*.parquet`, in the order of their paths; all folders are looked into.
pub(crate) fn files(folder: &Path, prefix: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if name.starts_with(prefix) && name.ends_with(".parquet") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
