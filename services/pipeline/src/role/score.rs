//! Score: a role a partition.

use anyhow::{Context as _, Result};
use nilometer_schemas::Contract;
use nilometer_score::ScoreMetrics;

use super::{Making, Role, RoleEntry};
use crate::role_kind::RoleKind;

/// The role.
pub const ROLE: RoleEntry = RoleEntry {
    name: "score",
    kind: RoleKind::Score,
    reads: &[Contract::Forecast, Contract::ShadowForecast, Contract::Observation],
    appends: &[Contract::Score],
    needed_from: |_, snapshots, ordinal| {
        Box::pin(async move { Ok(nilometer_score::needed_from(&snapshots, ordinal).await?.map(Vec::from)) })
    },
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let number = making.number;
    let dependencies = nilometer_score::Dependencies {
        log: making.roles.log.clone(),
        snapshots: making.snapshots(),
        metrics: ScoreMetrics::new(making.metrics.role(ROLE.name), making.metrics.registry())?,
        partition: number,
    };
    let role = nilometer_score::run(making.part.clone(), dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("score of partition {number} failed")) }))
}
