//! The observation operator of discharge: log space, where a relative error is a constant one.

use crate::error::{AssimilationError, require, require_each, require_length};

/// Discharge in log space, `y = ln(q + epsilon)` (Clark et al. 2008, Adv. Water Resour. 31, 1309), with the error
/// `sigma^2 = (a q)^2 + b^2` of a gauge carried to log space as `(sigma / (q + epsilon))^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DischargeOperator {
    epsilon_m3_s: f64,
    relative_error: f64,
    absolute_error_m3_s: f64,
}

/// One observed discharge in log space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogDischarge {
    /// `ln(q + epsilon)`, q and epsilon in m3/s.
    pub value: f64,
    /// Error variance in log space, dimensionless, positive.
    pub error_variance: f64,
}

impl DischargeOperator {
    /// An operator of one gauge: `epsilon_m3_s` > 0 keeps a dry river finite, `relative_error` a >= 0 is about 0.1 for
    /// a good rating, `absolute_error_m3_s` b > 0 is about 1 % of the mean discharge.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a parameter is outside its range.
    pub fn new(epsilon_m3_s: f64, relative_error: f64, absolute_error_m3_s: f64) -> Result<Self, AssimilationError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("epsilon in m3/s", epsilon_m3_s, "finite and positive", positive)?;
        require("relative discharge error", relative_error, "0 to 10", |v| (0.0..=10.0).contains(&v))?;
        require("absolute discharge error in m3/s", absolute_error_m3_s, "finite and positive", positive)?;
        Ok(Self { epsilon_m3_s, relative_error, absolute_error_m3_s })
    }

    /// The observed discharge in log space, with its error variance.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the discharge is negative, NaN or infinite: reverse flow has no logarithm.
    pub fn observe(&self, discharge_m3_s: f64) -> Result<LogDischarge, AssimilationError> {
        require("observed discharge in m3/s", discharge_m3_s, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?;
        let error_std_m3_s = (self.relative_error * discharge_m3_s).hypot(self.absolute_error_m3_s);
        Ok(LogDischarge {
            value: self.log(discharge_m3_s),
            error_variance: (error_std_m3_s / (discharge_m3_s + self.epsilon_m3_s)).powi(2),
        })
    }

    /// Predicted observations `[M]` from member discharges `[M]` in m3/s, with the output-error row `[M]` added in log
    /// space where there is one: `ln(q + epsilon) + b`. A discharge that rounding left below zero counts as zero.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] where the slices differ in length, [`AssimilationError::Element`] where a
    /// discharge or an output error is NaN or infinite. `predicted` is not touched then.
    pub fn predict(
        &self,
        discharge_m3_s: &[f32],
        output_error: Option<&[f32]>,
        predicted: &mut [f64],
    ) -> Result<(), AssimilationError> {
        require_length("predicted observation", predicted.len(), discharge_m3_s.len())?;
        require_each("member discharge in m3/s", discharge_m3_s, "finite", f64::is_finite)?;
        if let Some(errors) = output_error {
            require_length("output error", errors.len(), discharge_m3_s.len())?;
            require_each("output error", errors, "finite", f64::is_finite)?;
        }
        for (value, &discharge) in predicted.iter_mut().zip(discharge_m3_s) {
            *value = self.log(f64::from(discharge));
        }
        for (value, &error) in predicted.iter_mut().zip(output_error.unwrap_or_default()) {
            *value += f64::from(error);
        }
        Ok(())
    }

    /// Discharge in m3/s, at least 0, of a value in log space: `exp(y) - epsilon`.
    #[must_use]
    pub fn discharge_m3_s(&self, log_discharge: f64) -> f64 {
        (log_discharge.exp() - self.epsilon_m3_s).max(0.0)
    }

    /// What is added to discharge before its logarithm, m3/s.
    #[must_use]
    pub fn epsilon_m3_s(&self) -> f64 {
        self.epsilon_m3_s
    }

    /// Member discharge in m3/s, corrected by its output error b: `(q + epsilon) exp(b) - epsilon`, at least 0.
    #[must_use]
    pub fn corrected_m3_s(&self, discharge_m3_s: f64, output_error: f64) -> f64 {
        self.discharge_m3_s(self.log(discharge_m3_s) + output_error)
    }

    /// A discharge in log space: `ln(q + epsilon)`; one below zero counts as zero.
    #[must_use]
    pub fn log(&self, discharge_m3_s: f64) -> f64 {
        (discharge_m3_s.max(0.0) + self.epsilon_m3_s).ln()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn gauge() -> DischargeOperator {
        DischargeOperator::new(0.5, 0.1, 0.2).unwrap()
    }

    #[test]
    fn the_error_is_carried_to_log_space() {
        let observed = gauge().observe(3.0).unwrap();
        assert!((observed.value - 3.5_f64.ln()).abs() < 1e-14);
        let expected = (0.09 + 0.04) / (3.5 * 3.5);
        assert!((observed.error_variance - expected).abs() < 1e-14);
        assert!((gauge().discharge_m3_s(observed.value) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn predictions_add_the_output_error_in_log_space() {
        let mut predicted = [0.0; 3];
        gauge().predict(&[0.0, 3.0, -1e-6], Some(&[0.0, 0.25, 0.0]), &mut predicted).unwrap();
        assert!((predicted[0] - 0.5_f64.ln()).abs() < 1e-14);
        assert!((predicted[1] - (3.5_f64.ln() + 0.25)).abs() < 1e-14);
        assert!((predicted[2] - 0.5_f64.ln()).abs() < 1e-14);
        let corrected = gauge().corrected_m3_s(3.0, 0.25);
        assert!((corrected - (3.5 * 0.25_f64.exp() - 0.5)).abs() < 1e-12);
        assert!(gauge().corrected_m3_s(0.0, -1.0).abs() < 1e-12);
    }

    #[test]
    fn impossible_discharges_and_parameters_are_refused() {
        for discharge in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(gauge().observe(discharge).is_err());
        }
        let message = gauge().observe(-2.0).unwrap_err().to_string();
        assert_eq!(message, "observed discharge in m3/s is -2; accepted: finite and at least 0");
        assert!(DischargeOperator::new(0.0, 0.1, 0.1).is_err());
        assert!(DischargeOperator::new(0.1, -0.1, 0.1).is_err());
        assert!(DischargeOperator::new(0.1, 0.1, 0.0).is_err());
        let mut predicted = [0.0; 2];
        assert!(gauge().predict(&[1.0], None, &mut predicted).is_err());
        assert!(gauge().predict(&[1.0, f32::NAN], None, &mut predicted).is_err());
        assert!(gauge().predict(&[1.0, 1.0], Some(&[0.0]), &mut predicted).is_err());
    }
}
