//! A predictive distribution by its quantiles, from which its mean, its members and its odds are taken.

use std::sync::LazyLock;

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::{
    error::StatisticsError,
    levels::{CALIBRATED_LEVELS, STANDARD_NORMAL, TAIL_LEVELS, TAIL_NORMAL},
    series::{require_ascending, require_finite},
};

const LEVELS: usize = CALIBRATED_LEVELS + TAIL_LEVELS.len();
/// What is less likely has no probability: quantiles say nothing of it, and the numbers near 0 that a processor may take for 0 make it another on another
/// thread.
const SMALLEST: f64 = 1e-12;
/// Where the calibrated levels begin among all.
const FIRST: usize = TAIL_LEVELS.len() / 2;

/// Normal quantiles of all levels, ascending.
const NORMAL: [f64; LEVELS] = {
    let mut all = [0.0; LEVELS];
    let mut i = 0;
    while i < LEVELS {
        all[i] = if i < FIRST {
            TAIL_NORMAL[i]
        } else if i < FIRST + CALIBRATED_LEVELS {
            STANDARD_NORMAL[i - FIRST]
        } else {
            TAIL_NORMAL[i - CALIBRATED_LEVELS]
        };
        i += 1;
    }
    all
};

/// How much each quantile counts in the mean: the integral of the line through the quantiles, in the normal score, over the normal density.
static MEAN_WEIGHTS: LazyLock<[f64; LEVELS]> = LazyLock::new(|| {
    let density = |score: f64| (-0.5 * score * score).exp() / std::f64::consts::TAU.sqrt();
    let mut weights = [0.0; LEVELS];
    weights[0] = level(0);
    for low in 0..LEVELS - 1 {
        let (from, to) = (NORMAL[low], NORMAL[low + 1]);
        let probability = level(low + 1) - level(low);
        let upper = (density(from) - density(to) - from * probability) / (to - from);
        weights[low + 1] += upper;
        weights[low] += probability - upper;
    }
    let (before, last) = (NORMAL[LEVELS - 2], NORMAL[LEVELS - 1]);
    let beyond = 1.0 - level(LEVELS - 1);
    let slope = (density(last) - last * beyond) / (last - before);
    weights[LEVELS - 1] += beyond + slope;
    weights[LEVELS - 2] -= slope;
    weights
});

fn level(place: usize) -> f64 {
    match place.checked_sub(FIRST) {
        None => TAIL_LEVELS[place],
        Some(calibrated) if calibrated < CALIBRATED_LEVELS => (calibrated + 1) as f64 / (CALIBRATED_LEVELS + 1) as f64,
        Some(_) => TAIL_LEVELS[place - CALIBRATED_LEVELS],
    }
}

/// A predictive distribution, by its quantiles at 0.05, 0.10, … 0.95 and at [`TAIL_LEVELS`], in their unit.
///
/// Between two quantiles it is linear in the normal score. Above the last one it goes on as between the last two; below the first one it has no
/// tail, as a river has none below its bed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution([f64; LEVELS]);

