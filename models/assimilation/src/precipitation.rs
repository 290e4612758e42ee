//! Precipitation of each member: a multiplier of mean one, and rain the product may have missed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

use crate::error::{AssimilationError, require, require_each, require_length};
use crate::moments::to_storage;

/// Log-normal precipitation error: `P' = P exp(sigma z - sigma^2 / 2)` with z a standard normal AR(1) row, so that the
/// mean of the multiplier is one (Nijssen & Lettenmaier 2004, J. Geophys. Res. 109, D02103).
///
/// A multiplier never makes rain from zero. Where P is at most the dry threshold, a member gets an exponential amount
/// with the occurrence probability of a step; this adds `probability * mean` per dry step on average. Set the
/// probability to 0 for gauges, small for satellite products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecipitationPerturbation {
    sigma: f64,
    dry_threshold_mm: f64,
    occurrence_probability: f64,
    occurrence_mean_mm: f64,
}

impl PrecipitationPerturbation {
    /// A perturbation with log standard deviation `sigma` (0.3 to 0.5 to start with), and occurrence per time step in
    /// cells with at most `dry_threshold_mm`.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a parameter is outside its range.
    pub fn new(
        sigma: f64,
        dry_threshold_mm: f64,
        occurrence_probability: f64,
        occurrence_mean_mm: f64,
    ) -> Result<Self, AssimilationError> {
        let amount = |v: f64| v >= 0.0 && v.is_finite();
        require("precipitation log standard deviation", sigma, "0 to 5", |v| (0.0..=5.0).contains(&v))?;
        require("dry threshold in mm", dry_threshold_mm, "finite and at least 0", amount)?;
        require("occurrence probability", occurrence_probability, "0 to 1", |v| (0.0..=1.0).contains(&v))?;
        require("mean occurrence in mm", occurrence_mean_mm, "finite and at least 0", amount)?;
        Ok(Self { sigma, dry_threshold_mm, occurrence_probability, occurrence_mean_mm })
    }

    /// Fills `perturbed_mm` `[C, M]` from `precipitation_mm` `[C]` of the step and the standard normal row `z` `[C, M]`
    /// (an [`crate::Ar1`] of sigma 1). Dry catchments draw from `rng`, catchment by catchment, then member by member.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] where the shapes differ, [`AssimilationError::Element`] where precipitation is
    /// negative or not finite, or z is not finite: gaps are filled before the forcing is perturbed. Nothing is written
    /// then.
    pub fn apply(
        &self,
        precipitation_mm: &[f32],
        z: &[f32],
        perturbed_mm: &mut [f32],
        rng: &mut ChaCha8Rng,
    ) -> Result<(), AssimilationError> {
        let members = z.len().checked_div(precipitation_mm.len()).unwrap_or(0);
        require_length("precipitation noise", z.len(), precipitation_mm.len() * members)?;
        require_length("perturbed precipitation", perturbed_mm.len(), z.len())?;
        require_each("precipitation in mm", precipitation_mm, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?;
        require_each("precipitation noise", z, "finite", f64::is_finite)?;
        if members == 0 {
            return Ok(());
        }
        let catchments = perturbed_mm.chunks_exact_mut(members).zip(z.chunks_exact(members));
        for ((members_mm, noise), &amount_mm) in catchments.zip(precipitation_mm) {
            if f64::from(amount_mm) > self.dry_threshold_mm {
                self.multiply(f64::from(amount_mm), noise, members_mm);
            } else {
                self.occur(amount_mm, members_mm, rng);
            }
        }
        Ok(())
    }

    fn multiply(&self, amount_mm: f64, noise: &[f32], members_mm: &mut [f32]) {
        for (member_mm, &z) in members_mm.iter_mut().zip(noise) {
            *member_mm = to_storage(amount_mm * (self.sigma * f64::from(z) - 0.5 * self.sigma * self.sigma).exp());
        }
    }

    fn occur(&self, amount_mm: f32, members_mm: &mut [f32], rng: &mut ChaCha8Rng) {
        members_mm.fill(amount_mm);
        if self.occurrence_probability > 0.0 {
            for member_mm in members_mm {
                if rng.random_bool(self.occurrence_probability) {
                    let excess: f64 = Exp1.sample(rng);
                    *member_mm = to_storage(f64::from(amount_mm) + self.occurrence_mean_mm * excess);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use crate::noise::{Purpose, stream};

    #[test]
    fn shapes_and_values_are_checked_before_anything_is_written() {
        let perturbation = PrecipitationPerturbation::new(0.4, 0.0, 0.05, 1.0).unwrap();
        let mut rng = stream(1, Purpose::PrecipitationOccurrence, 0);
        let mut out = [-1.0_f32; 4];
        assert!(perturbation.apply(&[1.0, 2.0, 3.0], &[0.0; 4], &mut out, &mut rng).is_err());
        assert!(perturbation.apply(&[1.0, 2.0], &[0.0; 4], &mut out[..3], &mut rng).is_err());
        assert!(perturbation.apply(&[1.0, f32::NAN], &[0.0; 4], &mut out, &mut rng).is_err());
        assert!(perturbation.apply(&[1.0, -2.0], &[0.0; 4], &mut out, &mut rng).is_err());
        assert!(perturbation.apply(&[1.0, 2.0], &[f32::INFINITY; 4], &mut out, &mut rng).is_err());
        assert_eq!(out, [-1.0; 4]);
        assert!(perturbation.apply(&[], &[], &mut [], &mut rng).is_ok());
    }

    #[test]
    fn without_error_the_forcing_passes_unchanged() {
        let perturbation = PrecipitationPerturbation::new(0.0, 0.0, 0.0, 1.0).unwrap();
        let mut rng = stream(1, Purpose::PrecipitationOccurrence, 0);
        let mut out = [0.0_f32; 4];
        perturbation.apply(&[0.0, 2.5], &[1.0, -1.0, 2.0, -2.0], &mut out, &mut rng).unwrap();
        assert_eq!(out, [0.0, 0.0, 2.5, 2.5]);
    }

    #[test]
    fn parameters_outside_their_range_are_refused() {
        assert!(PrecipitationPerturbation::new(-0.1, 0.0, 0.0, 1.0).is_err());
        assert!(PrecipitationPerturbation::new(0.3, -1.0, 0.0, 1.0).is_err());
        assert!(PrecipitationPerturbation::new(0.3, 0.0, 1.5, 1.0).is_err());
        assert!(PrecipitationPerturbation::new(0.3, 0.0, 0.1, f64::NAN).is_err());
    }
}
