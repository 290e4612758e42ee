//! Yes-or-no forecasts against what came.

use crate::{error::StatisticsError, series::nonzero};

/// How often an event was forecast and came. Add up tables by adding their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contingency {
    /// forecast, and it came
    pub hits: u64,
    /// it came without having been forecast
    pub misses: u64,
    /// forecast, and it did not come
    pub false_alarms: u64,
    /// neither
    pub correct_negatives: u64,
}

impl Contingency {
    /// Takes in one forecast.
    pub const fn add(&mut self, occurred: bool, forecast: bool) {
        match (occurred, forecast) {
            (true, true) => self.hits += 1,
            (true, false) => self.misses += 1,
            (false, true) => self.false_alarms += 1,
            (false, false) => self.correct_negatives += 1,
        }
    }

    /// Probability of detection, `hits / (hits + misses)`: 1 is best. Source for all: Wilks 2011, Statistical Methods in
    /// the Atmospheric Sciences, 3rd ed., 8.2.
    ///
    /// # Errors
    /// [`StatisticsError::Undefined`] where the event never came.
    pub fn pod(&self) -> Result<f64, StatisticsError> {
        ratio(self.hits, "the number of events", self.hits + self.misses)
    }

    /// False alarm ratio, `false alarms / (hits + false alarms)`: 0 is best.
    ///
    /// # Errors
    /// [`StatisticsError::Undefined`] where the event was never forecast.
    pub fn far(&self) -> Result<f64, StatisticsError> {
        ratio(self.false_alarms, "the number of forecast events", self.hits + self.false_alarms)
    }

    /// Critical success index, `hits / (hits + misses + false alarms)`: 1 is best.
    ///
    /// # Errors
    /// [`StatisticsError::Undefined`] where the event neither came nor was forecast.
    pub fn csi(&self) -> Result<f64, StatisticsError> {
        ratio(self.hits, "the number of events or forecasts of one", self.hits + self.misses + self.false_alarms)
    }

    /// Harmonic mean of `pod` and `1 - far`: 1 is best.
    ///
    /// # Errors
    /// As [`Contingency::csi`].
    pub fn f1(&self) -> Result<f64, StatisticsError> {
        let either = 2 * self.hits + self.misses + self.false_alarms;
        ratio(2 * self.hits, "the number of events or forecasts of one", either)
    }
}

fn ratio(part: u64, quantity: &'static str, whole: u64) -> Result<f64, StatisticsError> {
    Ok(part as f64 / nonzero(quantity, whole as f64)?)
}
