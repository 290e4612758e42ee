//! The forecast role: owns the state of a partition's catchments, and nothing else does.
//!
//! ```text
//! log ──inputs──▶ Tick ──admit──▶ steps that are due ──advance──▶ state ──judge──▶ readings ──correct──▶ state ──issue──▶ Outputs ──▶ log
//!                   │                                                                                    │
//!                   ├── late ──▶ an older snapshot, and its ticks again                  snapshot: named columns + manifest
//!                   └── too late, unknown, damaged ──▶ dead letters ──▶ log
//! ```
//!
//! `role.rs` takes a tick from the log to the log; `state/mod.rs` is the one step in between, each line of it a verb with a file of its name.
//!
//! Invariants:
//! - the state, and so every forecast, is a function of the log and of the packages that it names alone: noise is drawn from streams keyed by
//!   (seed, purpose, time), inputs are taken in the order of their watermarks, and no clock is read;
//! - a step is taken with its forcing when that is complete, with a filled one when it has waited long enough, and every
//!   forecast says how many steps were filled;
//! - a row that comes late, but not too late, ends in the state that it would have led to on time (`replay.rs`);
//! - rows received = used + rejected + late + missing + pending at every snapshot;
//! - water is balanced: storage change = rain − evapotranspiration − outflow + analysis increments + noise.

mod accounts;
mod analysis;
mod budget;
mod calibrate;
mod ensemble;
mod ensembles;
mod event;
mod first_guess;
mod forecaster;
mod history;
mod inspection;
mod issue;
mod late_rows;
mod layout;
mod lead;
mod ledger;
mod metrics;
mod outlook;
mod outstanding;
mod packages;
mod postprocess;
mod publication;
mod replay;
mod report;
mod river;
mod role;
mod sandbox;
mod setting;
mod stage;
mod state;
mod storage;
mod stores;
mod tick;
mod trajectories;
mod update;
mod weather_change;
mod window;

use nilometer_assimilation::AssimilationError;
use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};
use nilometer_packages::{PackageError, PackageStoreError};
use nilometer_runtime::RuntimeError;
use nilometer_schemas::SchemaError;
use nilometer_statistics::StatisticsError;

pub use budget::WaterBudget;
pub use ensemble::EnsembleState;
pub use inspection::{Difference, Effect, Inspection};
pub use metrics::ForecastMetrics;
pub use packages::Packages;
pub use replay::needed_from;
pub use role::{Dependencies, run};
pub use sandbox::{
    Explanation, Part, Rain, SandboxDependencies, SandboxError, Stage, WhatIf, explain, require_same, what_if,
};
pub use state::ENSEMBLE;

/// Name of the role as a producer of messages.
const PRODUCER: &str = "forecast";

/// Why the role cannot go on. Bad data is never among these.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// the model cannot be loaded or run
    #[error("the model cannot go on")]
    Model(#[from] RuntimeError),
    /// the model package does not serve
    #[error("the model package does not serve")]
    Package(#[from] PackageError),
    /// the store of the packages failed
    #[error("the models in log.store cannot be read")]
    PackageStore(#[from] PackageStoreError),
    /// the weights that the state goes on with are of no use
    #[error(
        "the state in log.store goes on with the model package {package_sha256}: {why}; accepted is that package, or another log.store"
    )]
    PackageGone {
        /// which package
        package_sha256: String,
        /// why it is of no use
        why: String,
    },
    /// the filter refused its inputs
    #[error("the assimilation cannot go on")]
    Assimilation(#[from] AssimilationError),
    /// the log failed
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// a distribution cannot be summarised, which finite members cannot cause
    #[error("the members' distribution cannot be summarised")]
    Statistics(#[from] StatisticsError),
    /// a snapshot failed
    #[error("the snapshot cannot go on")]
    Snapshot(#[from] SnapshotError),
    /// the balance does not close
    #[error("a row is unaccounted for")]
    Balance(#[from] BalanceError),
    /// our own output breaks its contract
    #[error("a forecast breaks its contract")]
    Schema(#[from] SchemaError),
    /// a dead letter cannot be encoded
    #[error("a dead letter cannot be encoded")]
    Encode(#[from] arrow::error::ArrowError),
    /// the model does not fit the pipeline
    #[error("model {model} does not fit the pipeline: {}", problems.join("; "))]
    Misfit {
        /// package name
        model: String,
        /// each with what is accepted
        problems: Vec<String>,
    },
    /// the state does not fit the definition
    #[error(
        "the state in log.store was made with {key}: {found}; the definition says {expected}; accepted is the same, {remedy}"
    )]
    OtherPipeline {
        /// key of the definition
        key: &'static str,
        /// what the state was made with
        found: String,
        /// what the definition says
        expected: String,
        /// what else can be done
        remedy: String,
    },
    /// the snapshots are of another version
    #[error(transparent)]
    Version(#[from] VersionError),
    /// the computing thread died
    #[error("the computing thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// An error with what led to it.
fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl ForecastError {
    /// Whether a package is at fault, and not what runs it.
    const fn is_of_package(&self) -> bool {
        matches!(self, Self::Package(_) | Self::Misfit { .. } | Self::Model(RuntimeError::Package(_)))
    }

    /// The state does not fit the definition, which can be accepted where only a part of it does not.
    fn misfit(misfit: &state::Misfit) -> Self {
        let remedy = match misfit.part {
            Some(part) => format!("another log.store, or --accept-state-loss {part}, with which that part begins anew"),
            None => "or another log.store".to_owned(),
        };
        Self::OtherPipeline { key: misfit.key, found: misfit.found.clone(), expected: misfit.expected.clone(), remedy }
    }
}
