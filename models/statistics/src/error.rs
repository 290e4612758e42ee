//! Why a score has no value.

use thiserror::Error;

/// A refused input, or a score that its input does not define. None is worth a retry: the input has to change.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// Fewer values than the score needs.
    #[error("{what} has {actual} values; accepted: at least {least}")]
    TooFew {
        /// The slice that was refused.
        what: &'static str,
        /// Its length.
        actual: usize,
        /// The smallest accepted length.
        least: usize,
    },
    /// Two slices that belong together differ in length.
    #[error("{what} has {actual} values; expected {expected}")]
    Length {
        /// The slice that was refused.
        what: &'static str,
        /// Its length.
        actual: usize,
        /// The accepted length.
        expected: usize,
    },
    /// NaN or an infinity.
    #[error("{what} [{index}] is {value}; accepted: finite, drop gaps with `paired` first")]
    NotFinite {
        /// The slice that was refused.
        what: &'static str,
        /// Position in the slice.
        index: usize,
        /// The refused value.
        value: f64,
    },
    /// A probability outside its range.
    #[error("{what} is {value}; accepted: {accepted}")]
    Probability {
        /// What the probability is.
        what: &'static str,
        /// The refused value.
        value: f64,
        /// The accepted range in words.
        accepted: &'static str,
    },
    /// A slice that should ascend goes down at an index.
    #[error("{what} [{index}] is {value}, after {previous}; accepted: ascending")]
    Order {
        /// The slice that was refused.
        what: &'static str,
        /// Position of the first value that is below the one before it.
        index: usize,
        /// The value before.
        previous: f64,
        /// The refused value.
        value: f64,
    },
    /// The lower end of an interval lies above its upper end.
    #[error("interval [{index}] from {lower} to {upper} is crossed; accepted: lower <= upper")]
    Crossed {
        /// Position of the interval, 0 where there is one.
        index: usize,
        /// Lower end.
        lower: f64,
        /// Upper end.
        upper: f64,
    },
    /// A denominator of the score is zero.
    #[error("the score is undefined: {quantity} is 0")]
    Undefined {
        /// The quantity that is zero.
        quantity: &'static str,
    },
}
