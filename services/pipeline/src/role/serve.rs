//! Serve: a role a partition, all of a process behind one address.

use anyhow::{Context as _, Result};

use nilometer_serve::Partitions;

use super::{Making, Role, RoleEntry, forecast};
use crate::{role_kind::RoleKind, roles::Roles};

/// The role. What it reads it holds up nothing of: retention does not wait for it.
pub const ROLE: RoleEntry = RoleEntry {
    name: "serve",
    kind: RoleKind::Serve,
    reads: &[],
    appends: &[],
    needed_from: |_, _, _| Box::pin(async { Ok(None) }),
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let number = making.number;
    let site = making.roles.site.clone().context("no serve.address, which the role serve needs")?;
    let dependencies = nilometer_serve::Dependencies {
        log: making.roles.log.clone(),
        metrics: making.metrics.role(ROLE.name),
        partition: number,
    };
    let role = nilometer_serve::run(site, dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("serve of partition {number} failed")) }))
}

/// What the forecasts of each partition are made again from; none where this process has no ONNX Runtime.
pub fn sandboxes(roles: &Roles) -> Partitions {
    let numbers = roles.parts.numbers().filter_map(|number| Some((number, forecast::sandbox(roles, number)?)));
    numbers.collect()
}
