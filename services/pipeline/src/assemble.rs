//! From a definition to running kinds of role, and their end in the order of the flow.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{Clock, Lease, Lifecycle, Log, Metrics, Shares, Stop, Use};
use nilometer_forecast::Packages;
use nilometer_packages::PackageStore;
use nilometer_schemas::Timestamp;
use nilometer_serve::{ServeMetrics, Site};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    compaction,
    exposition::Exposition,
    flow::ROLES,
    http::{self, Health},
    intake::Mode,
    kind::{self, Progress, Work, complete_behind},
    map, mending, progress, publishing, retention,
    role::serve,
    role_kind::RoleKind,
    roles::{self, Roles},
    storage::{self, ARCHIVE},
    topics,
};

/// How often the log is trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// Partitions that are trimmed at once.
const TRIMMED_AT_ONCE: usize = 4;

/// Every kind of one process, ready to run.
pub struct Run {
    /// those of this process, in the order of the flow
    kinds: Vec<RoleKind>,
    roles: Arc<Roles>,
    lease: Lease,
}

/// How a store is taken up.
pub struct Opening {
    /// that it is ours
    pub lease: Lease,
    /// what of it may be lost
    pub accept: Accept,
}

/// What a start goes on without.
#[derive(Debug, Clone, Default)]
pub struct Accept {
    /// what the log has lost for good
    pub loss: bool,
    /// parts of the state that begin anew where the definition no longer fits them
    pub state_loss: Vec<String>,
}

impl Opening {
    /// The store of a pipeline, for `command`. Where the log is on a cluster others share the store.
    ///
    /// # Errors
    /// When another process has it.
    pub async fn of(pipeline: &Pipeline, command: &str, accept: Accept) -> Result<Self> {
        let how = if pipeline.log.kafka.is_some() { Use::Shared } else { Use::Alone };
        Ok(Self { lease: storage::lease(&pipeline.log.store, command, how).await?, accept })
    }
}

impl Run {
    /// Opens the store and the log. `kinds of role` are those of this process, all where none is named. Their roles are made when they run.
    pub async fn new(
        opening: Opening,
        pipeline: Pipeline,
        clock: Clock,
        mode: Mode,
        kinds: &[RoleKind],
    ) -> Result<Self> {
        let Opening { lease, accept } = opening;
        let named = |kind: &RoleKind| kinds.is_empty() || kinds.contains(kind);
        let mine: Vec<RoleKind> = flow(&pipeline).filter(named).collect();
        if mine.is_empty() {
            bail!(
                "--role names none that the definition asks for: score needs forecast.score, drought a section of its own, notify a receiver, serve serve.address"
            );
        }
        let store = storage::open(&pipeline.log.store)?;
        let exposition = Exposition::of_process(storage::folder(&pipeline.log.store)?.map(Path::to_owned))?;
        let metrics = Metrics::new(exposition.process())?;
        let kafka = match &pipeline.log.kafka {
            Some(options) => Some(topics::connect(options, pipeline.log.partitions, &metrics).await?),
            None => None,
        };
        let mut resume = BTreeMap::new();
        let log: Arc<dyn Log> = match &kafka {
            Some(log) => log.clone(),
            None if !kinds.is_empty() => {
                bail!(
                    "--role is there, but the log is in log.store, which is for one process; accepted is a log.kafka section, or no --role"
                )
            }
            None => {
                storage::sweep(&pipeline.log.store)?;
                let (log, goes_back) =
                    lease.during(mending::open(&store, &metrics, mode == Mode::Replay, accept.loss)).await??;
                resume = goes_back;
                Arc::new(log)
            }
        };
        if mine.contains(&RoleKind::Ingest) {
            publishing::announce_definition(&store, &pipeline.models).await?;
        }
        let runtime = if mine.contains(&RoleKind::Forecast) {
            Some(roles::runtime(&pipeline)?)
        } else if mine.contains(&RoleKind::Serve) {
            let without = |error: &anyhow::Error| {
                tracing::warn!("{error:#}: what is served makes no forecast again, so neither explain nor what-if");
            };
            roles::runtime(&pipeline).inspect_err(without).ok()
        } else {
            None
        };
        let site = mine
            .contains(&RoleKind::Serve)
            .then(|| Site::new(&pipeline, store.clone(), storage::below(&store, ARCHIVE)));
        let models = PackageStore::new(store.clone());
        let roles = Roles {
            parts: Partitioning::new(&pipeline),
            clock,
            mode,
            store,
            log,
            kafka,
            metrics,
            exposition,
            resume,
            models: Packages::new(models, &pipeline.models),
            runtime,
            site,
            accept_state_loss: accept.state_loss,
            pipeline,
        };
        if let Some(site) = &roles.site {
            site.measure(ServeMetrics::new(roles.exposition.process())?);
            site.equip(serve::sandboxes(&roles));
            // Tracing takes a while where the grid is large, and nothing waits for it.
            let (site, pipeline) = (site.clone(), roles.pipeline.clone());
            tokio::task::spawn_blocking(move || map::of(&pipeline).map(|map| site.draw(map)));
        }
        Ok(Self { kinds: mine, roles: Arc::new(roles), lease })
    }

