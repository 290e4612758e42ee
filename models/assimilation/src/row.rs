//! The update of the members of one row of one catchment: centre, correct, relax, store within bounds.

use crate::moments::{count, dot, mean, to_storage};
use crate::options::Bounds;
use crate::transform::Transform;

/// Mean change of one row over its members, in the unit of the row.
pub(crate) struct MeanChange {
    pub(crate) increment: f64,
    pub(crate) clipped: f64,
}

/// Buffers `[M]` of one row.
#[derive(Debug, Default)]
pub(crate) struct RowUpdate {
    prior: Vec<f64>,
    anomalies: Vec<f64>,
    analysis: Vec<f64>,
}

impl RowUpdate {
    /// Replaces the finite `members` `[M]` by their analysis; `inflation` is the factor on the prior anomalies that
    /// `transform` was computed with.
    pub(crate) fn apply(
        &mut self,
        members: &mut [f32],
        transform: &Transform,
        inflation: f64,
        rtps_alpha: Option<f64>,
        bounds: Bounds,
    ) -> MeanChange {
        self.centre(members, inflation);
        transform.correct(&self.prior, &self.anomalies, &mut self.analysis);
        if let Some(alpha) = rtps_alpha {
            self.relax(alpha);
        }
        self.store(members, bounds)
    }

    /// Inflated prior anomalies, and the inflated prior itself. Without inflation the prior is kept to the last bit.
    fn centre(&mut self, members: &[f32], inflation: f64) {
        let centre = mean(members);
        self.anomalies.clear();
        self.anomalies.extend(members.iter().map(|&value| inflation * (f64::from(value) - centre)));
        self.prior.clear();
        self.prior
            .extend(members.iter().map(|&value| f64::from(value) + (inflation - 1.0) * (f64::from(value) - centre)));
    }

    /// Moves the analysis spread a share alpha of the way back to the prior spread. A spread of zero stays zero.
    fn relax(&mut self, alpha: f64) {
        let prior_spread = dot(&self.anomalies, &self.anomalies).sqrt();
        let centre = mean(&self.analysis);
        let squares: f64 = self.analysis.iter().map(|value| (value - centre).powi(2)).sum();
        let analysis_spread = squares.sqrt();
        if analysis_spread > 0.0 {
            let factor = 1.0 + alpha * (prior_spread - analysis_spread) / analysis_spread;
            for value in &mut self.analysis {
                *value = centre + factor * (*value - centre);
            }
        }
    }

    fn store(&self, members: &mut [f32], bounds: Bounds) -> MeanChange {
        let (mut increment, mut clipped) = (0.0, 0.0);
        for (member, &value) in members.iter_mut().zip(&self.analysis) {
            let unclipped = to_storage(value);
            let stored = bounds.clip(unclipped);
            increment += f64::from(stored) - f64::from(*member);
            clipped += f64::from(stored) - f64::from(unclipped);
            *member = stored;
        }
        let member_count = count(members.len());
        MeanChange { increment: increment / member_count, clipped: clipped / member_count }
    }
}
