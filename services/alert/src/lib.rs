//! The alert role: what forecasts say of thresholds, and what gauges read, becomes what deserves somebody's attention.
//!
//! ```text
//! log(event.v1) ───────▶ summaries ─┐
//! log(observation.v1) ─▶ readings ──┼─▶ machine, a threshold each ─▶ words ─▶ Alerts ─▶ log(alert.v1)
//!                    └─▶ gauge ─────┤   normal → watch → warning → clear
//! log(operator.v1) ────▶ actions ───┤   beside it: ok | late | silent
//! log(drought.v1) ─────▶ classes ───┘
//! ```
//!
//! Invariants:
//! - alerts are a function of these topics alone, tick by tick, so a restart and a replay repeat them, acknowledgements included;
//! - an alert has one identifier from its rise to its end: a superseding forecast revises it and makes no other;
//! - a late or silent gauge clears nothing;
//! - event and operator rows received = used + rejected.

mod action;
mod drought;
mod gauge;
mod inputs;
mod machine;
mod metrics;
mod role;
mod rows;
mod stored;
mod watch;
mod words;

use nilometer_assimilation::AssimilationError;
use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};
use nilometer_schemas::SchemaError;

pub use metrics::AlertMetrics;
pub use role::{Dependencies, run};
pub use stored::needed_from;

/// Name of the role as a producer of messages.
const PRODUCER: &str = "alert";

/// Why the role cannot go on. Bad data is never among these.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// the log failed
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// a snapshot failed
    #[error("the snapshot cannot go on")]
    Snapshot(#[from] SnapshotError),
    /// the snapshots are of another version
    #[error(transparent)]
    Version(#[from] VersionError),
    /// an error parameter of the definition is outside its range
    #[error("the definition's assimilation cannot be used")]
    Assimilation(#[from] AssimilationError),
    /// the balance does not close
    #[error("a row is unaccounted for")]
    Balance(#[from] BalanceError),
    /// our own output breaks its contract
    #[error("alerts break their contract")]
    Schema(#[from] SchemaError),
    /// a snapshot's columns cannot be assembled
    #[error("a snapshot cannot be assembled")]
    Columns(#[from] arrow::error::ArrowError),
    /// a thread of the pool failed
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}
