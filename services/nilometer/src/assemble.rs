//! From a definition to running roles: what each needs is made here, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nilometer_connectors::{Arrival, FolderSeries, Source, Window};
use nilometer_definitions::{NetworkOptions, Pipeline, SourceDefinition, SourceKind};
use nilometer_engine::{Balance, Clock, EmbeddedLog, Lifecycle, Log, Metrics, Partition, Snapshots, Stop};
use nilometer_forecast::ForecastMetrics;
use nilometer_ingest::{Decoding, Lines};
use nilometer_runtime::{Mixture, Runtime};
use nilometer_schemas::{Contract, Timestamp};
use nilometer_score::ScoreMetrics;
use nilometer_transforms::{
    AverageOptions, Averager, Catchment, FlowDirections, Gauge, TraceOptions,
    check::CheckRules,
    decode::{self, geotiff::MAX_CELLS},
};
use object_store::ObjectStore;
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    http::{self, Health, RoleState},
    progress,
    retention::{self, Readers},
    storage, topics,
};

/// Parts of a store.
pub const LOG: &str = "log";
/// Snapshots of the roles.
pub const SNAPSHOTS: &str = "snapshots";
/// Parquet.
pub const ARCHIVE: &str = "archive";

/// Snapshots kept a role.
const KEEP: usize = 3;

/// How often a stage looks whether those before it in other processes have ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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

/// What runs on its own where the log is on Kafka, in the order of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    /// sources become rows in the log
    Ingest,
    /// rows become states and forecasts
    Forecast,
    /// forecasts meet what came
    Score,
    /// the log becomes files and metrics
    Publish,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Ingest, Self::Forecast, Self::Score, Self::Publish];

    /// The role whose snapshots say how far the stage has come; that of the last nobody waits for.
    const fn role(self) -> Option<&'static str> {
        match self {
            Self::Ingest => Some("ingest"),
            Self::Forecast => Some("forecast"),
            Self::Score => Some("score"),
            Self::Publish => None,
        }
    }
}

/// What takes snapshots.
pub const ROLES: [&str; 8] =
    ["ingest", "forecast", "score", PUBLISHED[0].0, PUBLISHED[1].0, PUBLISHED[2].0, PUBLISHED[3].0, PUBLISHED[4].0];

/// Whether sources deliver what happens or what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// rows arrive when they are seen
    Live,
    /// rows arrive when the definition says that they would have
    Replay,
}

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

