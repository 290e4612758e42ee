//! The kinds of role.

use nilometer_schemas::Contract;

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
    /// what there is beside its season
    Drought = "drought", Contract::State;
    /// forecasts and readings become alerts
    Alert = "alert", Contract::Event;
    /// alerts reach those who are to hear of them
    Notify = "notify", Contract::Alert;
    /// the log becomes files and metrics
    Publish = "publish", Contract::Forecast;
    /// the log becomes answers; each process has all partitions
    Serve = "serve", Contract::Forecast;
}
