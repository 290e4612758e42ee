//! The CAMELS layout: daily, Parquet.

mod inventory;
mod read;

use nilometer_schemas::{Unit, Variable};

use super::{DAY_S, FolderColumn};

pub(super) use inventory::inventory;
pub(super) use read::rows;

const DATE: &str = "date";
const HUNDREDTH: f64 = 0.01;

/// What the forcing files hold.
pub(super) const FORCING: [FolderColumn; 6] = [
    FolderColumn::new(Variable::Precipitation, "prcp_mm_x100", Unit::Millimetre, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::MinimumAirTemperature, "tmin_c_x100", Unit::DegreeCelsius, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::MaximumAirTemperature, "tmax_c_x100", Unit::DegreeCelsius, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::DayLength, "dayl_s_x100", Unit::Second, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::ShortwaveRadiation, "srad_wm2_x100", Unit::WattPerSquareMetre, HUNDREDTH, DAY_S),
    FolderColumn::new(Variable::VapourPressure, "vp_pa_x100", Unit::Pascal, HUNDREDTH, DAY_S),
];
/// What the streamflow files hold.
pub(super) const DISCHARGE: FolderColumn =
    FolderColumn::new(Variable::Discharge, "q_cfs_x100", Unit::CubicFootPerSecond, HUNDREDTH, DAY_S);
