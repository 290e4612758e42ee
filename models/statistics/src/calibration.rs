//! Online calibration of a predictive distribution: its tails are stretched or squeezed until they miss as often as they
//! should.

use crate::{error::StatisticsError, series::require_finite};

/// How far a tail may be stretched or squeezed: factors of 1/8 to 8.
const LARGEST_LOG: f32 = 2.079_441_5;

/// The two tails of a distribution as factors on the distance of a quantile from the median, in the logarithm of the
/// value. It starts at 1: the distribution as it is.
///
/// Every verified forecast moves a tail: `log f ← log f + γ (miss − α)`, where `miss` is 1 when the observation lay
/// beyond the issued quantile of level α (from its own end) and else 0. Summed over time this bounds the difference of the
/// share of misses from α by `(largest − first log f) / (γ n)` whatever the data (the argument of Gibbs and Candès 2021,
/// adaptive conformal inference, on the scale of the quantile instead of its level).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TailScale {
    /// logarithm of the factor below the median
    pub log_lower: f32,
    /// logarithm of the factor above the median
    pub log_upper: f32,
}

impl TailScale {
    /// Applies the factors to `quantiles` of ascending `levels`, in the logarithm of `value + epsilon`, around the level
    /// nearest one half. Values stay at least 0 and ascending.
    ///
    /// # Errors
    /// [`StatisticsError::Length`] when there is not one quantile a level, [`StatisticsError::NotFinite`] for one that is
    /// no finite number.
    pub fn apply(&self, levels: &[f64], quantiles: &mut [f64], epsilon: f64) -> Result<(), StatisticsError> {
        let factors = [self.log_lower, self.log_upper].map(|log| f64::from(log).exp());
        stretch_tails(levels, quantiles, factors, epsilon).map(|_| ())
    }

    /// Learns from one verified forecast, whose issued quantiles of level `alpha` and `1 − alpha` were `lower` and
    /// `upper`. `rate` is γ.
    pub fn learn(&mut self, observed: f64, lower: f64, upper: f64, alpha: f64, rate: f64) {
        let step = |miss: bool| (rate * (f64::from(u8::from(miss)) - alpha)) as f32;
        self.log_lower = (self.log_lower + step(observed < lower)).clamp(-LARGEST_LOG, LARGEST_LOG);
        self.log_upper = (self.log_upper + step(observed > upper)).clamp(-LARGEST_LOG, LARGEST_LOG);
    }
}

