//! Inflation that each catchment learns from its innovations.

use crate::error::{AssimilationError, require, require_each, require_length};
use crate::moments::to_storage;
use crate::report::Innovation;

/// Largest square of a normalised innovation that is learned from: beyond three standard deviations a single gauge
/// error says no more than that the ensemble is too narrow.
const LARGEST_SQUARE: f64 = 9.0;

/// A multiplicative inflation factor per catchment, learned until the innovations are as large as they claim to be:
/// `E[d²] = lambda² H P Hᵀ + R` (Wang & Bishop 2003, J. Atmos. Sci. 60, 1140).
///
/// Each innovation takes one step up the Gaussian log-likelihood of d in ln lambda,
/// `ln lambda += rate · w (z² - 1)` with `z² = d² / (lambda² H P Hᵀ + R)` and `w = lambda² H P Hᵀ / (lambda² H P Hᵀ + R)`:
/// an innovation that is mostly gauge error (w near 0) teaches little, and one that is as large as expected teaches
/// nothing. The factor forgets over about `1 / (2 rate w²)` innovations, with a standard deviation of `sqrt(rate / 2)`
/// around its mean.
///
/// A factor is no cure for an error that is made elsewhere: learned in storms whose rain is too certain, it widens the
/// slow stores in each dry step too, over and over where they are hardly observed. Widen the noise of the forcing
/// first, and keep the maximum near 1 (1.02 to 1.1 a step). Factors are `f32`, so that
/// [`AdaptiveInflation::factors`] is all that a snapshot needs.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveInflation {
    rate: f64,
    maximum: f64,
    factors: Vec<f32>,
}

impl AdaptiveInflation {
    /// Factors of 1 for `catchments` catchments, learned with `rate` 0 to 1 (0.001 to 0.05; 0 learns nothing) and at
    /// most `maximum`, 1 to 10.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a parameter is outside its range.
    pub fn new(catchments: usize, rate: f64, maximum: f64) -> Result<Self, AssimilationError> {
        require("rate of the adaptive inflation", rate, "0 to 1", |v| (0.0..=1.0).contains(&v))?;
        require("largest inflation", maximum, "1 to 10", |v| (1.0..=10.0).contains(&v))?;
        Ok(Self { rate, maximum, factors: vec![1.0; catchments] })
    }

    /// The factor of a catchment for [`crate::CatchmentObservation::inflation`]; 1 for a catchment that is not there.
    #[must_use]
    pub fn factor(&self, catchment: usize) -> f64 {
        self.factors.get(catchment).map_or(1.0, |&factor| f64::from(factor))
    }

    /// Learns from the innovations of an analysis, [`crate::AnalysisReport::innovations`], in their order. The factor
    /// that is learned is the one on top of any constant inflation: what counts is the whole factor that the analysis
    /// used, [`Innovation::inflation`]. Innovations of other catchments are left aside.
    pub fn learn(&mut self, innovations: &[Innovation]) {
        for innovation in innovations {
            if let Some(factor) = self.factors.get_mut(innovation.catchment) {
                let predicted = (innovation.inflation * innovation.spread).powi(2);
                let expected = predicted + innovation.error_std.powi(2);
                let square = (innovation.innovation.powi(2) / expected).min(LARGEST_SQUARE);
                let step = self.rate * predicted / expected * (square - 1.0);
                *factor = to_storage((f64::from(*factor) * step.exp()).clamp(1.0, self.maximum));
            }
        }
    }

    /// The factors `[C]`, to be saved.
    #[must_use]
    pub fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// Takes up saved factors `[C]`; one above a maximum that was lowered since counts as that maximum.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] for another number of catchments, [`AssimilationError::Element`] for a factor
    /// below 1, NaN or infinite. Nothing changes then.
    pub fn restore(&mut self, factors: &[f32]) -> Result<(), AssimilationError> {
        require_length("inflation", factors.len(), self.factors.len())?;
        require_each("inflation", factors, "finite and at least 1", |v| v >= 1.0 && v.is_finite())?;
        for (factor, &saved) in self.factors.iter_mut().zip(factors) {
            *factor = to_storage(f64::from(saved).min(self.maximum));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use crate::noise::{Ar1, Purpose, stream};

    /// Innovations of an ensemble whose true error is `truth` times its spread of 2, observed with error 1.
    fn learned(truth: f64, constant: f64) -> f64 {
        let mut inflation = AdaptiveInflation::new(40, 0.01, 3.0).unwrap();
        let process = Ar1::new((2.0 * truth).hypot(1.0), 1.0).unwrap();
        let mut departures = vec![0.0_f32; 40];
        let mut total = 0.0;
        for step in 0..2_000 {
            process.initialise(&mut departures, &mut stream(3, Purpose::Custom(0), step));
            for (catchment, &departure) in departures.iter().enumerate() {
                inflation.learn(&[Innovation {
                    catchment,
                    observation: 0,
                    innovation: f64::from(departure),
                    spread: 2.0,
                    error_std: 1.0,
                    inflation: constant * inflation.factor(catchment),
                }]);
            }
            if step >= 1_000 {
                total += inflation.factors().iter().map(|&factor| f64::from(factor)).sum::<f64>() / 40_000.0;
            }
        }
        total
    }

    /// The mean over 40 catchments and ten memories has a sampling error of 0.07 / sqrt(400) = 0.0035; capping squares
    /// at 9 takes 0.9 % of the mean square of a normal variate, hence 0.5 % of the factor.
    #[test]
    fn the_factor_makes_innovations_as_large_as_they_claim() {
        let factor = learned(1.6, 1.0);
        assert!((factor / 1.6 - 1.0).abs() < 0.02, "{factor}");
        let on_top = learned(1.6, 1.25);
        assert!((on_top * 1.25 / 1.6 - 1.0).abs() < 0.02, "{on_top}");
    }

    #[test]
    fn the_factor_stays_between_one_and_the_maximum() {
        assert!((learned(0.3, 1.0) - 1.0).abs() < 1e-3);
        assert!((learned(9.0, 1.0) - 3.0).abs() < 0.05);
    }

    #[test]
    fn factors_are_saved_and_restored() {
        let mut inflation = AdaptiveInflation::new(2, 0.05, 2.0).unwrap();
        inflation.restore(&[1.25, 2.5]).unwrap();
        assert_eq!(inflation.factors(), [1.25, 2.0]);
        assert!(inflation.restore(&[1.0]).is_err());
        assert!(inflation.restore(&[1.0, 0.5]).is_err());
        assert!(inflation.restore(&[f32::NAN, 1.0]).is_err());
        assert_eq!(inflation.factors(), [1.25, 2.0]);
        assert!(AdaptiveInflation::new(1, -0.1, 2.0).is_err());
        assert!(AdaptiveInflation::new(1, 0.1, f64::NAN).is_err());
    }
}
