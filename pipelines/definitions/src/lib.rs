//! Pipeline definitions: what a TOML file says, checked as a whole before the first row.
//!
//! ```text
//! cance.toml ──parse──▶ tables ──collect──▶ sections ──cross-check──▶ Pipeline
//!      ▲                                        │
//!   --set key=value                     every problem, with its path
//! ```
//!
//! Relative paths are relative to the definition file. A [`Pipeline`] is valid; roles take it as it is.

mod alerts;
mod all_errors;
mod assimilation;
mod checks;
mod defaults;
mod effect;
mod folder;
mod levels;
mod options;
mod overlap;
mod partitioning;
mod pipeline;
mod reader;
pub mod reference;
mod source;
mod stations;

pub use alerts::{AlertOptions, AlertmanagerOptions, CapStatus, FeedOptions, WebhookOptions};
pub use assimilation::{
    AdaptiveInflationOptions, AssimilationMethod, AssimilationOptions, ErrorOptions, GivenStores, RiverOptions,
    SnowCoverOptions, SnowOptions, SoilMoistureOptions, StoreSection, VariationalOptions,
};
pub use levels::Levels;
pub use nilometer_transforms::{Alignment, weighted};
pub use options::{
    Catchment, Downstream, DroughtOptions, ForecastOptions, LogOptions, ModelOptions, NetworkOptions,
    OperationsOptions, Scenario, ServeOptions, TimeOptions,
};
pub use partitioning::Partitioning;
pub use pipeline::Pipeline;
pub use source::SourceDefinition;
pub use stations::{StationTable, Threshold, ThresholdColumn, ThresholdKind};

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// dotted path of the key in the file, empty for the file as a whole
    pub path: String,
    /// what is wrong and what is accepted
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Why a definition is not usable: all of it.
#[derive(Debug, thiserror::Error)]
#[error("{file} has {} problem{}:\n  {}", problems.len(), if problems.len() == 1 { "" } else { "s" }, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct DefinitionError {
    /// the definition file
    pub file: String,
    /// every problem found
    pub problems: Vec<Problem>,
}
