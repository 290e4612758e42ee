//! Predictions of the past, kept until the observations of their time have come.

use crate::ensemble::{EnsembleMut, EnsembleShape};
use crate::error::{AssimilationError, require_each, require_length};
use crate::filter::Filter;
use crate::noise::NoiseSource;
use crate::observation::{CatchmentObservation, UpdatableRow};
use crate::options::Bounds;
use crate::report::AnalysisReport;

/// What each member predicted at the last T valid times, `[T, C, M]`, in the space of the observations: the memory of
/// the asynchronous filter (Sakov et al. 2010, Tellus A 62, 24; Rakovec et al. 2015, HESS 19, 2911).
///
/// A late observation enters a [`CatchmentObservation`] of the current state with the [`StoredPredictions::members`] of
/// its valid time, alone or stacked with later ones: the covariance of today's stores with the discharge of that time
/// carries the correction, and no step is run again.
///
/// ```text
///   after each step     store(time, predictions of now)
///   at each analysis    members(time of the observation) ─▶ CatchmentObservation ─▶ Filter::assimilate
///                                                                 └───────────────▶ correct (same noise stream)
/// ```
///
/// Stored predictions are rows of the ensemble like any other: an analysis that corrects the stores makes those of the
/// past obsolete. [`StoredPredictions::correct`] applies the same transform to them (the ensemble Kalman smoother of
/// Evensen & van Leeuwen 2000, MWR 128, 1852); without it, an observation that comes after other analyses would be
/// weighed with a spread that they have already used up.
///
/// The numbers have one size from the beginning, so that they fit a snapshot: [`StoredPredictions::times_us`].
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPredictions {
    shape: EnsembleShape,
    /// Valid time of each slot, microseconds since the epoch; the slots are in no order.
    times_us: Vec<Option<i64>>,
    predicted: Vec<f32>,
    /// Buffer: the slots that hold something.
    rows: Vec<UpdatableRow>,
}

impl StoredPredictions {
    /// An empty memory of `times` T valid times of C `catchments` and M `members`.
    ///
    /// # Errors
    /// [`AssimilationError::Shape`] where an extent is zero, M is below two, or the product overflows.
    pub fn new(times: usize, catchments: usize, members: usize) -> Result<Self, AssimilationError> {
        let shape = EnsembleShape { states: times, catchments, members };
        let predicted = vec![0.0; shape.value_count()?];
        Ok(Self { shape, times_us: vec![None; times], predicted, rows: Vec::with_capacity(times) })
    }

    /// Keeps the predictions `[C, M]` of `valid_time_us`, microseconds since the epoch, in the place of the oldest.
    ///
    /// # Errors
    /// [`AssimilationError::Time`] where the valid time is not after all that are kept, [`AssimilationError::Length`]
    /// or [`AssimilationError::Element`] where the predictions have another shape, or are NaN or infinite. Nothing
    /// changes then.
    pub fn store(&mut self, valid_time_us: i64, predicted: &[f32]) -> Result<(), AssimilationError> {
        require_each("stored prediction", predicted, "finite", f64::is_finite)?;
        self.keep(valid_time_us, predicted)
    }

    /// The predictions `[M]` of a catchment at a valid time; none where the time is forgotten or was never stored, or
    /// the catchment does not exist or had none then.
    #[must_use]
    pub fn members(&self, valid_time_us: i64, catchment: usize) -> Option<&[f32]> {
        let slot = self.times_us.iter().position(|&time_us| time_us == Some(valid_time_us))?;
        let at = (slot * self.shape.catchments + catchment) * self.shape.members;
        let members = self.predicted.get(at..at + self.shape.members).filter(|_| catchment < self.shape.catchments)?;
        (!members[0].is_nan()).then_some(members)
    }

    /// The latest valid time that is kept.
    #[must_use]
    pub fn latest_us(&self) -> Option<i64> {
        self.times_us.iter().flatten().max().copied()
    }

