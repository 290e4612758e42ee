//! The observation operator of snow: water equivalent, or the fraction of the ground that it covers.

use crate::{
    error::{AssimilationError, require, require_each, require_length},
    observed::Observed,
};

/// The depletion curve of snow cover, `SCF = tanh(1.26 SWE / sigma)`, where sigma is the standard deviation in space of
/// the water equivalent at its yearly maximum: the fit to a log-normal cover that melts evenly (Essery & Pomeroy 2004,
/// Ann. Glaciol. 38, 261).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepletionCurve {
    sigma_mm: f64,
}

impl DepletionCurve {
    /// A curve with `sigma_mm`, mm, finite and positive: the coefficient of variation of the terrain (Liston 2004, J.
    /// Climate 17, 1381) times the mean yearly maximum.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where sigma is outside its range.
    pub fn new(sigma_mm: f64) -> Result<Self, AssimilationError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("spatial standard deviation of snow in mm", sigma_mm, "finite and positive", positive)?;
        Ok(Self { sigma_mm })
    }

    /// Snow-covered fraction, 0 to 1, of a water equivalent in mm, of which less than none counts as none.
    #[must_use]
    pub fn covered_fraction(&self, swe_mm: f64) -> f64 {
        (1.26 * swe_mm.max(0.0) / self.sigma_mm).tanh()
    }
}

/// Snow as it is observed, in linear space.
///
/// Where no member has snow all predictions are 0, and where all have much the covered fraction is 1: such an
/// observation carries no information ([`crate::is_informative`]), and a caller leaves it out. Snow that was seen and
/// that no member has cannot be added by an ensemble filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SnowOperator {
    /// None: the water equivalent itself is observed.
    depletion: Option<DepletionCurve>,
    relative_error: f64,
    absolute_error: f64,
}

/// A row of the ensemble that holds snow, of one catchment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SnowRow<'a> {
    /// The members `[M]`, in the unit of the row.
    pub members: &'a [f32],
    /// Water of the catchment per unit of the row, mm, finite and at least 0: 1 for a store in mm.
    pub storage: f64,
}

