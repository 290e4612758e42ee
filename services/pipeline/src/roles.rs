//! What the roles of a process have in common.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use nilometer_connectors::Source;
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{Clock, Log, Metrics, Partition, SharedLog, Snapshots};
use nilometer_forecast::Packages;
use nilometer_runtime::Runtime;
use nilometer_schemas::Contract;
use nilometer_serve::Site;
use object_store::ObjectStore;

use crate::{
    exposition::Exposition,
    intake::{Mode, intake},
    role_kind::RoleKind,
    storage::SNAPSHOTS,
};

/// A role of a partition.
pub type RoleName = (&'static str, u32);

/// Snapshots kept a role.
pub const KEEP: usize = 3;

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
    /// the models of the store, each loaded once
    pub models: Packages,
    /// opened before the first partition is taken; none where this process does not forecast
    pub runtime: Option<Runtime>,
    /// what is served; none where this process does not serve
    pub site: Option<Site>,
    /// parts of the state that may begin anew
    pub accept_state_loss: Vec<String>,
}

impl Roles {
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

    /// Where a role of a partition keeps its state.
    pub fn snapshots(&self, kind: RoleKind, name: &'static str, number: u32) -> Snapshots {
        let numbers: Vec<u32> = match kind {
            RoleKind::Ingest => self.parts.numbers().collect(),
            _ => vec![number],
        };
        let all = |number: u32| Contract::ALL.map(|contract| Partition::new(contract, number));
        let partitions = numbers.into_iter().flat_map(all).collect();
        let snapshots = Snapshots::new(self.store.clone(), SNAPSHOTS, name, KEEP).of_partition(number);
        let snapshots = snapshots.recording(self.log.clone(), partitions);
        match self.resume.get(&(name, number)) {
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
