//! Forecasts: what we say will happen.

use arrow::array::{Array as _, Float64Array};

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{
        Discharge, Int32, Int64, IssueTime, OptionalBoolean, OptionalFloat32List, OptionalFloat64, OptionalIssueTime,
        OptionalText, PeriodEnd, Quantiles, Stages, Tails, Text, Time, UInt64, VariableName, column,
    },
};

/// Quantile levels of a forecast, in column order.
pub const QUANTILE_LEVELS: [f64; 19] =
    [0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95];

/// Quantile levels in the tails, beyond those of [`QUANTILE_LEVELS`], in column order.
pub const TAIL_LEVELS: [f64; 4] = [0.01, 0.02, 0.98, 0.99];

/// Levels of [`QUANTILE_LEVELS`] whose stage a forecast of a rated gauge says, in column order: the median, the 50 % and the 90 % interval.
pub const STAGE_LEVELS: [f64; 5] = [0.05, 0.25, 0.50, 0.75, 0.95];

/// The column that holds the stage of a level of [`STAGE_LEVELS`]: `stage_q05`, `stage_q50`, ….
#[must_use]
pub fn stage_column(level: f64) -> String {
    format!("stage_{}", quantile_column(level))
}

/// The column that holds the quantile of a level: `q05`, `q50`, ….
#[must_use]
pub fn quantile_column(level: f64) -> String {
    format!("q{:02}", (level * 100.0).round())
}

contract! {
    /// What we say will happen: one lead time of one forecast of one catchment.
    Forecasts,
    /// One lead time of one forecast, borrowing its words.
    ForecastRow, ForecastsBuilder: Contract::Forecast, checked by check;
    beside {
        /// the same in stage, where the gauge has a rating
        stage: Option<StageForecast<'a>>,
        /// whether a shadow made it
        shadow: bool,
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// [`crate::Variable`] name
        variable: VariableName,
        /// the forecast's reference time
        issue_time: IssueTime,
        /// end of the period forecast
        valid_time: PeriodEnd,
        /// `valid_time − issue_time` in seconds
        lead_time_s: Int64 ["unit": "s", "standard_name": "forecast_period"] = row.valid_time.seconds_since(row.issue_time),
        /// mean of the distribution whose quantiles are in this row, m³ s⁻¹; up to version 3 that of the members
        mean: Discharge,
        /// one value a level of [`QUANTILE_LEVELS`], never crossing
        quantiles: Quantiles,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// number of members behind the quantiles
        members: Int32,
        /// future-rain scenario
        scenario: Text,
        /// newest time that the model state had reached
        state_time: Time,
        /// steps since the state's start whose forcing had to be filled in
        filled_steps: Int32,
        /// model package
        model: Text,
        /// its version
        model_version: Text,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: Text,
        /// log position of observation.v1 that this forecast had read up to (exclusive)
        observation_position: UInt64,
        /// log position of forcing.v1 that this forecast had read up to (exclusive)
        forcing_position: UInt64,
        /// issue time of the forecast that this one takes the place of, because of what came late; mostly null
        supersedes: OptionalIssueTime,
        /// what came late; mostly null
        reason: OptionalText,
        /// the stage of the quantile of each level of [`STAGE_LEVELS`], m above the gauge's datum; null where the gauge has no rating
        stages: Stages = row.stage.map(|stage| stage.stage_m),
        /// the agency's name of the rating by which the stages are those of the quantiles; null where the gauge has none
        rating_version: OptionalText = row.stage.map(|stage| stage.rating_version),
        /// whether one of the stages lies outside those at which discharge was measured; null where the gauge has no rating
        rating_extrapolated: OptionalBoolean = row.stage.map(|stage| stage.extrapolated),
        /// the value of each trajectory, m³ s⁻¹, in the same order at each lead time of a forecast: quantiles of the distribution at (r − ½)/M; null where
        /// they are not carried, and in rows of version 1 and 2; in those of version 3 each member's value before calibration
        member_values: OptionalFloat32List,
        /// whether a shadow made it, a model that runs beside the one in force; null in rows of version 1 and 2, where none did
        shadow: OptionalBoolean = Some(row.shadow),
        /// one value a level of [`TAIL_LEVELS`], beyond the other quantiles and never crossing them; null in rows of version 1 to 3
        tails: Tails,
        /// what the models simulate, before output updating and calibration: the mean of their members, m³ s⁻¹; null in rows of version 1 to 3
        simulated: OptionalFloat64 ["unit": "m3 s-1", "standard_name": "water_volume_transport_in_river_channel"],
    }
}

/// What a rating makes of a forecast of discharge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageForecast<'a> {
    /// the stage of the quantile of each level of [`STAGE_LEVELS`], m above the gauge's datum
    pub stage_m: [f64; STAGE_LEVELS.len()],
    /// the agency's name of the rating
    pub rating_version: &'a str,
    /// whether one of them lies outside the stages at which discharge was measured
    pub extrapolated: bool,
}

impl Forecasts {
    /// The column of one quantile level of [`QUANTILE_LEVELS`], m³ s⁻¹.
    #[must_use]
    pub fn quantile(&self, level: f64) -> &Float64Array {
        column(self.batch(), &quantile_column(level))
    }

    /// Whether a shadow made a row.
    #[must_use]
    pub fn is_shadow(&self, row: usize) -> bool {
        self.shadow().is_valid(row) && self.shadow().value(row)
    }

    /// The column of the stage of one level of [`STAGE_LEVELS`], m above the gauge's datum; null where the gauge has no rating.
    #[must_use]
    pub fn stage(&self, level: f64) -> &Float64Array {
        column(self.batch(), &stage_column(level))
    }
}

fn check(f: &Forecasts) -> Result<(), SchemaError> {
    let (issue, valid, lead) = (f.issue_time().values(), f.valid_time().values(), f.lead_time_s().values());
    for row in 0..f.len() {
        if i128::from(valid[row]) - i128::from(issue[row]) != i128::from(lead[row]) * 1_000_000 {
            return Err(refuse(Contract::Forecast, "lead_time_s", row, lead[row], "valid_time − issue_time"));
        }
        if !f.mean().value(row).is_finite() {
            return Err(refuse(Contract::Forecast, "mean", row, f.mean().value(row), "a finite number"));
        }
    }
    let (quantiles, [first, second, third, fourth]) = (f.quantiles(), f.tails());
    let all = [first, second].into_iter().chain(quantiles).chain([third, fourth]);
    for (low, high) in all.clone().zip(all.skip(1)) {
        for row in (0..f.len()).filter(|row| low.is_valid(*row) && high.is_valid(*row)) {
            let (low, high) = (low.value(row), high.value(row));
            if low.is_nan() || high.is_nan() || low > high {
                return Err(refuse(Contract::Forecast, "quantile", row, high, "quantiles that never cross"));
            }
        }
    }
    Ok(())
}
