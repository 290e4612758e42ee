//! The archive: Parquet objects that anyone can read, by contract and date.
//!
//! ```text
//! message ──object_key, to_parquet──▶ forecast.v1/date=2014-11-04/20141104T200000Z-0-lstm.parquet ──visit──▶ batches, day by day
//!                                                             │                                  ▲  ├──▶ Readings: what gauges read, as it arrived
//!                                                          compact                               │  └──▶ Forecast, by catchment and lead time
//!                                                             ▼                                  │
//!                                     forecast.v1/date=2014-11-04/_manifest-1.json, compacted-1-<hash>.parquet
//! ```
//!
//! Invariants:
//! - an object follows from its message alone, so writing it again changes nothing;
//! - readers see the objects of a day in the order of their keys, which is that of time within a partition, or in one file, whose rows are sorted;
//! - readers see each row once, before, during and after a compaction, however that ends.

mod compact;
mod content;
mod day;
mod forecasts;
mod manifest;
mod object;
mod order;
mod readings;
mod visit;

pub use compact::compact;
pub use content::{Content, ContentObject, message_name};
pub use day::{Day, dated, days};
pub use forecasts::{Forecast, Forecasted, StageOutlook, forecasts};
pub use manifest::Ranges;
pub use object::{object_key, to_parquet};
pub use readings::{Readings, readings};
pub use visit::visit;

/// Why the archive cannot be read or compacted.
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
    /// an object that was listed, or that a manifest names, is not there
    #[error(
        "{key} is gone or was replaced, in several readings of its day one after the other; accepted is an archive from which only compaction removes objects"
    )]
    Gone {
        /// object key
        key: String,
    },
    /// a manifest is not JSON of its version
    #[error("{key} is no manifest")]
    Manifest {
        /// object key
        key: String,
        /// why not
        #[source]
        source: serde_json::Error,
    },
    /// a manifest of a later build
    #[error("{key} has version {version}; accepted is 1, or to read the archive with the build that compacted it")]
    ManifestVersion {
        /// object key
        key: String,
        /// what it says
        version: u32,
    },
    /// an object of a later build has columns that this one does not know
    #[error(
        "{key} has columns of a later version of its contract; accepted is to compact with the build that wrote it"
    )]
    LaterVersion {
        /// object key
        key: String,
    },
    /// another compaction was faster, several times
    #[error("{what} is compacted by another process again and again; accepted is one compaction at a time")]
    Overtaken {
        /// folder of the day
        what: String,
    },
    /// the rows cannot be written as Parquet
    #[error("{key} cannot be written as Parquet")]
    Encode {
        /// object key
        key: String,
        /// why not
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// the object store failed at writing or removing
    #[error("{key} cannot be written or removed")]
    Write {
        /// object key
        key: String,
        /// why not
        #[source]
        source: object_store::Error,
    },
    /// rows that do not keep their contract
    #[error("rows of the archive do not keep their contract")]
    Contract(#[from] nilometer_schemas::SchemaError),
}
