//! Forecast: a role a partition.

use anyhow::{Context as _, Result};
use nilometer_engine::Snapshots;
use nilometer_forecast::{ForecastMetrics, SandboxDependencies};
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::{role_kind::RoleKind, roles::Roles};

/// The role.
pub const ROLE: RoleEntry = RoleEntry {
    name: "forecast",
    kind: RoleKind::Forecast,
    reads: &[Contract::Model, Contract::Operator, Contract::Forcing, Contract::Observation],
    appends: &[
        Contract::Forecast,
        Contract::ShadowForecast,
        Contract::Event,
        Contract::State,
        Contract::Outlook,
        Contract::Analysis,
        Contract::DeadLetter,
    ],
    needed_from: |_, snapshots, ordinal| {
        Box::pin(async move { Ok(nilometer_forecast::needed_from(&snapshots, ordinal).await?.map(Vec::from)) })
    },
    make,
};

fn make(making: &Making<'_>) -> Result<Role> {
    let (roles, number) = (making.roles, making.number);
    let runtime = roles.runtime.clone().context("this process has no ONNX Runtime")?;
    let dependencies = nilometer_forecast::Dependencies {
        log: roles.log.clone(),
        snapshots: reaching_back(roles, making.snapshots()),
        runtime,
        models: roles.pipeline.models.clone(),
        packages: roles.models.clone(),
        metrics: ForecastMetrics::new(making.metrics.role(ROLE.name), making.metrics.registry())?,
        partition: number,
        accept_state_loss: roles.accept_state_loss.clone(),
    };
    let role = nilometer_forecast::run(making.part.clone(), dependencies, making.stop.clone());
    Ok(Box::pin(async move { role.await.with_context(|| format!("forecast of partition {number} failed")) }))
}

/// What forecasts of a partition are made again from; none where this process has no ONNX Runtime.
pub fn sandbox(roles: &Roles, number: u32) -> Option<SandboxDependencies> {
    Some(SandboxDependencies {
        pipeline: roles.parts.part(number)?.clone(),
        partition: number,
        log: roles.log.clone(),
        snapshots: roles.snapshots(ROLE.kind, ROLE.name, number),
        runtime: roles.runtime.clone()?,
        models: roles.pipeline.models.clone(),
        packages: roles.models.clone(),
    })
}

/// Snapshots that are kept as far back as rows may be late.
fn reaching_back(roles: &Roles, snapshots: Snapshots) -> Snapshots {
    let lateness_us = roles.pipeline.forecast.lateness.seconds().saturating_mul(1_000_000);
    snapshots.reaching(lateness_us)
}
