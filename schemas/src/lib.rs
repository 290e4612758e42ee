//! What travels between the rooms of Nilometer: the Arrow contracts, their names, units, times and quality flags.
//!
//! ```text
//! bytes ──decode──▶ Grids ──average──▶ Forcings ─┐
//!   │                                            ├──▶ (log) ──▶ Forecasts
//!   └────decode──▶ Observations ──check──────────┘
//!                       └── what cannot be used ──▶ DeadLetters
//! ```
//!
//! Invariants:
//! - a contract is a frozen Arrow schema; `schemas/frozen/*.json` holds its rendering and a test compares them; a later version adds
//!   columns behind it that may be null, so that old and new read each other;
//! - a batch type ([`Observations`], [`Forcings`], …) is a newtype over a `RecordBatch`, made by `TryFrom`, so that its
//!   content need not be checked again;
//! - times are UTC microseconds; a value about a period carries the period's END (right-labelled) and its length.
//!
//! This crate does no I/O and knows no clock.
//!
//! ```
//! use nilometer_schemas::{Flag, ObservationRow, Observations, ObservationsBuilder, Timestamp, Variable};
//!
//! let peak: Timestamp = "2014-11-04T20:00:00Z".parse()?;
//! let mut rows = ObservationsBuilder::new();
//! rows.push(ObservationRow {
//!     station: "V3524010",
//!     variable: Variable::Discharge,
//!     valid_time: peak,
//!     period_s: 0,
//!     value: Some(317.38),
//!     flag: Flag::Pass,
//!     flag_source: "checks",
//!     qualifier: None,
//!     source: "hydrometry",
//!     ingest_time: peak,
//! });
//! let observations: Observations = rows.finish()?;
//! assert_eq!(observations.len(), 1);
//! # Ok::<(), nilometer_schemas::SchemaError>(())
//! ```

mod columns;
mod contracts;
mod evolution;
mod flag;
mod time;
mod variable;

pub use contracts::*;
pub use flag::Flag;
pub use time::{Timestamp, duration_us};
pub use variable::{Unit, Variable};

/// Why a batch is not what its contract says.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A column is absent, misplaced, or of another type.
    #[error("{contract}: column {index} is {found}, accepted is {expected}")]
    Column {
        /// contract name and version, as `observation.v1`
        contract: String,
        /// zero-based column index
        index: usize,
        /// what the batch has there
        found: String,
        /// what the contract asks for
        expected: String,
    },
    /// A value breaks a rule that the type cannot state.
    #[error("{contract}: {column} of row {row} is {value}, accepted is {accepted}")]
    Value {
        /// contract name and version
        contract: String,
        /// column name
        column: &'static str,
        /// zero-based row
        row: usize,
        /// the offending value
        value: String,
        /// what would have been accepted
        accepted: &'static str,
    },
    /// A word that should name a variable, unit, flag or time does not.
    #[error("{value:?} is not a {kind}; accepted is {accepted}")]
    Word {
        /// what was expected: "variable", "unit", "time", …
        kind: &'static str,
        /// the offending word
        value: String,
        /// what would have been accepted
        accepted: String,
    },
    /// Arrow refused to assemble the columns.
    #[error("columns do not form a batch of {contract}")]
    Arrow {
        /// contract name and version
        contract: String,
        /// Arrow's reason
        #[source]
        source: arrow::error::ArrowError,
    },
}
