//! Stored: where every threshold and gauge stands, as a snapshot keeps it.

use std::collections::BTreeMap;

use nilometer_definitions::Levels;
use nilometer_engine::{Balance, Log, Partition, Position, SnapshotError, Snapshots, Versioned};
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AlertError, drought::DroughtStanding, gauge::Gauge, inputs::Positions, machine::Standing};

/// Everything of the role that a snapshot keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredAlerts {
    /// last tick that was completed
    pub(crate) tick: Timestamp,
    pub(crate) positions: Positions,
    pub(crate) balance: Balance,
    /// of each catchment its gauge
    pub(crate) gauges: BTreeMap<String, Gauge>,
    /// of each catchment where each of its thresholds stands
    pub(crate) standings: BTreeMap<String, BTreeMap<String, Standing>>,
    /// of each catchment where each of its indices of drought stands
    #[serde(default)]
    pub(crate) droughts: BTreeMap<String, BTreeMap<String, DroughtStanding>>,
    /// levels that operators have given thresholds
    #[serde(default)]
    pub(crate) levels: Levels,
}

/// What a snapshot of this version has, and of the one before, which knows of no outlook and no level; `T` is the state or a reference to it.
pub(crate) type Stored<T = StoredAlerts> = Versioned<T, 2, 1>;

/// Where a role without a snapshot begins: with the oldest messages that the log still has.
pub(crate) async fn first_positions(log: &dyn Log, number: u32) -> Result<Positions, AlertError> {
    let first = async |contract| Position::first(log, Partition::new(contract, number)).await;
    Ok(Positions {
        event: first(Contract::Event).await?,
        observation: first(Contract::Observation).await?,
        operator: first(Contract::Operator).await?,
        drought: first(Contract::Drought).await?,
        drought_outlook: first(Contract::DroughtOutlook).await?,
    })
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 5]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let at = snapshot.and_then(|snapshot| Some(snapshot.content.current()?.positions));
    Ok(at.map(|at| {
        [
            (Contract::Event, at.event),
            (Contract::Observation, at.observation),
            (Contract::Operator, at.operator),
            (Contract::Drought, at.drought),
            (Contract::DroughtOutlook, at.drought_outlook),
        ]
    }))
}
