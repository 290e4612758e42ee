//! Operations on a virtual clock: files come tick by tick, the ingest and the forecast role run, and are away when a test says so.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::array::RecordBatch;
use nilometer_connectors::{Arrival, Window};
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{
    CatchUp, Clock, EmbeddedLog, Entry, KafkaLog, KafkaOptions, Lifecycle, Log, Metrics, Partition, Snapshots, WallTime,
};
use nilometer_forecast::{ForecastMetrics, Packages};
use nilometer_ingest::Lines;
use nilometer_packages::{Mixture, PackageStore, Provider};
use nilometer_runtime::Runtime;
use nilometer_schemas::{Contract, DeadLetters, Forecasts, Observations, Timestamp};
use nilometer_transforms::{
    AverageOptions, Averager, FlowDirections, Gauge, Span, TraceOptions,
    check::CheckRules,
    decode::{self, MAX_CELLS},
};
use object_store::memory::InMemory;
use tokio::{sync::watch, task::JoinSet};

/// A definition, and what lies in its folders at a time.
pub struct World {
    pub pipeline: Arc<Pipeline>,
    pub runtime: Runtime,
    pub models: Mixture,
    pub data: tempfile::TempDir,
    pub deliver: fn(&Path, Timestamp),
}

impl World {
    pub fn new(
        name: &str,
        text: &str,
        sets: &[String],
        data: tempfile::TempDir,
        deliver: fn(&Path, Timestamp),
    ) -> Self {
        let file = data.path().join(format!("{name}.toml"));
        fs::write(&file, text).unwrap();
        let pipeline = Arc::new(Pipeline::load(&file, sets).unwrap_or_else(|problems| panic!("{problems}")));
        Self {
            runtime: Runtime::open(None, &[Provider::Cpu]).unwrap(),
            models: Mixture::load(&pipeline.model.package).unwrap(),
            pipeline,
            data,
            deliver,
        }
    }

    /// The ingest role's sources and how they are decoded, as operations open them.
    fn intake(&self) -> (Vec<Box<dyn nilometer_connectors::Source>>, Lines) {
        let pipeline = &self.pipeline;
        let window = Window { from: pipeline.time.from, until: Window::ALL.until };
        let (mut sources, mut decoders) = (Vec::new(), BTreeMap::new());
        for (name, definition) in &pipeline.sources {
            let ahead = Span::from_seconds(pipeline.checks.ahead_s(definition.variable()));
            let arrival = Arrival::WhenSeen { delay: definition.delay, ahead };
            sources.push(definition.connector.open(name, arrival, &pipeline.data, window).unwrap());
            decoders.insert(name.clone(), definition.connector.decoder(BTreeMap::new()).unwrap());
        }
        let stations = pipeline.catchments.iter().map(|c| (c.id.clone(), Default::default()));
        let rules = CheckRules::new(&pipeline.checks, stations);
        let averager = Averager::new(traced(pipeline), AverageOptions::default());
        (sources, Lines { decoders, ratings: BTreeMap::new(), rules, averager })
    }
}

fn traced(pipeline: &Pipeline) -> Vec<nilometer_transforms::Catchment> {
    let Some(network) = &pipeline.network else { return Vec::new() };
    let raster = decode::raster(&fs::read(&network.flow_directions).unwrap(), MAX_CELLS).unwrap();
    let directions = FlowDirections::new(&raster).unwrap();
    let options = TraceOptions { snap_radius_cells: network.snap_cells, area_tolerance: network.area_tolerance };
    let trace = |c: &nilometer_definitions::Catchment| {
        let (x, y) = (c.outlet_x_m.unwrap(), c.outlet_y_m.unwrap());
        directions.trace(&Gauge { id: c.id.clone(), x, y, area_km2: c.area_km2 }, &options).unwrap()
    };
    pipeline.catchments.iter().map(trace).collect()
}

