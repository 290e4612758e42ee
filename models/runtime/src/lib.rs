//! Runs model packages on ONNX Runtime.
//!
//! ```text
//! folder ──Package::load──▶ Package ──Model::new──▶ Model ──step──▶ state′, fluxes      (one call, all catchments × members)
//!   card, graphs, weights     verified               bound  ──rollout──▶ discharge[T, C, M]
//!                                └──Gradient──▶ ∂misfit/∂(state, forcing)      └──TrainStep──▶ weights′
//! ```
//!
//! Invariants:
//! - graphs are code, weights are data: weights enter as graph inputs and are gathered for the catchments at hand;
//! - one [`Model`] owns its sessions; inputs and outputs are allocated once and reused;
//! - a provider that was asked for and is not there is an error, never a silent fall-back.
//!
//! ```no_run
//! use nilometer_packages::{Package, Provider};
//! use nilometer_runtime::{Model, Runtime};
//!
//! let runtime = Runtime::open(None, &[Provider::Cpu])?;
//! let package = Package::load("models/zoo/hybrid-cance".as_ref())?;
//! let catchments = package.select(&["V3524010", "V3517010"])?;
//! let mut model = Model::new(&runtime, &package, &catchments, 32, 24)?;
//! let mut state = model.initial_state();
//! model.forcing_mut().fill(0.0);
//! let fluxes = model.step(&mut state)?;
//! println!("{} mm", fluxes.discharge_mm[0]);
//! # Ok::<(), nilometer_runtime::RuntimeError>(())
//! ```

mod golden;
mod graph;
mod learning;
mod library;
mod model;
mod probes;

use std::path::PathBuf;

use nilometer_packages::{PackageError, Provider};

pub use golden::{Difference, check_golden};
pub use learning::{Batch, Gradient, Slopes, TrainStep};
pub use library::{CudaReport, Runtime};
pub use model::{Fluxes, Model};
pub use probes::{PROBES, Probe, probe};

/// Why a model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// the package is not what its card says, or does not fit what it is used for
    #[error(transparent)]
    Package(#[from] PackageError),
    /// ONNX Runtime's shared library is nowhere
    #[error(
        "ONNX Runtime's shared library cannot be loaded: {detail}; set model.library in the pipeline definition or ORT_DYLIB_PATH, or run ops/setup, which fetches it"
    )]
    Library {
        /// what was tried
        detail: String,
    },
    /// an execution provider that was asked for cannot be used
    #[error("execution provider {provider} is not available in {library}: {detail}; accepted here is cpu")]
    Provider {
        /// its name
        provider: Provider,
        /// the library loaded
        library: PathBuf,
        /// ONNX Runtime's word
        detail: String,
    },
    /// ONNX Runtime refused a graph or a run
    #[error("{what}: ONNX Runtime says {detail}")]
    Ort {
        /// graph file or operation
        what: String,
        /// its message
        detail: String,
    },
    /// an array of another length than the model's
    #[error("{what} has {found} numbers, the model takes {expected}")]
    Shape {
        /// which array
        what: &'static str,
        /// its length
        found: usize,
        /// the length that fits
        expected: usize,
    },
    /// an optimiser's step that led nowhere
    #[error(
        "a training step of rate {rate} gave loss {loss} or weights that are no numbers; the weights are as before: try a smaller rate"
    )]
    Diverged {
        /// loss before the step
        loss: f32,
        /// learning rate
        rate: f32,
    },
    /// the model computed something that is no number
    #[error("{model} gave {value} as {output} of catchment {catchment}, member {member}; accepted are finite numbers")]
    NotFinite {
        /// package name
        model: String,
        /// output name
        output: &'static str,
        /// catchment index
        catchment: usize,
        /// member index
        member: usize,
        /// the value
        value: f32,
    },
}
