//! Observation: what was measured of a catchment.

use nilometer_schemas::{Flag, Timestamp, Variable};
use serde::{Deserialize, Serialize};

/// One row that may change the state: what was measured of a catchment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// catchment index
    pub catchment: usize,
    /// discharge, the water of its snow, how far that covers the ground, or how moist its soil is
    pub variable: Variable,
    /// when it was measured
    pub valid_time: Timestamp,
    /// in the variable's canonical unit, at least 0
    pub value: f64,
    /// its quality
    pub flag: Flag,
    /// how many times its standard error is that of a row without a doubt
    pub error_factor: f64,
}

/// What an observation is about: of two about the same, one takes the place of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Subject {
    pub catchment: usize,
    pub variable: Variable,
    pub valid_time: Timestamp,
}

impl Observation {
    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        Subject { catchment: self.catchment, variable: self.variable, valid_time: self.valid_time }
    }

    /// Whether it says how much water passes the gauge.
    #[must_use]
    pub fn is_discharge(&self) -> bool {
        self.variable == Variable::Discharge
    }
}

/// Where a catchment of the place `old` is among others, of which each says at which place it was.
pub(crate) fn place_in(from: &[Option<usize>], old: usize) -> Option<usize> {
    from.iter().position(|place| *place == Some(old))
}
