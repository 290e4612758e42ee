//! Online calibration of a predictive distribution: each of its quantiles moves until it is passed as often as it should.

use crate::{
    distribution::Distribution,
    error::StatisticsError,
    levels::{CALIBRATED_LEVELS, STANDARD_NORMAL, TAIL_NORMAL},
    series::require_finite,
};

/// How far from the median an observation may lie to count as it is, in normal scores.
const LARGEST: f64 = 6.0;

/// Where a distribution is held on to before it is corrected, its levels 0.05, 0.15, 0.3, 0.5, 0.7, 0.85 and 0.95: places among the calibrated
/// levels.
const HOLDS: [usize; 7] = [0, 2, 5, 9, 13, 16, 18];

/// Levels at which the correction is learned: those of the holds, and one in each tail.
const LEARNED_LEVELS: [f64; 9] = [0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99];
/// Their normal scores.
const LEARNED_SCORES: [f64; LEARNED_LEVELS.len()] = [
    TAIL_NORMAL[0],
    STANDARD_NORMAL[HOLDS[0]],
    STANDARD_NORMAL[HOLDS[1]],
    STANDARD_NORMAL[HOLDS[2]],
    STANDARD_NORMAL[HOLDS[3]],
    STANDARD_NORMAL[HOLDS[4]],
    STANDARD_NORMAL[HOLDS[5]],
    STANDARD_NORMAL[HOLDS[6]],
    TAIL_NORMAL[3],
];

/// The places of the tails among the learned levels, each with that of the level next to it.
const NEXT_TO_TAILS: [(usize, usize); 2] = [(0, 1), (LEARNED_LEVELS.len() - 1, LEARNED_LEVELS.len() - 2)];

/// Holds that lie closer than this, in the logarithm, are moved apart.
const SMALLEST_STEP: f64 = 1e-4;

/// A score counts in the scale by this at most: what lies off for a season is off, not uncertain.
const LARGEST_IN_SCALE: f64 = 3.0;

/// How fast the scale follows, when many forecasts are known.
const SCALE_RATE: f64 = 0.002;

/// Scale below which a family of forecasts counts as certain.
const SMALLEST_SCALE: f64 = 0.01;

/// The step falls with the number of forecasts as this over it, from [`LARGEST_STEP`] down to the caller's rate.
const FALLING_STEP: f64 = 10.0;
const LARGEST_STEP: f64 = 0.05;

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

/// What an observation is judged against: the distribution before it was corrected, and where the correction put each learned level, in its
/// normal scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Issued {
    shape: Shape,
    scores: [f64; LEARNED_LEVELS.len()],
}

impl Issued {
    /// Numbers of what was issued.
    pub const NUMBERS: usize = Shape::NUMBERS + LEARNED_LEVELS.len();

    /// From what [`Issued::numbers`] gave; rounded to float32, holds stay apart.
    #[must_use]
    pub fn from_numbers(numbers: [f32; Self::NUMBERS]) -> Self {
        Self {
            shape: Shape(std::array::from_fn(|hold| f64::from(numbers[hold]))),
            scores: std::array::from_fn(|level| f64::from(numbers[Shape::NUMBERS + level])),
        }
    }

    /// From the numbers of what was issued before there were tails, whose scores were those of the holds.
    #[must_use]
    pub fn without_tails(numbers: [f32; 2 * Shape::NUMBERS]) -> Self {
        let (holds, scores) = numbers.split_at(Shape::NUMBERS);
        let mut all = LEARNED_SCORES;
        all[1..=Shape::NUMBERS].iter_mut().zip(scores).for_each(|(score, own)| *score = f64::from(*own));
        for (tail, next) in NEXT_TO_TAILS {
            all[tail] = all[next] + LEARNED_SCORES[tail] - LEARNED_SCORES[next];
        }
        Self { shape: Shape(std::array::from_fn(|hold| f64::from(holds[hold]))), scores: all }
    }

