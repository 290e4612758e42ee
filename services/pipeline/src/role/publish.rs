//! Publish: a role a partition and contract.

use anyhow::{Context as _, Result};
use nilometer_engine::Partition;
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::{
    role_kind::RoleKind,
    storage::{self, ARCHIVE},
};

/// What a role appends to that refuses messages which do not keep their contract; those of other contracts their readers refuse.
pub const REFUSES: &[Contract] = &[Contract::DeadLetter];

/// The role of one contract.
pub const fn role(name: &'static str, reads: &'static [Contract; 1], appends: &'static [Contract]) -> RoleEntry {
    RoleEntry {
        name,
        kind: RoleKind::Publish,
        reads,
        appends,
        needed_from: |role, snapshots, ordinal| {
            Box::pin(async move {
                let next = nilometer_publish::needed_from(&snapshots, ordinal).await?;
                Ok(next.map(|next| vec![(role.reads[0], next)]))
            })
        },
        make,
    }
}

fn make(making: &Making<'_>) -> Result<Role> {
    let (roles, name, number) = (making.roles, making.role.name, making.number);
    let dependencies = nilometer_publish::Dependencies {
        log: roles.log.clone(),
        snapshots: making.snapshots(),
        archive: storage::below(&roles.store, ARCHIVE),
        metrics: making.metrics.role(name),
        partition: Partition::new(making.role.reads[0], number),
        refuses_as: (!making.role.appends.is_empty()).then_some(name),
        snapshot_every: roles.pipeline.log.snapshot_every,
    };
    let role = nilometer_publish::run(dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("{name} of partition {number} failed")) }))
}
