//! Series and pairs of series: the checks that every score starts with.

use crate::error::StatisticsError;

/// Two series without gaps, and how many pairs were dropped to get them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Paired {
    /// Observed values without NaN.
    pub observed: Vec<f64>,
    /// Simulated values at the same positions, without NaN.
    pub simulated: Vec<f64>,
    /// Number of pairs in which either value was NaN.
    pub dropped: usize,
}

/// Keeps the pairs `[T]` in which neither value is NaN, in order. Infinities stay, and the scores refuse them.
///
/// # Errors
/// [`StatisticsError::Length`] where the series differ in length.
pub fn paired(observed: &[f64], simulated: &[f64]) -> Result<Paired, StatisticsError> {
    require_length("simulated", simulated.len(), observed.len())?;
    let (kept_observed, kept_simulated): (Vec<_>, Vec<_>) = observed
        .iter()
        .copied()
        .zip(simulated.iter().copied())
        .filter(|(observed, simulated)| !observed.is_nan() && !simulated.is_nan())
        .unzip();
    let dropped = observed.len() - kept_observed.len();
    Ok(Paired { observed: kept_observed, simulated: kept_simulated, dropped })
}

/// Arithmetic mean of values `[T]`, in their unit.
///
/// # Errors
/// [`StatisticsError::TooFew`] for an empty slice, [`StatisticsError::NotFinite`] for a NaN or an infinity.
pub fn mean(values: &[f64]) -> Result<f64, StatisticsError> {
    require_some("values", values, 1)?;
    require_finite("values", values)?;
    Ok(mean_of(values))
}

/// Mean of a checked, non-empty slice.
pub(crate) fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len())
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "series and ensembles are far shorter than 2^53")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

pub(crate) fn require_pair(observed: &[f64], simulated: &[f64]) -> Result<(), StatisticsError> {
    require_some("observed", observed, 1)?;
    require_length("simulated", simulated.len(), observed.len())?;
    require_finite("observed", observed)?;
    require_finite("simulated", simulated)
}

pub(crate) fn require_length(what: &'static str, actual: usize, expected: usize) -> Result<(), StatisticsError> {
    if actual == expected { Ok(()) } else { Err(StatisticsError::Length { what, actual, expected }) }
}

pub(crate) fn require_some(what: &'static str, values: &[f64], least: usize) -> Result<(), StatisticsError> {
    let actual = values.len();
    if actual >= least { Ok(()) } else { Err(StatisticsError::TooFew { what, actual, least }) }
}

pub(crate) fn require_finite(what: &'static str, values: &[f64]) -> Result<(), StatisticsError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(StatisticsError::NotFinite { what, index, value: values[index] }),
    }
}

pub(crate) fn require_ascending(what: &'static str, values: &[f64]) -> Result<(), StatisticsError> {
    match values.windows(2).position(|pair| pair[0] > pair[1]) {
        None => Ok(()),
        Some(at) => Err(StatisticsError::Order { what, index: at + 1, previous: values[at], value: values[at + 1] }),
    }
}

/// A denominator that may not be zero.
pub(crate) fn nonzero(quantity: &'static str, value: f64) -> Result<f64, StatisticsError> {
    if value == 0.0 { Err(StatisticsError::Undefined { quantity }) } else { Ok(value) }
}
