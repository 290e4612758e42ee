//! Stored: what every catchment has had, as a snapshot keeps it.

use std::collections::BTreeMap;

use nilometer_engine::{Balance, Log, Partition, Position, SnapshotError, Snapshots, Versioned};
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{DroughtError, days::Gathered, inputs::Positions, outlook::Issuer, record::Standing};

/// Everything of the role that a snapshot keeps besides its numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredDroughts {
    /// last tick that was completed
    pub(crate) tick: Timestamp,
    pub(crate) positions: Positions,
    pub(crate) balance: Balance,
    /// the day that is judged next, counted from 1970; none before the first
    pub(crate) next_day: Option<i64>,
    /// by catchment, where each of its indices stands
    pub(crate) standings: BTreeMap<String, Vec<Standing>>,
    /// by day and catchment, what has come
    pub(crate) open: BTreeMap<i64, BTreeMap<String, Gathered>>,
    /// by issue time, what the outlooks are of that wait for what comes
    #[serde(default)]
    pub(crate) issuers: BTreeMap<Timestamp, Issuer>,
}

/// What a snapshot of this version has, and of the one before, which knows of no outlook; `T` is the state or a reference to it.
pub(crate) type Stored<T = StoredDroughts> = Versioned<T, 2, 1>;

/// Where a role without a snapshot begins: with the oldest messages that the log still has.
pub(crate) async fn first_positions(log: &dyn Log, number: u32) -> Result<Positions, DroughtError> {
    let first = async |contract| Position::first(log, Partition::new(contract, number)).await;
    Ok(Positions {
        state: first(Contract::State).await?,
        observation: first(Contract::Observation).await?,
        forcing: first(Contract::Forcing).await?,
        outlook: first(Contract::Outlook).await?,
    })
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 4]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let at = snapshot.and_then(|snapshot| Some(snapshot.content.current()?.positions));
    Ok(at.map(|at| {
        [
            (Contract::State, at.state),
            (Contract::Observation, at.observation),
            (Contract::Forcing, at.forcing),
            (Contract::Outlook, at.outlook),
        ]
    }))
}