impl Distribution {
    /// Of quantiles at the calibrated levels and at [`TAIL_LEVELS`].
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] or [`StatisticsError::Order`] for quantiles that are no numbers or do not ascend.
    pub fn new(
        quantiles: &[f64; CALIBRATED_LEVELS],
        tails: &[f64; TAIL_LEVELS.len()],
    ) -> Result<Self, StatisticsError> {
        let mut all = [0.0; LEVELS];
        all[..FIRST].copy_from_slice(&tails[..FIRST]);
        all[FIRST..FIRST + CALIBRATED_LEVELS].copy_from_slice(quantiles);
        all[FIRST + CALIBRATED_LEVELS..].copy_from_slice(&tails[FIRST..]);
        require_finite("quantiles", &all)?;
        require_ascending("quantiles", &all)?;
        Ok(Self(all))
    }

    /// The quantiles at 0.05, 0.10, … 0.95.
    #[must_use]
    pub fn quantiles(&self) -> [f64; CALIBRATED_LEVELS] {
        std::array::from_fn(|at| self.0[FIRST + at])
    }

    /// The quantiles at [`TAIL_LEVELS`].
    #[must_use]
    pub fn tails(&self) -> [f64; TAIL_LEVELS.len()] {
        std::array::from_fn(|at| self.0[if at < FIRST { at } else { at + CALIBRATED_LEVELS }])
    }

    /// The median.
    #[must_use]
    pub const fn median(&self) -> f64 {
        self.0[LEVELS / 2]
    }

    /// The expected value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let mean: f64 = self.0.iter().zip(&*MEAN_WEIGHTS).map(|(quantile, weight)| quantile * weight).sum();
        mean.clamp(self.0[0], f64::MAX)
    }

    /// The probability of a value at or above `value`. Where the distribution is flat, as many of its levels as are there are at or above it.
    #[must_use]
    pub fn exceedance(&self, value: f64) -> f64 {
        if value <= self.0[0] {
            return 1.0;
        }
        let low = self.0[1..LEVELS - 1].partition_point(|own| *own < value);
        let (from, to) = (self.0[low], self.0[low + 1]);
        if to <= from {
            return 1.0 - level(low + 1);
        }
        let score = NORMAL[low] + (NORMAL[low + 1] - NORMAL[low]) * (value - from) / (to - from);
        Some(Normal::standard().sf(score)).filter(|probability| *probability >= SMALLEST).unwrap_or(0.0)
    }

    /// The probability of a value at or below `value`. Where the distribution is flat, as many of its levels as are there are at or below it: a river
    /// that runs dry is at 0, not above it.
    #[must_use]
    pub fn at_or_below(&self, value: f64) -> f64 {
        if value < self.0[0] {
            return 0.0;
        }
        let low = self.0[1..LEVELS - 1].partition_point(|own| *own <= value);
        let (from, to) = (self.0[low], self.0[low + 1]);
        if to <= from {
            return 1.0;
        }
        let score = NORMAL[low] + (NORMAL[low + 1] - NORMAL[low]) * (value - from) / (to - from);
        1.0 - Some(Normal::standard().sf(score)).filter(|above| *above >= SMALLEST).unwrap_or(0.0)
    }

    /// The value of a normal score: the quantile of the level that the score has in a standard normal distribution.
    #[must_use]
    pub fn at_score(&self, score: f64) -> f64 {
        if score <= NORMAL[0] {
            return self.0[0];
        }
        let low = NORMAL[1..LEVELS - 1].partition_point(|own| *own < score);
        let (from, to) = (self.0[low], self.0[low + 1]);
        from + (to - from) * (score - NORMAL[low]) / (NORMAL[low + 1] - NORMAL[low])
    }
}

/// Normal scores of the levels `(r − ½) / M`, ascending: those of `members` equally likely values.
#[must_use]
pub fn scores_of_members(members: usize) -> Vec<f64> {
    let normal = Normal::standard();
    (0..members).map(|rank| normal.inverse_cdf((rank as f64 + 0.5) / members as f64)).collect()
}

