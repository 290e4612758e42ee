//! Drought: a role a partition, where the definition asks for it.

use anyhow::{Context as _, Result};
use nilometer_drought::DroughtMetrics;
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::role_kind::RoleKind;

/// The role.
pub const ROLE: RoleEntry = RoleEntry {
    name: "drought",
    kind: RoleKind::Drought,
    reads: &[Contract::State, Contract::Observation, Contract::Forcing, Contract::Outlook],
    appends: &[Contract::Drought, Contract::DroughtOutlook, Contract::OutlookScore],
    needed_from: |_, snapshots, ordinal| {
        Box::pin(async move { Ok(nilometer_drought::needed_from(&snapshots, ordinal).await?.map(Vec::from)) })
    },
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let number = making.number;
    let dependencies = nilometer_drought::Dependencies {
        log: making.roles.log.clone(),
        snapshots: making.snapshots(),
        metrics: DroughtMetrics::new(making.metrics.role(ROLE.name), making.metrics.registry())?,
        partition: number,
    };
    let role = nilometer_drought::run(making.part.clone(), dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("drought of partition {number} failed")) }))
}
