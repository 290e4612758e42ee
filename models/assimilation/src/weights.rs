//! Gain weights of one catchment, computed once in observation space and shared by all of its rows.
//!
//! With predicted anomalies `Y` `[p, M]` and departures `d` `[p]`, both divided by the error standard deviations, and
//! `G = Y Yᵀ / (M - 1) = U diag(lambda) Uᵀ`, a row with anomalies `a` and `c = a Yᵀ` `[p]` becomes
//! `x_i + Σ_j c_j W_ji`:
//!
//! ```text
//! W = K d 1ᵀ + F X       K = (I + G)⁻¹ / (M - 1)
//!   ETKF                 X = -Y      F = U diag(1 / (s (1 + s))) Uᵀ / (M - 1),   s = sqrt(1 + lambda)
//!   DEnKF                X = -Y      F = K / 2
//!   stochastic EnKF      X = e - Y   F = K,   e ~ N(0, I) re-centred
//! ```
//!
//! The ETKF line is the symmetric square root `T = I + V ((I + Lambda)^-1/2 - I) Vᵀ`, `V = Yᵀ U (lambda (M - 1))^-1/2`
//! (Bishop et al. 2001; Hunt et al. 2007, Physica D 230, 112) with the division by lambda cancelled:
//! `((1 + lambda)^-1/2 - 1) / lambda = -1 / (s (1 + s))`, so a degenerate direction needs no special case. The DEnKF
//! (Sakov & Oke 2008, Tellus A 60, 361) is its limit for small lambda, where `s (1 + s)` tends to `2 (1 + lambda)`.
//! Cost O(p² M + p³) per catchment and O(p M) per row; never an M x M matrix.

use nalgebra::{DMatrix, Dyn, SymmetricEigen};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::AssimilationError;
use crate::moments::{count, dot, mean};
use crate::whitened::Whitened;

/// Iterations per observation after which the eigen-decomposition is given up; a handful is usual.
const ITERATIONS_PER_OBSERVATION: usize = 1_000;

/// The lines of the table above.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gain {
    SquareRoot,
    Half,
    Perturbed,
}

impl Gain {
    /// What F multiplies in a direction of eigenvalue `lambda`, before the division by M - 1.
    fn of_deviation(self, lambda: f64) -> f64 {
        let root = (1.0 + lambda).sqrt();
        match self {
            Self::SquareRoot => 1.0 / (root * (1.0 + root)),
            Self::Half => 0.5 / (1.0 + lambda),
            Self::Perturbed => 1.0 / (1.0 + lambda),
        }
    }
}

/// Buffers `[p, M]`, member fastest, that keep their size between catchments.
#[derive(Debug)]
pub(crate) struct Weights {
    gain: Gain,
    deviations: Vec<f64>,
    weights: Vec<f64>,
}

impl Weights {
    pub(crate) fn new(gain: Gain) -> Self {
        Self { gain, deviations: Vec::new(), weights: Vec::new() }
    }

    /// Fills the weights. Only perturbed observations draw: observation by observation, then member by member.
    pub(crate) fn fill(&mut self, whitened: &Whitened, rng: &mut ChaCha8Rng) -> Result<(), AssimilationError> {
        self.deviate(whitened, rng);
        let spectrum = Spectrum::of(whitened)?;
        self.combine(whitened, &spectrum);
        Ok(())
    }

    /// `x_i + Σ_j c_j W_ji` with `c_j = a · Y_j`, from the prior `x` `[M]` and its anomalies `a` `[M]`.
    pub(crate) fn correct(&self, whitened: &Whitened, prior: &[f64], anomalies: &[f64], analysis: &mut Vec<f64>) {
        analysis.clear();
        analysis.extend_from_slice(prior);
        for (predicted, weights) in whitened.anomalies().zip(self.weights.chunks_exact(whitened.members())) {
            let covariance = dot(anomalies, predicted);
            for (value, weight) in analysis.iter_mut().zip(weights) {
                *value += covariance * weight;
            }
        }
    }

    fn deviate(&mut self, whitened: &Whitened, rng: &mut ChaCha8Rng) {
        self.deviations.clear();
        match self.gain {
            Gain::SquareRoot | Gain::Half => self.deviations.extend(whitened.all_anomalies().iter().map(|y| -y)),
            Gain::Perturbed => {
                self.deviations.extend(whitened.all_anomalies().iter().map(|_| sample_normal(rng)));
                let perturbations = self.deviations.chunks_exact_mut(whitened.members());
                for (perturbation, anomalies) in perturbations.zip(whitened.anomalies()) {
                    let centre = mean(perturbation);
                    for (e, y) in perturbation.iter_mut().zip(anomalies) {
                        *e = *e - centre - y;
                    }
                }
            }
        }
    }

    fn combine(&mut self, whitened: &Whitened, spectrum: &Spectrum) {
        let members = whitened.members();
        let freedom = count(members - 1);
        self.weights.clear();
        self.weights.resize(self.deviations.len(), 0.0);
        for (i, weights) in self.weights.chunks_exact_mut(members).enumerate() {
            for (j, (deviation, departure)) in
                self.deviations.chunks_exact(members).zip(whitened.departures()).enumerate()
            {
                let of_mean = spectrum.entry(i, j, |lambda| 1.0 / ((1.0 + lambda) * freedom));
                let of_deviation = spectrum.entry(i, j, |lambda| self.gain.of_deviation(lambda) / freedom);
                for (weight, x) in weights.iter_mut().zip(deviation) {
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
    fn of(whitened: &Whitened) -> Result<Self, AssimilationError> {
        let (members, anomalies) = (whitened.members(), whitened.all_anomalies());
        let freedom = count(members - 1);
        let observations = whitened.departures().len();
        if observations == 1 {
            return Ok(Self::Scalar(dot(anomalies, anomalies) / freedom));
        }
        let row = |i: usize| &anomalies[i * members..(i + 1) * members];
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
