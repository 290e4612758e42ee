//! Notify: a role a partition and receiver that the definition names.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use nilometer_definitions::Pipeline;
use nilometer_engine::Balance;
use nilometer_notify::{Dependencies, FEED, NotifyError, NotifyMetrics};
use nilometer_schemas::Contract;

use super::{Making, Role, RoleEntry};
use crate::{intake::Mode, role_kind::RoleKind, storage};

/// Forecasts that a message holds for behind the next one that is due.
const GRACE: i64 = 2;

/// Keeps Alertmanager up to date.
pub const ALERTMANAGER: RoleEntry = entry("notify_alertmanager", |making| {
    let options = making.part.alerts.alertmanager.clone().context("no alerts.alertmanager")?;
    let run =
        nilometer_notify::alertmanager(options, dependencies(making, "alertmanager", false)?, making.stop.clone());
    Ok(named(making, Box::pin(run)))
});

/// Posts changes.
pub const WEBHOOK: RoleEntry = entry("notify_webhook", |making| {
    let options = making.part.alerts.webhook.clone().context("no alerts.webhook")?;
    let run = nilometer_notify::webhook(options, dependencies(making, "webhook", false)?, making.stop.clone());
    Ok(named(making, Box::pin(run)))
});

/// Writes CAP messages and an Atom feed.
pub const FEED_FILES: RoleEntry = entry("notify_feed", |making| {
    let options = making.part.alerts.feed.clone().context("no alerts.feed")?;
    // Partitions have feeds of their own: each is written by one role.
    let folder =
        if making.roles.parts.numbers().count() > 1 { format!("{FEED}/{}", making.number) } else { FEED.to_owned() };
    let store = storage::below(&making.roles.store, &folder);
    let valid_s = (1 + GRACE) * making.part.forecast.every.seconds();
    let dependencies = dependencies(making, "feed", true)?;
    let run = nilometer_notify::feed(options, store, valid_s, dependencies, making.stop.clone());
    Ok(named(making, Box::pin(run)))
});

/// Whether the definition names the receiver of a role.
pub fn is_asked_for(name: &str, pipeline: &Pipeline) -> bool {
    let alerts = &pipeline.alerts;
    let named = [
        (ALERTMANAGER.name, alerts.alertmanager.is_some()),
        (WEBHOOK.name, alerts.webhook.is_some()),
        (FEED_FILES.name, alerts.feed.is_some()),
    ];
    named.contains(&(name, true))
}

const fn entry(name: &'static str, make: fn(&Making<'_>) -> Result<Role>) -> RoleEntry {
    RoleEntry {
        name,
        kind: RoleKind::Notify,
        reads: &[Contract::Alert],
        appends: &[],
        needed_from: |_, snapshots, ordinal| {
            Box::pin(async move {
                let next = nilometer_notify::needed_from(&snapshots, ordinal).await?;
                Ok(next.map(|next| vec![(Contract::Alert, next)]))
            })
        },
        make,
    }
}

/// `of_replays` says whether the receiver takes what happened as what happens.
fn dependencies(making: &Making<'_>, receiver: &str, of_replays: bool) -> Result<Dependencies> {
    Ok(Dependencies {
        log: making.roles.log.clone(),
        snapshots: making.snapshots(),
        metrics: NotifyMetrics::new(making.metrics.role(making.role.name), receiver, making.metrics.registry())?,
        partition: making.number,
        delivers: of_replays || making.roles.mode == Mode::Live || making.part.alerts.replayed,
    })
}

fn named(making: &Making<'_>, run: BoxFuture<'static, Result<Balance, NotifyError>>) -> Role {
    let (name, number) = (making.role.name, making.number);
    Box::pin(async move { run.await.with_context(|| format!("{name} of partition {number} failed")) })
}