    /// For what waits.
    #[must_use]
    pub fn numbers(&self) -> [f32; Self::NUMBERS] {
        std::array::from_fn(|at| match at.checked_sub(Shape::NUMBERS) {
            None => self.shape.0[at] as f32,
            Some(level) => self.scores[level] as f32,
        })
    }

    /// The normal score that a value has in the corrected distribution, by its logarithm: at most 6 off 0.
    #[must_use]
    pub fn normal_score(&self, log: f64) -> f64 {
        line(&self.scores, &LEARNED_SCORES, self.shape.score(log)).clamp(-LARGEST, LARGEST)
    }

    /// The value of a normal score of the corrected distribution.
    fn value(&self, normal_score: f64, epsilon: f64) -> f64 {
        let score = line(&LEARNED_SCORES, &self.scores, normal_score).clamp(-LARGEST, LARGEST);
        self.shape.log(score).exp() - epsilon
    }
}

/// The ordinate at `x` of the line through points of ascending abscissae; beyond the ends it goes on.
fn line<const N: usize>(xs: &[f64; N], ys: &[f64; N], x: f64) -> f64 {
    let low = xs[1..N - 1].partition_point(|own| *own < x);
    ys[low] + (ys[low + 1] - ys[low]) * (x - xs[low]) / (xs[low + 1] - xs[low]).max(f64::MIN_POSITIVE)
}

/// Where observations lie in a family of forecasts, in the normal scores of each forecast's own distribution: a scale, how far they
/// usually lie off, and the places of nine quantiles in it, the others between them. It starts by leaving distributions as they are.
///
/// The scale follows the last few hundred forecasts. Every verified forecast moves each quantile by `γ (α − 1{below})`: the pinball loss's
/// gradient, or online conformal prediction with a step that falls to a floor (Angelopoulos, Barber & Bates 2024, Proc. ICML 41), the
/// proportional part of conformal PID control (Angelopoulos, Candès & Tibshirani 2023, `NeurIPS` 36). What counts as below is what lay below
/// the quantile as it was issued, however long ago: errors last for as long as a forecast looks ahead, and the quantile of today has learned
/// from them already. As steps have a floor, the share below each quantile differs from its level by a multiple of `delay / (γ n)` at most,
/// whatever comes.
///
/// Families that pass into one another, such as neighbouring lead times, are corrected by the weighted mean of their calibrators, and each learns
/// by its weight: the gradient of the same loss with the weights as a linear basis.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibrator {
    quantiles: [f32; LEARNED_LEVELS.len()],
    scale: f32,
    forecasts: f32,
}

impl Calibrator {
    /// Numbers of one calibrator.
    pub const NUMBERS: usize = LEARNED_LEVELS.len() + 2;

    /// From what [`Calibrator::numbers`] gave.
    #[must_use]
    pub fn from_numbers(numbers: &[f32; Self::NUMBERS]) -> Self {
        let [quantiles @ .., scale, forecasts] = *numbers;
        Self { quantiles, scale, forecasts }
    }

    /// From the numbers of a calibrator of before there were tails, whose quantiles were those of the holds.
    #[must_use]
    pub fn without_tails(numbers: &[f32; Shape::NUMBERS + 2]) -> Self {
        let [quantiles @ .., scale, forecasts] = *numbers;
        let mut all = LEARNED_SCORES.map(|score| score as f32);
        if forecasts > 0.0 {
            all[1..=Shape::NUMBERS].copy_from_slice(&quantiles);
            for (tail, next) in NEXT_TO_TAILS {
                all[tail] = all[next] + (LEARNED_SCORES[tail] - LEARNED_SCORES[next]) as f32;
            }
        }
        Self { quantiles: all, scale, forecasts }
    }

