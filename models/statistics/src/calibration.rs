//! Online calibration of a predictive distribution: each of its quantiles moves until it is passed as often as it should.

use crate::{error::StatisticsError, series::require_finite};

/// Levels of a distribution that is calibrated: 0.05, 0.10, … 0.95.
pub const CALIBRATED_LEVELS: usize = 19;

/// Quantiles of the standard normal distribution at these levels.
pub const STANDARD_NORMAL: [f64; CALIBRATED_LEVELS] = {
    const UPPER: [f64; 9] = [
        0.125_661_346_855_074,
        0.253_347_103_135_8,
        0.385_320_466_407_568,
        0.524_400_512_708_041,
        0.674_489_750_196_082,
        0.841_621_233_572_914,
        1.036_433_389_493_79,
        1.281_551_565_544_6,
        1.644_853_626_951_473,
    ];
    let mut all = [0.0; CALIBRATED_LEVELS];
    let mut i = 0;
    while i < UPPER.len() {
        all[UPPER.len() - 1 - i] = -UPPER[i];
        all[UPPER.len() + 1 + i] = UPPER[i];
        i += 1;
    }
    all
};

/// How far from the median an observation may lie to count as it is, in normal scores.
const LARGEST: f64 = 6.0;

/// Where a distribution is held on to, its levels 0.05, 0.15, 0.3, 0.5, 0.7, 0.85 and 0.95: places among the calibrated levels.
const HOLDS: [usize; 7] = [0, 2, 5, 9, 13, 16, 18];

/// Holds that lie closer than this, in the logarithm, are moved apart.
const SMALLEST_STEP: f64 = 1e-4;

/// How fast the scale follows, when many forecasts are known.
const SCALE_RATE: f64 = 0.002;

/// Scale below which a family of forecasts counts as certain.
const SMALLEST_SCALE: f64 = 0.01;

/// The step falls with the number of forecasts as this over it, from [`LARGEST_STEP`] down to the caller's rate.
const FALLING_STEP: f64 = 20.0;
const LARGEST_STEP: f64 = 0.25;

/// A distribution before it is corrected, by seven of its quantiles in the logarithm of `value + epsilon`. Between them, and as the last
/// ones go on beyond them, it turns values into normal scores and back.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape([f64; Shape::NUMBERS]);

impl Shape {
    const NUMBERS: usize = HOLDS.len();

    /// Of `quantiles` at the calibrated levels.
    fn of(quantiles: &[f64; CALIBRATED_LEVELS], epsilon: f64) -> Self {
        let mut logs = HOLDS.map(|at| (quantiles[at].max(0.0) + epsilon).ln());
        for at in 1..logs.len() {
            logs[at] = logs[at].max(logs[at - 1] + SMALLEST_STEP);
        }
        Self(logs)
    }

    /// The normal score of a logarithm.
    fn score(&self, log: f64) -> f64 {
        let above = self.0[1..Self::NUMBERS - 1].partition_point(|hold| *hold < log);
        let (from, to) = (self.0[above], self.0[above + 1]);
        let (low, high) = (STANDARD_NORMAL[HOLDS[above]], STANDARD_NORMAL[HOLDS[above + 1]]);
        low + (high - low) * (log - from) / (to - from).max(SMALLEST_STEP / 2.0)
    }

    /// The logarithm of a normal score.
    fn log(&self, score: f64) -> f64 {
        let above = HOLDS[1..Self::NUMBERS - 1].partition_point(|at| STANDARD_NORMAL[*at] < score);
        let (from, to) = (self.0[above], self.0[above + 1]);
        let (low, high) = (STANDARD_NORMAL[HOLDS[above]], STANDARD_NORMAL[HOLDS[above + 1]]);
        from + (to - from) * (score - low) / (high - low)
    }
}

/// What an observation is judged against: the distribution before it was corrected, and where the correction put the same seven
/// quantiles, in its normal scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Issued {
    shape: Shape,
    scores: [f64; Shape::NUMBERS],
}

impl Issued {
    /// Numbers of what was issued.
    pub const NUMBERS: usize = 2 * Shape::NUMBERS;

