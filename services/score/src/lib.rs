//! The score role: when what a forecast was about has been observed, the forecast is judged.
//!
//! ```text
//! log(forecast.v1, shadow_forecast.v1) ─▶ waiting ─┐
//!                                                  ├─▶ judge, beside persistence and climatology ─▶ Scores ─▶ log(score.v1), metrics by lead
//! log(observation.v1) ──────────────────▶ usable ──┘
//! ```
//!
//! Invariants:
//! - scores are a function of these topics alone, taken in the order of their watermarks, so a restart repeats them;
//! - a forecast is judged by the first usable value of its valid time, and again where that is corrected while it is remembered: of two
//!   rows about one forecast that with the later score time counts;
//! - floods and their peaks are counted once the steps around them are known: what came too late for that counts in `verify`;
//! - baselines know what was known at the issue time: persistence the newest value, climatology the years before;
//! - forecast rows received = used (judged) + rejected + missing (nothing was observed in time) + pending.
//!
//! What waits is not kept in snapshots: these name the place in the log where the oldest waiting forecast stands, and a
//! restart reads on from there.

mod climate;
mod floods;
mod judge;
mod metric_updates;
mod metrics;
mod performance;
mod role;
mod waiting;

use nilometer_assimilation::AssimilationError;
use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};
use nilometer_schemas::SchemaError;
use nilometer_statistics::StatisticsError;

pub use metrics::ScoreMetrics;
pub use role::{Dependencies, needed_from, run};

/// Why the role cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// the log failed
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// a snapshot failed
    #[error("the snapshot cannot go on")]
    Snapshot(#[from] SnapshotError),
    /// an error parameter of the definition is outside its range
    #[error("the definition's assimilation cannot be used")]
    Assimilation(#[from] AssimilationError),
    /// the balance does not close
    #[error("a row is unaccounted for")]
    Balance(#[from] BalanceError),
    /// a batch could not be assembled
    #[error("scores cannot be assembled")]
    Schema(#[from] SchemaError),
    /// a score that must be defined is not
    #[error("a forecast cannot be scored")]
    Statistics(#[from] StatisticsError),
    /// the snapshot is of another pipeline
    #[error(
        "the store's scores are of {key}: {found}; the definition says {expected}; accepted is the same, or another log.store"
    )]
    OtherPipeline {
        /// key of the definition
        key: &'static str,
        /// of the snapshot
        found: i64,
        /// of the definition
        expected: i64,
    },
    /// the snapshots are of another version
    #[error(transparent)]
    Version(#[from] VersionError),
    /// columns cannot be assembled
    #[error("a snapshot cannot be assembled")]
    Columns(#[from] arrow::error::ArrowError),
    /// a thread of the pool failed
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}
