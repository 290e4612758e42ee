//! What each role of a partition needs is made here, and nowhere else.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use anyhow::{Context, Result};
use nilometer_connectors::Source;
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{Balance, Clock, Log, Metrics, Partition, SharedLog, Snapshots, Stop};
use nilometer_forecast::{ForecastMetrics, Packages};
use nilometer_packages::PackageStore;
use nilometer_runtime::Runtime;
use nilometer_schemas::Contract;
use nilometer_score::ScoreMetrics;
use object_store::ObjectStore;

use crate::{
    coverage,
    exposition::Exposition,
    flow::{KEEP, PUBLISHED, RoleKind, RoleName},
    intake::{Mode, intake},
    retention::Readers,
    storage::{self, ARCHIVE, SNAPSHOTS},
};

/// A role of one partition, ready to run.
pub type Role = Pin<Box<dyn Future<Output = Result<Balance>> + Send>>;

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
    /// A stage's roles of one partition, by name; none where it has no catchments.
    ///
    /// # Errors
    /// What cannot be made of the definition.
    pub fn of(&self, stage: RoleKind, number: u32, stop: &Stop) -> Result<Vec<(String, Role)>> {
        let Some(part) = self.parts.part(number) else { return Ok(Vec::new()) };
        if stage == RoleKind::Ingest {
            // One for all: it goes with the first partition.
            let first = number == self.parts.first();
            return first.then(|| Ok(("ingest".to_owned(), self.ingest(stop)?))).into_iter().collect();
        }
        let metrics = self.metrics.of_partition(number)?;
        let roles = match stage {
            RoleKind::Ingest => Vec::new(),
            RoleKind::Forecast => vec![("forecast", self.forecast(part, number, &metrics, stop)?)],
            RoleKind::Score => vec![("score", self.score(part, number, &metrics, stop)?)],
            RoleKind::Publish => PUBLISHED
                .map(|(name, contract)| (name, self.publish(name, Partition::new(contract, number), &metrics, stop)))
                .into(),
        };
        self.exposition.show(stage, number, metrics.registry().clone());
        Ok(roles.into_iter().map(|(name, role)| (format!("{name}/{number}"), role)).collect())
    }

    /// Lets go of what a stage had of partitions that another process has now.
    pub fn release(&self, stage: RoleKind, numbers: &[u32]) {
        numbers.iter().for_each(|&number| self.exposition.forget(stage, number));
        let all: Vec<u32> = match stage {
            // One for all: it goes with the first partition.
            RoleKind::Ingest if numbers.contains(&self.parts.first()) => self.parts.numbers().collect(),
            RoleKind::Ingest => Vec::new(),
            RoleKind::Forecast | RoleKind::Score | RoleKind::Publish => numbers.to_vec(),
        };
        if let Some(kafka) = &self.kafka {
            all.into_iter().for_each(|number| kafka.release(number));
        }
    }

    fn ingest(&self, stop: &Stop) -> Result<Role> {
        let (sources, lines) = intake(&self.pipeline, self.mode)?;
        coverage::require_weather(&self.pipeline, self.mode, &sources)?;
        for warning in coverage::without_rows(&self.pipeline, self.mode, &sources) {
            tracing::warn!("{warning}");
        }
        let dependencies = nilometer_ingest::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots("ingest", self.parts.first()),
            packages: self.packages.clone(),
            sources,
            lines,
            clock: self.clock.clone(),
            snapshot_every: self.pipeline.log.snapshot_every,
            growing: self.mode == Mode::Live,
            metrics: self.metrics.clone(),
            parts: self.parts.clone(),
        };
        let role = nilometer_ingest::run(dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.context("ingest failed") }))
    }

    fn forecast(&self, part: &Arc<Pipeline>, number: u32, metrics: &Metrics, stop: &Stop) -> Result<Role> {
        let runtime = self.runtime.clone().context("this process has no ONNX Runtime")?;
        let dependencies = nilometer_forecast::Dependencies {
            log: self.log.clone(),
            snapshots: self.forecast_snapshots(number),
            runtime,
            models: self.pipeline.models.clone(),
            packages: self.models.clone(),
            metrics: ForecastMetrics::new(metrics.stage("forecast"), metrics.registry())?,
            partition: number,
            accept_state_loss: self.accept_state_loss.clone(),
        };
        let role = nilometer_forecast::run(part.clone(), dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.with_context(|| format!("forecast of partition {number} failed")) }))
    }

    fn score(&self, part: &Arc<Pipeline>, number: u32, metrics: &Metrics, stop: &Stop) -> Result<Role> {
        let dependencies = nilometer_score::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots("score", number),
            metrics: ScoreMetrics::new(metrics.stage("score"), metrics.registry())?,
            partition: number,
        };
        let role = nilometer_score::run(part.clone(), dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.with_context(|| format!("score of partition {number} failed")) }))
    }

    fn publish(&self, name: &'static str, partition: Partition, metrics: &Metrics, stop: &Stop) -> Role {
        let dependencies = nilometer_publish::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots(name, partition.number),
            archive: storage::below(&self.store, ARCHIVE),
            metrics: metrics.stage(name),
            partition,
            snapshot_every: self.pipeline.log.snapshot_every,
        };
        let role = nilometer_publish::run(dependencies, stop.clone());
        Box::pin(async move { role.await.with_context(|| format!("{name} of partition {} failed", partition.number)) })
    }

    /// Where a stage's roles of every partition keep how far they have come; no role waits for the last.
    pub fn snapshots_of(&self, stage: RoleKind) -> Vec<Snapshots> {
        match stage {
            RoleKind::Ingest => vec![self.snapshots("ingest", self.parts.first())],
            RoleKind::Forecast | RoleKind::Score => {
                self.parts.numbers().map(|number| self.snapshots(stage.name(), number)).collect()
            }
            RoleKind::Publish => Vec::new(),
        }
    }

    /// Who reads a partition.
    pub fn readers(&self, number: u32) -> Readers {
        Readers {
            number,
            forecast: self.forecast_snapshots(number),
            score: self.pipeline.forecast.score.then(|| self.snapshots("score", number)),
            publish: PUBLISHED.iter().map(|(name, contract)| (*contract, self.snapshots(name, number))).collect(),
        }
    }

    fn snapshots(&self, role: &'static str, number: u32) -> Snapshots {
        let numbers: Vec<u32> = match role {
            "ingest" => self.parts.numbers().collect(),
            _ => vec![number],
        };
        let all = |number: u32| Contract::ALL.map(|contract| Partition::new(contract, number));
        let partitions = numbers.into_iter().flat_map(all).collect();
        let snapshots = Snapshots::new(self.store.clone(), SNAPSHOTS, role, KEEP).of_partition(number);
        let snapshots = snapshots.recording(self.log.clone(), partitions);
        match self.resume.get(&(role, number)) {
            Some((from, newest)) => snapshots.resuming_at(*from, *newest),
            None => snapshots,
        }
    }

    /// Those of the forecast role reach back as far as rows may be late.
    fn forecast_snapshots(&self, number: u32) -> Snapshots {
        let lateness_us = self.pipeline.forecast.lateness.seconds().saturating_mul(1_000_000);
        self.snapshots("forecast", number).reaching(lateness_us)
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
