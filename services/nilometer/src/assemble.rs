//! From a definition to running roles: what each needs is made here, and nowhere else.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use nilometer_definitions::Pipeline;
use nilometer_engine::{Balance, Clock, EmbeddedLog, Lifecycle, Log, Metrics, Partition, Snapshots, Stop};
use nilometer_forecast::ForecastMetrics;
use nilometer_runtime::{Mixture, Runtime};
use nilometer_schemas::{Contract, Timestamp};
use nilometer_score::ScoreMetrics;
use object_store::ObjectStore;
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    http::{self, Health, RoleState},
    intake::{Mode, intake},
    progress,
    retention::{self, Readers},
    stage::{Foreign, Stage, complete_behind},
    storage::{self, ARCHIVE, LOG, SNAPSHOTS},
    topics,
};

/// Snapshots kept a role.
const KEEP: usize = 3;

/// How often the log is trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// What is published: role and contract.
const PUBLISHED: [(&str, Contract); 5] = [
    ("publish_forecast", Contract::Forecast),
    ("publish_analysis", Contract::Analysis),
    ("publish_score", Contract::Score),
    ("publish_observation", Contract::Observation),
    ("publish_dead_letter", Contract::DeadLetter),
];

/// What takes snapshots.
pub const ROLES: [&str; 8] =
    ["ingest", "forecast", "score", PUBLISHED[0].0, PUBLISHED[1].0, PUBLISHED[2].0, PUBLISHED[3].0, PUBLISHED[4].0];

/// Every role of one process, ready to run.
pub struct Run {
    pipeline: Arc<Pipeline>,
    /// those of this process, in the order of the flow
    stages: Vec<Stage>,
    clock: Clock,
    mode: Mode,
    registry: Registry,
    metrics: Metrics,
    store: Arc<dyn ObjectStore>,
    log: Arc<dyn Log>,
}

type Role = Pin<Box<dyn Future<Output = Result<Balance>> + Send>>;

impl Run {
    /// Opens the store and the log. `stages` are those of this process, all where none is named. The roles are made when they run.
    pub async fn new(pipeline: Pipeline, clock: Clock, mode: Mode, stages: &[Stage]) -> Result<Self> {
        let named = |stage: &Stage| stages.is_empty() || stages.contains(stage);
        let scored = |stage: &Stage| *stage != Stage::Score || pipeline.forecast.score;
        let mine: Vec<Stage> = Stage::ALL.into_iter().filter(named).filter(scored).collect();
        if mine.is_empty() {
            bail!("--role names none but score, and forecast.score is false; accepted is another role, or true");
        }
        let registry = Registry::new();
        let metrics = Metrics::new(&registry)?;
        let store = storage::open(&pipeline.log.store)?;
        let log: Arc<dyn Log> = match &pipeline.log.kafka {
            Some(options) => {
                let log = topics::open(options, &metrics)?;
                topics::require(&log).await?;
                Arc::new(log)
            }
            None if !stages.is_empty() => {
                bail!(
                    "--role is there, but the log is in log.store, which is for one process; accepted is a log.kafka section, or no --role"
                )
            }
            None => {
                storage::sweep(&pipeline.log.store)?;
                Arc::new(EmbeddedLog::new(store.clone(), LOG, &metrics))
            }
        };
        Ok(Self { pipeline: Arc::new(pipeline), stages: mine, clock, mode, registry, metrics, store, log })
    }