/// Stages of other processes that a stage of ours comes behind.
#[derive(Clone)]
struct Foreign {
    roles: Vec<(&'static str, Snapshots)>,
    /// ordinal of a snapshot of the last tick
    last: u64,
}

impl Foreign {
    /// Completes when all have ended. Their last snapshot is saved behind everything that they append.
    async fn have_ended(&self) {
        for (role, snapshots) in &self.roles {
            loop {
                match snapshots.ordinals().await {
                    Ok(ordinals) if ordinals.last().is_some_and(|newest| *newest >= self.last) => break,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(role, %error, "cannot see how far it has come; looking again"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Completes the inputs of a role of ours when those of other processes that append to them have ended, or somebody asks to stop.
async fn complete_behind(foreign: Foreign, lifecycle: Arc<Lifecycle>, index: usize) {
    tokio::select! { () = foreign.have_ended() => {}, () = lifecycle.asked_to_stop() => {} }
    lifecycle.complete(index);
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

/// The sources and how they are decoded, checked and averaged.
fn intake(pipeline: &Pipeline, mode: Mode) -> Result<(Vec<Box<dyn Source>>, Lines)> {
    let mut sources = Vec::new();
    let mut decodings = BTreeMap::new();
    let folder = folder(pipeline, mode)?;
    for (name, definition) in &pipeline.sources {
        let (source, decoding) = open(pipeline, name, definition, mode, folder.as_ref())
            .with_context(|| format!("source.{name} cannot be opened"))?;
        sources.push(source);
        decodings.insert(name.clone(), decoding);
    }
    // What a gauge measures comes by its station's name, what is of a catchment by that of the catchment.
    let names = pipeline.catchments.iter().flat_map(|c| [c.station().to_owned(), c.id.clone()]);
    let stations = names.collect::<BTreeSet<_>>().into_iter();
    let rules = CheckRules::new(
        &pipeline.checks,
        stations.map(|station| (station.clone(), pipeline.station_checks.get(&station).cloned().unwrap_or_default())),
    );
    let mut options = AverageOptions::default();
    let mut traced = Vec::new();
    if let Some(network) = &pipeline.network {
        options.min_valid_fraction = network.minimum_valid_fraction as f32;
        traced = trace(pipeline, network)?;
    }
    let averager = Averager::new(traced, options);
    Ok((sources, Lines { decodings, ratings: pipeline.ratings.clone(), rules, averager }))
}

fn open(
    pipeline: &Pipeline,
    name: &str,
    definition: &SourceDefinition,
    mode: Mode,
    folder: Option<&FolderSeries>,
) -> Result<(Box<dyn Source>, Decoding)> {
    let (arrival, window) = match mode {
        Mode::Live => (Arrival::WhenSeen, Window { from: pipeline.time.from, until: Window::ALL.until }),
        Mode::Replay => {
            (Arrival::Delay { delay: definition.delay }, Window { from: pipeline.time.from, until: pipeline.time.to })
        }
    };
    Ok(match &definition.kind {
        SourceKind::Geotiff(options) => {
            (options.open(name, arrival, &pipeline.data, window)?, Decoding::Grid(options.decoding()))
        }
        SourceKind::Table(options) => {
            let layout = options.layout().map_err(|(key, problem)| anyhow!("{key} {problem}"))?;
            (options.open(name, arrival, &pipeline.data, window)?, Decoding::Table(layout))
        }
        SourceKind::Folder(_, column) => {
            let folder =
                folder.context("a folder of many catchments is a record of the past; use replay or hindcast")?;
            (folder.source(name, *column, definition.delay.seconds()), Decoding::Table(column.layout()?))
        }
    })
}

/// The rows of the definition's folder of many catchments, if it names one: all that a forecast of the window can know.
pub fn folder(pipeline: &Pipeline, mode: Mode) -> Result<Option<FolderSeries>> {
    let options = pipeline.sources.values().find_map(|s| match &s.kind {
        SourceKind::Folder(options, _) => Some(options),
        _ => None,
    });
    let Some(options) = options.filter(|_| mode == Mode::Replay) else { return Ok(None) };
    let until = pipeline.time.to.plus_s(pipeline.forecast.horizon.seconds());
    let begin = pipeline.time.from.plus_s(-pipeline.time.step.seconds());
    Ok(Some(FolderSeries::load(options, begin, until)?))
}

/// The catchments, traced upstream from their gauges.
fn trace(pipeline: &Pipeline, network: &NetworkOptions) -> Result<Vec<Catchment>> {
    let path = &network.flow_directions;
    let bytes =
        fs::read(path).with_context(|| format!("network.flow_directions: {} cannot be read", path.display()))?;
    let raster =
        decode::raster(&bytes, MAX_CELLS).with_context(|| format!("network.flow_directions: {}", path.display()))?;
    let directions =
        FlowDirections::new(&raster).with_context(|| format!("network.flow_directions: {}", path.display()))?;
    let options = TraceOptions { snap_radius_cells: network.snap_cells, area_tolerance: network.area_tolerance };
    let mut catchments = Vec::new();
    let outlet = |metres: Option<f64>| metres.context("a catchment without outlet cannot be traced");
    for catchment in &pipeline.catchments {
        let gauge = Gauge {
            id: catchment.id.clone(),
            x: outlet(catchment.outlet_x_m)?,
            y: outlet(catchment.outlet_y_m)?,
            area_km2: catchment.area_km2,
        };
        let traced = directions
            .trace(&gauge, &options)
            .with_context(|| format!("catchment {} cannot be traced", catchment.id))?;
        tracing::info!(catchment = %catchment.id, cells = traced.cells.len(), "traced");
        catchments.push(traced);
    }
    Ok(catchments)
}
