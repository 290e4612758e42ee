//! Retention: what no reader needs any more and the definition does not ask for leaves the log.

use std::collections::BTreeMap;

use anyhow::Result;
use nilometer_engine::{Log, Partition, Snapshots, retain};
use nilometer_schemas::Contract;

use crate::role::RoleEntry;

/// Trims the topics of partition `number` by age, but never what the oldest kept snapshot of one of its readers needs. A topic that has a
/// reader without a snapshot is left alone.
///
/// # Errors
/// What the log or the snapshots say.
pub async fn enforce(
    log: &dyn Log,
    number: u32,
    readers: Vec<(&'static RoleEntry, Snapshots)>,
    retention_s: i64,
) -> Result<()> {
    // None where a reader has no snapshot.
    let mut oldest: BTreeMap<Contract, Option<u64>> = BTreeMap::new();
    for (role, snapshots) in readers {
        let needed = role.needed_from(&snapshots, None).await?.unwrap_or_default();
        for contract in role.reads {
            let from = needed.iter().find(|(needed, _)| needed == contract).map(|(_, from)| from.next);
            let before = oldest.entry(*contract).or_insert(from);
            *before = before.zip(from).map(|(before, from)| before.min(from));
        }
    }
    for (contract, needed) in oldest {
        let Some(needed) = needed else { continue };
        let partition = Partition::new(contract, number);
        let gone = retain(log, partition, retention_s, needed).await?;
        if gone > 0 {
            tracing::info!(%partition, gone, "retention");
        }
    }
    Ok(())
}
