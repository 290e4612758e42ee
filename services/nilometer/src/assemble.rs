//! From a definition to running roles: what each needs is made here, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use nilometer_connectors::{Arrival, FolderSeries, Source, Window};
use nilometer_definitions::{NetworkOptions, Pipeline, SourceDefinition, SourceKind};
use nilometer_engine::{Balance, Clock, EmbeddedLog, Lifecycle, Metrics, Partition, Snapshots, Stop};
use nilometer_forecast::ForecastMetrics;
use nilometer_ingest::{Decoding, Lines};
use nilometer_runtime::{Mixture, Runtime};
use nilometer_schemas::Contract;
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
    storage,
};

/// Parts of a store.
pub const LOG: &str = "log";
/// Snapshots of the roles.
pub const SNAPSHOTS: &str = "snapshots";
/// Parquet.
pub const ARCHIVE: &str = "archive";

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
    clock: Clock,
    mode: Mode,
    registry: Registry,
    metrics: Metrics,
    store: Arc<dyn ObjectStore>,
    log: Arc<EmbeddedLog>,
}

type Role = Pin<Box<dyn Future<Output = Result<Balance>> + Send>>;

impl Run {
    /// Opens the store. The roles are made when they run.
    pub fn new(pipeline: Pipeline, clock: Clock, mode: Mode) -> Result<Self> {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry)?;
        let store = storage::open(&pipeline.log.store)?;
        storage::sweep(&pipeline.log.store)?;
        let log = Arc::new(EmbeddedLog::new(store.clone(), LOG, &metrics));
        Ok(Self { pipeline: Arc::new(pipeline), clock, mode, registry, metrics, store, log })
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
        let stops: [Stop; 4] = std::array::from_fn(|_| lifecycle.next_role());
        let lifecycle = Arc::new(lifecycle);
        let roles = self.roles(&stops)?;
        let stopping = tokio::spawn(stop_on_signal(lifecycle.clone()));
        let (from, to) = (self.pipeline.time.from, self.pipeline.time.to);
        let showing =
            (self.mode == Mode::Replay).then(|| tokio::spawn(progress::show(self.registry.clone(), from, to)));
        let trimming =
            tokio::spawn(trim_regularly(self.log.clone(), self.readers(), self.pipeline.log.retention.seconds()));
        let ended = supervise(roles, &lifecycle, &health).await;
        trimming.abort();
        if let Some(showing) = showing {
            showing.abort();
        }
        let balances = ended?;
        retention::enforce(&*self.log, &self.readers(), self.pipeline.log.retention.seconds()).await?;
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
    fn roles(&self, stops: &[Stop; 4]) -> Result<Vec<(usize, &'static str, Role)>> {
        let pipeline = &self.pipeline;
        let log = &self.log;
        let snapshots = |role: &str| self.snapshots(role);
        let (sources, lines) = intake(pipeline, self.mode)?;
        let ingest = nilometer_ingest::run(
            nilometer_ingest::Dependencies {
                log: log.clone(),
                snapshots: snapshots("ingest"),
                sources,
                lines,
                clock: self.clock,
                snapshot_every: pipeline.log.snapshot_every,
                growing: self.mode == Mode::Live,
                metrics: self.metrics.clone(),
                partition: 0,
            },
            stops[0].clone(),
        );
        let (runtime, models) = models(pipeline)?;
        let forecast = nilometer_forecast::run(
            pipeline.clone(),
            nilometer_forecast::Dependencies {
                log: log.clone(),
                snapshots: self.forecast_snapshots(),
                runtime,
                models,
                reload: reload_on_signal(),
                metrics: ForecastMetrics::new(self.metrics.stage("forecast"), &self.registry)?,
                partition: 0,
            },
            stops[1].clone(),
        );
        let mut roles: Vec<(usize, &'static str, Role)> = vec![
            (0, "ingest", Box::pin(async move { ingest.await.context("ingest failed") })),
            (1, "forecast", Box::pin(async move { forecast.await.context("forecast failed") })),
        ];
        if pipeline.forecast.score {
            let score = nilometer_score::run(
                pipeline.clone(),
                nilometer_score::Dependencies {
                    log: log.clone(),
                    snapshots: snapshots("score"),
                    metrics: ScoreMetrics::new(self.metrics.stage("score"), &self.registry)?,
                    partition: 0,
                },
                stops[2].clone(),
            );
            roles.push((2, "score", Box::pin(async move { score.await.context("score failed") })));
        }
        // Whoever publishes ends last.
        let last = roles.last().map_or(0, |(stop, ..)| stop + 1);
        for (name, contract) in PUBLISHED {
            let publish = nilometer_publish::run(
                nilometer_publish::Dependencies {
                    log: log.clone(),
                    snapshots: snapshots(name),
                    archive: storage::below(&self.store, ARCHIVE),
                    metrics: self.metrics.stage(name),
                    partition: Partition::new(contract, 0),
                    snapshot_every: pipeline.log.snapshot_every,
                },
                stops[last].clone(),
            );
            roles.push((last, name, Box::pin(async move { publish.await.with_context(|| format!("{name} failed")) })));
        }
        Ok(roles)
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

async fn trim_regularly(log: Arc<EmbeddedLog>, readers: Readers, retention_s: i64) {
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
    lifecycle: &Lifecycle,
    health: &Health,
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
                lifecycle.ended(stop);
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
                lifecycle.ended(stop);
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
