//! Scores of prediction intervals.

use crate::error::StatisticsError;
use crate::series::{count, require_finite, require_length, require_some};

/// Interval (Winkler) score of the central interval with nominal coverage `1 - alpha`, in the unit of the observation,
/// smaller is better: `(u - l) + (2/alpha)(l - y)⁺ + (2/alpha)(y - u)⁺`. Source: Gneiting & Raftery 2007, J. Am. Stat.
/// Assoc. 102, 359.
///
/// # Errors
/// [`StatisticsError::Probability`] for an alpha outside (0, 1), [`StatisticsError::NotFinite`] for a NaN or an
/// infinity, [`StatisticsError::Crossed`] where lower exceeds upper.
pub fn interval_score(lower: f64, upper: f64, observed: f64, alpha: f64) -> Result<f64, StatisticsError> {
    require_finite("lower", &[lower])?;
    require_finite("upper", &[upper])?;
    require_finite("observed", &[observed])?;
    require_uncrossed(0, lower, upper)?;
    if !(alpha > 0.0 && alpha < 1.0) {
        let accepted = "between 0 and 1, without the ends";
        return Err(StatisticsError::Probability { what: "alpha", value: alpha, accepted });
    }
    let outside = (lower - observed).max(0.0) + (observed - upper).max(0.0);
    Ok(upper - lower + 2.0 / alpha * outside)
}

/// Share in 0 to 1 of observations `[T]` that lie within `[lower, upper]` `[T]`, ends included. Give the mean width
/// beside it: coverage alone is won by a wide interval.
///
/// # Errors
/// [`StatisticsError::TooFew`] for empty slices, [`StatisticsError::Length`] where they differ in length,
/// [`StatisticsError::NotFinite`] for a NaN or an infinity, [`StatisticsError::Crossed`] where lower exceeds upper.
pub fn coverage(lower: &[f64], upper: &[f64], observed: &[f64]) -> Result<f64, StatisticsError> {
    require_some("observed", observed, 1)?;
    require_length("lower", lower.len(), observed.len())?;
    require_length("upper", upper.len(), observed.len())?;
    require_finite("lower", lower)?;
    require_finite("upper", upper)?;
    require_finite("observed", observed)?;
    let mut inside = 0;
    for (index, ((&lower, &upper), &observed)) in lower.iter().zip(upper).zip(observed).enumerate() {
        require_uncrossed(index, lower, upper)?;
        inside += usize::from(lower <= observed && observed <= upper);
    }
    Ok(count(inside) / count(observed.len()))
}

fn require_uncrossed(index: usize, lower: f64, upper: f64) -> Result<(), StatisticsError> {
    if lower <= upper { Ok(()) } else { Err(StatisticsError::Crossed { index, lower, upper }) }
}