    /// For a snapshot.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        self.quantiles.into_iter().chain([self.scale, self.forecasts])
    }

    /// The distribution that `quantiles` become by calibrators whose weights sum to 1, in the logarithm of `value + epsilon`, and what an observation
    /// is to be judged against. Values are at least 0 and ascend.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] for a quantile that is no finite number.
    pub fn correct(
        calibrators: &[(f64, &Self)],
        quantiles: &[f64; CALIBRATED_LEVELS],
        epsilon: f64,
    ) -> Result<(Distribution, Issued), StatisticsError> {
        require_finite("quantiles", quantiles)?;
        let learned = |(_, calibrator): &(f64, &Self)| calibrator.forecasts > 0.0;
        let mut scores = LEARNED_SCORES;
        if calibrators.iter().any(learned) {
            scores = [0.0; LEARNED_LEVELS.len()];
            for (weight, calibrator) in calibrators {
                let own = calibrator.scores();
                scores.iter_mut().zip(own).for_each(|(score, own)| *score += weight * own);
            }
        }
        let issued = Issued { shape: Shape::of(quantiles, epsilon), scores };
        let mut corrected = *quantiles;
        if calibrators.iter().any(learned) {
            corrected = STANDARD_NORMAL.map(|score| issued.value(score, epsilon));
        }
        // Near 0 the way to the logarithm and back rounds by more than two quantiles lie apart.
        let mut tails = TAIL_NORMAL.map(|score| issued.value(score, epsilon));
        let mut floor = 0.0_f64;
        let [first, second, third, fourth] = &mut tails;
        for quantile in [first, second].into_iter().chain(&mut corrected).chain([third, fourth]) {
            *quantile = quantile.max(floor);
            floor = *quantile;
        }
        Ok((Distribution::new(&corrected, &tails)?, issued))
    }

    /// Where the correction puts each learned level.
    fn scores(&self) -> [f64; LEARNED_LEVELS.len()] {
        if self.forecasts == 0.0 {
            return LEARNED_SCORES;
        }
        self.quantiles.map(|z| f64::from(self.scale * z).clamp(-LARGEST, LARGEST))
    }

    /// Learns from one verified forecast: what was observed, in the logarithm of `value + epsilon`, and what [`Calibrator::correct`] gave; it counts
    /// by `weight`, 0 to 1. `rate` is the floor of γ; 0 learns nothing. `delay` is how many forecasts are issued before the first of them is
    /// verified: steps that are larger than one over it would overshoot.
    pub fn learn(&mut self, log_observed: f64, issued: &Issued, rate: f64, delay: usize, weight: f64) {
        let score = issued.shape.score(log_observed).clamp(-LARGEST, LARGEST);
        if rate <= 0.0 || weight <= 0.0 || score.is_nan() {
            return;
        }
        if self.forecasts == 0.0 {
            self.quantiles = LEARNED_SCORES.map(|score| score as f32);
            self.scale = 1.0;
        }
        self.forecasts += weight as f32; // stays at 2^24, where nothing depends on it any more
        let forecasts = f64::from(self.forecasts);
        let falling = FALLING_STEP / (forecasts + FALLING_STEP / LARGEST_STEP);
        let step = weight * rate.max(falling.min(1.0 / delay.max(1) as f64));
        for ((level, quantile), issued) in LEARNED_LEVELS.into_iter().zip(&mut self.quantiles).zip(issued.scores) {
            let below = f64::from(u8::from(score < issued));
            // No further than where it is issued: what lies there for a season must not take another one to come back.
            let farthest = LARGEST / f64::from(self.scale);
            *quantile = (f64::from(*quantile) + step * (level - below)).clamp(-farthest, farthest) as f32;
        }
        self.quantiles.sort_by(f32::total_cmp);
        // A normal distribution's deviation is 1.25 times its mean distance from the middle.
        let memory = weight * (1.0 / (forecasts + 25.0)).max(SCALE_RATE);
        let scale = f64::from(self.scale) + (1.25 * score.abs().min(LARGEST_IN_SCALE) - f64::from(self.scale)) * memory;
        self.scale = scale.max(SMALLEST_SCALE) as f32;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TAIL_LEVELS;

    /// The logarithm of a log-logistic observation, in an order without pattern; near enough to a normal of deviation 1.
    fn log_observation(i: u32) -> f64 {
        let uniform = (f64::from(i) * 0.618_033_988_749_895).fract().clamp(1e-6, 1.0 - 1e-6);
        0.55 * (uniform / (1.0 - uniform)).ln()
    }

    #[test]
    fn what_is_too_wide_too_narrow_or_beside_the_truth_ends_at_its_levels() {
        for (spread, bias) in [(4.0_f64, 0.0), (0.3, 0.0), (0.5, 0.0), (1.0, 0.5)] {
            let mut calibrator = Calibrator::default();
            let (mut below, mut tails) = ([0; CALIBRATED_LEVELS], [0; TAIL_LEVELS.len()]);
            for i in 0..6_000 {
                let quantiles = STANDARD_NORMAL.map(|z| (spread * z + bias).exp());
                let (distribution, shape) = Calibrator::correct(&[(1.0, &calibrator)], &quantiles, 1e-9).unwrap();
                let log_observed = log_observation(i);
                if i >= 1_000 {
                    let passed = |(n, q): (&mut u32, f64)| *n += u32::from(log_observed.exp() <= q);
                    below.iter_mut().zip(distribution.quantiles()).for_each(passed);
                    tails.iter_mut().zip(distribution.tails()).for_each(passed);
                }
                calibrator.learn(log_observed, &shape, 0.02, 1, 1.0);
            }
            for (at, n) in below.into_iter().enumerate() {
                let (share, level) = (f64::from(n) / 5_000.0, (at + 1) as f64 / 20.0);
                assert!(
                    (share - level).abs() < 0.02,
                    "spread {spread}, bias {bias}: {share} below the quantile of {level}"
                );
            }
            // The tails of what is a third as wide as it should be lie further off than any score counts.
            for (level, n) in TAIL_LEVELS.into_iter().zip(tails).filter(|_| spread >= 0.5) {
                let share = f64::from(n) / 5_000.0;
                assert!(
                    (share - level).abs() < 0.01,
                    "spread {spread}, bias {bias}: {share} below the quantile of {level}"
                );
            }
        }
    }

    #[test]
    fn it_starts_by_changing_nothing_and_refuses_what_is_no_number() {
        let mut quantiles: [f64; CALIBRATED_LEVELS] = std::array::from_fn(|i| (i * i) as f64);
        let (first, issued) = Calibrator::correct(&[(1.0, &Calibrator::default())], &quantiles, 0.1).unwrap();
        assert_eq!(first.quantiles(), quantiles);
        for (at, value) in HOLDS.into_iter().zip(issued.shape.0) {
            assert!((value - (quantiles[at] + 0.1).ln()).abs() < 1e-9);
            assert!((issued.normal_score(value) - STANDARD_NORMAL[at]).abs() < 1e-9);
            assert!((issued.shape.log(STANDARD_NORMAL[at]) - value).abs() < 1e-9);
        }
        let beyond = issued.shape.log(TAIL_NORMAL[3]).exp() - 0.1;
        assert!((first.tails()[3] / beyond - 1.0).abs() < 1e-9, "the tail goes on");
        quantiles[3] = f64::NAN;
        assert!(Calibrator::correct(&[(1.0, &Calibrator::default())], &quantiles, 0.1).is_err());
    }

    #[test]
    fn between_two_families_the_correction_lies_between_theirs() {
        let (mut low, mut high, plain) = (Calibrator::default(), Calibrator::default(), STANDARD_NORMAL.map(f64::exp));
        for _ in 0..200 {
            for (calibrator, log_observed) in [(&mut low, -0.5), (&mut high, 0.7)] {
                let (_, issued) = Calibrator::correct(&[(1.0, calibrator)], &plain, 1e-9).unwrap();
                calibrator.learn(log_observed, &issued, 0.05, 1, 1.0);
            }
        }
        let median = |weight: f64| {
            let both = [(1.0 - weight, &low), (weight, &high)];
            Calibrator::correct(&both, &plain, 1e-9).unwrap().0.median().ln()
        };
        assert!((median(0.0) + 0.5).abs() < 0.1 && (median(1.0) - 0.7).abs() < 0.1);
        assert!((median(0.5) - 0.5 * (median(0.0) + median(1.0))).abs() < 1e-6);
    }

    #[test]
    fn a_calibrator_of_before_the_tails_goes_on() {
        let mut calibrator = Calibrator::default();
        for i in 0..500 {
            let (_, issued) = Calibrator::correct(&[(1.0, &calibrator)], &STANDARD_NORMAL.map(f64::exp), 1e-9).unwrap();
            calibrator.learn(2.0 * log_observation(i), &issued, 0.02, 1, 1.0);
        }
        let numbers: Vec<f32> = calibrator.numbers().collect();
        let [_, holds @ .., _, scale, forecasts] = numbers.as_slice() else { unreachable!("a calibrator has numbers") };
        let old: Vec<f32> = holds.iter().chain([scale, forecasts]).copied().collect();
        let again: Vec<f32> = Calibrator::without_tails(old.as_slice().try_into().unwrap()).numbers().collect();
        assert_eq!(again[1..8], numbers[1..8]);
        assert!(again[0] < again[1] && again[8] > again[7] && again[9..] == numbers[9..]);
        let new = Calibrator::without_tails(&[0.0; 9]);
        assert_eq!(new.scores(), LEARNED_SCORES);
    }

    #[test]
    fn a_river_that_is_certain_or_nearly_dry_keeps_its_order() {
        let mut calibrator = Calibrator::default();
        for i in 0..50 {
            let quantiles: [f64; CALIBRATED_LEVELS] = std::array::from_fn(|k| 1e-14 * k as f64);
            let (distribution, issued) = Calibrator::correct(&[(1.0, &calibrator)], &quantiles, 2.3).unwrap();
            assert!(distribution.tails()[0] >= 0.0 && distribution.mean() >= 0.0, "{distribution:?}");
            calibrator.learn(log_observation(i), &issued, 0.05, 1, 1.0);
        }
    }

    #[test]
    fn errors_that_last_as_long_as_a_forecast_looks_ahead_are_covered_as_well() {
        // 40 forecasts are issued before the first is verified, and errors change as slowly.
        let (mut calibrator, mut below, mut n, mut error) = (Calibrator::default(), [0.0; 2], 0.0, 0.0);
        let mut waiting = std::collections::VecDeque::new();
        for i in 0..20_000 {
            let raw = STANDARD_NORMAL.map(f64::exp);
            let (distribution, issued) = Calibrator::correct(&[(1.0, &calibrator)], &raw, 1e-9).unwrap();
            waiting.push_back((issued, distribution.quantiles()));
            error = 0.975 * error + 0.222 * log_observation(i) * 2.0;
            if waiting.len() > 40 {
                let (issued, quantiles) = waiting.pop_front().unwrap();
                if i > 2_000 {
                    below[0] += f64::from(u8::from(error.exp() < quantiles[0]));
                    below[1] += f64::from(u8::from(error.exp() < quantiles[18]));
                    n += 1.0;
                }
                calibrator.learn(error, &issued, 0.02, 40, 1.0);
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
                    let quantiles = STANDARD_NORMAL.map(f64::exp);
                    let (distribution, issued) = Calibrator::correct(&[(1.0, &calibrator)], &quantiles, 1e-9).unwrap();
                    let log_observed = bias + spread * log_observation(i);
                    below += f64::from(u8::from(log_observed.exp() < distribution.quantiles()[18]));
                    n += 1.0;
                    calibrator.learn(log_observed, &issued, 0.05, 1, 1.0);
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
                let raw = STANDARD_NORMAL.map(|z| (0.3 * z).exp());
                let (_, issued) = Calibrator::correct(&[(1.0, &calibrator)], &raw, 0.0).unwrap();
                calibrator.learn(score, &issued, 0.1, 1, 1.0);
            }
            // A distribution is ascending by itself.
            let (distribution, _) = Calibrator::correct(&[(1.0, &calibrator)], &quantiles, 0.01).unwrap();
            prop_assert!(distribution.tails()[0] >= 0.0, "{distribution:?}");
        }
    }
}