    /// Runs every kind of role until the window's end or a signal; then, with `stay`, serves metrics until a signal.
    pub async fn until_the_end(self, stay: bool) -> Result<()> {
        let Self { kinds, roles, lease } = &self;
        let health = Health::default();
        let server = match roles.pipeline.serve.address {
            Some(address) => {
                let shown = roles.exposition.clone();
                let options = &roles.pipeline.serve;
                let (bound, server) = http::serve(address, options, shown, health.clone(), roles.site.clone()).await?;
                let place = format!("{}://{bound}", if options.tls().is_some() { "https" } else { "http" });
                tracing::info!("metrics at {place}/metrics, health at {place}/health");
                if roles.site.is_some() {
                    tracing::info!("the page at {place}/, the service at {place}/api/v1/openapi.json");
                }
                Some(server)
            }
            None => None,
        };
        let mut lifecycle = Lifecycle::new();
        let stops: Vec<Stop> = kinds.iter().map(|_| lifecycle.next_role()).collect();
        let lifecycle = Arc::new(lifecycle);
        let before: Vec<Progress> = kinds.iter().map(|kind| self.progress(|other| other < *kind)).collect();
        let mut running = JoinSet::new();
        for (index, (kind, stop)) in kinds.iter().zip(&stops).enumerate() {
            let work = Work {
                kind: *kind,
                shares: self.shares(*kind)?,
                whole: self.progress(|other| other == *kind),
                roles: roles.clone(),
                health: health.clone(),
            };
            let kind = kind::run(work, stop.clone());
            running.spawn(async move { (index, kind.await) });
        }
        let stopping = tokio::spawn(stop_on_signal(lifecycle.clone(), roles.kafka.is_some()));
        let replays = roles.mode == Mode::Replay;
        let time = &roles.pipeline.time;
        let showing = replays.then(|| tokio::spawn(progress::say(roles.exposition.clone(), time.from, time.to)));
        let trims = kinds.contains(&RoleKind::Publish);
        let trimming = trims.then(|| tokio::spawn(trim_regularly(roles.clone())));
        let beginning = (replays && kinds[0] != RoleKind::Ingest)
            .then(|| tokio::spawn(complete_behind(before[0].clone(), lifecycle.clone(), 0)));
        let ended = lease.during(supervise(running, &lifecycle, &before)).await;
        for task in [trimming, showing, beginning].into_iter().flatten() {
            task.abort();
        }
        ended??;
        if trims {
            trim(roles).await?;
            // Operations go on, and compact in the next hour what they do not now.
            if replays {
                lease.during(compact_archive(roles)).await?;
            }
        }
        // Where the roles before ours are in other processes, the end of these is no signal to us.
        if stay && server.is_some() && !stopping.is_finished() {
            tracing::info!("the window has ended; serving until SIGTERM");
            let _ = stopping.await;
        }
        let Self { lease, roles, .. } = self;
        // The process ends behind this, and clients of a cluster that close one after the other take seconds.
        std::mem::forget(roles);
        Ok(lease.release().await?)
    }

