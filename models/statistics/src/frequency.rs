//! Frequency of extremes: how large a value is that is reached once in so many years.

use statrs::{
    distribution::{Continuous as _, ContinuousCDF as _, Gamma, Normal},
    function::gamma::gamma,
};

use crate::{
    StatisticsError, quantile_of_sorted,
    series::{count, mean_of, require_finite, require_some},
};

/// Fewer years say nothing of extremes.
const FEWEST_YEARS: usize = 5;

/// Skew below which a Pearson III distribution is taken from an expansion around the normal one, whose error is then below 2e-6 deviations.
const SMALL_SKEW: f64 = 0.02;

/// Shape below which a generalised extreme value distribution is Gumbel's.
const SMALL_SHAPE: f64 = 1e-7;

/// The distribution of a station's annual extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Frequency {
    /// Generalised extreme value.
    Gev(Gev),
    /// Log-Pearson III.
    LogPearson3(LogPearson3),
}

impl Frequency {
    /// The value that is not exceeded with this probability, in the unit of the extremes.
    ///
    /// # Errors
    /// [`StatisticsError::Probability`] for one that is not above 0 and below 1.
    pub fn quantile(&self, probability: f64) -> Result<f64, StatisticsError> {
        if !(probability > 0.0 && probability < 1.0) {
            let (what, accepted) = ("probability of no exceedance", "above 0 and below 1");
            return Err(StatisticsError::Probability { what, value: probability, accepted });
        }
        Ok(match self {
            Self::Gev(gev) => gev.quantile(probability),
            Self::LogPearson3(log_pearson3) => log_pearson3.quantile(probability),
        })
    }

    /// The distribution of the same family that another sample has.
    fn refit(&self, extremes: &[f64]) -> Result<Self, StatisticsError> {
        match self {
            Self::Gev(_) => Gev::fit(extremes).map(Self::Gev),
            Self::LogPearson3(_) => LogPearson3::fit(extremes).map(Self::LogPearson3),
        }
    }

    /// An interval that holds the quantile of a probability with `confidence`, as far as the `years` say from which the distribution was fitted:
    /// the parametric bootstrap, `resamples` samples of as many years drawn from the distribution. `uniform` gives numbers from 0 to 1; the
    /// same numbers give the same interval.
    ///
    /// Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13.
    ///
    /// # Errors
    /// [`StatisticsError::Probability`] for a probability or a confidence that is not above 0 and below 1,
    /// [`StatisticsError::TooFew`] where no sample of so many years has a distribution.
    pub fn interval(
        &self,
        years: usize,
        probability: f64,
        confidence: f64,
        resamples: usize,
        mut uniform: impl FnMut() -> f64,
    ) -> Result<[f64; 2], StatisticsError> {
        if !(confidence > 0.0 && confidence < 1.0) {
            let (what, accepted) = ("confidence of an interval", "above 0 and below 1");
            return Err(StatisticsError::Probability { what, value: confidence, accepted });
        }
        let mut estimates = Vec::with_capacity(resamples);
        let mut sample = vec![0.0; years];
        for _ in 0..resamples {
            for value in &mut sample {
                *value = self.quantile(uniform().clamp(1e-12, 1.0 - 1e-12))?;
            }
            // A sample of equal values, or of too few above 0, has no distribution; it says nothing of the width.
            if let Ok(other) = self.refit(&sample) {
                estimates.push(other.quantile(probability)?);
            }
        }
        require_some("samples that have a distribution", &estimates, 1)?;
        estimates.sort_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        Ok([quantile_of_sorted(&estimates, tail)?, quantile_of_sorted(&estimates, 1.0 - tail)?])
    }
}

/// The probability that a year's extreme stays below what is exceeded once in so many years on average.
#[must_use]
pub fn below_in_a_year(return_period_years: f64) -> f64 {
    1.0 - 1.0 / return_period_years
}

/// A generalised extreme value distribution with the shape of Hosking, which is above 0 where there is an upper end: `k = −ξ`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gev {
    /// In the unit of the extremes.
    pub location: f64,
    /// In the unit of the extremes, above 0.
    pub scale: f64,
    /// `k`.
    pub shape: f64,
}

impl Gev {
    /// By L-moments, whose equation for the shape is solved exactly.
    ///
    /// Source: Hosking & Wallis 1997, Regional Frequency Analysis, appendix A.6.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] for fewer than five extremes, [`StatisticsError::NotFinite`] for a NaN or an infinity,
    /// [`StatisticsError::Undefined`] where all are equal.
    pub fn fit(extremes: &[f64]) -> Result<Self, StatisticsError> {
        let [first, second, skewness] = l_moments(extremes)?;
        let shape = shape_of(skewness);
        if shape.abs() < SMALL_SHAPE {
            const EULER: f64 = 0.577_215_664_901_532_9;
            let scale = second / std::f64::consts::LN_2;
            return Ok(Self { location: EULER.mul_add(-scale, first), scale, shape: 0.0 });
        }
        let of_one = gamma(1.0 + shape);
        let scale = second * shape / ((1.0 - 2.0_f64.powf(-shape)) * of_one);
        Ok(Self { location: first - scale * (1.0 - of_one) / shape, scale, shape })
    }