    /// From what [`Issued::numbers`] gave; rounded to float32, holds stay apart.
    #[must_use]
    pub fn from_numbers(numbers: [f32; Self::NUMBERS]) -> Self {
        let at = |from: usize| std::array::from_fn(|hold| f64::from(numbers[from + hold]));
        Self { shape: Shape(at(0)), scores: at(Shape::NUMBERS) }
    }

    /// For what waits.
    #[must_use]
    pub fn numbers(&self) -> [f32; Self::NUMBERS] {
        std::array::from_fn(|at| match at.checked_sub(Shape::NUMBERS) {
            None => self.shape.0[at] as f32,
            Some(hold) => self.scores[hold] as f32,
        })
    }
}

/// The score of a level whose place is `at`, between those of the holds in proportion to the normal distribution's.
fn score_of_level(scores: &[f64; Shape::NUMBERS], at: usize) -> f64 {
    let above = HOLDS[1..Shape::NUMBERS - 1].partition_point(|hold| *hold < at);
    let (low, high) = (STANDARD_NORMAL[HOLDS[above]], STANDARD_NORMAL[HOLDS[above + 1]]);
    scores[above] + (scores[above + 1] - scores[above]) * (STANDARD_NORMAL[at] - low) / (high - low)
}

/// Where observations lie in a family of forecasts, in the normal scores of each forecast's own distribution: a scale, how far they
/// usually lie off, and the places of seven quantiles in it, the others between them. It starts by leaving distributions as they are.
///
/// The scale follows the last few hundred forecasts. Every verified forecast moves each quantile by `γ (α − 1{below})`: the pinball loss's
/// gradient, or online conformal prediction with a step that falls to a floor (Angelopoulos, Barber & Bates 2024, Proc. ICML 41), the
/// proportional part of conformal PID control (Angelopoulos, Candès & Tibshirani 2023, `NeurIPS` 36). What counts as below is what lay below
/// the quantile as it was issued, however long ago: errors last for as long as a forecast looks ahead, and the quantile of today has learned
/// from them already. As steps have a floor, the share below each quantile differs from its level by a multiple of `delay / (γ n)` at most,
/// whatever comes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibrator {
    quantiles: [f32; Shape::NUMBERS],
    scale: f32,
    forecasts: f32,
}

impl Calibrator {
    /// Numbers of one calibrator.
    pub const NUMBERS: usize = Shape::NUMBERS + 2;

    /// From what [`Calibrator::numbers`] gave.
    #[must_use]
    pub fn from_numbers(numbers: &[f32; Self::NUMBERS]) -> Self {
        let [quantiles @ .., scale, forecasts] = *numbers;
        Self { quantiles, scale, forecasts }
    }

