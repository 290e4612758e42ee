//! Gain weights of one catchment, computed once in observation space and shared by all of its rows.
//!
//! With predicted anomalies `Y` `[p, M]` and departures `d` `[p]`, both divided by the error standard deviations, and
//! `G = Y Yᵀ / (M - 1) = U diag(lambda) Uᵀ`, a row with anomalies `a` and `c = a Yᵀ` `[p]` becomes
//! `x_i + Σ_j c_j W_ji`:
//!
//! ```text
//! W = K d 1ᵀ + F X       K = (I + G)⁻¹ / (M - 1)
//!   ETKF                 X = -Y      F = U diag(1 / (s (1 + s))) Uᵀ / (M - 1),   s = sqrt(1 + lambda)
//!   stochastic EnKF      X = e - Y   F = K,   e ~ N(0, I) re-centred
//! ```
//!
//! The ETKF line is the symmetric square root `T = I + V ((I + Lambda)^-1/2 - I) Vᵀ`, `V = Yᵀ U (lambda (M - 1))^-1/2`
//! (Bishop et al. 2001; Hunt et al. 2007, Physica D 230, 112) with the division by lambda cancelled:
//! `((1 + lambda)^-1/2 - 1) / lambda = -1 / (s (1 + s))`, so a degenerate direction needs no special case.
//! Cost O(p² M + p³) per catchment and O(p M) per row; never an M x M matrix.

use nalgebra::{DMatrix, Dyn, SymmetricEigen};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::AssimilationError;
use crate::moments::{count, dot, mean};
use crate::observation::CatchmentObservation;
use crate::options::{FilterOptions, Method};

/// Iterations per observation after which the eigen-decomposition is given up; a handful is usual.
const ITERATIONS_PER_OBSERVATION: usize = 1_000;

/// Buffers `[p, M]`, member fastest, that keep their size between catchments.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    members: usize,
    whitened: Vec<f64>,
    departures: Vec<f64>,
    deviations: Vec<f64>,
    gain: Vec<f64>,
}

impl Weights {
    /// Fills the weights from a checked observation. Only the stochastic EnKF draws: observation by observation, then
    /// member by member.
    pub(crate) fn fill(
        &mut self,
        observation: &CatchmentObservation<'_>,
        members: usize,
        options: &FilterOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), AssimilationError> {
        self.members = members;
        self.whiten(observation, options.prior_inflation.unwrap_or(1.0));
        self.deviate(options.method, rng);
        let spectrum = Spectrum::of(&self.whitened, members)?;
        self.combine(options.method, &spectrum);
        Ok(())
    }

    /// Whitened predicted anomalies of each observation, `[M]` at a time.
    pub(crate) fn whitened(&self) -> impl Iterator<Item = &[f64]> {
        self.whitened.chunks_exact(self.members)
    }

    /// Gain weights of each observation, `[M]` at a time.
    pub(crate) fn gain(&self) -> impl Iterator<Item = &[f64]> {
        self.gain.chunks_exact(self.members)
    }

    fn whiten(&mut self, observation: &CatchmentObservation<'_>, inflation: f64) {
        self.whitened.clear();
        self.departures.clear();
        let predictions = observation.predicted.chunks_exact(self.members);
        for ((predicted, &observed), &variance) in predictions.zip(observation.observed).zip(observation.error_variance)
        {
            let centre = mean(predicted);
            let error_std = variance.sqrt();
            self.departures.push((observed - centre) / error_std);
            self.whitened.extend(predicted.iter().map(|value| inflation * (value - centre) / error_std));
        }
    }

    fn deviate(&mut self, method: Method, rng: &mut ChaCha8Rng) {
        self.deviations.clear();
        match method {
            Method::Etkf => self.deviations.extend(self.whitened.iter().map(|y| -y)),
            Method::StochasticEnkf => {
                self.deviations.extend(self.whitened.iter().map(|_| sample_normal(rng)));
                let perturbations = self.deviations.chunks_exact_mut(self.members);
                for (perturbation, whitened) in perturbations.zip(self.whitened.chunks_exact(self.members)) {
                    let centre = mean(perturbation);
                    for (e, y) in perturbation.iter_mut().zip(whitened) {
                        *e = *e - centre - y;
                    }
                }
            }
        }
    }

    fn combine(&mut self, method: Method, spectrum: &Spectrum) {
        let freedom = count(self.members - 1);
        let mean_gain = |lambda: f64| 1.0 / ((1.0 + lambda) * freedom);
        let root_gain = |lambda: f64| {
            let root = (1.0 + lambda).sqrt();
            1.0 / (root * (1.0 + root) * freedom)
        };
        self.gain.clear();
        self.gain.resize(self.whitened.len(), 0.0);
        for (i, gain) in self.gain.chunks_exact_mut(self.members).enumerate() {
            for (j, (deviation, departure)) in
                self.deviations.chunks_exact(self.members).zip(&self.departures).enumerate()
            {
                let of_mean = spectrum.entry(i, j, mean_gain);
                let of_deviation = match method {
                    Method::Etkf => spectrum.entry(i, j, root_gain),
                    Method::StochasticEnkf => of_mean,
                };
                for (weight, x) in gain.iter_mut().zip(deviation) {
                    *weight += of_mean * departure + of_deviation * x;
                }
            }
        }
    }
}

fn sample_normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Eigen-decomposition of `G` `[p, p]`; a single observation needs none and allocates nothing.
enum Spectrum {
    Scalar(f64),
    Matrix(SymmetricEigen<f64, Dyn>),
}

impl Spectrum {
    fn of(whitened: &[f64], members: usize) -> Result<Self, AssimilationError> {
        let freedom = count(members - 1);
        let observations = whitened.len() / members;
        if observations == 1 {
            return Ok(Self::Scalar(dot(whitened, whitened) / freedom));
        }
        let row = |i: usize| &whitened[i * members..(i + 1) * members];
        let gram = DMatrix::from_fn(observations, observations, |i, j| dot(row(i), row(j)) / freedom);
        SymmetricEigen::try_new(gram, f64::EPSILON, ITERATIONS_PER_OBSERVATION * observations)
            .map(Self::Matrix)
            .ok_or(AssimilationError::Decomposition { observations })
    }

    /// Entry (i, j) of `U diag(function(lambda)) Uᵀ`. Rounding may leave an eigenvalue just below zero: it counts as
    /// zero.
    fn entry(&self, i: usize, j: usize, function: impl Fn(f64) -> f64) -> f64 {
        match self {
            Self::Scalar(lambda) => function(*lambda),
            Self::Matrix(eigen) => {
                let vectors = &eigen.eigenvectors;
                let modes = eigen.eigenvalues.iter().enumerate();
                modes.map(|(k, lambda)| vectors[(i, k)] * function(lambda.max(0.0)) * vectors[(j, k)]).sum()
            }
        }
    }
}
