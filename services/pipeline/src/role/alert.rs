//! Alert: a role a partition.

use anyhow::{Context as _, Result};
use nilometer_alert::AlertMetrics;
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::role_kind::RoleKind;

/// The role.
pub const ROLE: RoleEntry = RoleEntry {
    name: "alert",
    kind: RoleKind::Alert,
    reads: &[Contract::Event, Contract::Observation, Contract::Operator, Contract::Drought, Contract::DroughtOutlook],
    appends: &[Contract::Alert, Contract::DeadLetter],
    needed_from: |_, snapshots, ordinal| {
        Box::pin(async move { Ok(nilometer_alert::needed_from(&snapshots, ordinal).await?.map(Vec::from)) })
    },
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let number = making.number;
    let dependencies = nilometer_alert::Dependencies {
        log: making.roles.log.clone(),
        snapshots: making.snapshots(),
        metrics: AlertMetrics::new(making.metrics.role(ROLE.name), making.metrics.registry())?,
        partition: number,
    };
    let role = nilometer_alert::run(making.part.clone(), dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("alert of partition {number} failed")) }))
}