/// One operation of the services: when they are away, and what becomes of missed ticks.
pub struct Operation {
    pub away: Vec<std::ops::Range<i64>>,
    pub catch_up: CatchUp,
    /// whether only the ingest role is away
    pub ingest_only: bool,
}

impl Operation {
    /// Away from each first tick up to its second.
    pub fn away(away: &[(i64, i64)]) -> Self {
        Self {
            away: away.iter().map(|&(from, until)| from..until).collect(),
            catch_up: CatchUp::All,
            ingest_only: false,
        }
    }
}

struct Services<'a> {
    world: &'a World,
    operation: &'a Operation,
    store: Arc<InMemory>,
    log: Arc<dyn Log>,
    /// the log on a cluster, where it is there: each process has its own way to it
    kafka: Option<KafkaOptions>,
    time: watch::Sender<Timestamp>,
}

/// Roles that run, and what stops them.
type Running = Option<(Lifecycle, JoinSet<Result<(), String>>)>;

fn said(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Services<'_> {
    fn snapshots(&self, role: &str) -> Snapshots {
        Snapshots::new(self.store.clone(), "snapshots", role, 3)
    }

    fn log(&self) -> Arc<dyn Log> {
        let on_kafka =
            |options| -> Arc<dyn Log> { Arc::new(KafkaLog::new(options, &Metrics::unregistered()).unwrap()) };
        self.kafka.as_ref().map_or_else(|| self.log.clone(), on_kafka)
    }

    fn ingest(&self) -> Running {
        let (mut lifecycle, mut roles) = (Lifecycle::new(), JoinSet::new());
        let (sources, lines) = self.world.intake();
        let time = WallTime::Virtual(self.time.subscribe());
        let every_s = self.world.pipeline.time.tick_s();
        let dependencies = nilometer_ingest::Dependencies {
            log: self.log(),
            raw: None,
            snapshots: self.snapshots("ingest"),
            announcements: nilometer_ingest::Announcement::of_store(self.store.clone()),
            actions: nilometer_ingest::Action::of_store(self.store.clone()),
            sources,
            lines,
            clock: Clock::Wall { every_s, catch_up: self.operation.catch_up, time },
            snapshot_every: 5,
            growing: true,
            metrics: Metrics::unregistered(),
            parts: Partitioning::new(&self.world.pipeline),
        };
        let stop = lifecycle.next_role();
        roles.spawn(async move { nilometer_ingest::run(dependencies, stop).await.map(drop).map_err(|e| said(&e)) });
        Some((lifecycle, roles))
    }

    fn forecast(&self) -> Running {
        let (mut lifecycle, mut roles) = (Lifecycle::new(), JoinSet::new());
        let metrics = Metrics::unregistered();
        let lateness_us = self.world.pipeline.forecast.lateness.seconds() * 1_000_000;
        let dependencies = nilometer_forecast::Dependencies {
            log: self.log(),
            snapshots: self.snapshots("forecast").reaching(lateness_us),
            runtime: self.world.runtime.clone(),
            models: self.world.models.clone(),
            packages: Packages::new(PackageStore::new(self.store.clone()), &self.world.models),
            metrics: ForecastMetrics::new(metrics.role("forecast"), metrics.registry()).unwrap(),
            partition: 0,
            accept_state_loss: Vec::new(),
        };
        let (pipeline, stop) = (self.world.pipeline.clone(), lifecycle.next_role());
        roles.spawn(async move {
            nilometer_forecast::run(pipeline, dependencies, stop).await.map(drop).map_err(|e| said(&e))
        });
        Some((lifecycle, roles))
    }
}

/// Ends roles at their next safe point.
async fn end(running: Running) {
    let Some((lifecycle, mut roles)) = running else { return };
    lifecycle.stop_now();
    while let Some(ended) = roles.join_next().await {
        ended.unwrap().unwrap();
    }
}

