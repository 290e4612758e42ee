//! What the analysis of one catchment does to each of its rows: a linear correction or a choice of ancestors.

use rand_chacha::ChaCha8Rng;

use crate::error::AssimilationError;
use crate::observation::CatchmentObservation;
use crate::options::Method;
use crate::resampling::Resampling;
use crate::weights::{Gain, Weights};
use crate::whitened::Whitened;

/// A transform of the members of one catchment, computed once from its observations and applied to row after row.
#[derive(Debug)]
pub(crate) struct Transform {
    whitened: Whitened,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Linear(Weights),
    Resampled(Resampling),
}

impl Transform {
    pub(crate) fn new(method: Method) -> Self {
        let kind = match method {
            Method::Etkf => Kind::Linear(Weights::new(Gain::SquareRoot)),
            Method::Denkf => Kind::Linear(Weights::new(Gain::Half)),
            Method::StochasticEnkf => Kind::Linear(Weights::new(Gain::Perturbed)),
            Method::Particle { jitter } => Kind::Resampled(Resampling::new(jitter)),
        };
        Self { whitened: Whitened::default(), kind }
    }

    /// Computes the transform from a checked observation and the factor on the prior anomalies.
    pub(crate) fn fill(
        &mut self,
        observation: &CatchmentObservation<'_>,
        members: usize,
        inflation: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), AssimilationError> {
        self.whitened.fill(observation, members, inflation);
        match &mut self.kind {
            Kind::Linear(weights) => weights.fill(&self.whitened, rng)?,
            Kind::Resampled(resampling) => resampling.fill(&self.whitened, rng),
        }
        Ok(())
    }

    /// Fills the analysis `[M]` of a row from its prior `[M]` and the prior's anomalies `[M]`, both inflated.
    pub(crate) fn correct(&self, prior: &[f64], anomalies: &[f64], analysis: &mut Vec<f64>) {
        match &self.kind {
            Kind::Linear(weights) => weights.correct(&self.whitened, prior, anomalies, analysis),
            Kind::Resampled(resampling) => resampling.correct(prior, anomalies, analysis),
        }
    }

    /// The effective number of members before they were resampled.
    pub(crate) fn effective_members(&self) -> Option<f64> {
        match &self.kind {
            Kind::Linear(_) => None,
            Kind::Resampled(resampling) => Some(resampling.effective_members()),
        }
    }
}
