//! The flow: every role in its order, with what it reads and appends, and those of each partition.

use anyhow::Result;
use nilometer_engine::{Snapshots, Stop, in_role};
use nilometer_schemas::Contract;

use crate::{
    role::{Making, Role, RoleEntry, alert, drought, forecast, ingest, notify, publish, score, serve},
    role_kind::RoleKind,
    roles::Roles,
};

/// Every role, in the order of the flow.
pub static ROLES: [RoleEntry; 25] = [
    ingest::ROLE,
    forecast::ROLE,
    score::ROLE,
    drought::ROLE,
    alert::ROLE,
    notify::ALERTMANAGER,
    notify::WEBHOOK,
    notify::FEED_FILES,
    publish::role("publish_forecast", &[Contract::Forecast], publish::REFUSES),
    publish::role("publish_event", &[Contract::Event], publish::REFUSES),
    publish::role("publish_alert", &[Contract::Alert], publish::REFUSES),
    publish::role("publish_operator", &[Contract::Operator], &[]),
    publish::role("publish_drought", &[Contract::Drought], publish::REFUSES),
    publish::role("publish_outlook", &[Contract::Outlook], publish::REFUSES),
    publish::role("publish_drought_outlook", &[Contract::DroughtOutlook], publish::REFUSES),
    publish::role("publish_outlook_score", &[Contract::OutlookScore], publish::REFUSES),
    publish::role("publish_state", &[Contract::State], publish::REFUSES),
    publish::role("publish_analysis", &[Contract::Analysis], publish::REFUSES),
    publish::role("publish_score", &[Contract::Score], publish::REFUSES),
    publish::role("publish_observation", &[Contract::Observation], &[]),
    publish::role("publish_dead_letter", &[Contract::DeadLetter], &[]),
    publish::role("publish_model", &[Contract::Model], &[]),
    publish::role("publish_shadow_forecast", &[Contract::ShadowForecast], publish::REFUSES),
    publish::role("publish_forcing", &[Contract::Forcing], &[]),
    serve::ROLE,
];

/// The role of a name.
pub fn role(name: &str) -> Option<&'static RoleEntry> {
    ROLES.iter().find(|role| role.name == name)
}

/// The contracts that are published.
pub fn published() -> impl Iterator<Item = Contract> {
    ROLES.iter().filter(|role| role.kind == RoleKind::Publish).flat_map(|role| role.reads.iter().copied())
}

impl Roles {
    /// The roles of a kind of one partition, by name; none where it has no catchments.
    ///
    /// # Errors
    /// What cannot be made of the definition.
    pub fn of(&self, kind: RoleKind, number: u32, stop: &Stop) -> Result<Vec<(String, Role)>> {
        let Some(part) = self.parts.part(number) else { return Ok(Vec::new()) };
        // One ingest for all: it goes with the first partition, and its metrics are the process's.
        if kind == RoleKind::Ingest && number != self.parts.first() {
            return Ok(Vec::new());
        }
        let metrics = match kind {
            RoleKind::Ingest => self.metrics.clone(),
            _ => self.metrics.of_partition(number)?,
        };
        let make = |role: &'static RoleEntry| {
            let making = Making { role, roles: self, part, number, metrics: &metrics, stop };
            let name = match kind {
                RoleKind::Ingest => role.name.to_owned(),
                _ => format!("{}/{number}", role.name),
            };
            Ok((name, Box::pin(in_role(role.name, number, (role.make)(&making)?)) as Role))
        };
        let roles = ROLES
            .iter()
            .filter(|role| role.kind == kind && role.is_of(&self.pipeline))
            .map(make)
            .collect::<Result<_>>()?;
        if kind != RoleKind::Ingest {
            self.exposition.show(kind, number, metrics.registry().clone());
        }
        Ok(roles)
    }

    /// Where the roles of a kind of every partition keep how far they have come: those that others wait for, whose snapshots are numbered by the tick.
    pub fn snapshots_of(&self, kind: RoleKind) -> Vec<Snapshots> {
        if matches!(kind, RoleKind::Notify | RoleKind::Publish | RoleKind::Serve) {
            return Vec::new();
        }
        let numbers: Vec<u32> = match kind {
            RoleKind::Ingest => vec![self.parts.first()],
            _ => self.parts.numbers().collect(),
        };
        let of_kind = || ROLES.iter().filter(|role| role.kind == kind && role.is_of(&self.pipeline));
        numbers.iter().flat_map(|number| of_kind().map(|role| self.snapshots(kind, role.name, *number))).collect()
    }

    /// Who reads a partition, each with its snapshots.
    pub fn readers(&self, number: u32) -> Vec<(&'static RoleEntry, Snapshots)> {
        let reads = |role: &&RoleEntry| !role.reads.is_empty() && role.is_of(&self.pipeline);
        ROLES.iter().filter(reads).map(|role| (role, self.snapshots(role.kind, role.name, number))).collect()
    }
}
