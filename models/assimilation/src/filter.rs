//! The analysis of a batch of catchments: check all, then weigh and update one catchment after the other.

use crate::ensemble::{Ensemble, EnsembleMut};
use crate::error::AssimilationError;
use crate::noise::NoiseSource;
use crate::observation::{CatchmentObservation, require_ascending};
use crate::options::FilterOptions;
use crate::report::{AnalysisReport, Innovation, Resampled, RowIncrement};
use crate::row::RowUpdate;
use crate::transform::Transform;

/// An ensemble filter with its options and its reusable buffers. Keep one per worker.
#[derive(Debug)]
pub struct Filter {
    options: FilterOptions,
    transform: Transform,
    row: RowUpdate,
}

impl Filter {
    /// A filter with empty buffers, which grow with the first batch.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the inflation is outside 1 to 10, or the relaxation or the jitter outside
    /// 0 to 1.
    pub fn new(options: FilterOptions) -> Result<Self, AssimilationError> {
        options.check()?;
        Ok(Self { options, transform: Transform::new(options.method), row: RowUpdate::default() })
    }

    /// The options in use.
    #[must_use]
    pub fn options(&self) -> &FilterOptions {
        &self.options
    }

    /// Corrects the listed rows of each observed catchment of `ensemble` `[S, C, M]`, and fills `report`.
    ///
    /// `observations` are ascending by catchment, each catchment once; several observations of a catchment are stacked
    /// in one entry and enter one joint update. A catchment without an entry is not touched, nor inflated. The
    /// prior anomalies of an entry are multiplied by its inflation times [`FilterOptions::prior_inflation`]. One
    /// observation per catchment (p = 1) allocates nothing once the buffers have grown. From `noise` draw only
    /// [`crate::Method::StochasticEnkf`], in the order catchment, observation, member, and
    /// [`crate::Method::Particle`], one uniform number and one permutation a catchment. What is drawn does not depend
    /// on the rows. Cost per catchment: O(p^2 M + p^3 + rows p M).
    ///
    /// Sources: Hunt et al. 2007 (Physica D 230, 112) for the ETKF, Sakov & Oke 2008 (Tellus A 60, 361) for the DEnKF,
    /// Burgers et al. 1998 (MWR 126, 1719) for the stochastic EnKF, Kitagawa 1996 (J. Comput. Graph. Stat. 5, 1) and
    /// Liu & West 2001 for the particle filter, Whitaker & Hamill 2012 (MWR 140, 3078) for the relaxation to prior
    /// spread.
    ///
    /// # Errors
    /// [`AssimilationError::Order`] where catchments repeat or go backwards; [`AssimilationError::Catchment`] where an
    /// entry has the wrong length, an unknown row, a NaN or an infinity (observation, prediction or stored member), a
    /// variance that is not positive, an inflation outside 1 to 10, or bounds that hold no value. After these the ensemble is as it was. Only
    /// [`AssimilationError::Decomposition`] (p > 1 only) comes after earlier catchments have changed. After an
    /// error the report is empty.
    pub fn assimilate(
        &mut self,
        ensemble: &mut EnsembleMut<'_>,
        observations: &[CatchmentObservation<'_>],
        noise: &mut impl NoiseSource,
        report: &mut AnalysisReport,
    ) -> Result<(), AssimilationError> {
        report.clear();
        let outcome = self
            .check(ensemble.as_ref(), observations, &mut report.innovations)
            .and_then(|()| self.update_all(ensemble, observations, noise, report));
        if outcome.is_err() {
            report.clear();
        }
        outcome
    }

    fn check(
        &self,
        ensemble: Ensemble<'_>,
        observations: &[CatchmentObservation<'_>],
        innovations: &mut Vec<Innovation>,
    ) -> Result<(), AssimilationError> {
        require_ascending("catchment", observations.iter().map(|observation| observation.catchment))?;
        observations.iter().try_for_each(|observation| {
            observation
                .check(ensemble, self.inflation(observation), innovations)
                .map_err(|error| error.in_catchment(observation.catchment))
        })
    }

    fn update_all(
        &mut self,
        ensemble: &mut EnsembleMut<'_>,
        observations: &[CatchmentObservation<'_>],
        noise: &mut impl NoiseSource,
        report: &mut AnalysisReport,
    ) -> Result<(), AssimilationError> {
        observations.iter().try_for_each(|observation| {
            self.update(ensemble, observation, noise, report).map_err(|error| error.in_catchment(observation.catchment))
        })
    }

    fn update(
        &mut self,
        ensemble: &mut EnsembleMut<'_>,
        observation: &CatchmentObservation<'_>,
        noise: &mut impl NoiseSource,
        report: &mut AnalysisReport,
    ) -> Result<(), AssimilationError> {
        let catchment = observation.catchment;
        let inflation = self.inflation(observation);
        self.transform.fill(observation, ensemble.shape().members, inflation, noise.of_catchment(catchment))?;
        if let Some(effective_members) = self.transform.effective_members() {
            report.resampled.push(Resampled { catchment, effective_members });
        }
        for row in observation.rows {
            let members = ensemble.members_mut(row.state, catchment)?;
            let change = self.row.apply(members, &self.transform, inflation, self.options.rtps_alpha, row.bounds);
            report.increments.push(RowIncrement {
                catchment,
                state: row.state,
                mean_increment: change.increment,
                mean_clipped: change.clipped,
            });
        }
        Ok(())
    }

    fn inflation(&self, observation: &CatchmentObservation<'_>) -> f64 {
        self.options.prior_inflation.unwrap_or(1.0) * observation.inflation
    }
}
