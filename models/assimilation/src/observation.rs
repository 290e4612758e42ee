//! The observations of one catchment, and the checks that an update relies on.

use crate::ensemble::Ensemble;
use crate::error::{AssimilationError, require, require_each, require_length};
use crate::moments::{count, mean};
use crate::options::Bounds;
use crate::report::Innovation;

/// Largest accepted (signal / error)^2. It keeps every product of an update finite in `f64`, and no real gauge is near
/// it.
const LARGEST_RATIO: f64 = 1e150;

/// A row that an analysis may change, with the limits it must respect. Leaving out strongly nonlinear stores such as
/// soil moisture often helps operationally (Rakovec et al. 2015, HESS 19, 2911).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdatableRow {
    /// Row of the ensemble.
    pub state: usize,
    /// Limits in the unit of the row; they may differ between catchments.
    pub bounds: Bounds,
}

/// The p observations of one catchment at one analysis, with independent errors. Late observations join it with the
/// predictions that were stored at their valid times (asynchronous filter, Sakov et al. 2010; see
/// [`crate::StoredPredictions`]).
#[derive(Debug, Clone, Copy)]
pub struct CatchmentObservation<'a> {
    /// The catchment.
    pub catchment: usize,
    /// Predictions `[p, M]` of the observed values, member fastest, through the observation operator.
    pub predicted: &'a [f64],
    /// Observed values `[p]`, in the space of `predicted`.
    pub observed: &'a [f64],
    /// Error variances `[p]`, positive, in the squared unit of `observed`.
    pub error_variance: &'a [f64],
    /// Factor >= 1 on the prior anomalies of this catchment, on top of [`crate::FilterOptions::prior_inflation`]; 1 for
    /// none. [`crate::AdaptiveInflation`] learns it.
    pub inflation: f64,
    /// Rows that may change, ascending by state. None: the innovations are reported and nothing changes.
    pub rows: &'a [UpdatableRow],
}

impl CatchmentObservation<'_> {
    /// Checks everything an update relies on, and appends one innovation per observation. `inflation` is the whole
    /// factor that the update will use.
    pub(crate) fn check(
        &self,
        ensemble: Ensemble<'_>,
        inflation: f64,
        innovations: &mut Vec<Innovation>,
    ) -> Result<(), AssimilationError> {
        let shape = ensemble.shape();
        shape.check_catchment(self.catchment)?;
        self.check_rows(ensemble)?;

        require("inflation", self.inflation, "1 to 10", |v| (1.0..=10.0).contains(&v))?;
        let observations = self.observed.len();
        if observations == 0 {
            return Err(AssimilationError::NoObservation);
        }
        require_length("error variance", self.error_variance.len(), observations)?;
        require_length("predicted observation", self.predicted.len(), observations.saturating_mul(shape.members))?;
        require_each("observed value", self.observed, "finite", f64::is_finite)?;
        require_each("predicted observation", self.predicted, "finite", f64::is_finite)?;
        require_each("error variance", self.error_variance, "finite and positive", |v| v > 0.0 && v.is_finite())?;

        for (observation, predicted) in self.predicted.chunks_exact(shape.members).enumerate() {
            innovations.push(self.diagnose(observation, predicted, inflation)?);
        }
        Ok(())
    }

    fn check_rows(&self, ensemble: Ensemble<'_>) -> Result<(), AssimilationError> {
        require_ascending("state", self.rows.iter().map(|row| row.state))?;
        for row in self.rows {
            row.bounds.check()?;
            require_each("state member", ensemble.members(row.state, self.catchment)?, "finite", f64::is_finite)?;
        }
        Ok(())
    }

    fn diagnose(&self, observation: usize, predicted: &[f64], inflation: f64) -> Result<Innovation, AssimilationError> {
        let error_variance = self.error_variance[observation];
        let centre = mean(predicted);
        let innovation = self.observed[observation] - centre;
        let squares: f64 = predicted.iter().map(|value| (value - centre).powi(2)).sum();
        let largest_ratio = (innovation * innovation).max(squares) / error_variance;
        if largest_ratio <= LARGEST_RATIO {
            Ok(Innovation {
                catchment: self.catchment,
                observation,
                innovation,
                spread: (squares / count(predicted.len() - 1)).sqrt(),
                error_std: error_variance.sqrt(),
                inflation,
            })
        } else {
            Err(AssimilationError::Element {
                what: "squared departure over error variance",
                index: observation,
                value: largest_ratio,
                accepted: "at most 1e150",
            })
        }
    }
}

/// Refuses indices that repeat or go backwards.
pub(crate) fn require_ascending(
    what: &'static str,
    indices: impl Iterator<Item = usize>,
) -> Result<(), AssimilationError> {
    let mut previous = None;
    for next in indices {
        if let Some(previous) = previous.filter(|&previous| previous >= next) {
            return Err(AssimilationError::Order { what, previous, next });
        }
        previous = Some(next);
    }
    Ok(())
}