    /// The partitions of a kind of role that are ours: all, or those that the cluster gives us.
    fn shares(&self, kind: RoleKind) -> Result<Shares> {
        match &self.roles.kafka {
            // A process that serves answers for every station.
            Some(kafka) if kind != RoleKind::Serve => Ok(kafka.join(kind.name(), kind.topic())?),
            _ => Ok(Shares::all(self.roles.parts.numbers())),
        }
    }

    /// How far some kinds of role have come, where other processes may have roles of them. None in operations, which have no last tick.
    fn progress(&self, of: impl Fn(RoleKind) -> bool) -> Progress {
        let elsewhere = self.roles.mode == Mode::Replay && self.roles.kafka.is_some();
        let kinds = flow(&self.roles.pipeline).filter(|kind| elsewhere && of(*kind));
        let time = &self.roles.pipeline.time;
        let last = Timestamp(time.to.0 + 1).ceil_s(time.tick_s()).plus_s(-time.tick_s());
        Progress { snapshots: kinds.flat_map(|kind| self.roles.snapshots_of(kind)).collect(), last: last.0 }
    }
}

/// The kinds of a pipeline.
fn flow(pipeline: &Pipeline) -> impl Iterator<Item = RoleKind> + use<> {
    let asked: Vec<RoleKind> = ROLES.iter().filter(|role| role.is_of(pipeline)).map(|role| role.kind).collect();
    RoleKind::ALL.into_iter().filter(move |kind| asked.contains(kind))
}

async fn trim_regularly(roles: Arc<Roles>) {
    let mut every = tokio::time::interval(TRIM_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = trim(&roles).await {
            tracing::warn!(error = format!("{error:#}"), "the log could not be trimmed; tried again in an hour");
        }
        compact_archive(&roles).await;
    }
}

/// Any process that publishes may: what one has removed the next finds gone.
async fn trim(roles: &Roles) -> Result<()> {
    let retention_s = roles.pipeline.log.retention.seconds();
    let of_partitions = roles
        .parts
        .numbers()
        .map(async |number| retention::enforce(&*roles.log, number, roles.readers(number), retention_s).await);
    stream::iter(of_partitions).buffer_unordered(TRIMMED_AT_ONCE).try_collect().await
}

/// Where the definition asks for it. Several processes may at once: of two that compact a day one goes on from what the other has made of it.
async fn compact_archive(roles: &Roles) {
    if let Some(after) = roles.pipeline.log.compact_after {
        compaction::compact_ended(&*storage::below(&roles.store, ARCHIVE), after.seconds()).await;
    }
}

/// Waits for the kinds of role; each that has ended lets the one behind it drain. The first failure stops all.
async fn supervise(
    mut running: JoinSet<(usize, Result<()>)>,
    lifecycle: &Arc<Lifecycle>,
    before: &[Progress],
) -> Result<()> {
    let mut failure = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((index, Ok(()))) => {
                if let Some(before) = before.get(index + 1) {
                    tokio::spawn(complete_behind(before.clone(), lifecycle.clone(), index + 1));
                }
            }
            Ok((index, Err(error))) => {
                failure.get_or_insert(error);
                lifecycle.stop_now();
                lifecycle.stop();
                lifecycle.complete(index + 1);
            }
            Err(panicked) => {
                failure.get_or_insert(anyhow!("a role panicked: {panicked}"));
                lifecycle.stop_now();
                lifecycle.stop();
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// The first SIGTERM or SIGINT ends the roles in order, each after its input; the second ends them at once. Where other processes may append to
/// the inputs these have no end: then the first ends them at their next safe point, and the next owner of their partitions goes on from there.
async fn stop_on_signal(lifecycle: Arc<Lifecycle>, shared: bool) {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be received; stop with SIGKILL, which loses nothing");
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    if shared {
        tracing::info!("stopping: each role saves its state and lets go of its partitions");
        lifecycle.stop_now();
        return lifecycle.stop();
    }
    tracing::info!("stopping: each role finishes what has reached it");
    lifecycle.stop();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("stopping at once");
        lifecycle.stop_now();
    });
}
