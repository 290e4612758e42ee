//! The roles of a process: what they have in common, and those of each partition.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use nilometer_connectors::Source;
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{Clock, Log, Metrics, Partition, SharedLog, Snapshots, Stop};
use nilometer_forecast::Packages;
use nilometer_packages::PackageStore;
use nilometer_runtime::Runtime;
use nilometer_schemas::Contract;
use object_store::ObjectStore;

use crate::{
    exposition::Exposition,
    flow::{KEEP, ROLES, RoleKind, RoleName},
    intake::{Mode, intake},
    role::{Making, Role, RoleEntry},
    storage::SNAPSHOTS,
};

/// From a definition to the roles of its partitions.
pub struct Roles {
    pub pipeline: Pipeline,
    pub parts: Partitioning,
    pub clock: Clock,
    pub mode: Mode,
    pub store: Arc<dyn ObjectStore>,
    pub log: Arc<dyn Log>,
    /// the same, where it is on a cluster
    pub kafka: Option<Arc<dyn SharedLog>>,
    pub metrics: Metrics,
    pub exposition: Exposition,
    /// the snapshot that a role goes on from, and its newest, where what it had appended since is lost
    pub resume: BTreeMap<RoleName, (i64, i64)>,
    /// the models of the store, for ingest
    pub packages: PackageStore,
    /// the same, each loaded once
    pub models: Packages,
    /// opened before the first partition is taken; none where this process does not forecast
    pub runtime: Option<Runtime>,
    /// parts of the state that may begin anew
    pub accept_state_loss: Vec<String>,
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
            Ok((name, (role.make)(&making)?))
        };
        let roles = ROLES.iter().filter(|role| role.kind == kind).map(make).collect::<Result<_>>()?;
        if kind != RoleKind::Ingest {
            self.exposition.show(kind, number, metrics.registry().clone());
        }
        Ok(roles)
    }

    /// Lets go of what a kind of role had of partitions that another process has now.
    pub fn release(&self, kind: RoleKind, numbers: &[u32]) {
        numbers.iter().for_each(|&number| self.exposition.forget(kind, number));
        let all: Vec<u32> = match kind {
            // One for all: it goes with the first partition.
            RoleKind::Ingest if numbers.contains(&self.parts.first()) => self.parts.numbers().collect(),
            RoleKind::Ingest => Vec::new(),
            _ => numbers.to_vec(),
        };
        if let Some(kafka) = &self.kafka {
            all.into_iter().for_each(|number| kafka.release(number));
        }
    }

    /// Where the roles of a kind of every partition keep how far they have come; no role waits for the last.
    pub fn snapshots_of(&self, kind: RoleKind) -> Vec<Snapshots> {
        if kind == RoleKind::Publish {
            return Vec::new();
        }
        let numbers: Vec<u32> = match kind {
            RoleKind::Ingest => vec![self.parts.first()],
            _ => self.parts.numbers().collect(),
        };
        let of_stage = || ROLES.iter().filter(|role| role.kind == kind);
        numbers.iter().flat_map(|number| of_stage().map(|role| self.snapshots(role, *number))).collect()
    }

    /// Who reads a partition, each with its snapshots.
    pub fn readers(&self, number: u32) -> Vec<(&'static RoleEntry, Snapshots)> {
        let reads = |role: &&RoleEntry| !role.reads.is_empty() && role.is_of(&self.pipeline);
        ROLES.iter().filter(reads).map(|role| (role, self.snapshots(role, number))).collect()
    }

    /// Where a role of a partition keeps its state.
    pub fn snapshots(&self, role: &RoleEntry, number: u32) -> Snapshots {
        let numbers: Vec<u32> = match role.kind {
            RoleKind::Ingest => self.parts.numbers().collect(),
            _ => vec![number],
        };
        let all = |number: u32| Contract::ALL.map(|contract| Partition::new(contract, number));
        let partitions = numbers.into_iter().flat_map(all).collect();
        let snapshots = Snapshots::new(self.store.clone(), SNAPSHOTS, role.name, KEEP).of_partition(number);
        let snapshots = snapshots.recording(self.log.clone(), partitions);
        match self.resume.get(&(role.name, number)) {
            Some((from, newest)) => snapshots.resuming_at(*from, *newest),
            None => snapshots,
        }
    }
}

/// Everything that `validate` can try without running: catchments, sources, the model. Gives the sources of a replay.
///
/// # Errors
/// The first thing that cannot be made.
pub fn rehearse(pipeline: &Pipeline) -> Result<Vec<Box<dyn Source>>> {
    let (sources, _) = intake(pipeline, Mode::Replay)?;
    let runtime = runtime(pipeline)?;
    for member in pipeline.models.members() {
        nilometer_forecast::EnsembleState::new(&runtime, &member.package, pipeline, 1, pipeline.time.from)?;
    }
    Ok(sources)
}

/// What runs the models.
///
/// # Errors
/// What is wrong with ONNX Runtime.
pub fn runtime(pipeline: &Pipeline) -> Result<Runtime> {
    Ok(Runtime::open(pipeline.model.library.as_deref(), &pipeline.model.providers)?)
}
