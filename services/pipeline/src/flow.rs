//! The flow by its names: the kinds of role in their order, and every role with what it reads and appends.

use nilometer_schemas::Contract;

use crate::role::{RoleEntry, forecast, ingest, publish, score};

/// Lists the kinds of role: the name on the command line, in metrics and in stores, and the topic whose partitions its processes share.
macro_rules! role_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $topic:expr;)*) => {
        /// What runs on its own where the log is on Kafka, in the order of the flow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RoleKind { $($(#[$doc])* $kind,)* }

        impl RoleKind {
            /// Every kind of role, in the order of the flow.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$kind),*];

            /// Its name on the command line, in metrics and in stores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The topic whose partitions its processes share.
            pub const fn topic(self) -> Contract {
                match self { $(Self::$kind => $topic,)* }
            }
        }
    };
}

role_kinds! {
    /// sources become rows in the log; goes with the first partition and feeds all
    Ingest = "ingest", Contract::Observation;
    /// rows become states and forecasts
    Forecast = "forecast", Contract::Forcing;
    /// forecasts meet what came
    Score = "score", Contract::Forecast;
    /// the log becomes files and metrics
    Publish = "publish", Contract::Forecast;
}

/// Every role, in the order of the flow.
pub static ROLES: [RoleEntry; 11] = [
    ingest::ROLE,
    forecast::ROLE,
    score::ROLE,
    publish::role("publish_forecast", &[Contract::Forecast], publish::REFUSES),
    publish::role("publish_analysis", &[Contract::Analysis], publish::REFUSES),
    publish::role("publish_score", &[Contract::Score], publish::REFUSES),
    publish::role("publish_observation", &[Contract::Observation], &[]),
    publish::role("publish_dead_letter", &[Contract::DeadLetter], &[]),
    publish::role("publish_model", &[Contract::Model], &[]),
    publish::role("publish_shadow_forecast", &[Contract::ShadowForecast], publish::REFUSES),
    publish::role("publish_forcing", &[Contract::Forcing], &[]),
];

/// A role of a partition.
pub type RoleName = (&'static str, u32);

/// Snapshots kept a role.
pub const KEEP: usize = 3;

/// The role of a name.
pub fn role(name: &str) -> Option<&'static RoleEntry> {
    ROLES.iter().find(|role| role.name == name)
}

/// The contracts that are published.
pub fn published() -> impl Iterator<Item = Contract> {
    ROLES.iter().filter(|role| role.kind == RoleKind::Publish).flat_map(|role| role.reads.iter().copied())
}
