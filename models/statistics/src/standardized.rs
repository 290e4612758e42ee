//! Standardised indices of droughts: how far an accumulated amount lies from what its month has had, as a normal score (SPI, McKee et al. 1993;
//! SPEI, Vicente-Serrano et al. 2010). Months are fitted one by one over a reference period.

use statrs::{
    distribution::{ContinuousCDF as _, Gamma, Normal},
    function::gamma::ln_gamma,
};

use crate::StatisticsError;

/// Scores beyond this say no more than that it is rare.
pub const LARGEST_SCORE: f64 = 3.09;
/// What SPEI adds to rain less evapotranspiration, mm, so that amounts are positive.
pub const WATER_BALANCE_OFFSET_MM: f64 = 1_000.0;
const MONTHS: usize = 12;
/// Amounts of a month that a fit needs at least.
const LEAST: usize = 4;

/// The distribution that amounts of a month have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// gamma, by the mean and the mean logarithm (Thom 1966)
    Gamma,
    /// Pearson III, by L-moments
    PearsonIII,
}

/// What the amounts of one month are like.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    /// share of the amounts that is 0
    zeros: f64,
    /// shape and scale of a gamma distribution, what it begins at, and whether it is reflected there
    shape: f64,
    scale: f64,
    origin: f64,
    reflected: bool,
}

/// A fit for each month; none where there is too little to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardized {
    months: [Option<Fit>; MONTHS],
}

/// Sums of `months` values in a row, at the last of them; NaN where one is unknown.
///
/// # Errors
/// [`StatisticsError::TooFew`] for no month.
pub fn accumulated(values: &[f64], months: usize) -> Result<Vec<f64>, StatisticsError> {
    if months == 0 {
        return Err(StatisticsError::TooFew { what: "months of a sum", actual: 0, least: 1 });
    }
    let sum = |at: usize| (at + 1).checked_sub(months).map_or(f64::NAN, |from| values[from..=at].iter().sum());
    Ok((0..values.len()).map(sum).collect())
}

impl Standardized {
    /// Fits amounts `[T]`, a month each from `first_month` (1 to 12) on, NaN where there is none: those at `reference`.
    ///
    /// # Errors
    /// [`StatisticsError::Probability`] for a month that is none.
    pub fn fit(
        amounts: &[f64],
        first_month: u8,
        reference: std::ops::Range<usize>,
        family: Family,
    ) -> Result<Self, StatisticsError> {
        if !(1..=12).contains(&first_month) {
            let (what, accepted) = ("the first month", "1 to 12");
            return Err(StatisticsError::Probability { what, value: f64::from(first_month), accepted });
        }
        let month_of = |at: usize| (usize::from(first_month) - 1 + at) % MONTHS;
        let of_month = |month: usize| {
            let at = reference.clone().filter(|at| *at < amounts.len() && month_of(*at) == month);
            let known: Vec<f64> = at.map(|at| amounts[at]).filter(|amount| !amount.is_nan()).collect();
            fit(&known, family)
        };
        Ok(Self { months: std::array::from_fn(of_month) })
    }

    /// The score of an amount of a month (1 to 12), within [`LARGEST_SCORE`]; NaN where the month has no fit.
    #[must_use]
    pub fn score(&self, month: u8, amount: f64) -> f64 {
        let Some(fit) = usize::from(month).checked_sub(1).and_then(|at| *self.months.get(at)?) else { return f64::NAN };
        if amount.is_nan() {
            return f64::NAN;
        }
        let probability = fit.zeros + (1.0 - fit.zeros) * fit.below(amount);
        Normal::standard().inverse_cdf(probability).clamp(-LARGEST_SCORE, LARGEST_SCORE)
    }
}

impl Fit {
    /// Probability of less than an amount, of those that are not 0.
    fn below(&self, amount: f64) -> f64 {
        let over = if self.reflected { self.origin - amount } else { amount - self.origin };
        let gamma = Gamma::new(self.shape, 1.0 / self.scale);
        let below = if over <= 0.0 { 0.0 } else { gamma.map_or(f64::NAN, |gamma| gamma.cdf(over)) };
        if self.reflected { 1.0 - below } else { below }
    }
}

fn fit(known: &[f64], family: Family) -> Option<Fit> {
    let positive: Vec<f64> = known.iter().copied().filter(|amount| *amount > 0.0).collect();
    if positive.len() < LEAST {
        return None;
    }
    let zeros = 1.0 - positive.len() as f64 / known.len() as f64;
    let n = positive.len() as f64;
    let mean = positive.iter().sum::<f64>() / n;
    match family {
        Family::Gamma => {
            let a = mean.ln() - positive.iter().map(|amount| amount.ln()).sum::<f64>() / n;
            // Amounts that are all alike have no distribution.
            let shape = (1.0 + (1.0 + 4.0 * a / 3.0).sqrt()) / (4.0 * a);
            (a > 0.0).then_some(Fit { zeros, shape, scale: mean / shape, origin: 0.0, reflected: false })
        }
        Family::PearsonIII => {
            let [l1, l2, l3] = l_moments(positive)?;
            let skewness = l3 / l2;
            // Hosking 1991, IBM Research Report RC 17097: the shape by rational functions of the L-skewness.
            let shape = if skewness.abs() < 1.0 / 3.0 {
                let t = 3.0 * std::f64::consts::PI * skewness * skewness;
                (1.0 + 0.2906 * t) / (t * (1.0 + t * (0.1882 + t * 0.0442)))
            } else {
                let t = 1.0 - skewness.abs();
                t * (0.36067 + t * (-0.59567 + t * 0.25361)) / (1.0 + t * (-2.78861 + t * (2.56096 + t * -0.77045)))
            };
            let scale = std::f64::consts::PI.sqrt() * l2 * (ln_gamma(shape) - ln_gamma(shape + 0.5)).exp();
            let reflected = skewness < 0.0;
            let origin = if reflected { l1 + shape * scale } else { l1 - shape * scale };
            let usable = shape.is_finite() && scale > 0.0;
            usable.then_some(Fit { zeros, shape, scale, origin, reflected })
        }
    }
}

/// The first three L-moments, by unbiased probability-weighted moments.
fn l_moments(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mut b = [0.0; 3];
    for (rank, value) in values.iter().enumerate() {
        let rank = rank as f64;
        b[0] += value / n;
        b[1] += value * rank / (n - 1.0) / n;
        b[2] += value * rank * (rank - 1.0) / ((n - 1.0) * (n - 2.0)) / n;
    }
    let l2 = 2.0 * b[1] - b[0];
    (l2 > 0.0).then_some([b[0], l2, 6.0 * b[2] - 6.0 * b[1] + b[0]])
}
