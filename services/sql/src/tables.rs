//! The tables, a line each. One that is added is a contract that the service follows.

use nilometer_schemas::Contract;

/// A table of rows of a contract, in memory and in the archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTable {
    pub(crate) name: &'static str,
    pub(crate) contract: Contract,
    /// the column that no row has a later time in than its message; none where rows may be ahead of it: forcing looks ahead, and the clock of a
    /// gauge may be fast by `checks.future_tolerance`
    pub(crate) known_by: Option<&'static str>,
}

/// Every table of rows.
pub(crate) const TABLES: [RowTable; 9] = [
    table("forecast", Contract::Forecast, Some("issue_time")),
    table("event", Contract::Event, Some("issue_time")),
    table("observation", Contract::Observation, None),
    table("forcing", Contract::Forcing, None),
    table("analysis", Contract::Analysis, Some("valid_time")),
    table("score", Contract::Score, Some("valid_time")),
    table("alert", Contract::Alert, Some("time")),
    table("state", Contract::State, Some("valid_time")),
    table("drought", Contract::Drought, Some("valid_time")),
];

/// The newest forecast of each catchment, from memory alone.
pub(crate) const LATEST: &str = "forecast_latest";
/// What the definition says of each station.
pub(crate) const STATION: &str = "station";
/// The levels that matter at each station.
pub(crate) const THRESHOLD: &str = "threshold";

const fn table(name: &'static str, contract: Contract, known_by: Option<&'static str>) -> RowTable {
    RowTable { name, contract, known_by }
}
