//! Content: what a row of the log says, in terms of the pipeline's catchments.

use nilometer_schemas::{Reason, Timestamp};

use crate::{Observation, PeriodForcing, Subject};

/// What a row of `forcing.v1` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ForcingContent {
    /// that there is no value
    Missing,
    /// what fell, or was measured
    Observed(PeriodForcing),
    /// what a weather forecast expects
    Forecast {
        /// the value and its period
        forcing: PeriodForcing,
        /// when the forecast was made
        issue_time: Timestamp,
        /// which of its members; none where it has one only
        member: Option<i32>,
    },
    /// it is of another catchment
    Rejected(Reason),
}

/// What a row of `observation.v1` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ObservationContent {
    /// that there is no value
    Missing,
    /// that an earlier value is not to be believed
    Withdrawal(Subject),
    /// a value
    Value(Observation),
    /// it cannot be used
    Rejected(Reason),
}

impl ForcingContent {
    /// What it says of the weather that was; none of what is expected, missing or rejected.
    #[must_use]
    pub const fn observed(&self) -> Option<&PeriodForcing> {
        match self {
            Self::Observed(forcing) => Some(forcing),
            _ => None,
        }
    }
}

impl ObservationContent {
    /// What it is about, where it says something of that.
    #[must_use]
    pub const fn subject(&self) -> Option<Subject> {
        match self {
            Self::Withdrawal(subject) => Some(*subject),
            Self::Value(observation) => Some(observation.subject()),
            Self::Missing | Self::Rejected(_) => None,
        }
    }
}
