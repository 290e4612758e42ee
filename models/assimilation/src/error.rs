//! What can be refused, and why.

use thiserror::Error;

/// A refused shape, option, observation or forcing. None of these is worth a retry: the input has to change.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum AssimilationError {
    /// The shape has no row or no catchment, fewer than two members, or more elements than can be addressed.
    #[error(
        "ensemble shape [{states}, {catchments}, {members}] is not usable; \
         accepted: at least one state, one catchment and two members, and an addressable product"
    )]
    Shape {
        /// Rows S.
        states: usize,
        /// Catchments C.
        catchments: usize,
        /// Members M.
        members: usize,
    },
    /// A slice does not have the length that the shape asks for.
    #[error("{what} has {actual} values; expected {expected}")]
    Length {
        /// The slice that was refused.
        what: &'static str,
        /// Its length.
        actual: usize,
        /// The accepted length.
        expected: usize,
    },
    /// A state or a catchment outside the ensemble.
    #[error("{what} {index} does not exist; accepted: 0 to {last}")]
    Index {
        /// What the index counts.
        what: &'static str,
        /// The refused index.
        index: usize,
        /// The largest accepted index.
        last: usize,
    },
    /// Catchments or rows that repeat or go backwards.
    #[error("{what} {next} follows {previous}; accepted: strictly ascending, each listed once")]
    Order {
        /// What is listed.
        what: &'static str,
        /// The entry before.
        previous: usize,
        /// The refused entry.
        next: usize,
    },
    /// A valid time that is not later than those before.
    #[error("valid time {next_us} us follows {previous_us} us; accepted: later than all that are kept")]
    Time {
        /// The latest time before, microseconds since the epoch.
        previous_us: i64,
        /// The refused time, microseconds since the epoch.
        next_us: i64,
    },
    /// A value outside its accepted range; NaN is outside every range.
    #[error("{what} is {value}; accepted: {accepted}")]
    Value {
        /// What the value is, with its unit.
        what: &'static str,
        /// The refused value.
        value: f64,
        /// The accepted range in words.
        accepted: &'static str,
    },
    /// One element of a slice is outside its accepted range; NaN is outside every range.
    #[error("{what} [{index}] is {value}; accepted: {accepted}")]
    Element {
        /// The slice, with its unit.
        what: &'static str,
        /// Position in the slice.
        index: usize,
        /// The refused value.
        value: f64,
        /// The accepted range in words.
        accepted: &'static str,
    },
    /// Bounds that no value satisfies, or that are NaN.
    #[error("bounds from {minimum} to {maximum} hold no value; accepted: minimum <= maximum, neither NaN")]
    Bounds {
        /// Lower bound.
        minimum: f32,
        /// Upper bound.
        maximum: f32,
    },
    /// The entry of a catchment carries no observation.
    #[error("the entry holds no observation; accepted: at least one, leave the catchment out otherwise")]
    NoObservation,
    /// The eigen-decomposition in observation space did not converge.
    #[error("the decomposition of the {observations} x {observations} innovation matrix did not converge")]
    Decomposition {
        /// Number of observations p.
        observations: usize,
    },
    /// A name that its list holds twice.
    #[error("{what} {name} is listed twice; accepted: each once")]
    Duplicate {
        /// What is listed.
        what: &'static str,
        /// The repeated name.
        name: String,
    },
    /// A catchment that drains to one outside the list.
    #[error(
        "catchment {catchment} drains to {downstream}, which is not listed; list it, or make {catchment} an outlet"
    )]
    Downstream {
        /// The catchment.
        catchment: String,
        /// The unknown name.
        downstream: String,
    },
    /// Catchments that drain in a circle.
    #[error("the river runs in a circle: {path}; accepted: every catchment reaches an outlet")]
    Cycle {
        /// The names along the circle, `a -> b -> a`.
        path: String,
    },
    /// A rating curve was refused. The reason is in the message, because a configuration file shows no chain of sources.
    #[error("rating {version}: {reason}")]
    Rating {
        /// Version of the rating.
        version: String,
        /// The reason.
        reason: Box<AssimilationError>,
    },
    /// The entry of one catchment was refused; the source says why.
    #[error("catchment {catchment} cannot be assimilated")]
    Catchment {
        /// The catchment.
        catchment: usize,
        /// The reason.
        #[source]
        source: Box<AssimilationError>,
    },
}

impl AssimilationError {
    pub(crate) fn in_catchment(self, catchment: usize) -> Self {
        Self::Catchment { catchment, source: Box::new(self) }
    }
}

/// Refuses a slice whose length is not the expected one.
pub(crate) fn require_length(what: &'static str, actual: usize, expected: usize) -> Result<(), AssimilationError> {
    if actual == expected { Ok(()) } else { Err(AssimilationError::Length { what, actual, expected }) }
}

/// Refuses a value that `accepts` does not hold for.
pub(crate) fn require(
    what: &'static str,
    value: f64,
    accepted: &'static str,
    accepts: impl FnOnce(f64) -> bool,
) -> Result<(), AssimilationError> {
    if accepts(value) { Ok(()) } else { Err(AssimilationError::Value { what, value, accepted }) }
}

/// Refuses the first element that `accepts` does not hold for.
pub(crate) fn require_each<T: Copy + Into<f64>>(
    what: &'static str,
    values: &[T],
    accepted: &'static str,
    accepts: impl Fn(f64) -> bool,
) -> Result<(), AssimilationError> {
    match values.iter().position(|&value| !accepts(value.into())) {
        None => Ok(()),
        Some(index) => Err(AssimilationError::Element { what, index, value: values[index].into(), accepted }),
    }
}