impl SnowOperator {
    /// An operator of snow water equivalent in mm, with the error `sigma^2 = (a SWE)^2 + b^2`: `relative_error` a in 0
    /// to 10, `absolute_error_mm` b finite and positive.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where an error is outside its range.
    pub fn water_equivalent(relative_error: f64, absolute_error_mm: f64) -> Result<Self, AssimilationError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("relative snow error", relative_error, "0 to 10", |v| (0.0..=10.0).contains(&v))?;
        require("absolute snow error in mm", absolute_error_mm, "finite and positive", positive)?;
        Ok(Self { depletion: None, relative_error, absolute_error: absolute_error_mm })
    }

    /// An operator of the snow-covered fraction, with its standard error in 0 to 1, above 0.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the error is outside its range.
    pub fn covered_fraction(depletion: DepletionCurve, error: f64) -> Result<Self, AssimilationError> {
        require("error of the snow-covered fraction", error, "above 0, at most 1", |v| v > 0.0 && v <= 1.0)?;
        Ok(Self { depletion: Some(depletion), relative_error: 0.0, absolute_error: error })
    }

    /// The observation, in mm or as a fraction, with its error variance.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a water equivalent is negative or not finite, or a fraction outside 0 to 1.
    pub fn observe(&self, value: f64) -> Result<Observed, AssimilationError> {
        match self.depletion {
            None => require("observed snow in mm", value, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?,
            Some(_) => require("observed snow-covered fraction", value, "0 to 1", |v| (0.0..=1.0).contains(&v))?,
        }
        let error = (self.relative_error * value).hypot(self.absolute_error);
        Ok(Observed { value, error_variance: error * error })
    }

    /// Predicted observations `[M]` from the rows that hold the catchment's snow.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] where a row differs from `predicted` in length, [`AssimilationError::Element`]
    /// where a member is NaN or infinite, [`AssimilationError::Value`] where a storage is outside its range.
    /// `predicted` is not touched then.
    pub fn predict(&self, rows: &[SnowRow<'_>], predicted: &mut [f64]) -> Result<(), AssimilationError> {
        for row in rows {
            require_length("snow row", row.members.len(), predicted.len())?;
            require_each("snow", row.members, "finite", f64::is_finite)?;
            require("storage of a snow row", row.storage, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?;
        }
        predicted.fill(0.0);
        for row in rows {
            for (value, &member) in predicted.iter_mut().zip(row.members) {
                *value += row.storage * f64::from(member).max(0.0);
            }
        }
        if let Some(depletion) = self.depletion {
            predicted.iter_mut().for_each(|value| *value = depletion.covered_fraction(*value));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use crate::observed::is_informative;

    #[test]
    fn water_equivalent_is_the_weighted_sum_of_its_rows() {
        let operator = SnowOperator::water_equivalent(0.1, 5.0).unwrap();
        let observed = operator.observe(120.0).unwrap();
        assert_eq!(observed.value, 120.0);
        assert!((observed.error_variance - (144.0 + 25.0)).abs() < 1e-12);
        let rows = [
            SnowRow { members: &[100.0, 50.0, -1e-6], storage: 1.0 },
            SnowRow { members: &[10.0, 4.0, 0.0], storage: 0.5 },
        ];
        let mut predicted = [9.0; 3];
        operator.predict(&rows, &mut predicted).unwrap();
        assert_eq!(predicted, [105.0, 52.0, 0.0]);
    }

    #[test]
    fn the_depletion_curve_rises_from_bare_to_covered() {
        let curve = DepletionCurve::new(63.0).unwrap();
        assert_eq!(curve.covered_fraction(0.0), 0.0);
        assert_eq!(curve.covered_fraction(-1.0), 0.0);
        // tanh(1) and tanh(0.1), at 1.26 SWE / sigma = 1 and 0.1.
        assert!((curve.covered_fraction(50.0) - 0.761_594_155_955_764_9).abs() < 1e-14);
        assert!((curve.covered_fraction(5.0) - 0.099_667_994_624_955_8).abs() < 1e-14);
        let operator = SnowOperator::covered_fraction(curve, 0.1).unwrap();
        let mut predicted = [0.0; 2];
        operator.predict(&[SnowRow { members: &[50.0, 5.0], storage: 1.0 }], &mut predicted).unwrap();
        assert!((predicted[0] - 1.0_f64.tanh()).abs() < 1e-14 && is_informative(&predicted));
        assert!((operator.observe(0.4).unwrap().error_variance - 0.01).abs() < 1e-14);
    }

    #[test]
    fn bare_ground_and_full_cover_carry_no_information() {
        let operator = SnowOperator::covered_fraction(DepletionCurve::new(10.0).unwrap(), 0.1).unwrap();
        for members in [[0.0, 0.0, 0.0], [500.0, 700.0, 900.0]] {
            let mut predicted = [0.5; 3];
            operator.predict(&[SnowRow { members: &members, storage: 1.0 }], &mut predicted).unwrap();
            assert!(!is_informative(&predicted), "{predicted:?}");
        }
    }

    #[test]
    fn impossible_snow_and_parameters_are_refused() {
        let swe = SnowOperator::water_equivalent(0.1, 5.0).unwrap();
        let fraction = SnowOperator::covered_fraction(DepletionCurve::new(10.0).unwrap(), 0.1).unwrap();
        assert!(swe.observe(-1.0).is_err() && swe.observe(f64::NAN).is_err());
        assert_eq!(
            fraction.observe(1.5).unwrap_err().to_string(),
            "observed snow-covered fraction is 1.5; accepted: 0 to 1"
        );
        assert!(SnowOperator::water_equivalent(0.1, 0.0).is_err());
        assert!(SnowOperator::covered_fraction(DepletionCurve { sigma_mm: 1.0 }, 0.0).is_err());
        assert!(DepletionCurve::new(0.0).is_err());
        let mut predicted = [7.0; 2];
        for (members, storage) in [(&[1.0_f32][..], 1.0), (&[1.0, f32::NAN], 1.0), (&[1.0, 1.0], f64::NAN)] {
            assert!(swe.predict(&[SnowRow { members, storage }], &mut predicted).is_err());
        }
        assert_eq!(predicted, [7.0; 2]);
    }
}
