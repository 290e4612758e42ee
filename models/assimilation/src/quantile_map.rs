//! A map from one distribution to another, through quantiles of equal probability.

use serde::{Deserialize, Serialize};

use crate::{
    error::{AssimilationError, require, require_each, require_length},
    moments::{count, mean},
};

/// Probabilities of the knots: 0, 5 %, ..., 100 %.
const KNOTS: usize = 21;

/// `x' = G^-1(F(x))` of a series with distribution F and a target with distribution G, linear between knots of equal
/// probability, and beyond the outermost ones linear with the ratio of the standard deviations: there, a slope between
/// two extremes would be noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuantileMap {
    /// Quantiles of the series, strictly ascending.
    from: Vec<f64>,
    /// Quantiles of the target, not falling, as many.
    to: Vec<f64>,
    /// Standard deviation of the target over that of the series, positive.
    spread_ratio: f64,
}

impl QuantileMap {
    /// The map between two finite series, each of its own length and in any order.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a series has fewer than two values or does not vary.
    pub(crate) fn fit(mut series: Vec<f64>, mut target: Vec<f64>) -> Result<Self, AssimilationError> {
        let spread_ratio = spread(&target)? / spread(&series)?;
        series.sort_by(f64::total_cmp);
        target.sort_by(f64::total_cmp);
        let (mut from, mut to) = (Vec::with_capacity(KNOTS), Vec::with_capacity(KNOTS));
        let probabilities = (0..KNOTS).map(|knot| count(knot) / count(KNOTS - 1));
        let knots: Vec<_> = probabilities.map(|p| (quantile(&series, p), quantile(&target, p))).collect();
        // A value that spans several knots, as a retrieval's limit does, maps to their mean.
        for tied in knots.chunk_by(|a, b| a.0 == b.0) {
            from.push(tied[0].0);
            to.push(tied.iter().map(|(_, to)| to).sum::<f64>() / count(tied.len()));
        }
        let map = Self { from, to, spread_ratio };
        map.check()?;
        Ok(map)
    }

    /// Checks what [`QuantileMap::map`] relies on, which a kept map may have lost.
    pub(crate) fn check(&self) -> Result<(), AssimilationError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("ratio of standard deviations", self.spread_ratio, "finite and positive", positive)?;
        require("number of quantiles", count(self.from.len()), "at least 2", |n| n >= 2.0)?;
        require_length("target quantile", self.to.len(), self.from.len())?;
        require_each("quantile", &self.from, "finite", f64::is_finite)?;
        require_each("target quantile", &self.to, "finite", f64::is_finite)?;
        for (from, to) in self.from.windows(2).zip(self.to.windows(2)) {
            require("quantile", from[1], "above the one before", |v| v > from[0])?;
            require("target quantile", to[1], "not below the one before", |v| v >= to[0])?;
        }
        Ok(())
    }

    /// Standard deviation of the target over that of the series.
    pub(crate) const fn spread_ratio(&self) -> f64 {
        self.spread_ratio
    }

    /// A value of the series as one of the target; NaN where it is NaN.
    pub(crate) fn map(&self, value: f64) -> f64 {
        let above = self.from.partition_point(|knot| *knot < value);
        let low = above.saturating_sub(1);
        let slope = if (1..self.from.len()).contains(&above) {
            (self.to[above] - self.to[low]) / (self.from[above] - self.from[low])
        } else {
            self.spread_ratio
        };
        self.to[low] + slope * (value - self.from[low])
    }
}

/// Standard deviation of a series, refused where it does not vary.
fn spread(series: &[f64]) -> Result<f64, AssimilationError> {
    require("number of values", count(series.len()), "at least 2", |n| n >= 2.0)?;
    let centre = mean(series);
    let variance = series.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / count(series.len() - 1);
    let varies = series.windows(2).any(|pair| pair[0] != pair[1]);
    require("standard deviation", variance.sqrt(), "finite and positive", |v| varies && v > 0.0 && v.is_finite())?;
    Ok(variance.sqrt())
}

/// Quantile of a sorted series, linear between order statistics (Hyndman & Fan 1996, type 7).
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let position = probability * count(sorted.len() - 1);
    let low = position.floor();
    let index = low as usize;
    let high = sorted.get(index + 1).unwrap_or(&sorted[index]);
    sorted[index] + (position - low) * (high - sorted[index])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tied_values_map_to_the_mean_of_their_quantiles() {
        // Half of the series is its lower limit: knots 0 to 10 map to the mean of 0, 5, ..., 50.
        let series = (0..101).map(|i| f64::from((i - 50).max(0))).collect();
        let target = (0..101).map(f64::from).collect();
        let map = QuantileMap::fit(series, target).unwrap();
        assert!((map.map(0.0) - 25.0).abs() < 1e-12);
        assert!((map.map(50.0) - 100.0).abs() < 1e-12);
        assert!(map.map(f64::NAN).is_nan());
    }

    #[test]
    fn one_outlier_above_a_constant_still_has_a_map() {
        let map = QuantileMap::fit(vec![0.0, 0.0, 0.0, 1.0], vec![2.0, 4.0, 6.0, 8.0]).unwrap();
        assert!(map.map(0.0) < map.map(1.0));
    }

    proptest! {
        /// At each knot the map is the target's quantile of that probability, so between knots both distributions agree
        /// within one interval of 5 %.
        #[test]
        fn the_mapped_series_has_the_targets_distribution(
            series in prop::collection::hash_set(-1_000_i32..1_000, 50..200),
            target in prop::collection::hash_set(-1_000_i32..1_000, 50..200),
        ) {
            let real = |values: std::collections::HashSet<i32>| -> Vec<f64> {
                values.into_iter().map(|v| f64::from(v) / 10.0).collect()
            };
            let (series, mut target) = (real(series), real(target));
            let map = QuantileMap::fit(series.clone(), target.clone()).unwrap();
            let mut mapped: Vec<_> = series.iter().map(|value| map.map(*value)).collect();
            mapped.sort_by(f64::total_cmp);
            target.sort_by(f64::total_cmp);
            prop_assert!((mapped[0] - target[0]).abs() < 1e-9);
            prop_assert!((mapped[mapped.len() - 1] - target[target.len() - 1]).abs() < 1e-9);
            for p in (1..20).map(|knot| f64::from(knot) / 20.0) {
                let at = quantile(&mapped, p);
                prop_assert!(quantile(&target, p - 0.05) - 1e-9 <= at && at <= quantile(&target, p + 0.05) + 1e-9);
            }
        }

        #[test]
        fn a_map_never_falls(
            series in prop::collection::vec(-5_i32..5, 2..80),
            target in prop::collection::vec(-5_i32..5, 2..80),
            low in -20.0..20.0_f64,
            step in 0.0..5.0_f64,
        ) {
            let real = |values: Vec<i32>| values.into_iter().map(f64::from).collect();
            if let Ok(map) = QuantileMap::fit(real(series), real(target)) {
                prop_assert!(map.map(low + step) >= map.map(low) - 1e-12);
            }
        }
    }
}
