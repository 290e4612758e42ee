//! Ingest: one role for all partitions.

use anyhow::{Context as _, Result};
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::{
    coverage,
    intake::{Mode, intake},
    role_kind::RoleKind,
};

/// The role.
pub const ROLE: RoleEntry = RoleEntry {
    name: "ingest",
    kind: RoleKind::Ingest,
    reads: &[Contract::Raw],
    appends: &[
        Contract::Raw,
        Contract::Model,
        Contract::Operator,
        Contract::Observation,
        Contract::Forcing,
        Contract::DeadLetter,
    ],
    needed_from: |_, snapshots, ordinal| {
        Box::pin(async move {
            let raw = nilometer_ingest::needed_from(&snapshots, ordinal).await?;
            Ok(raw.map(|raw| vec![(Contract::Raw, raw)]))
        })
    },
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let roles = making.roles;
    let (sources, lines) = intake(&roles.pipeline, roles.mode)?;
    coverage::require_weather(&roles.pipeline, roles.mode, &sources)?;
    for warning in coverage::without_rows(&roles.pipeline, roles.mode, &sources) {
        tracing::warn!("{warning}");
    }
    for (name, source) in &roles.pipeline.sources {
        roles.metrics.source_period(name, source.period_s().max(roles.pipeline.time.step.seconds()));
    }
    let dependencies = nilometer_ingest::Dependencies {
        log: roles.log.clone(),
        raw: None,
        snapshots: making.snapshots(),
        announcements: nilometer_ingest::Announcement::of_store(roles.store.clone()),
        actions: nilometer_ingest::Action::of_store(roles.store.clone()),
        sources,
        lines,
        clock: roles.clock.clone(),
        snapshot_every: roles.pipeline.log.snapshot_every,
        growing: roles.mode == Mode::Live,
        metrics: roles.metrics.clone(),
        parts: roles.parts.clone(),
    };
    let role = nilometer_ingest::run(dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.context("ingest failed") }))
}
