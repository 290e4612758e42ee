//! The flow by its names: the stages, the roles of each, and the topics that a role appends to.

use nilometer_schemas::Contract;

/// What runs on its own where the log is on Kafka, in the order of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleKind {
    /// sources become rows in the log
    Ingest,
    /// rows become states and forecasts
    Forecast,
    /// forecasts meet what came
    Score,
    /// the log becomes files and metrics
    Publish,
}

impl RoleKind {
    /// Every role, in the order of the flow.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Forecast, Self::Score, Self::Publish];

    /// Its name on the command line, in metrics and in stores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Forecast => "forecast",
            Self::Score => "score",
            Self::Publish => "publish",
        }
    }

    /// The topic whose partitions its processes share. Ingest goes with the first one and feeds all.
    pub const fn topic(self) -> Contract {
        match self {
            Self::Ingest => Contract::Observation,
            Self::Forecast => Contract::Forcing,
            Self::Score | Self::Publish => Contract::Forecast,
        }
    }
}

/// A role of a partition.
pub type RoleName = (&'static str, u32);

/// Snapshots kept a role.
pub const KEEP: usize = 3;

/// What is published: role and contract.
pub const PUBLISHED: [(&str, Contract); 7] = [
    ("publish_forecast", Contract::Forecast),
    ("publish_analysis", Contract::Analysis),
    ("publish_score", Contract::Score),
    ("publish_observation", Contract::Observation),
    ("publish_dead_letter", Contract::DeadLetter),
    ("publish_model", Contract::Model),
    ("publish_shadow_forecast", Contract::ShadowForecast),
];

/// What takes snapshots, in the order of the flow, and the topics that it appends to.
pub const APPENDS: [(&str, &[Contract]); 10] = [
    ("ingest", &[Contract::Model, Contract::Observation, Contract::Forcing, Contract::DeadLetter]),
    ("forecast", &[Contract::Forecast, Contract::ShadowForecast, Contract::Analysis, Contract::DeadLetter]),
    ("score", &[Contract::Score]),
    (PUBLISHED[0].0, &[Contract::DeadLetter]),
    (PUBLISHED[1].0, &[Contract::DeadLetter]),
    (PUBLISHED[2].0, &[Contract::DeadLetter]),
    (PUBLISHED[3].0, &[]),
    (PUBLISHED[4].0, &[]),
    (PUBLISHED[5].0, &[]),
    (PUBLISHED[6].0, &[Contract::DeadLetter]),
];