    fn quantile(&self, probability: f64) -> f64 {
        let reduced = -(-probability.ln()).ln();
        if self.shape.abs() < SMALL_SHAPE {
            return self.scale.mul_add(reduced, self.location);
        }
        self.location + self.scale * (1.0 - (-self.shape * reduced).exp()) / self.shape
    }
}

/// Mean, L-scale and L-skewness, from probability-weighted moments without bias.
fn l_moments(values: &[f64]) -> Result<[f64; 3], StatisticsError> {
    require_some("annual extremes", values, FEWEST_YEARS)?;
    require_finite("annual extremes", values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = count(sorted.len());
    let [mut b0, mut b1, mut b2] = [0.0; 3];
    for (at, value) in sorted.iter().enumerate() {
        let below = count(at);
        b0 += value / n;
        b1 += value / n * below / (n - 1.0);
        b2 += value / n * below * (below - 1.0) / ((n - 1.0) * (n - 2.0));
    }
    let (second, third) = (2.0 * b1 - b0, 6.0 * b2 - 6.0 * b1 + b0);
    if sorted.first() == sorted.last() {
        return Err(StatisticsError::Undefined { quantity: "the spread of the annual extremes" });
    }
    Ok([b0, second, third / second])
}

/// The shape that has this L-skewness, which falls as the shape grows.
fn shape_of(skewness: f64) -> f64 {
    let of = |shape: f64| {
        if shape.abs() < SMALL_SHAPE {
            return 2.0 * 3.0_f64.ln() / std::f64::consts::LN_2 - 3.0;
        }
        2.0 * (1.0 - 3.0_f64.powf(-shape)) / (1.0 - 2.0_f64.powf(-shape)) - 3.0
    };
    let (mut low, mut high) = (-0.999, 20.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if of(middle) > skewness {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// A Pearson III distribution of the decimal logarithms, and how many years are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogPearson3 {
    /// Mean of the logarithms.
    pub mean: f64,
    /// Standard deviation of the logarithms.
    pub deviation: f64,
    /// Skew of the logarithms.
    pub skew: f64,
    /// Share of years whose extreme is 0, which has no logarithm.
    pub zero_share: f64,
}

impl LogPearson3 {
    /// By the moments of the logarithms, each without bias: the simple case of the source, without historic floods, low outliers and regional
    /// skew. Years of 0 count by their share.
    ///
    /// Source: England et al. 2019, Bulletin 17C, USGS Techniques and Methods 4-B5.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] for fewer than five extremes above 0, [`StatisticsError::NotFinite`] for a NaN or an infinity,
    /// [`StatisticsError::Undefined`] where all are equal.
    pub fn fit(extremes: &[f64]) -> Result<Self, StatisticsError> {
        require_finite("annual extremes", extremes)?;
        let logs: Vec<f64> = extremes.iter().filter(|value| **value > 0.0).map(|value| value.log10()).collect();
        require_some("annual extremes above 0", &logs, FEWEST_YEARS)?;
        let (n, mean) = (count(logs.len()), mean_of(&logs));
        let moment = |power: i32| logs.iter().map(|log| (log - mean).powi(power)).sum::<f64>();
        let deviation = (moment(2) / (n - 1.0)).sqrt();
        if logs.iter().all(|log| *log == logs[0]) {
            return Err(StatisticsError::Undefined { quantity: "the spread of the annual extremes" });
        }
        let skew = n / ((n - 1.0) * (n - 2.0)) * moment(3) / deviation.powi(3);
        Ok(Self { mean, deviation, skew, zero_share: 1.0 - n / count(extremes.len()) })
    }

    fn quantile(&self, probability: f64) -> f64 {
        if probability <= self.zero_share {
            return 0.0;
        }
        let probability = (probability - self.zero_share) / (1.0 - self.zero_share);
        10.0_f64.powf(self.deviation.mul_add(pearson3_deviate(probability, self.skew), self.mean))
    }
}

/// The quantile of a Pearson III distribution of mean 0, deviation 1 and a skew.
fn pearson3_deviate(probability: f64, skew: f64) -> f64 {
    let gamma = Gamma::new(4.0 / (skew * skew), 1.0);
    match gamma {
        Ok(gamma) if skew.abs() >= SMALL_SKEW => {
            let of_gamma = gamma_quantile(&gamma, if skew < 0.0 { 1.0 - probability } else { probability });
            (skew / 2.0).mul_add(of_gamma, -2.0 / skew)
        }
        // Cornish & Fisher's expansion.
        _ => {
            let normal = Normal::standard().inverse_cdf(probability);
            let (square, cube) = (normal * normal, normal.powi(3));
            normal + skew / 6.0 * (square - 1.0) + skew * skew / 144.0 * (cube - 7.0 * normal)
        }
    }
}

/// The quantile of a gamma distribution, by Newton's steps within a bracket. That of the library is some thousandths off at shapes around 150,
/// and no number in the lower tail of small ones.
fn gamma_quantile(gamma: &Gamma, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, gamma.shape() + 1.0);
    while gamma.cdf(high) < probability {
        (low, high) = (high, 2.0 * high);
    }
    let mut value = 0.5 * (low + high);
    for _ in 0..200 {
        let error = gamma.cdf(value) - probability;
        if error > 0.0 {
            high = value;
        } else {
            low = value;
        }
        let newton = value - error / gamma.ln_pdf(value).exp();
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - value).abs() <= 1e-14 * value {
            return next;
        }
        value = next;
    }
    value
}
