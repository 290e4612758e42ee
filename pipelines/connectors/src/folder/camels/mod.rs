//! The CAMELS layout: daily, Parquet.

mod inventory;
mod read;

use arrow::datatypes::DataType;
use nilometer_schemas::{Unit, Variable};

use super::{DAY_S, FolderColumn, Layout};

pub(super) static LAYOUT: Layout = Layout {
    kind: "camels",
    name: "CAMELS",
    step_s: DAY_S,
    forcing: &FORCING,
    discharge: DISCHARGE,
    patterns: ["**/forcing_*.parquet", "**/streamflow_*.parquet"],
    number: DataType::Int32,
    inventory: inventory::inventory,
    rows: read::rows,
    is_of: |folder| super::files(folder, "streamflow_", ".parquet").is_ok_and(|files| !files.is_empty()),
};

const DATE: &str = "date";
const HUNDREDTH: f64 = 0.01;

/// What the forcing files hold.
const FORCING: [FolderColumn; 6] = [
    FolderColumn::new(Variable::Precipitation, "prcp_mm_x100", Unit::Millimetre, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::MinimumAirTemperature, "tmin_c_x100", Unit::DegreeCelsius, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::MaximumAirTemperature, "tmax_c_x100", Unit::DegreeCelsius, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::DayLength, "dayl_s_x100", Unit::Second, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::ShortwaveRadiation, "srad_wm2_x100", Unit::WattPerSquareMetre, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::VapourPressure, "vp_pa_x100", Unit::Pascal, HUNDREDTH, DAY_S),
];
/// What the streamflow files hold.
const DISCHARGE: FolderColumn =
    FolderColumn::new(Variable::Discharge, "q_cfs_x100", Unit::CubicFootPerSecond, HUNDREDTH, DAY_S);
