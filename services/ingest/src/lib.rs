//! The ingest role: what arrives becomes rows that keep their contracts, one message a topic and tick.
//!
//! ```text
//! clock ──tick──▶ sources ──RawBatch──▶ queue ──▶ decode ──▶ check ──▶ Observations ──┐
//!                 (reader)              (bounded)    └────▶ average ──▶ Forcings ─────┼──▶ route ──▶ log, partition by partition
//!                                                    └── cannot be used ──▶ DeadLetters ┘
//! ```
//!
//! A tick's message carries the tick as its watermark and is appended to every partition even when it has no rows, so that a role that reads
//! several topics knows that nothing earlier is still to come.
//!
//! What sources give once (`landing.rs`) goes to raw.v1 with its bytes before it is decoded, and the tick takes it from there.
//!
//! What was asked of the pipeline (`asked.rs`), models and actions of operators, goes to model.v1 and operator.v1 before the other rows of its tick, and only
//! when there is something.
//!
//! Invariants:
//! - rows received = used + rejected, every rejected row in a dead letter with its bytes;
//! - a tick is appended once a topic and partition, whatever crashes: its sequence is the tick.

mod actions;
mod announcement;
mod asked;
mod due;
mod landing;
mod reader;
mod role;
mod route;
mod state;
mod tally;
mod tick;
mod writer;

use nilometer_connectors::SourceError;
use nilometer_engine::{BalanceError, LogError, NumberedError, SnapshotError, VersionError};
use nilometer_schemas::SchemaError;
use nilometer_transforms::AverageError;

pub use actions::{Action, OPERATOR};
pub use announcement::{Announcement, DEFINITION};
pub use role::{Dependencies, needed_from, run};
pub use tally::{SourceTallies, SourceTally};
pub use tick::{Intake, Lines};

/// Name of the role as a producer of messages.
const PRODUCER: &str = "ingest";

/// An error with what led to it.
fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why the role cannot go on. Bad data is never among these.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// a source cannot be read at all
    #[error("source {name} cannot go on")]
    Source {
        /// its name
        name: String,
        /// why not
        #[source]
        source: SourceError,
    },
    /// a source gives once and gave no message
    #[error(
        "source {name} gives once, but {locator} is part of a table; accepted are whole messages; this is a defect, please report it"
    )]
    NoMessage {
        /// its name
        name: String,
        /// what it gave
        locator: String,
    },
    /// a grid does not fit the catchments
    #[error("grids cannot be averaged")]
    Average(#[from] AverageError),
    /// what was asked cannot be read
    #[error("what was asked of the pipeline cannot be read")]
    Asked(#[from] NumberedError),
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
    /// our own output breaks its contract
    #[error("rows break their contract")]
    Schema(#[from] SchemaError),
    /// batches of one contract cannot be joined
    #[error("rows cannot be joined")]
    Arrow(#[from] arrow::error::ArrowError),
    /// a thread died
    #[error("a thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}
