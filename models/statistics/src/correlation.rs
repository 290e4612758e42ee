//! How long errors last: the correlation of one forecast's normal scores at two lead times.

/// Pairs that the correlation of a forecast that has verified none counts as.
const PRIOR_PAIRS: f64 = 25.0;
/// The correlation that it begins with: that of errors which last for some eight steps.
const PRIOR: f32 = 0.88;
/// How fast moments follow when many pairs are known.
const RATE: f64 = 0.002;
/// Correlation at most: where scores are at their limits for a season, they say nothing.
const LARGEST: f64 = 0.999;

/// The correlation of the normal scores that observations had in forecasts of one lead time and of the next, as the newest few hundred have shown it.
/// It is how likely an error of a model that runs once stays from one to the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreCorrelation {
    product: f32,
    earlier: f32,
    later: f32,
    pairs: f32,
}

impl Default for ScoreCorrelation {
    fn default() -> Self {
        Self { product: PRIOR, earlier: 1.0, later: 1.0, pairs: 0.0 }
    }
}

impl ScoreCorrelation {
    /// Numbers of one.
    pub const NUMBERS: usize = 4;

    /// From what [`ScoreCorrelation::numbers`] gave.
    #[must_use]
    pub const fn from_numbers([product, earlier, later, pairs]: [f32; Self::NUMBERS]) -> Self {
        Self { product, earlier, later, pairs }
    }

    /// For a snapshot.
    #[must_use]
    pub const fn numbers(&self) -> [f32; Self::NUMBERS] {
        [self.product, self.earlier, self.later, self.pairs]
    }

    /// Learns from the scores of one forecast at both lead times.
    pub fn learn(&mut self, earlier: f64, later: f64) {
        self.pairs += 1.0;
        let memory = (1.0 / (f64::from(self.pairs) + PRIOR_PAIRS)).max(RATE);
        let moments = [&mut self.product, &mut self.earlier, &mut self.later];
        for (moment, value) in moments.into_iter().zip([earlier * later, earlier * earlier, later * later]) {
            *moment += (memory * (value - f64::from(*moment))) as f32;
        }
    }

    /// The correlation, −0.999 to 0.999.
    #[must_use]
    pub fn value(&self) -> f64 {
        let variance = (f64::from(self.earlier) * f64::from(self.later)).sqrt();
        if variance > 0.0 { (f64::from(self.product) / variance).clamp(-LARGEST, LARGEST) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_correlation_of_pairs_of_any_scale() {
        for wanted in [0.95, 0.3, -0.5_f64] {
            let mut correlation = ScoreCorrelation::default();
            assert!((correlation.value() - f64::from(PRIOR)).abs() < 1e-6);
            for i in 0..4_000 {
                let normal = |i: f64| {
                    let uniform = (i * 0.618_033_988_749_895).fract().clamp(1e-6, 1.0 - 1e-6);
                    0.55 * (uniform / (1.0 - uniform)).ln()
                };
                let (one, other) = (normal(f64::from(i)), normal(f64::from(i) * 1.7 + 0.3));
                correlation.learn(one, 0.4 * (wanted * one + (1.0 - wanted * wanted).sqrt() * other));
            }
            assert!((correlation.value() - wanted).abs() < 0.06, "{} is not {wanted}", correlation.value());
            assert_eq!(ScoreCorrelation::from_numbers(correlation.numbers()), correlation);
        }
    }
}