    /// For a snapshot.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        self.quantiles.into_iter().chain([self.scale, self.forecasts])
    }

    /// Corrects `quantiles`, in the logarithm of `value + epsilon`, and returns what an observation is to be judged against. Values stay at
    /// least 0 and ascending.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] for one that is no finite number.
    pub fn apply(&self, quantiles: &mut [f64; CALIBRATED_LEVELS], epsilon: f64) -> Result<Issued, StatisticsError> {
        require_finite("quantiles", quantiles)?;
        let shape = Shape::of(quantiles, epsilon);
        let mut scores = HOLDS.map(|at| STANDARD_NORMAL[at]);
        if self.forecasts > 0.0 {
            scores = self.quantiles.map(|z| f64::from(self.scale * z).clamp(-LARGEST, LARGEST));
            for (at, quantile) in quantiles.iter_mut().enumerate() {
                *quantile = shape.log(score_of_level(&scores, at)).exp() - epsilon;
            }
        }
        // Near 0 the way to the logarithm and back rounds by more than two quantiles lie apart.
        let mut floor = 0.0;
        for quantile in quantiles {
            *quantile = quantile.max(floor);
            floor = *quantile;
        }
        Ok(Issued { shape, scores })
    }

    /// Learns from one verified forecast: what was observed, in the logarithm of `value + epsilon`, and what [`Calibrator::apply`] gave.
    /// `rate` is the floor of γ; 0 learns nothing. `delay` is how many forecasts are issued before the first of them is verified: steps
    /// that are larger than one over it would overshoot.
    pub fn learn(&mut self, log_observed: f64, issued: &Issued, rate: f64, delay: usize) {
        let score = issued.shape.score(log_observed).clamp(-LARGEST, LARGEST);
        if rate <= 0.0 || score.is_nan() {
            return;
        }
        if self.forecasts == 0.0 {
            self.quantiles = HOLDS.map(|at| STANDARD_NORMAL[at] as f32);
            self.scale = 1.0;
        }
        self.forecasts += 1.0; // stays at 2^24, where nothing depends on it any more
        let forecasts = f64::from(self.forecasts);
        let falling = FALLING_STEP / (forecasts + FALLING_STEP / LARGEST_STEP);
        let step = rate.max(falling.min(1.0 / delay.max(1) as f64));
        for ((at, quantile), issued) in HOLDS.into_iter().zip(&mut self.quantiles).zip(issued.scores) {
            let level = (at + 1) as f64 / (CALIBRATED_LEVELS + 1) as f64;
            let below = f64::from(u8::from(score < issued));
            // No further than where it is issued: what lies there for a season must not take another one to come back.
            let farthest = LARGEST / f64::from(self.scale);
            *quantile = (f64::from(*quantile) + step * (level - below)).clamp(-farthest, farthest) as f32;
        }
        self.quantiles.sort_by(f32::total_cmp);
        // A normal distribution's deviation is 1.25 times its mean distance from the middle.
        let memory = (1.0 / (forecasts + 25.0)).max(SCALE_RATE);
        let scale = f64::from(self.scale) + (1.25 * score.abs() - f64::from(self.scale)) * memory;
        self.scale = scale.max(SMALLEST_SCALE) as f32;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The logarithm of a log-logistic observation, in an order without pattern; near enough to a normal of deviation 1.
    fn log_observation(i: u32) -> f64 {
        let uniform = (f64::from(i) * 0.618_033_988_749_895).fract().clamp(1e-6, 1.0 - 1e-6);
        0.55 * (uniform / (1.0 - uniform)).ln()
    }

    #[test]
    fn what_is_too_wide_too_narrow_or_beside_the_truth_ends_at_its_levels() {
        for (spread, bias) in [(4.0_f64, 0.0), (0.3, 0.0), (1.0, 0.5)] {
            let mut calibrator = Calibrator::default();
            let mut below = [0; CALIBRATED_LEVELS];
            for i in 0..6_000 {
                let mut quantiles = STANDARD_NORMAL.map(|z| (spread * z + bias).exp());
                let shape = calibrator.apply(&mut quantiles, 1e-9).unwrap();
                let log_observed = log_observation(i);
                if i >= 1_000 {
                    below.iter_mut().zip(quantiles).for_each(|(n, q)| *n += u32::from(log_observed.exp() <= q));
                }
                calibrator.learn(log_observed, &shape, 0.02, 1);
            }
            for (at, n) in below.into_iter().enumerate() {
                let (share, level) = (f64::from(n) / 5_000.0, (at + 1) as f64 / 20.0);
                assert!(
                    (share - level).abs() < 0.02,
                    "spread {spread}, bias {bias}: {share} below the quantile of {level}"
                );
            }
        }
    }

    #[test]
    fn it_starts_by_changing_nothing_and_refuses_what_is_no_number() {
        let first: [f64; CALIBRATED_LEVELS] = std::array::from_fn(|i| (i * i) as f64);
        let mut quantiles = first;
        let shape = Calibrator::default().apply(&mut quantiles, 0.1).unwrap();
        assert_eq!(quantiles, first);
        for (at, value) in HOLDS.into_iter().zip(shape.shape.0) {
            assert!(
                (value - (first[at] + 0.1).ln()).abs() < 1e-9
                    && (shape.shape.score(value) - STANDARD_NORMAL[at]).abs() < 1e-9
            );
            assert!((shape.shape.log(STANDARD_NORMAL[at]) - value).abs() < 1e-9);
        }
        for (at, score) in STANDARD_NORMAL.into_iter().enumerate() {
            assert!((score_of_level(&shape.scores, at) - score).abs() < 1e-12);
        }
        quantiles[3] = f64::NAN;
        assert!(Calibrator::default().apply(&mut quantiles, 0.1).is_err());
    }

    #[test]
    fn a_river_that_is_certain_or_nearly_dry_keeps_its_order() {
        let mut calibrator = Calibrator::default();
        for i in 0..50 {
            let mut quantiles: [f64; CALIBRATED_LEVELS] = std::array::from_fn(|k| 1e-14 * k as f64);
            let shape = calibrator.apply(&mut quantiles, 2.3).unwrap();
            assert!(quantiles[0] >= 0.0 && quantiles.is_sorted(), "{quantiles:?}");
            calibrator.learn(log_observation(i), &shape, 0.05, 1);
        }
    }

    #[test]
    fn errors_that_last_as_long_as_a_forecast_looks_ahead_are_covered_as_well() {
        // 40 forecasts are issued before the first is verified, and errors change as slowly.
        let (mut calibrator, mut below, mut n, mut error) = (Calibrator::default(), [0.0; 2], 0.0, 0.0);
        let mut waiting = std::collections::VecDeque::new();
        for i in 0..20_000 {
            let mut quantiles = STANDARD_NORMAL.map(f64::exp);
            waiting.push_back((calibrator.apply(&mut quantiles, 1e-9).unwrap(), quantiles));
            error = 0.975 * error + 0.222 * log_observation(i) * 2.0;
            if waiting.len() > 40 {
                let (issued, quantiles) = waiting.pop_front().unwrap();
                if i > 2_000 {
                    below[0] += f64::from(u8::from(error.exp() < quantiles[0]));
                    below[1] += f64::from(u8::from(error.exp() < quantiles[18]));
                    n += 1.0;
                }
                calibrator.learn(error, &issued, 0.02, 40);
            }
        }
        let [low, high] = below.map(|count| count / n);
        assert!((low - 0.05).abs() < 0.01 && (high - 0.95_f64).abs() < 0.01, "{low} {high}");
    }

    proptest! {
        #[test]
        fn the_share_below_each_quantile_is_right_whatever_comes(
            jumps in proptest::collection::vec((-3.0_f64..3.0, 0.1_f64..3.0), 4..8),
        ) {
            // Regimes of 2 000 forecasts with another bias and spread each. A change costs some forty forecasts too many on one side (from
            // a spread of 0.1 to one of 3 and back), however long the regimes are.
            let (mut calibrator, mut below, mut n) = (Calibrator::default(), 0.0, 0.0);
            for (bias, spread) in &jumps {
                for i in 0..2_000 {
                    let mut quantiles = STANDARD_NORMAL.map(f64::exp);
                    let shape = calibrator.apply(&mut quantiles, 1e-9).unwrap();
                    let log_observed = bias + spread * log_observation(i);
                    below += f64::from(u8::from(log_observed.exp() < quantiles[18]));
                    n += 1.0;
                    calibrator.learn(log_observed, &shape, 0.05, 1);
                }
            }
            prop_assert!((below / n - 0.95_f64).abs() < 0.03, "{} below", below / n);
        }

        #[test]
        fn quantiles_never_cross_nor_turn_negative(
            mut quantiles in proptest::array::uniform19(0.0_f64..1e4), scores in proptest::collection::vec(-9.0_f64..9.0, 0..40),
        ) {
            quantiles.sort_by(f64::total_cmp);
            let mut calibrator = Calibrator::default();
            for score in scores {
                let issued = calibrator.apply(&mut STANDARD_NORMAL.map(|z| (0.3 * z).exp()), 0.0).unwrap();
                calibrator.learn(score, &issued, 0.1, 1);
            }
            calibrator.apply(&mut quantiles, 0.01).unwrap();
            prop_assert!(quantiles[0] >= 0.0 && quantiles.is_sorted(), "{quantiles:?}");
        }
    }
}
