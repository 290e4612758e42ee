//! Probabilities that a threshold is exceeded, and their Brier score.
//!
//! Exceeding means to reach or pass: a value at the threshold counts. Where it should not, give `threshold.next_up()`.

use crate::{
    error::StatisticsError,
    quantile::require_quantiles,
    series::{count, require_ascending, require_finite, require_length, require_some},
};

/// Share in 0 to 1 of members `[M]` at or above `threshold`.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a member, [`StatisticsError::NotFinite`] for a NaN or an infinity.
pub fn exceedance_of_members(members: &[f64], threshold: f64) -> Result<f64, StatisticsError> {
    require_some("members", members, 1)?;
    require_finite("members", members)?;
    require_finite("threshold", &[threshold])?;
    Ok(count(members.iter().filter(|member| **member >= threshold).count()) / count(members.len()))
}

/// Probability in (0, 1) that a forecast of ascending `quantiles` `[L]` at ascending `levels` `[L]` in (0, 1) is at or
/// above `threshold`.
///
/// Between quantiles the distribution function is linear. Beyond the outer ones it falls off exponentially, at the rate
/// at which it fell from the middle level to the outer one: twice as far from the median as the quantile of 0.95 lies the
/// quantile of 0.995, whatever the last two quantiles are. This is exact for exponential tails; a probability of a tail
/// stays within the level of the outer quantile and is never 0.
///
/// # Errors
/// [`StatisticsError::TooFew`] below two levels, [`StatisticsError::Length`] where the slices differ in length, and
/// [`StatisticsError::Order`], [`StatisticsError::Probability`] or [`StatisticsError::NotFinite`] for what they name.
pub fn exceedance_of_quantiles(levels: &[f64], quantiles: &[f64], threshold: f64) -> Result<f64, StatisticsError> {
    require_distribution(levels, quantiles)?;
    require_finite("threshold", &[threshold])?;
    Ok(1.0 - share_below(levels, quantiles, threshold))
}

/// At least two levels, and quantiles that do not cross.
pub(crate) fn require_distribution(levels: &[f64], quantiles: &[f64]) -> Result<(), StatisticsError> {
    require_some("quantile levels", levels, 2)?;
    require_quantiles(levels, quantiles)?;
    require_ascending("quantiles", quantiles)
}

/// Probability below `value`, without it.
pub(crate) fn share_below(levels: &[f64], quantiles: &[f64], value: f64) -> f64 {
    cumulative(levels, quantiles, value, quantiles.partition_point(|quantile| *quantile < value))
}

/// Probability up to `value`, with it: more than below it where quantiles are equal.
pub(crate) fn share_up_to(levels: &[f64], quantiles: &[f64], value: f64) -> f64 {
    cumulative(levels, quantiles, value, quantiles.partition_point(|quantile| *quantile <= value))
}

/// The distribution function of a checked distribution at `value`, which has `below` quantiles below it.
fn cumulative(levels: &[f64], quantiles: &[f64], value: f64, below: usize) -> f64 {
    let last = quantiles.len() - 1;
    let probability = if below == 0 {
        let middle = last.div_ceil(2);
        tail(levels[0], levels[middle], quantiles[0] - value, quantiles[middle] - quantiles[0])
    } else if below > last {
        let middle = last / 2;
        let (outer, inner) = (1.0 - levels[last], 1.0 - levels[middle]);
        1.0 - tail(outer, inner, value - quantiles[last], quantiles[last] - quantiles[middle])
    } else {
        let (low, high) = (quantiles[below - 1], quantiles[below]);
        levels[below - 1] + (value - low) / (high - low) * (levels[below] - levels[below - 1])
    };
    probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON)
}

/// What is left of the probability `outer` at a `distance` beyond its quantile, when from the probability `inner` to it
/// it took `width`.
fn tail(outer: f64, inner: f64, distance: f64, width: f64) -> f64 {
    if distance <= 0.0 { outer } else { outer * (outer / inner).powf(distance / width) }
}

/// Ranked probability score of ordered classes: the sum of squared differences between the probabilities of each class or worse and what
/// `occurred`, as 0 or 1; 0 is perfect, the number of classes the worst. Source: Epstein 1969, J. Appl. Meteorol. 8, 985; Murphy 1971, ibid. 10, 155.
///
/// # Errors
/// [`StatisticsError::Length`] where the slices differ in length, [`StatisticsError::TooFew`] without a class.
pub fn ranked_probability_score(at_least: &[f64], occurred: &[bool]) -> Result<f64, StatisticsError> {
    require_some("probabilities", at_least, 1)?;
    require_length("outcomes", occurred.len(), at_least.len())?;
    let square = |(probability, occurred): (&f64, &bool)| (probability - f64::from(u8::from(*occurred))).powi(2);
    Ok(at_least.iter().zip(occurred).map(square).sum())
}

/// Mean squared difference between `probabilities` `[N]` and what `occurred` `[N]` as 0 or 1: 0 is perfect. Source: Brier
/// 1950, Mon. Weather Rev. 78, 1.
///
/// # Errors
/// [`StatisticsError::TooFew`] for empty slices, [`StatisticsError::Length`] where they differ in length,
/// [`StatisticsError::Probability`] outside 0 to 1.
pub fn brier_score(probabilities: &[f64], occurred: &[bool]) -> Result<f64, StatisticsError> {
    require_forecasts(probabilities, occurred)?;
    let squares = probabilities.iter().zip(occurred).map(|(p, o)| (p - f64::from(u8::from(*o))).powi(2));
    Ok(squares.sum::<f64>() / count(occurred.len()))
}

/// What the Brier score is made of: `reliability - resolution + uncertainty`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrierParts {
    /// mean squared difference of a probability from how often the event then came: 0 is best
    pub reliability: f64,
    /// mean squared difference of that frequency from the overall one: larger is better
    pub resolution: f64,
    /// variance of the event, which no forecast changes
    pub uncertainty: f64,
}

/// The parts of [`brier_score`]. Forecasts of the same probability are judged together, so that the parts add up to the
/// score exactly; probabilities that hardly ever repeat, unlike those of an ensemble, want rounding first. Source: Murphy
/// 1973, J. Appl. Meteorol. 12, 595.
///
/// # Errors
/// As [`brier_score`].
pub fn brier_parts(probabilities: &[f64], occurred: &[bool]) -> Result<BrierParts, StatisticsError> {
    require_forecasts(probabilities, occurred)?;
    let mut forecasts: Vec<(f64, f64)> =
        probabilities.iter().copied().zip(occurred.iter().map(|o| f64::from(u8::from(*o)))).collect();
    forecasts.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total = count(forecasts.len());
    let frequency = |some: &[(f64, f64)]| some.iter().map(|(_, occurred)| occurred).sum::<f64>() / count(some.len());
    let overall = frequency(&forecasts);
    let mut parts = BrierParts { reliability: 0.0, resolution: 0.0, uncertainty: overall * (1.0 - overall) };
    for same in forecasts.chunk_by(|a, b| a.0 == b.0) {
        let (weight, came) = (count(same.len()) / total, frequency(same));
        parts.reliability += weight * (same[0].0 - came).powi(2);
        parts.resolution += weight * (came - overall).powi(2);
    }
    Ok(parts)
}

fn require_forecasts(probabilities: &[f64], occurred: &[bool]) -> Result<(), StatisticsError> {
    require_some("probabilities", probabilities, 1)?;
    require_length("occurred", occurred.len(), probabilities.len())?;
    match probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        None => Ok(()),
        Some(&value) => {
            Err(StatisticsError::Probability { what: "probability of the event", value, accepted: "0 to 1" })
        }
    }
}
