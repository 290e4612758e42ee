//! The forecast role: owns the state of a partition's catchments, and nothing else does.
//!
//! ```text
//! log ──inputs──▶ tick's rows ──align──▶ steps that are due ──advance──▶ state ──judge──▶ readings ──assimilate──▶ state ──issue──▶ calibrate ──▶ Forecasts ──▶ log
//!                     │                                                                                          │
//!                     ├── late ──rewind──▶ an older snapshot, and its ticks again               snapshot: state + positions
//!                     └── too late, unknown, damaged ──▶ dead letters ──▶ log
//! ```
//!
//! A batch walks through `role/mod.rs` from top to bottom; each line there is one verb whose file has its name.
//!
//! Invariants:
//! - the state, and so every forecast, is a function of the log and the weights alone: noise is drawn from streams keyed by
//!   (seed, purpose, time), inputs are taken in the order of their watermarks, and no clock is read;
//! - a step is taken with its forcing when that is complete, with a filled one when it has waited long enough, and every
//!   forecast says how many steps were filled;
//! - a row that comes late, but not too late, ends in the state that it would have led to on time (`role/rewind.rs`);
//! - rows received = used + rejected + late + missing + pending at every snapshot;
//! - water is balanced: storage change = rain − evapotranspiration − outflow + analysis increments + noise.

mod align;
mod analysis;
mod budget;
mod calibrate;
mod ensemble;
mod first_guess;
mod foreseen;
mod history;
mod issue;
mod journal;
mod ledger;
mod metrics;
mod mixture;
mod observation;
mod outstanding;
mod parts;
mod postprocess;
mod river;
mod role;
mod stage;
mod step_readings;
mod stores;
mod update;
mod window;

use nilometer_assimilation::AssimilationError;
use nilometer_engine::{BalanceError, LogError, SnapshotError};
use nilometer_runtime::RuntimeError;
use nilometer_schemas::SchemaError;
use nilometer_statistics::StatisticsError;

pub use align::{Align, Fate, PeriodForcing, StepForcing, Waiting};
pub use budget::WaterBudget;
pub use ensemble::EnsembleState;
pub use metrics::ForecastMetrics;
pub use observation::{Observation, Subject};
pub use role::{Dependencies, needed_from, run};

/// Why the role cannot go on. Bad data is never among these.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// the model cannot be loaded or run
    #[error("the model cannot go on")]
    Model(#[from] RuntimeError),
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
    /// the snapshot was taken by another pipeline
    #[error(
        "the state in log.store was made with {found}; the definition says {expected}; accepted is the same, another log.store, or to remove its snapshots and start again from the log"
    )]
    OtherPipeline {
        /// what the snapshot was taken of
        found: String,
        /// what the definition says
        expected: String,
    },
    /// the computing thread died
    #[error("the computing thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}
