//! The continuous ranked probability score of an ensemble.

use crate::error::StatisticsError;
use crate::series::{count, require_ascending, require_finite, require_some};

/// Which double sum of member differences a CRPS takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrpsEstimator {
    /// `S / (2 m²)`: the score of the empirical distribution of these m members.
    Biased,
    /// `S / (2 m (m - 1))`: unbiased for the distribution that the members were drawn from, so that ensembles of
    /// different sizes compare (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917). Needs two members and may be below
    /// zero.
    Fair,
}

/// CRPS of members `[M]` in any order for one observation, in their unit: `(1/m) Σ|x - y|` less the part of the
/// estimator with `S = ΣΣ|x_i - x_j|`. Sorts into `buffer`, which keeps its size between calls: O(M log M). Source:
/// Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a member, or with one for [`CrpsEstimator::Fair`];
/// [`StatisticsError::NotFinite`] for a NaN or an infinity.
pub fn crps_ensemble(
    members: &[f64],
    observed: f64,
    estimator: CrpsEstimator,
    buffer: &mut Vec<f64>,
) -> Result<f64, StatisticsError> {
    require_finite("members", members)?;
    buffer.clear();
    buffer.extend_from_slice(members);
    buffer.sort_unstable_by(f64::total_cmp);
    crps_of_sorted(buffer, observed, estimator)
}

/// As [`crps_ensemble`], of members `[M]` that already ascend: `S = 2 Σ (2 i - m + 1) x_i`, i from 0. O(M), no
/// allocation.
///
/// # Errors
/// As [`crps_ensemble`], and [`StatisticsError::Order`] where the members do not ascend.
pub fn crps_of_sorted(members: &[f64], observed: f64, estimator: CrpsEstimator) -> Result<f64, StatisticsError> {
    let least = match estimator {
        CrpsEstimator::Biased => 1,
        CrpsEstimator::Fair => 2,
    };
    require_some("members", members, least)?;
    require_finite("members", members)?;
    require_finite("observed", &[observed])?;
    require_ascending("members", members)?;

    let m = count(members.len());
    let distance: f64 = members.iter().map(|member| (member - observed).abs()).sum();
    // Differences from the observation, not the values: a large offset common to all members would cost digits.
    let half_spread: f64 =
        members.iter().enumerate().map(|(i, member)| (2.0 * count(i) - m + 1.0) * (member - observed)).sum();
    let score = distance / m
        - half_spread
            / match estimator {
                CrpsEstimator::Biased => m * m,
                CrpsEstimator::Fair => m * (m - 1.0),
            };
    Ok(match estimator {
        CrpsEstimator::Biased => score.max(0.0), // below zero by rounding only
        CrpsEstimator::Fair => score,
    })
}
