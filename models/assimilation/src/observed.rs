//! One observed value with its error, as a filter takes it.

/// One observation in the space of its predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The value, in the unit of the predictions.
    pub value: f64,
    /// Its error variance, positive, in the squared unit of `value`.
    pub error_variance: f64,
}

/// Whether the predictions `[M]` of an observation differ between members. Where they do not, as where no member has
/// snow, the observation has no covariance with any store and carries no information: a caller leaves it out, for a
/// filter with prior inflation would widen the catchment's stores and learn nothing.
#[must_use]
pub fn is_informative(predicted: &[f64]) -> bool {
    predicted.windows(2).any(|pair| pair[0] != pair[1])
}