    /// Runs every role until the window's end or a signal; then, with `stay`, serves metrics until a signal.
    pub async fn until_the_end(self, stay: bool) -> Result<()> {
        let health = Health::default();
        let server = match self.pipeline.serve.address {
            Some(address) => {
                let (bound, server) = http::serve(address, self.registry.clone(), health.clone()).await?;
                tracing::info!("metrics at http://{bound}/metrics, health at http://{bound}/health");
                Some(server)
            }
            None => None,
        };
        let mut lifecycle = Lifecycle::new();
        let stops: Vec<Stop> = self.stages.iter().map(|_| lifecycle.next_role()).collect();
        let lifecycle = Arc::new(lifecycle);
        let roles = self.roles(&stops)?;
        let stopping = tokio::spawn(stop_on_signal(lifecycle.clone()));
        let (from, to) = (self.pipeline.time.from, self.pipeline.time.to);
        let showing =
            (self.mode == Mode::Replay).then(|| tokio::spawn(progress::show(self.registry.clone(), from, to)));
        let trims = self.stages.contains(&Stage::Publish);
        let retention_s = self.pipeline.log.retention.seconds();
        let trimming = trims.then(|| tokio::spawn(trim_regularly(self.log.clone(), self.readers(), retention_s)));
        let foreign: Vec<_> = (0..self.stages.len()).map(|at| self.foreign_before(at)).collect();
        let beginning = (self.stages[0] != Stage::Ingest && self.mode == Mode::Replay)
            .then(|| tokio::spawn(complete_behind(foreign[0].clone(), lifecycle.clone(), 0)));
        let ended = supervise(roles, &lifecycle, &health, &foreign).await;
        for task in [trimming, showing, beginning].into_iter().flatten() {
            task.abort();
        }
        let balances = ended?;
        if trims {
            retention::enforce(&*self.log, &self.readers(), retention_s).await?;
        }
        for (role, balance) in &balances {
            tracing::info!(
                role,
                received = balance.received,
                used = balance.used,
                rejected = balance.rejected_rows(),
                late = balance.late,
                missing = balance.missing,
                pending = balance.pending,
                "rows"
            );
        }
        if stay && server.is_some() && !stops[0].is_draining() {
            tracing::info!("the window has ended; serving until SIGTERM");
            let _ = stopping.await;
        }
        Ok(())
    }

    /// The roles in the order of the flow, with the index of their stop.
    fn roles(&self, stops: &[Stop]) -> Result<Vec<(usize, &'static str, Role)>> {
        let mut roles = Vec::new();
        for (index, (stage, stop)) in self.stages.iter().zip(stops).enumerate() {
            match stage {
                Stage::Ingest => roles.push((index, "ingest", self.ingest(stop)?)),
                Stage::Forecast => roles.push((index, "forecast", self.forecast(stop)?)),
                Stage::Score => roles.push((index, "score", self.score(stop)?)),
                Stage::Publish => {
                    roles.extend(PUBLISHED.map(|(name, contract)| (index, name, self.publish(name, contract, stop))));
                }
            }
        }
        Ok(roles)
    }

    fn ingest(&self, stop: &Stop) -> Result<Role> {
        let (sources, lines) = intake(&self.pipeline, self.mode)?;
        let dependencies = nilometer_ingest::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots("ingest"),
            sources,
            lines,
            clock: self.clock,
            snapshot_every: self.pipeline.log.snapshot_every,
            growing: self.mode == Mode::Live,
            metrics: self.metrics.clone(),
            partition: 0,
        };
        let role = nilometer_ingest::run(dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.context("ingest failed") }))
    }

    fn forecast(&self, stop: &Stop) -> Result<Role> {
        let (runtime, models) = models(&self.pipeline)?;
        let dependencies = nilometer_forecast::Dependencies {
            log: self.log.clone(),
            snapshots: self.forecast_snapshots(),
            runtime,
            models,
            reload: reload_on_signal(),
            metrics: ForecastMetrics::new(self.metrics.stage("forecast"), &self.registry)?,
            partition: 0,
        };
        let role = nilometer_forecast::run(self.pipeline.clone(), dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.context("forecast failed") }))
    }

    fn score(&self, stop: &Stop) -> Result<Role> {
        let dependencies = nilometer_score::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots("score"),
            metrics: ScoreMetrics::new(self.metrics.stage("score"), &self.registry)?,
            partition: 0,
        };
        let role = nilometer_score::run(self.pipeline.clone(), dependencies, stop.clone());
        Ok(Box::pin(async move { role.await.context("score failed") }))
    }

    fn publish(&self, name: &'static str, contract: Contract, stop: &Stop) -> Role {
        let dependencies = nilometer_publish::Dependencies {
            log: self.log.clone(),
            snapshots: self.snapshots(name),
            archive: storage::below(&self.store, ARCHIVE),
            metrics: self.metrics.stage(name),
            partition: Partition::new(contract, 0),
            snapshot_every: self.pipeline.log.snapshot_every,
        };
        let role = nilometer_publish::run(dependencies, stop.clone());
        Box::pin(async move { role.await.with_context(|| format!("{name} failed")) })
    }

    /// Of the stages before one of ours that run in other processes: their snapshots, which reach the last tick when they have ended. Nobody's
    /// in operations, which have no last tick.
    fn foreign_before(&self, index: usize) -> Foreign {
        let scored = |stage: &Stage| *stage != Stage::Score || self.pipeline.forecast.score;
        let before = Stage::ALL.into_iter().filter(scored).take_while(|stage| *stage != self.stages[index]);
        let foreign = before.filter(|stage| self.mode == Mode::Replay && !self.stages.contains(stage));
        let tick_s = self.pipeline.time.tick_s();
        let last = Timestamp(self.pipeline.time.to.0 + 1).ceil_s(tick_s).plus_s(-tick_s);
        Foreign {
            roles: foreign.filter_map(Stage::role).map(|role| (role, self.snapshots(role))).collect(),
            last: u64::try_from(last.0).unwrap_or(0),
        }
    }

    fn snapshots(&self, role: &str) -> Snapshots {
        Snapshots::new(self.store.clone(), SNAPSHOTS, role, KEEP)
    }

    /// Those of the forecast role reach back as far as rows may be late.
    fn forecast_snapshots(&self) -> Snapshots {
        let lateness_us = self.pipeline.forecast.lateness.seconds().saturating_mul(1_000_000);
        self.snapshots("forecast").reaching(u64::try_from(lateness_us).unwrap_or(0))
    }

    fn readers(&self) -> Readers {
        Readers {
            forecast: self.forecast_snapshots(),
            score: self.pipeline.forecast.score.then(|| self.snapshots("score")),
            publish: PUBLISHED.iter().map(|(name, contract)| (*contract, self.snapshots(name))).collect(),
        }
    }
}