/// Gives members `[M]` the values of a distribution by their ranks: the one that was lowest takes the quantile of level ½/M, the next that of
/// 3/2/M, and so on (ensemble copula coupling, Schefzik, Thorarinsdottir & Gneiting 2013, Stat. Sci. 28, 616). Members that are alike take their
/// places in the order of `ties` `[M]`. `scores` `[M]` are [`scores_of_members`]; `order` is a buffer.
///
/// # Panics
/// When slices differ in length.
pub fn couple(distribution: &Distribution, members: &mut [f64], ties: &[f64], scores: &[f64], order: &mut Vec<usize>) {
    assert!(members.len() == ties.len() && members.len() == scores.len(), "a tie-breaker and a score a member");
    order.clear();
    order.extend(0..members.len());
    order.sort_unstable_by(|a, b| members[*a].total_cmp(&members[*b]).then(ties[*a].total_cmp(&ties[*b])));
    for (member, score) in order.iter().zip(scores) {
        members[*member] = distribution.at_score(*score);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: impl Fn(f64) -> f64) -> Distribution {
        Distribution::new(&STANDARD_NORMAL.map(&value), &TAIL_NORMAL.map(&value)).unwrap()
    }

    /// A lognormal of deviation 0.4 has the mean exp(0.08); the line between levels and the tail that is cut below cost less than 0.2 %.
    #[test]
    fn the_mean_is_that_of_the_distribution() {
        assert!((of(|z| 5.0 + 2.0 * z).mean() - 5.0).abs() < 0.01);
        assert!((of(|z| (0.4 * z).exp()).mean() / 0.08_f64.exp() - 1.0).abs() < 2e-3);
        assert!((MEAN_WEIGHTS.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((of(|_| 3.0).mean() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn values_follow_the_normal_score_and_go_on_upwards_only() {
        let line = of(|z| 10.0 + z);
        for score in [-2.3, -1.0, 0.0, 0.3, 2.2, 3.0] {
            assert!((line.at_score(score) - 10.0 - score).abs() < 1e-12);
        }
        assert!((line.at_score(-4.0) - line.tails()[0]).abs() < 1e-12);
        assert_eq!((line.median(), line.quantiles()[9]), (10.0, 10.0));
    }

    #[test]
    fn exceedance_is_the_share_at_or_above() {
        let line = of(|z| 10.0 + z);
        for (value, expected) in [(5.0, 1.0), (10.0, 0.5), (10.0 + 1.644_853_626_951_473, 0.05), (13.0, 1.349_898e-3)] {
            assert!((line.exceedance(value) - expected).abs() < 1e-6, "{value}");
        }
        let flat = of(|_| 3.0);
        assert_eq!((flat.exceedance(3.0), flat.exceedance(2.9)), (1.0, 1.0));
        assert!(flat.exceedance(3.1) <= 0.011, "{}", flat.exceedance(3.1));
    }

    #[test]
    fn what_is_at_or_below_and_what_is_above_make_one() {
        let line = of(|z| 10.0 + z);
        for (value, expected) in [(5.0, 0.0), (10.0, 0.5), (10.0 - 1.644_853_626_951_473, 0.05), (13.0, 0.998_650_1)] {
            assert!((line.at_or_below(value) - expected).abs() < 1e-6, "{value}");
        }
        let flat = of(|_| 3.0);
        assert_eq!((flat.at_or_below(3.0), flat.at_or_below(2.9), flat.at_or_below(3.1)), (1.0, 0.0, 1.0));
        let dry_half_of_the_time = of(|z| z.max(0.0));
        assert!((dry_half_of_the_time.at_or_below(0.0) - 0.5).abs() < 1e-12);
        assert!((dry_half_of_the_time.at_or_below(0.5) - (1.0 - dry_half_of_the_time.exceedance(0.5))).abs() < 1e-12);
    }

    #[test]
    fn members_keep_their_ranks_and_take_the_distributions_values() {
        let (wanted, scores, mut order) = (of(|z| (z + 3.0).exp()), scores_of_members(4), Vec::new());
        let mut members = [7.0, 1.0, 7.0, 3.0];
        couple(&wanted, &mut members, &[0.9, 0.0, 0.1, 0.0], &scores, &mut order);
        let expected = [0.875, 0.125, 0.625, 0.375].map(|level| wanted.at_score(Normal::standard().inverse_cdf(level)));
        assert_eq!(members, expected);
    }

    proptest! {
        #[test]
        fn the_mean_of_many_members_is_the_mean(mut values in proptest::array::uniform23(0.0_f64..1e3)) {
            values.sort_by(f64::total_cmp);
            let distribution = Distribution(values);
            let scores = scores_of_members(20_000);
            let of_members = scores.iter().map(|score| distribution.at_score(*score)).sum::<f64>() / 20_000.0;
            prop_assert!((of_members - distribution.mean()).abs() < 1e-3 * values[LEVELS - 1], "{of_members} {}", distribution.mean());
        }
    }
}
