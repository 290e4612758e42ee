//! Errors that each gauge learns from its innovations.

use crate::error::{AssimilationError, require, require_each, require_length};
use crate::moments::to_storage;
use crate::report::Innovation;

/// Largest square of a normalised innovation that is learned from: a single gauge error says little of all others.
const LARGEST_SQUARE: f64 = 25.0;

/// How far errors may be from what they are said to be, as a factor.
const RANGE: (f64, f64) = (0.02, 10.0);

/// A factor a catchment, dry and wet, on the standard deviations of the gauge's error and of the model's own noise, learned until innovations are as
/// large as they claim to be: `E[d²] = H P Hᵀ + R` (Desroziers et al. 2005, Q. J. R. Meteorol. Soc. 131, 3385).
///
/// Errors that a definition says for all gauges are wide for most: the error of a rating lasts, so that from one hour to the next a gauge is far
/// surer than its record, and a recession is smoother than a flood. Each innovation moves the logarithm of its regime's factor by
/// `rate · w (z² − 1)`, w its share of the regime: over N innovations their mean square differs from 1 by what the factor has moved over `rate N`.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorScales {
    rate: f64,
    /// `[C]` of dry and wet
    factors: Vec<[f32; 2]>,
}

impl ErrorScales {
    /// Factors of 1 for `catchments` catchments, learned with `rate` 0 to 0.2 (0 learns nothing).
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the rate is outside its range.
    pub fn new(catchments: usize, rate: f64) -> Result<Self, AssimilationError> {
        require("rate at which errors are learned", rate, "0 to 0.2", |v| (0.0..=0.2).contains(&v))?;
        Ok(Self { rate, factors: vec![[1.0; 2]; catchments] })
    }

    /// The factor of a catchment at a wetness of 0 to 1; 1 for a catchment that is not there.
    #[must_use]
    pub fn factor(&self, catchment: usize, wetness: f64) -> f64 {
        let [dry, wet] = self.factors.get(catchment).map_or([1.0; 2], |factors| factors.map(f64::from));
        dry * (wet / dry).powf(wetness)
    }

    /// Learns from an innovation of a catchment at a wetness of 0 to 1.
    pub fn learn(&mut self, wetness: f64, innovation: &Innovation) {
        let Some(factors) = self.factors.get_mut(innovation.catchment) else { return };
        let square = innovation.normalised().powi(2).min(LARGEST_SQUARE);
        if square.is_nan() {
            return;
        }
        for (factor, share) in factors.iter_mut().zip([1.0 - wetness, wetness]) {
            let step = self.rate * share * (square - 1.0);
            *factor = to_storage((f64::from(*factor) * step.exp()).clamp(RANGE.0, RANGE.1));
        }
    }

    /// The factors `[C]`, dry and wet, to be saved.
    #[must_use]
    pub fn factors(&self) -> &[[f32; 2]] {
        &self.factors
    }

    /// Takes up saved factors `[C]`.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] for another number of catchments, [`AssimilationError::Element`] for a factor that is not positive and finite.
    /// Nothing changes then.
    pub fn restore(&mut self, factors: &[[f32; 2]]) -> Result<(), AssimilationError> {
        require_length("error scale", factors.len(), self.factors.len())?;
        require_each("error scale", factors.as_flattened(), "finite and positive", |v| v > 0.0 && v.is_finite())?;
        self.factors.copy_from_slice(factors);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::noise::{Purpose, stream};

    /// Errors are 0.1 of what is claimed when dry, and 2.5 of it when wet.
    #[test]
    fn each_regime_learns_how_large_errors_are() {
        let (mut scales, mut squares) = (ErrorScales::new(2, 0.01).unwrap(), [0.0; 2]);
        let mut rng = stream(5, Purpose::Custom(0), 0);
        for step in 0..20_000 {
            let wet = step % 10 == 0;
            let wetness = f64::from(u8::from(wet));
            let (claimed, eta): (f64, f64) = (scales.factor(1, wetness), StandardNormal.sample(&mut rng));
            let innovation = Innovation {
                catchment: 1,
                observation: 0,
                innovation: eta * if wet { 2.5 } else { 0.1 },
                spread: 0.6 * claimed,
                error_std: 0.8 * claimed,
                inflation: 1.0,
            };
            squares[usize::from(wet)] += innovation.normalised().powi(2);
            scales.learn(wetness, &innovation);
        }
        assert!((scales.factor(1, 0.0) / 0.1 - 1.0).abs() < 0.25 && (scales.factor(1, 1.0) / 2.5 - 1.0).abs() < 0.25);
        assert!((scales.factor(1, 0.5) / (scales.factor(1, 0.0) * scales.factor(1, 1.0)).sqrt() - 1.0).abs() < 1e-6);
        assert!((squares[0] / 18_000.0 - 1.0).abs() < 0.1 && (squares[1] / 2_000.0 - 1.0).abs() < 0.1, "{squares:?}");
        assert_eq!(scales.factor(0, 0.3), 1.0);
    }

    #[test]
    fn factors_stay_in_their_range_and_are_restored() {
        let mut scales = ErrorScales::new(1, 0.2).unwrap();
        let exact =
            Innovation { catchment: 0, observation: 0, innovation: 0.0, spread: 1.0, error_std: 1.0, inflation: 1.0 };
        (0..100).for_each(|_| scales.learn(0.0, &exact));
        (0..100).for_each(|_| scales.learn(1.0, &Innovation { innovation: 1e9, ..exact }));
        assert_eq!(scales.factors(), [[0.02, 10.0]]);
        let mut again = ErrorScales::new(1, 0.2).unwrap();
        again.restore(scales.factors()).unwrap();
        assert_eq!(again, scales);
        assert!(again.restore(&[]).is_err() && again.restore(&[[0.0, 1.0]]).is_err());
        assert!(ErrorScales::new(1, 0.3).is_err() && ErrorScales::new(1, f64::NAN).is_err());
    }
}