    /// Applies to what is kept the analysis that `filter` makes of `observations`: call it beside
    /// [`Filter::assimilate`], with the same observations (their rows are not used) and `noise` at the beginning of the
    /// same streams, so that members keep together. Adds the rows kept, T per observed catchment, to the cost.
    ///
    /// # Errors
    /// As [`Filter::assimilate`], which has refused before whatever this refuses.
    pub fn correct(
        &mut self,
        filter: &mut Filter,
        observations: &[CatchmentObservation<'_>],
        noise: &mut impl NoiseSource,
    ) -> Result<(), AssimilationError> {
        let slots = self.times_us.iter().enumerate().filter(|(_, time_us)| time_us.is_some());
        self.rows.clear();
        self.rows.extend(slots.map(|(state, _)| UpdatableRow { state, bounds: Bounds::UNBOUNDED }));
        let rows = &self.rows;
        let of_the_past: Vec<_> = observations.iter().map(|of_now| CatchmentObservation { rows, ..*of_now }).collect();
        let mut ensemble = EnsembleMut::new(&mut self.predicted, self.shape)?;
        filter.assimilate(&mut ensemble, &of_the_past, noise, &mut AnalysisReport::default())
    }

    /// The valid times that are kept, ascending, microseconds since the epoch: with the [`StoredPredictions::members`] of each, all that a snapshot
    /// needs.
    pub fn times_us(&self) -> impl Iterator<Item = i64> {
        let mut times: Vec<i64> = self.times_us.iter().flatten().copied().collect();
        times.sort_unstable();
        times.into_iter()
    }

    /// Keeps the predictions `[C, M]` of a valid time as [`StoredPredictions::store`] does, those of a catchment NaN where they are not known.
    ///
    /// # Errors
    /// As [`StoredPredictions::store`], but for NaN.
    pub fn restore(&mut self, valid_time_us: i64, predicted: &[f32]) -> Result<(), AssimilationError> {
        require_each("stored prediction", predicted, "finite or NaN", |value| !value.is_infinite())?;
        self.keep(valid_time_us, predicted)
    }

    fn keep(&mut self, valid_time_us: i64, predicted: &[f32]) -> Result<(), AssimilationError> {
        if let Some(previous_us) = self.latest_us().filter(|&latest_us| latest_us >= valid_time_us) {
            return Err(AssimilationError::Time { previous_us, next_us: valid_time_us });
        }
        let width = self.shape.catchments * self.shape.members;
        require_length("stored prediction", predicted.len(), width)?;
        // An empty slot sorts before every time.
        if let Some((slot, time_us)) = self.times_us.iter_mut().enumerate().min_by_key(|(_, time_us)| **time_us) {
            *time_us = Some(valid_time_us);
            self.predicted[slot * width..(slot + 1) * width].copy_from_slice(predicted);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn filled() -> StoredPredictions {
        let mut stored = StoredPredictions::new(3, 2, 2).unwrap();
        for (time_us, value) in [(10, 1.0), (20, 2.0), (30, 3.0), (50, 5.0)] {
            stored.store(time_us, &[value, value + 0.1, value + 0.2, value + 0.3]).unwrap();
        }
        stored
    }

    #[test]
    fn the_last_times_are_kept() {
        let stored = filled();
        assert_eq!(stored.members(10, 0), None);
        assert_eq!(stored.members(40, 0), None);
        assert_eq!(stored.members(20, 0), Some([2.0, 2.1].as_slice()));
        assert_eq!(stored.members(50, 1), Some([5.2, 5.3].as_slice()));
        assert_eq!(stored.members(50, 2), None);
        assert_eq!(stored.latest_us(), Some(50));
    }

    #[test]
    fn times_that_go_back_and_numbers_that_do_not_fit_are_refused() {
        let mut stored = filled();
        for time_us in [20, 50] {
            let message = stored.store(time_us, &[0.0; 4]).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("valid time {time_us} us follows 50 us; accepted: later than all that are kept")
            );
        }
        assert!(stored.store(60, &[0.0; 3]).is_err());
        assert!(stored.store(60, &[0.0, f32::NAN, 0.0, 0.0]).is_err());
        assert_eq!(stored, filled());
        assert!(StoredPredictions::new(0, 2, 2).is_err());
    }

    #[test]
    fn what_is_kept_is_restored_but_for_a_catchment_that_is_new() {
        let mut stored = StoredPredictions::new(3, 2, 2).unwrap();
        let saved = filled();
        for time_us in saved.times_us() {
            let known = saved.members(time_us, 0).unwrap();
            stored.restore(time_us, &[known, &[f32::NAN; 2]].concat()).unwrap();
            assert_eq!(stored.members(time_us, 0), Some(known));
            assert_eq!(stored.members(time_us, 1), None, "nothing was predicted for it");
        }
        assert_eq!(stored.latest_us(), saved.latest_us());
        assert!(stored.restore(50, &[0.0; 4]).is_err());
        assert!(stored.restore(60, &[f32::INFINITY; 4]).is_err());
    }
}
