//! The drought role: what rivers, soils and snow have, day by day, beside what their season has had in the years before.
//!
//! ```text
//! log(state.v1) ───────▶ root zone, snow ─┐
//! log(observation.v1) ─▶ flow ────────────┼─▶ days ─▶ record, a catchment each ─▶ Droughts ─▶ log(drought.v1)
//! log(forcing.v1) ─────▶ rain, demand ────┘           percentile ▶ class, once it has lasted; SPI, SPEI, SSI, SSMI of months
//! log(outlook.v1) ─────▶ trajectories of weeks, beside the record ─▶ odds of classes ─▶ log(drought_outlook.v1)
//!                                                    what comes of them ─▶ log(outlook_score.v1)
//! ```
//!
//! Invariants:
//! - droughts are a function of these topics alone, tick by tick, so a restart and a replay repeat them;
//! - a day is judged once, when it has waited for its readings; what comes later changes nothing;
//! - a percentile knows the years before its day alone;
//! - state and outlook rows received = used + rejected.

mod days;
mod inputs;
mod judge;
mod metrics;
mod outlook;
mod record;
mod role;
mod stored;

use nilometer_assimilation::AssimilationError;
use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};
use nilometer_schemas::SchemaError;

pub use metrics::DroughtMetrics;
pub use role::{Dependencies, run};
pub use stored::needed_from;

/// Name of the role as a producer of messages.
const PRODUCER: &str = "drought";

/// Why the role cannot go on. Bad data is never among these.
#[derive(Debug, thiserror::Error)]
pub enum DroughtError {
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
    #[error("droughts break their contract")]
    Schema(#[from] SchemaError),
    /// a snapshot's columns cannot be assembled
    #[error("a snapshot cannot be assembled")]
    Columns(#[from] arrow::error::ArrowError),
    /// a thread of the pool failed
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}
