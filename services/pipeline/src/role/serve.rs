//! Serve: a role a partition, all of a process behind one address.

use anyhow::{Context as _, Result};

use super::{Making, Role, RoleEntry};
use crate::role_kind::RoleKind;

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
