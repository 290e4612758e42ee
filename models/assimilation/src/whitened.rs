//! One catchment in observation space, every observation divided by its error standard deviation.

use crate::moments::mean;
use crate::observation::CatchmentObservation;

/// Departures `d` `[p]` and predicted anomalies `Y` `[p, M]`, member fastest; the buffers keep their size between
/// catchments.
#[derive(Debug, Default)]
pub(crate) struct Whitened {
    members: usize,
    departures: Vec<f64>,
    anomalies: Vec<f64>,
}

impl Whitened {
    /// Fills both from a checked observation; `inflation` multiplies the anomalies.
    pub(crate) fn fill(&mut self, observation: &CatchmentObservation<'_>, members: usize, inflation: f64) {
        self.members = members;
        self.departures.clear();
        self.anomalies.clear();
        let predictions = observation.predicted.chunks_exact(members);
        for ((predicted, &observed), &variance) in predictions.zip(observation.observed).zip(observation.error_variance)
        {
            let centre = mean(predicted);
            let error_std = variance.sqrt();
            self.departures.push((observed - centre) / error_std);
            self.anomalies.extend(predicted.iter().map(|value| inflation * (value - centre) / error_std));
        }
    }

    /// Members M.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// Departures `[p]` from the ensemble mean.
    pub(crate) fn departures(&self) -> &[f64] {
        &self.departures
    }

    /// Predicted anomalies `[p, M]`.
    pub(crate) fn all_anomalies(&self) -> &[f64] {
        &self.anomalies
    }

    /// Predicted anomalies of each observation, `[M]` at a time.
    pub(crate) fn anomalies(&self) -> impl Iterator<Item = &[f64]> {
        self.anomalies.chunks_exact(self.members)
    }
}
