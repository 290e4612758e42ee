//! Scores of a simulated against an observed series.
//!
//! All take series `[T]` in one unit and give a dimensionless number. All refuse an empty series, unequal lengths, NaN
//! and infinities; drop gaps with [`crate::paired`] first.

use crate::error::StatisticsError;
use crate::series::{count, mean_of, nonzero, require_pair};

/// Nash-Sutcliffe efficiency, `1 - Σ(s - o)² / Σ(o - ō)²`: 1 is perfect, 0 is no better than the observed mean.
/// Source: Nash & Sutcliffe 1970, J. Hydrol. 10, 282.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the observed series is constant; otherwise as the module says.
pub fn nse(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    efficiency(observed, simulated, |difference| difference * difference)
}

/// Modified efficiency with j = 1, `1 - Σ|s - o| / Σ|o - ō|`, which is less ruled by the largest floods than the NSE.
/// Source: Legates & McCabe 1999, Water Resour. Res. 35, 233.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the observed series is constant; otherwise as the module says.
pub fn mnse(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    efficiency(observed, simulated, f64::abs)
}

fn efficiency(observed: &[f64], simulated: &[f64], penalty: impl Fn(f64) -> f64) -> Result<f64, StatisticsError> {
    require_pair(observed, simulated)?;
    let centre = mean_of(observed);
    let error: f64 = observed.iter().zip(simulated).map(|(o, s)| penalty(s - o)).sum();
    let climatology = if is_constant(observed) { 0.0 } else { observed.iter().map(|o| penalty(o - centre)).sum() };
    Ok(1.0 - error / nonzero("the variability of the observed series", climatology)?)
}

/// Percent bias, `100 Σ(o - s) / Σo`: positive where the simulation holds too little water. Some authors use the
/// opposite sign. Source: Gupta et al. 1999, J. Hydrol. Eng. 4, 135.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the observed values sum to zero; otherwise as the module says.
pub fn pbias(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    require_pair(observed, simulated)?;
    let missing: f64 = observed.iter().zip(simulated).map(|(o, s)| o - s).sum();
    Ok(100.0 * missing / nonzero("the sum of the observed series", observed.iter().sum())?)
}

/// Kling-Gupta efficiency, `1 - sqrt((r - 1)² + (σs/σo - 1)² + (μs/μo - 1)²)`: 1 is perfect, `1 - √2` is the observed
/// mean. The correlation with a constant simulation counts as 0. Source: Gupta et al. 2009, J. Hydrol. 377, 80.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the observed series is constant or has mean zero; otherwise as the module says.
pub fn kge_2009(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    let parts = Components::of(observed, simulated)?;
    Ok(parts.distance_score(parts.variability_ratio))
}

/// Kling-Gupta efficiency with the ratio of the coefficients of variation, `(σs/μs) / (σo/μo)`, in place of `σs/σo`, so
/// that bias and variability are not mixed. Source: Kling et al. 2012, J. Hydrol. 424-425, 264.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the observed series is constant, or either series has mean zero; otherwise as
/// the module says.
pub fn kge_2012(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    let parts = Components::of(observed, simulated)?;
    let bias_ratio = nonzero("the mean of the simulated series", parts.bias_ratio)?;
    Ok(parts.distance_score(parts.variability_ratio / bias_ratio))
}

/// What the Kling-Gupta efficiency is made of.
pub(crate) struct Components {
    correlation: f64,
    pub(crate) variability_ratio: f64,
    bias_ratio: f64,
}

impl Components {
    fn of(observed: &[f64], simulated: &[f64]) -> Result<Self, StatisticsError> {
        require_pair(observed, simulated)?;
        let means = (mean_of(observed), mean_of(simulated));
        let pairs = observed.iter().map(|o| o - means.0).zip(simulated.iter().map(|s| s - means.1));
        let covariance = pairs.map(|(o, s)| o * s).sum::<f64>() / count(observed.len());
        Self::from_moments(means, (std_about(observed, means.0), std_about(simulated, means.1)), covariance)
    }

    /// Of means and deviations `(observed, simulated)` and the products of the deviations; the last two may both be sums
    /// or both be means over the series.
    pub(crate) fn from_moments(
        means: (f64, f64),
        deviations: (f64, f64),
        products: f64,
    ) -> Result<Self, StatisticsError> {
        let observed = nonzero("the variability of the observed series", deviations.0)?;
        let simulated = deviations.1;
        let correlation = if simulated == 0.0 { 0.0 } else { (products / observed / simulated).clamp(-1.0, 1.0) };
        Ok(Self {
            correlation,
            variability_ratio: simulated / observed,
            bias_ratio: means.1 / nonzero("the mean of the observed series", means.0)?,
        })
    }

    pub(crate) fn distance_score(&self, variability_ratio: f64) -> f64 {
        let squares = [self.correlation, variability_ratio, self.bias_ratio].map(|part| (part - 1.0).powi(2));
        1.0 - squares.iter().sum::<f64>().sqrt()
    }
}

/// Standard deviation; exactly zero for a constant series, whatever the rounding of its mean.
fn std_about(values: &[f64], centre: f64) -> f64 {
    if is_constant(values) {
        return 0.0;
    }
    (values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / count(values.len())).sqrt()
}

#[expect(clippy::float_cmp, reason = "constant means that every value is the same number")]
fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
