//! The archive: Parquet objects that anyone can read, by contract and date.
//!
//! ```text
//! message ──object_key, to_parquet──▶ forecast.v1/date=2014-11-04/20141104T200000Z-0-lstm.parquet ──visit──▶ batches, in the order of their keys
//!                                                                                                   ├──▶ Readings: what gauges read, as it arrived
//!                                                                                                   └──▶ Forecast, by catchment and lead time
//! ```
//!
//! Invariants:
//! - an object follows from its message alone, so writing it again changes nothing;
//! - readers see objects in the order of their keys, which is that of time within a partition.

mod forecasts;
mod object;
mod readings;
mod visit;

pub use forecasts::{Forecast, Forecasted, StageOutlook, forecasts};
pub use object::{object_key, to_parquet};
pub use readings::{Readings, readings};
pub use visit::visit;

/// Why the archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// the object store failed
    #[error("{what} cannot be read")]
    Store {
        /// object or folder
        what: String,
        /// why not
        #[source]
        source: object_store::Error,
    },
    /// an object is not Parquet, or damaged
    #[error("{key} is no Parquet that can be read")]
    Parquet {
        /// object key
        key: String,
        /// why not
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// rows of an object cannot be decoded
    #[error("{key} is damaged")]
    Damaged {
        /// object key
        key: String,
        /// why
        #[source]
        source: arrow::error::ArrowError,
    },
    /// rows that do not keep their contract
    #[error("rows of the archive do not keep their contract")]
    Contract(#[from] nilometer_schemas::SchemaError),
}
