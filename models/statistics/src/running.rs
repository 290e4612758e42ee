//! Scores that follow a series as it comes, in constant memory.

use serde::{Deserialize, Serialize};

use crate::{
    error::StatisticsError,
    hydrograph::Components,
    series::{nonzero, require_finite},
};

/// Count, means and squares about the means of the pairs so far: what [`crate::nse`], [`crate::kge_2009`] and
/// [`crate::pbias`] need, to within rounding. Two that saw parts of a series [`merge`](Self::merge) into what one would
/// have seen. Source: Welford 1962, Technometrics 4, 419; Chan et al. 1983, Am. Stat. 37, 242 for merging.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningScore {
    pairs: u64,
    observed_mean: f64,
    simulated_mean: f64,
    observed_squares: f64,
    simulated_squares: f64,
    products: f64,
    error_squares: f64,
}

impl RunningScore {
    /// Takes in one pair, both in one unit.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] for a NaN or an infinity; the score is then as it was.
    pub fn add(&mut self, observed: f64, simulated: f64) -> Result<(), StatisticsError> {
        require_finite("observed", &[observed])?;
        require_finite("simulated", &[simulated])?;
        self.merge(&Self {
            pairs: 1,
            observed_mean: observed,
            simulated_mean: simulated,
            error_squares: (simulated - observed).powi(2),
            ..Self::default()
        });
        Ok(())
    }

    /// Gives a pair that was taken in with `before` the observed value that it should have had.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] for a NaN or an infinity, [`StatisticsError::TooFew`] without a pair; the score is then as it was.
    pub fn revise(&mut self, before: f64, observed: f64, simulated: f64) -> Result<(), StatisticsError> {
        require_finite("observed", &[before, observed])?;
        require_finite("simulated", &[simulated])?;
        self.require_pairs()?;
        let (change, mean) = (observed - before, self.observed_mean);
        let largest = observed.abs().max(before.abs()).max(mean.abs()).max(simulated.abs());
        // What is left of squares that cancel is rounding, and no variability.
        let squares = |sum: f64, gained: f64| {
            let rounding = 32.0 * f64::EPSILON * (sum + change.abs() * largest);
            if sum + gained > rounding { sum + gained } else { 0.0 }
        };
        self.observed_mean += change / self.pairs as f64;
        let about_means = observed + before - self.observed_mean - mean;
        self.observed_squares = squares(self.observed_squares, change * about_means);
        self.products += change * (simulated - self.simulated_mean);
        self.error_squares = squares(self.error_squares, change * (observed + before - 2.0 * simulated));
        Ok(())
    }

    /// Takes in the pairs that another one saw. The order in which parts are merged changes rounding only.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.pairs + other.pairs;
        if pairs == 0 {
            return;
        }
        let share = other.pairs as f64 / pairs as f64;
        let weight = self.pairs as f64 * share;
        let observed = other.observed_mean - self.observed_mean;
        let simulated = other.simulated_mean - self.simulated_mean;
        self.pairs = pairs;
        self.observed_mean += share * observed;
        self.simulated_mean += share * simulated;
        self.observed_squares += other.observed_squares + weight * observed * observed;
        self.simulated_squares += other.simulated_squares + weight * simulated * simulated;
        self.products += other.products + weight * observed * simulated;
        self.error_squares += other.error_squares;
    }

    /// Everything that it is, to be kept; the number of pairs first.
    #[must_use]
    pub const fn parts(&self) -> [f64; 7] {
        [
            self.pairs as f64,
            self.observed_mean,
            self.simulated_mean,
            self.observed_squares,
            self.simulated_squares,
            self.products,
            self.error_squares,
        ]
    }

    /// What [`parts`](Self::parts) gave.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, below 2⁵³")]
    pub const fn from_parts(parts: [f64; 7]) -> Self {
        let [pairs, observed_mean, simulated_mean, observed_squares, simulated_squares, products, error_squares] =
            parts;
        Self {
            pairs: pairs as u64,
            observed_mean,
            simulated_mean,
            observed_squares,
            simulated_squares,
            products,
            error_squares,
        }
    }

    /// Number of pairs so far.
    #[must_use]
    pub const fn pairs(&self) -> u64 {
        self.pairs
    }

    /// As [`crate::nse`].
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without a pair, [`StatisticsError::Undefined`] where all observed values are equal.
    pub fn nse(&self) -> Result<f64, StatisticsError> {
        self.require_pairs()?;
        Ok(1.0 - self.error_squares / nonzero("the variability of the observed series", self.observed_squares)?)
    }

    /// As [`crate::kge_2009`].
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without a pair, [`StatisticsError::Undefined`] where all observed values are equal or
    /// have mean zero.
    pub fn kge_2009(&self) -> Result<f64, StatisticsError> {
        self.require_pairs()?;
        let parts = Components::from_moments(
            (self.observed_mean, self.simulated_mean),
            (self.observed_squares.sqrt(), self.simulated_squares.sqrt()),
            self.products,
        )?;
        Ok(parts.distance_score(parts.variability_ratio))
    }

    /// As [`crate::pbias`].
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without a pair, [`StatisticsError::Undefined`] where the observed values sum to zero.
    pub fn pbias(&self) -> Result<f64, StatisticsError> {
        self.require_pairs()?;
        let missing = self.observed_mean - self.simulated_mean;
        Ok(100.0 * missing / nonzero("the sum of the observed series", self.observed_mean)?)
    }

    fn require_pairs(&self) -> Result<(), StatisticsError> {
        if self.pairs > 0 { Ok(()) } else { Err(StatisticsError::TooFew { what: "pairs", actual: 0, least: 1 }) }
    }
}
