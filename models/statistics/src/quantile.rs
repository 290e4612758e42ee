//! Quantiles of a sample, and the scores of forecast quantiles.

use crate::error::StatisticsError;
use crate::series::{count, require_ascending, require_finite, require_length, require_some};

/// Quantile of ascending values `[M]` at a level in 0 to 1, in their unit: type 7, linear between order statistics at
/// `h = (M - 1) level`. Source: Hyndman & Fan 1996, Am. Stat. 50, 361.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a value, [`StatisticsError::NotFinite`] for a NaN or an infinity,
/// [`StatisticsError::Order`] where the values do not ascend, [`StatisticsError::Probability`] for a level outside 0 to
/// 1.
pub fn quantile_of_sorted(sorted: &[f64], level: f64) -> Result<f64, StatisticsError> {
    let mut quantile = [0.0];
    quantiles_of_sorted(sorted, &[level], &mut quantile)?;
    Ok(quantile[0])
}

/// Fills `quantiles` `[L]` with the type-7 quantiles of ascending values `[M]` at `levels` `[L]`, in any order of
/// levels.
///
/// # Errors
/// As [`quantile_of_sorted`], and [`StatisticsError::Length`] where `levels` and `quantiles` differ in length.
pub fn quantiles_of_sorted(sorted: &[f64], levels: &[f64], quantiles: &mut [f64]) -> Result<(), StatisticsError> {
    require_some("values", sorted, 1)?;
    require_finite("values", sorted)?;
    require_ascending("values", sorted)?;
    require_length("quantiles", quantiles.len(), levels.len())?;
    for &level in levels {
        if !(0.0..=1.0).contains(&level) {
            return Err(StatisticsError::Probability { what: "quantile level", value: level, accepted: "0 to 1" });
        }
    }
    for (quantile, &level) in quantiles.iter_mut().zip(levels) {
        *quantile = interpolate(sorted, level);
    }
    Ok(())
}

/// Fills `quantiles` `[L]` as [`quantiles_of_sorted`] does, from `values` `[M]` in any order. Sorts into `buffer`,
/// which keeps its size between calls: O(M log M + L).
///
/// # Errors
/// As [`quantiles_of_sorted`]; the order of the values does not matter.
pub fn quantiles(
    values: &[f64],
    levels: &[f64],
    buffer: &mut Vec<f64>,
    quantiles: &mut [f64],
) -> Result<(), StatisticsError> {
    require_finite("values", values)?;
    buffer.clear();
    buffer.extend_from_slice(values);
    buffer.sort_unstable_by(f64::total_cmp);
    quantiles_of_sorted(buffer, levels, quantiles)
}

/// Type 7 of checked values and level.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the rank lies in 0 to M - 1")]
fn interpolate(sorted: &[f64], level: f64) -> f64 {
    let last = sorted.len() - 1;
    let rank = count(last) * level;
    let below = (rank.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = rank - count(below);
    let (low, high) = (sorted[below], sorted[above]);
    // The clamp keeps quantiles monotone where rounding would let them pass the next order statistic.
    (low + share * (high - low)).clamp(low, high)
}

/// Pinball (quantile) loss of a forecast quantile at `level` in (0, 1), in the unit of the quantile:
/// `(y - q) (level - 1{y < q})`. Source: Koenker & Bassett 1978, Econometrica 46, 33.
///
/// # Errors
/// [`StatisticsError::Probability`] for a level outside (0, 1), [`StatisticsError::NotFinite`] for a NaN or an
/// infinity.
pub fn pinball(quantile: f64, observed: f64, level: f64) -> Result<f64, StatisticsError> {
    require_level(level)?;
    require_finite("quantile", &[quantile])?;
    require_finite("observed", &[observed])?;
    Ok(pinball_of(quantile, observed, level))
}

/// Approximate CRPS of forecast quantiles `[L]` at ascending `levels` `[L]` in (0, 1), in their unit: twice the mean
/// pinball loss. The CRPS is the integral of twice the pinball loss over all levels; this mean takes the given levels
/// as evenly spread in (0, 1), such as (l - 1/2) / L, and knows nothing of the tails beyond them. Compare it only
/// between forecasts with the same levels. Source: Gneiting & Ranjan 2011, J. Bus. Econ. Stat. 29, 411.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a level, [`StatisticsError::Length`] where the slices differ in length, and
/// [`StatisticsError::Order`], [`StatisticsError::Probability`] or [`StatisticsError::NotFinite`] for what they name.
pub fn crps_quantiles(levels: &[f64], quantiles: &[f64], observed: f64) -> Result<f64, StatisticsError> {
    require_quantiles(levels, quantiles)?;
    require_finite("observed", &[observed])?;
    let losses = levels.iter().zip(quantiles).map(|(&level, &quantile)| pinball_of(quantile, observed, level));
    Ok(2.0 * losses.sum::<f64>() / count(levels.len()))
}

fn pinball_of(quantile: f64, observed: f64, level: f64) -> f64 {
    let below = if observed < quantile { 1.0 } else { 0.0 };
    (observed - quantile) * (level - below)
}

/// At least one level, in (0, 1) and ascending, and a finite quantile of each.
pub(crate) fn require_quantiles(levels: &[f64], quantiles: &[f64]) -> Result<(), StatisticsError> {
    require_some("quantile levels", levels, 1)?;
    require_length("quantiles", quantiles.len(), levels.len())?;
    levels.iter().try_for_each(|&level| require_level(level))?;
    require_ascending("quantile levels", levels)?;
    require_finite("quantiles", quantiles)
}

fn require_level(level: f64) -> Result<(), StatisticsError> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(StatisticsError::Probability {
            what: "quantile level",
            value: level,
            accepted: "between 0 and 1, without the ends",
        })
    }
}
