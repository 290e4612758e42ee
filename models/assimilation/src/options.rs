//! What a caller may choose: the method, the inflation, and the bounds of a row.

use crate::error::{AssimilationError, require};

/// How an ensemble is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Method {
    /// Ensemble transform Kalman filter with the symmetric square root (Bishop et al. 2001; Wang et al. 2004).
    /// Deterministic: it draws no noise.
    #[default]
    Etkf,
    /// Ensemble Kalman filter with perturbed observations (Evensen 1994; Burgers et al. 1998). The perturbations are
    /// re-centred so that they do not move the mean; their sample variance (M - 1) stays unbiased by that.
    StochasticEnkf,
    /// Deterministic ensemble Kalman filter: the mean moves with the Kalman gain K, the anomalies with K / 2 (Sakov &
    /// Oke 2008, Tellus A 60, 361). It draws no noise, and keeps `K H P Hᵀ Kᵀ / 4` more covariance than the Kalman
    /// filter, an inflation of its own that counts where the observation is surer than the prediction.
    Denkf,
    /// Particle filter: systematic resampling at each analysis, then jitter (Kitagawa 1996; Liu & West 2001). It makes
    /// no Gaussian assumption and needs many members: watch [`crate::Resampled::effective_members`].
    ///
    /// It replaces whole members: list every row of the catchment that differs between members, noise rows and stored
    /// outputs included. A row that is not listed keeps the member that was in its place before: right for members
    /// that survive, of another member for those that do not.
    Particle {
        /// Share h, 0 to 1, of the prior spread of a row that keeps the children of one ancestor apart, typically 0.05
        /// to 0.2. The spread never falls below that share of the prior's.
        jitter: f64,
    },
}

/// Options of a [`crate::Filter`]. The default is the ETKF without inflation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FilterOptions {
    /// How an ensemble is corrected.
    pub method: Method,
    /// Factor lambda >= 1 on the prior anomalies, typically 1.0 to 1.1 (Anderson & Anderson 1999). It applies to the
    /// updatable rows of an observed catchment and, to first order in the observation operator, to the predicted
    /// observations, so that the update stays the Kalman update of the inflated prior.
    pub prior_inflation: Option<f64>,
    /// Relaxation to prior spread, alpha in 0 to 1: `sigma_a += alpha (sigma_b - sigma_a)` per row, where `sigma_b` is
    /// the prior spread after `prior_inflation` (Whitaker & Hamill 2012).
    pub rtps_alpha: Option<f64>,
}

impl FilterOptions {
    pub(crate) fn check(&self) -> Result<(), AssimilationError> {
        if let Some(lambda) = self.prior_inflation {
            require("prior inflation", lambda, "1 to 10", |v| (1.0..=10.0).contains(&v))?;
        }
        if let Some(alpha) = self.rtps_alpha {
            require("relaxation to prior spread", alpha, "0 to 1", |v| (0.0..=1.0).contains(&v))?;
        }
        if let Method::Particle { jitter } = self.method {
            require("jitter of the particle filter", jitter, "0 to 1", |v| (0.0..=1.0).contains(&v))?;
        }
        Ok(())
    }
}

/// Physical limits of a row, in its unit; both ends belong to the accepted range.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds {
    /// Smallest accepted value.
    pub minimum: Option<f32>,
    /// Largest accepted value, such as the capacity of a store.
    pub maximum: Option<f32>,
}

impl Bounds {
    /// No limit.
    pub const UNBOUNDED: Self = Self { minimum: None, maximum: None };
    /// A store that cannot hold less than nothing.
    pub const NON_NEGATIVE: Self = Self { minimum: Some(0.0), maximum: None };

    /// `value` moved to the nearest accepted value.
    #[must_use]
    pub fn clip(&self, value: f32) -> f32 {
        let raised = self.minimum.map_or(value, |minimum| value.max(minimum));
        self.maximum.map_or(raised, |maximum| raised.min(maximum))
    }

    pub(crate) fn check(&self) -> Result<(), AssimilationError> {
        let minimum = self.minimum.unwrap_or(f32::MIN);
        let maximum = self.maximum.unwrap_or(f32::MAX);
        let holds_a_finite_value = minimum <= maximum && minimum < f32::INFINITY && maximum > f32::NEG_INFINITY;
        if holds_a_finite_value { Ok(()) } else { Err(AssimilationError::Bounds { minimum, maximum }) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    #[test]
    fn options_outside_their_range_are_refused() {
        for prior_inflation in [0.99, f64::NAN, f64::INFINITY] {
            let options = FilterOptions { prior_inflation: Some(prior_inflation), ..Default::default() };
            assert!(options.check().is_err());
        }
        for rtps_alpha in [-0.1, 1.1, f64::NAN] {
            let options = FilterOptions { rtps_alpha: Some(rtps_alpha), ..Default::default() };
            assert!(options.check().is_err());
        }
        for jitter in [-0.1, 1.1, f64::NAN] {
            let options = FilterOptions { method: Method::Particle { jitter }, ..Default::default() };
            assert!(options.check().is_err());
        }
        let message = FilterOptions { rtps_alpha: Some(1.5), ..Default::default() }.check().unwrap_err().to_string();
        assert_eq!(message, "relaxation to prior spread is 1.5; accepted: 0 to 1");
    }

    #[test]
    fn bounds_clip_to_both_ends_and_refuse_what_holds_nothing() {
        let bounds = Bounds { minimum: Some(0.0), maximum: Some(5.0) };
        assert_eq!([-1.0, 2.0, 9.0].map(|v| bounds.clip(v)), [0.0, 2.0, 5.0]);
        assert!(bounds.check().is_ok());
        assert!(Bounds::UNBOUNDED.check().is_ok());
        assert!(Bounds { minimum: Some(2.0), maximum: Some(1.0) }.check().is_err());
        assert!(Bounds { minimum: Some(f32::NAN), maximum: None }.check().is_err());
        assert!(Bounds { minimum: Some(f32::INFINITY), maximum: Some(f32::INFINITY) }.check().is_err());
    }
}
