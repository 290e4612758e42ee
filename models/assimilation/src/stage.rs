//! The observation operator of stage: a rated discharge in log space, with the errors of stage and rating.

use crate::{
    discharge::{DischargeOperator, LogDischarge},
    error::{AssimilationError, require},
    rating::RatingCurve,
};

/// Stage as an observation of discharge. Members predict it with [`DischargeOperator::predict`], as they predict a
/// discharge.
///
/// The error in log space combines three independent ones: the discharge operator's `(a Q)^2 + b^2`, the rating's
/// `(e Q)^2`, and that of the stage, `dlnQ/dh sigma_h`. The last is taken as half the difference of log discharge
/// between `h + sigma_h` and `h - sigma_h`: the slope to first order, and finite at the stage of zero flow, where the
/// slope is not.
///
/// ```
/// use nilometer_assimilation::{DischargeOperator, RatingCurve, StageOperator};
///
/// let rating: RatingCurve = toml::from_str(
///     r#"
///     version = "3"
///     valid_from = "2020-03-09"
///     gauged_stage_m = [0.5, 2.0]
///     relative_error = 0.05
///     [shape.table]
///     h0_m = 0.2
///     points = [[0.5, 1.0], [1.0, 6.0], [2.0, 30.0]]
///     "#,
/// )?;
/// let gauge = StageOperator::new(DischargeOperator::new(0.01, 0.0, 0.01)?, 0.01)?;
/// let observed = gauge.observe(&rating, 1.0)?;
/// assert!((observed.log_discharge.value - 6.01_f64.ln()).abs() < 1e-12);
/// assert!(!observed.extrapolated);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageOperator {
    discharge: DischargeOperator,
    stage_error_m: f64,
}

/// One observed stage as discharge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageObservation {
    /// Its discharge in log space, with its error.
    pub log_discharge: LogDischarge,
    /// Whether the rating was extrapolated, which widens the error.
    pub extrapolated: bool,
}

impl StageOperator {
    /// An operator of one gauge. `discharge` carries the errors that neither rating nor stage explains: its relative
    /// error is smaller than for a published discharge, or the rating's error counts twice. `stage_error_m` is the
    /// standard error of a stage, finite and at least 0, typically 0.003 to 0.01 m.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the error is outside its range.
    pub fn new(discharge: DischargeOperator, stage_error_m: f64) -> Result<Self, AssimilationError> {
        require("stage error in m", stage_error_m, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?;
        Ok(Self { discharge, stage_error_m })
    }

    /// The operator of a discharge that was measured.
    #[must_use]
    pub const fn discharge(&self) -> &DischargeOperator {
        &self.discharge
    }

    /// The observed stage in m above the gauge's datum as discharge in log space, with its error variance.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the stage is NaN or infinite, or its discharge is infinite.
    pub fn observe(&self, rating: &RatingCurve, stage_m: f64) -> Result<StageObservation, AssimilationError> {
        require("observed stage in m", stage_m, "finite", f64::is_finite)?;
        let rated = rating.discharge_m3_s(stage_m);
        let mut log_discharge = self.discharge.observe(rated.discharge_m3_s)?;
        let epsilon_m3_s = self.discharge.epsilon_m3_s();
        let log = |stage_m: f64| (rating.discharge_m3_s(stage_m).discharge_m3_s + epsilon_m3_s).ln();
        let of_stage = 0.5 * (log(stage_m + self.stage_error_m) - log(stage_m - self.stage_error_m));
        let of_rating = rating.relative_error() * rated.discharge_m3_s / (rated.discharge_m3_s + epsilon_m3_s);
        log_discharge.error_variance += of_rating.powi(2) + of_stage.powi(2);
        Ok(StageObservation { log_discharge, extrapolated: rated.extrapolated })
    }
}