/// What an operation has left in the log.
pub struct Left {
    pub forecasts: Vec<(Timestamp, Forecasts)>,
    pub observations: Vec<(Timestamp, Observations)>,
    pub dead_letters: Vec<String>,
}

pub async fn operate(world: &World, operation: &Operation) -> Left {
    operate_on(world, operation, None).await
}

pub async fn operate_on(world: &World, operation: &Operation, kafka: Option<KafkaOptions>) -> Left {
    let pipeline = &world.pipeline;
    let (from, tick_s) = (pipeline.time.from, pipeline.time.tick_s());
    let store = Arc::new(InMemory::new());
    let log: Arc<dyn Log> = match &kafka {
        None => Arc::new(EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())),
        Some(options) => {
            let log = KafkaLog::new(options, &Metrics::unregistered()).unwrap();
            log.create_topics(1).await.unwrap();
            Arc::new(log)
        }
    };
    let services = Services { world, operation, store, log: log.clone(), kafka, time: watch::channel(from).0 };
    let rows = Partition::new(Contract::Observation, 0);
    let (mut ingest, mut forecast) = (None, services.forecast());
    let last = pipeline.time.to.seconds_since(from) / tick_s;
    for tick in 0..=last {
        let now = from.plus_s(tick * tick_s);
        (world.deliver)(world.data.path(), now);
        if operation.away.iter().any(|away| away.contains(&tick)) {
            if let Some((lifecycle, mut roles)) = ingest.take() {
                // An orderly end, or none at all.
                if tick % 2 == 0 { end(Some((lifecycle, roles))).await } else { roles.shutdown().await }
            }
            if !operation.ingest_only {
                end(forecast.take()).await;
            }
            services.time.send_replace(now);
            continue;
        }
        services.time.send_replace(now);
        ingest = ingest.or_else(|| services.ingest());
        forecast = forecast.or_else(|| services.forecast());
        let due = |batch: &Entry| matches!(batch, Entry::Record(record) if record.time >= now);
        let mut position = log.bounds(rows).await.unwrap().end.saturating_sub(1);
        while !log.read(rows, position).await.unwrap().is_some_and(|entry| due(&entry)) {
            let (_, roles) = ingest.as_mut().unwrap();
            tokio::select! {
                waited = log.wait(rows, position) => waited.unwrap(),
                ended = roles.join_next() => panic!("ingest ended: {ended:?}"),
            }
            position = log.bounds(rows).await.unwrap().end - 1;
        }
    }
    end(ingest).await;
    let (lifecycle, mut roles) = forecast.unwrap();
    lifecycle.stop();
    while let Some(ended) = roles.join_next().await {
        ended.unwrap().unwrap();
    }
    let dead_letters: Vec<DeadLetters> =
        read(&*log, Contract::DeadLetter).await.into_iter().map(|(_, b)| b.try_into().unwrap()).collect();
    let lines = |batch: &DeadLetters| -> Vec<String> {
        let line =
            |row| format!("{} {} {}", batch.source().value(row), batch.reason().value(row), batch.detail().value(row));
        (0..batch.len()).map(line).collect()
    };
    Left {
        forecasts: read(&*log, Contract::Forecast).await.into_iter().map(|(t, b)| (t, b.try_into().unwrap())).collect(),
        observations: read(&*log, Contract::Observation)
            .await
            .into_iter()
            .map(|(t, b)| (t, b.try_into().unwrap()))
            .collect(),
        dead_letters: dead_letters.iter().flat_map(lines).collect(),
    }
}

async fn read(log: &dyn Log, contract: Contract) -> Vec<(Timestamp, RecordBatch)> {
    let partition = Partition::new(contract, 0);
    let mut messages = Vec::new();
    for position in 0..log.bounds(partition).await.unwrap().end {
        let Some(Entry::Record(record)) = log.read(partition, position).await.unwrap() else { panic!("{partition}") };
        messages.push((record.time, record.batch));
    }
    messages
}