async fn trim_regularly(log: Arc<dyn Log>, readers: Readers, retention_s: i64) {
    let mut every = tokio::time::interval(TRIM_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = retention::enforce(&*log, &readers, retention_s).await {
            tracing::warn!(error = format!("{error:#}"), "the log could not be trimmed; tried again in an hour");
        }
    }
}

/// Runs the roles; each that has ended lets those behind it drain. The first failure stops all.
async fn supervise(
    roles: Vec<(usize, &'static str, Role)>,
    lifecycle: &Arc<Lifecycle>,
    health: &Health,
    foreign: &[Foreign],
) -> Result<Vec<(&'static str, Balance)>> {
    let mut running = JoinSet::new();
    for (stop, name, role) in roles {
        health.set(name, RoleState::Running);
        running.spawn(async move { (stop, name, role.await) });
    }
    let (mut balances, mut failure) = (Vec::new(), None);
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((stop, name, Ok(balance))) => {
                health.set(name, RoleState::Finished);
                balances.push((name, balance));
                if let Some(foreign) = foreign.get(stop + 1) {
                    tokio::spawn(complete_behind(foreign.clone(), lifecycle.clone(), stop + 1));
                }
            }
            Ok((stop, name, Err(error))) => {
                tracing::error!(
                    role = name,
                    error = format!("{error:#}"),
                    "a role gave up; the others end at their next safe point"
                );
                health.set(name, RoleState::Failed(format!("{error:#}")));
                failure.get_or_insert(error);
                lifecycle.stop();
                lifecycle.stop_now();
                lifecycle.complete(stop + 1);
            }
            Err(panicked) => {
                failure.get_or_insert(anyhow!("a role panicked: {panicked}"));
                lifecycle.stop();
                lifecycle.stop_now();
            }
        }
    }
    failure.map_or(Ok(balances), Err)
}

/// The first SIGTERM or SIGINT ends the roles in order, each after its input; the second ends them at once.
async fn stop_on_signal(lifecycle: Arc<Lifecycle>) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be received; stop with SIGKILL, which loses nothing");
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("stopping: each role finishes what has reached it");
    lifecycle.stop();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("stopping at once");
        lifecycle.stop_now();
    });
}

/// SIGHUP asks for the weights to be read again.
fn reload_on_signal() -> tokio::sync::watch::Receiver<u64> {
    let (sender, receiver) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            return tracing::warn!("SIGHUP cannot be received; a restart reads the weights again");
        };
        while hangup.recv().await.is_some() && !sender.is_closed() {
            sender.send_modify(|asked| *asked += 1);
        }
    });
    receiver
}

/// Everything that `validate` can try without running: catchments, sources, the model.
///
/// # Errors
/// The first thing that cannot be made.
pub fn rehearse(pipeline: &Pipeline) -> Result<()> {
    intake(pipeline, Mode::Replay)?;
    let (runtime, models) = models(pipeline)?;
    for member in models.members() {
        nilometer_forecast::EnsembleState::new(&runtime, &member.package, pipeline, 1, pipeline.time.from)?;
    }
    Ok(())
}

fn models(pipeline: &Pipeline) -> Result<(Runtime, Mixture)> {
    let models = Mixture::load(&pipeline.model.package).context("the model package is not usable")?;
    let runtime = Runtime::open(pipeline.model.library.as_deref(), &pipeline.model.providers)?;
    Ok((runtime, models))
}