/// Multiplies the distances of `quantiles` `[L]` of ascending `levels` `[L]` from the median by the `factors` below and
/// above it, in the logarithm of `value + epsilon`, around the level nearest one half. Values stay at least 0 and
/// ascending.
///
/// Quantiles take factors within 1/8 to 8. Returned are the outer quantiles by the factors as they are, so that a tracker
/// whose factor is the threshold of [`crate::AdaptiveConformal`] or [`crate::ConformalPid`] learns what it asked for: an
/// infinite factor puts the end of its tail at an infinity that no observation passes, minus infinity at one that all do.
///
/// # Errors
/// [`StatisticsError::Length`] when there is not one quantile a level, [`StatisticsError::NotFinite`] for a quantile that
/// is no finite number or a factor that is NaN.
pub fn stretch_tails(
    levels: &[f64],
    quantiles: &mut [f64],
    factors: [f64; 2],
    epsilon: f64,
) -> Result<[f64; 2], StatisticsError> {
    if levels.len() != quantiles.len() || levels.is_empty() {
        return Err(StatisticsError::Length { what: "quantiles", actual: quantiles.len(), expected: levels.len() });
    }
    require_finite("quantiles", quantiles)?;
    if let Some(index) = factors.iter().position(|factor| factor.is_nan()) {
        return Err(StatisticsError::NotFinite { what: "factors", index, value: f64::NAN });
    }
    let (middle, last) = (levels.partition_point(|level| *level < 0.5 - 1e-9).min(levels.len() - 1), levels.len() - 1);
    let median = (quantiles[middle].max(0.0) + epsilon).ln();
    let stretched = |quantile: f64, factor: f64| {
        let log = median + factor * ((quantile.max(0.0) + epsilon).ln() - median);
        (log.exp() - epsilon).max(0.0)
    };
    let end = |quantile: f64, factor: f64, side: f64| {
        if factor.is_finite() { stretched(quantile, factor) } else { side * factor }
    };
    let ends = [end(quantiles[0], factors[0], -1.0), end(quantiles[last], factors[1], 1.0)];
    let largest = f64::from(LARGEST_LOG).exp();
    let [lower, upper] = factors.map(|factor| factor.clamp(1.0 / largest, largest));
    for (index, quantile) in quantiles.iter_mut().enumerate() {
        if index != middle {
            *quantile = stretched(*quantile, if index < middle { lower } else { upper });
        }
    }
    // Near 0 the way to the logarithm and back rounds by more than two quantiles lie apart.
    let mut floor = 0.0;
    for quantile in quantiles {
        *quantile = quantile.max(floor);
        floor = *quantile;
    }
    Ok(ends)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];

    #[test]
    fn quantiles_of_a_nearly_dry_river_do_not_cross() {
        let mut quantiles = [0.0, 3e-14, 3.1e-14];
        TailScale { log_lower: 0.5, log_upper: 0.3 }.apply(&LEVELS, &mut quantiles, 2.3).unwrap();
        assert!(quantiles.is_sorted() && quantiles[0] >= 0.0, "{quantiles:?}");
    }

    /// Standard log-normal observations, in an order without pattern.
    fn observation(i: u32) -> f64 {
        let uniform = (f64::from(i) * 0.618_033_988_749_895).fract().clamp(1e-6, 1.0 - 1e-6);
        // A logistic is near enough to a normal here: what counts is that the scale is known.
        (0.55 * (uniform / (1.0 - uniform)).ln()).exp()
    }

    #[test]
    fn too_wide_and_too_narrow_intervals_end_at_their_level() {
        for spread in [4.0_f64, 0.3] {
            let mut scale = TailScale::default();
            let mut hits = 0;
            for i in 0..6_000 {
                let mut quantiles = [(-1.645 * spread).exp(), 1.0, (1.645 * spread).exp()];
                scale.apply(&LEVELS, &mut quantiles, 1e-9).unwrap();
                let observed = observation(i);
                if i >= 2_000 && observed >= quantiles[0] && observed <= quantiles[2] {
                    hits += 1;
                }
                scale.learn(observed, quantiles[0], quantiles[2], 0.05, 0.05);
            }
            let share = f64::from(hits) / 4_000.0;
            assert!((share - 0.9).abs() < 0.02, "spread {spread}: {share} inside");
        }
    }

    #[test]
    fn it_starts_by_changing_nothing_and_refuses_what_is_no_distribution() {
        let mut quantiles = [1.0, 2.0, 5.0];
        TailScale::default().apply(&LEVELS, &mut quantiles, 0.1).unwrap();
        assert!(quantiles.iter().zip([1.0, 2.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(TailScale::default().apply(&LEVELS, &mut [1.0], 0.1).is_err());
        assert!(TailScale::default().apply(&LEVELS, &mut [1.0, f64::NAN, 2.0], 0.1).is_err());
    }

    proptest! {
        #[test]
        fn quantiles_never_cross_nor_turn_negative(
            mut quantiles in proptest::collection::vec(0.0_f64..1e4, 3),
            log_lower in -3.0_f32..3.0,
            log_upper in -3.0_f32..3.0,
        ) {
            quantiles.sort_by(f64::total_cmp);
            TailScale { log_lower, log_upper }.apply(&LEVELS, &mut quantiles, 0.01).unwrap();
            prop_assert!(quantiles[0] >= 0.0 && quantiles.is_sorted(), "{quantiles:?}");
        }
    }
}
