//! The publish role: what the log holds becomes Parquet that anyone can read, and metrics.
//!
//! ```text
//! log(forecast.v1)    ──▶ archive/forecast.v1/date=2014-11-04/20141104T200000Z-0-lstm.parquet
//! log(dead_letter.v1) ──▶ archive/dead_letter.v1/date=2014-11-04/20141104T200000Z-0-7.parquet
//! ```
//!
//! Invariants:
//! - a message becomes one object whose key follows from the message alone, so writing it again changes nothing;
//! - the position is saved behind the objects, so a crash repeats objects and never skips one;
//! - a message that does not keep its contract becomes a dead letter with its bytes;
//! - rows received = used + rejected.

mod role;

use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};

pub use role::{Dependencies, needed_from, run};

/// Why the role cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// the log failed
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// a snapshot failed
    #[error("the snapshot cannot go on")]
    Snapshot(#[from] SnapshotError),
    /// the snapshots are of another version
    #[error(transparent)]
    Version(#[from] VersionError),
    /// the balance does not close
    #[error("a row is unaccounted for")]
    Balance(#[from] BalanceError),
    /// the rows cannot be written as Parquet
    #[error("{key} cannot be written as Parquet")]
    Parquet {
        /// object key
        key: String,
        /// why not
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// the archive's object store failed
    #[error("{key} cannot be stored")]
    Store {
        /// object key
        key: String,
        /// why not
        #[source]
        source: object_store::Error,
    },
    /// a dead letter cannot be assembled
    #[error("a dead letter cannot be assembled")]
    Schema(#[from] nilometer_schemas::SchemaError),
    /// the bytes of a dead letter cannot be encoded
    #[error("the bytes of a dead letter cannot be encoded")]
    Encode(#[from] arrow::error::ArrowError),
    /// the metrics cannot be registered
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}
