//! A fortnight of operations on a virtual clock: files come hour by hour, the services are away for an hour, six, three days or ten. What they
//! forecast in the end, and what they would have forecast meanwhile, is that of services that were never away, to the last bit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod support;

use std::{collections::BTreeMap, fmt::Write as _, fs, io::Write as _, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use nilometer_connectors::{Arrival, Window};
use nilometer_definitions::{Parts, Pipeline, SourceKind};
use nilometer_engine::{
    Broker, CatchUp, Clock, EmbeddedLog, Entry, KafkaLog, KafkaOptions, Lifecycle, Log, Metrics, Partition, Snapshots,
    WallTime,
};
use nilometer_forecast::ForecastMetrics;
use nilometer_ingest::{Decoding, Lines};
use nilometer_runtime::{Mixture, Provider, Runtime};
use nilometer_schemas::{Contract, DeadLetters, Forecasts, Observations, Timestamp};
use nilometer_transforms::{
    AverageOptions, Averager, FlowDirections, Gauge, Span, TraceOptions,
    check::CheckRules,
    decode::{self, geotiff::MAX_CELLS},
};
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;
use support::{cance, definition, root};
use tokio::{sync::watch, task::JoinSet};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// A definition, and what lies in its folders at a time.
struct World {
    pipeline: Arc<Pipeline>,
    runtime: Runtime,
    models: Mixture,
    data: tempfile::TempDir,
    deliver: fn(&Path, Timestamp),
}

impl World {
    fn new(name: &str, text: &str, sets: &[String], data: tempfile::TempDir, deliver: fn(&Path, Timestamp)) -> Self {
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
        let (mut sources, mut decodings) = (Vec::new(), BTreeMap::new());
        for (name, definition) in &pipeline.sources {
            let ahead = Span::from_seconds(pipeline.checks.ahead_s(definition.variable()));
            let arrival = Arrival::WhenSeen { delay: definition.delay, ahead };
            let (source, decoding) = match &definition.kind {
                SourceKind::Table(options) => {
                    let source = options.open(name, arrival, &pipeline.data, window).unwrap();
                    (source, Decoding::Table(options.layout().unwrap()))
                }
                SourceKind::Geotiff(options) => {
                    let source = options.open(name, arrival, &pipeline.data, window).unwrap();
                    (source, Decoding::Grid(options.decoding()))
                }
                SourceKind::Folder(..) => unreachable!("none here"),
            };
            sources.push(source);
            decodings.insert(name.clone(), decoding);
        }
        let stations = pipeline.catchments.iter().map(|c| (c.id.clone(), Default::default()));
        let rules = CheckRules::new(&pipeline.checks, stations);
        let averager = Averager::new(traced(pipeline), AverageOptions::default());
        (sources, Lines { decodings, ratings: BTreeMap::new(), rules, averager })
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
struct Operation {
    away: Vec<std::ops::Range<i64>>,
    catch_up: CatchUp,
    /// whether only the ingest role is away
    ingest_only: bool,
}

impl Operation {
    /// Away from a tick up to another, as often as told.
    fn away(away: &[(i64, i64)]) -> Self {
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
            snapshots: self.snapshots("ingest"),
            sources,
            lines,
            clock: Clock::Wall { every_s, catch_up: self.operation.catch_up, time },
            snapshot_every: 5,
            growing: true,
            metrics: Metrics::unregistered(),
            parts: Parts::new(&self.world.pipeline),
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
            reload: watch::channel(0).1,
            metrics: ForecastMetrics::new(metrics.stage("forecast"), metrics.registry()).unwrap(),
            partition: 0,
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
struct Left {
    forecasts: Vec<(Timestamp, Forecasts)>,
    observations: Vec<(Timestamp, Observations)>,
    dead_letters: Vec<String>,
}

async fn operate(world: &World, operation: &Operation) -> Left {
    operate_on(world, operation, None).await
}

async fn operate_on(world: &World, operation: &Operation, kafka: Option<KafkaOptions>) -> Left {
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
    let letters: Vec<DeadLetters> =
        read(&*log, Contract::DeadLetter).await.into_iter().map(|(_, b)| b.try_into().unwrap()).collect();
    let say = |letters: &DeadLetters| -> Vec<String> {
        let rows = 0..letters.len();
        rows.map(|row| {
            format!("{} {} {}", letters.source().value(row), letters.reason().value(row), letters.detail().value(row))
        })
        .collect()
    };
    Left {
        forecasts: read(&*log, Contract::Forecast).await.into_iter().map(|(t, b)| (t, b.try_into().unwrap())).collect(),
        observations: read(&*log, Contract::Observation)
            .await
            .into_iter()
            .map(|(t, b)| (t, b.try_into().unwrap()))
            .collect(),
        dead_letters: letters.iter().flat_map(say).collect(),
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

/// Holds what lives with outages leave to what an undisturbed one does.
fn compare(world: &World, outages: &[Operation]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let undisturbed = operate(world, &Operation::away(&[])).await;
        let ticks = undisturbed.observations.len();
        let issued = undisturbed.forecasts.len();
        assert!(issued + 2 >= ticks && issued > 0, "{issued} forecasts in {ticks} ticks");
        assert_eq!(undisturbed.dead_letters, [""; 0]);
        for operation in outages {
            let disturbed = operate(world, operation).await;
            let away = &operation.away;
            assert_eq!(disturbed.dead_letters, [""; 0], "away in {away:?}");
            assert_eq!(disturbed.observations.len(), ticks, "away in {away:?}");
            for ((time, expected), (at, found)) in undisturbed.forecasts.iter().zip(&disturbed.forecasts) {
                assert_eq!(time, at, "away in {away:?}");
                assert!(expected.batch() == found.batch(), "away in {away:?}: the forecast of {time} is another");
            }
            assert_eq!(disturbed.forecasts.len(), issued, "away in {away:?}");
            let (from, tick_s) = (world.pipeline.time.from, world.pipeline.time.tick_s());
            for (time, rows) in &disturbed.observations {
                let tick = time.seconds_since(from) / tick_s;
                let back = away.iter().find(|away| away.contains(&tick)).map_or(tick, |away| away.end);
                let arrived = from.plus_s(back * tick_s);
                assert!(rows.ingest_time().values().iter().all(|t| Timestamp(*t) == arrived), "arrival of {time}");
            }
        }
    });
}

fn have_runtime() -> bool {
    let there = root().join(".cache/onnxruntime").exists();
    if !there {
        let _ = writeln!(std::io::stderr(), "SKIPPED: ONNX Runtime is absent; run ops/setup");
    }
    there
}

/// The filter of the Cance.
fn filter() -> String {
    let cance = fs::read_to_string(definition()).unwrap();
    let (_, filter) = cance.split_once("[assimilation]").unwrap();
    format!("[assimilation]{}", filter.split_once("[forecast]").unwrap().0)
}

fn table(name: &str, path: &str, value: &str, variable: &str, unit: &str, period: &str, delay: &str) -> String {
    format!(
        "[source.{name}]\nkind = \"table\"\npath = {path:?}\nstation = {{ column = \"gauge\" }}\n\
         time = {{ column = {{ name = \"time\", format = \"rfc3339\" }} }}\nvalue = {value:?}\n\
         variable = {variable:?}\nunit = {unit:?}\nperiod = {period:?}\ndelay = {delay:?}\n"
    )
}

const GAUGES: [(&str, f64); 2] = [("V3524010", 381.7), ("V3515010", 107.0)];

fn begin() -> Timestamp {
    "2014-10-08T00:00:00Z".parse().unwrap()
}

fn rain_mm(hour: i64, place: i64) -> f64 {
    if (hour + 3 * place).rem_euclid(31) < 5 { 1.5 + place as f64 } else { 0.0 }
}

/// The rain of the Cance, an hour a file, known a day ahead; its evapotranspiration of an average year; its discharge.
fn deliver_grids(folder: &Path, now: Timestamp) {
    let cance = cance().unwrap();
    let hours = now.seconds_since(begin()) / HOUR_S;
    for hour in (hours - 2).max(0)..=hours + 24 {
        let stamp = begin().plus_s(hour * HOUR_S).compact();
        let day = format!("prcp/{}/{}/{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
        fs::create_dir_all(folder.join(&day)).unwrap();
        let prefix = format!("rain_precipitation_{}{}", &stamp[..8], &stamp[9..13]);
        for file in fs::read_dir(cance.join(&day)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && !folder.join(&day).join(&name).exists() {
                fs::copy(&file, folder.join(&day).join(&name)).unwrap();
            }
        }
    }
    fs::create_dir_all(folder.join("qobs")).unwrap();
    let all = fs::read_to_string(cance.join("qobs/V3517010.csv")).unwrap();
    let first = all.lines().next().unwrap();
    let (date, clock) = first.split_at(8);
    let start = format!("{}-{}-{}T{}:{}:00Z", &date[..4], &date[4..6], &date[6..], &clock[..2], &clock[2..4]);
    let lines = 2 + now.seconds_since(start.parse().unwrap()) / HOUR_S;
    let known: String = all.split_inclusive('\n').take(usize::try_from(lines).unwrap()).collect();
    fs::write(folder.join("qobs/V3517010.csv"), known).unwrap();
}

fn grids(days: i64) -> Option<World> {
    let cance = cance()?;
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("prcp")).unwrap();
    fs::create_dir(data.path().join("qobs")).unwrap();
    std::os::unix::fs::symlink(cance.join("pet").canonicalize().unwrap(), data.path().join("pet")).unwrap();
    let text = fs::read_to_string(definition()).unwrap();
    // One catchment and its gauge of the three.
    let part = |from: &str, to: &str| text.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let text = format!(
        "name = \"grids\"\ndata = {:?}\n[time]\nstep = \"1h\"\nfrom = \"{}\"\nto = \"{}\"\n\
         [[catchment]]\nid = \"V3517010\"\narea_km2 = 25.3\noutlet_x_m = 828269.0\noutlet_y_m = 6469198.0\n\
         [network]\nflow_directions = {:?}\narea_tolerance = 0.15\n[source.rain]{}[source.discharge_V3517010]{}[model]\npackage = {:?}\n{}\
         [forecast]\nhorizon = \"6h\"\nevery = \"1h\"\nscenario = \"perfect\"\nwait = \"3h\"\nlateness = \"2d\"\n\
         [log]\nstore = \"unused\"\n",
        data.path(),
        begin(),
        begin().plus_s(days * DAY_S),
        cance.join("france_flow_directions.tif"),
        part("[source.rain]", "[source.discharge_V3524010]"),
        part("[source.discharge_V3517010]", "# A weather forecast"),
        root().join("models/zoo/hybrid-cance"),
        filter()
    );
    Some(World::new("grids", &text, &["assimilation.members=4".to_owned()], data, deliver_grids))
}

#[test]
fn radar_and_first_line_tables_after_an_outage_are_as_if_there_had_been_none() {
    if !have_runtime() {
        return;
    }
    let Some(world) = grids(6) else { return };
    compare(&world, &[Operation::away(&[(20, 21), (31, 37), (60, 132)])]);
}

/// Days of two catchments: weather that is known with the day, gauges that are read nine hours later.
fn deliver_days(folder: &Path, now: Timestamp) {
    let days = now.seconds_since(begin()) / DAY_S;
    let mut weather = "gauge,time,prcp,tmin,tmax,dayl,srad,vp\n".to_owned();
    let mut flow = "gauge,time,flow\n".to_owned();
    for day in 1..=days {
        for (place, gauge) in ["a", "b"].iter().enumerate() {
            let time = begin().plus_s(day * DAY_S);
            let rain = rain_mm(7 * day, place as i64) * 8.0;
            let warm = 8.0 + (day as f64 / 9.0).sin();
            writeln!(weather, "{gauge},{time},{rain},{},{},0.45,200,900", warm - 4.0, warm + 4.0).unwrap();
            if day < days {
                writeln!(flow, "{gauge},{time},{:.3}", 5.0 + 2.0 * (day as f64 / 5.0).sin()).unwrap();
            }
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
}

fn days(days: i64) -> World {
    let data = tempfile::tempdir().unwrap();
    let package = root().join("models/zoo/exphydro-regional");
    let card = Mixture::load(&package).unwrap();
    let attributes: Vec<String> = card.first().card().attributes.iter().map(|a| format!("{} = 1.0", a.name)).collect();
    let mut text = format!(
        "name = \"days\"\ndata = {:?}\n[time]\nstep = \"1d\"\nfrom = \"{}\"\nto = \"{}\"\n[model]\npackage = {package:?}\n\
         [forecast]\nhorizon = \"3d\"\nevery = \"1d\"\nscenario = \"zero\"\nwait = \"2d\"\nlateness = \"20d\"\ncalibration_rate = 0.05\n\
         [log]\nstore = \"unused\"\nsnapshot_every = 5\nretention = \"900d\"\n{}",
        data.path(),
        begin(),
        begin().plus_s(days * DAY_S),
        filter()
    );
    for gauge in ["a", "b"] {
        let attributes = attributes.join(", ");
        write!(text, "[[catchment]]\nid = \"{gauge}\"\narea_km2 = 100.0\nattributes = {{ {attributes} }}\n").unwrap();
    }
    for (name, value, variable, unit) in [
        ("rain", "prcp", "precipitation", "mm"),
        ("coldest", "tmin", "minimum_air_temperature", "degC"),
        ("warmest", "tmax", "maximum_air_temperature", "degC"),
        ("light", "dayl", "day_length", "d"),
        ("sun", "srad", "shortwave_radiation", "W m-2"),
        ("vapour", "vp", "vapour_pressure", "Pa"),
    ] {
        text += &table(name, "weather.csv", value, variable, unit, "1d", "0s");
    }
    text += &table("flow", "flow.csv", "flow", "discharge", "m3 s-1", "0s", "9h");
    World::new("days", &text, &["assimilation.members=4".to_owned()], data, deliver_days)
}

#[test]
fn daily_tables_after_an_outage_are_as_if_there_had_been_none() {
    if !have_runtime() {
        return;
    }
    compare(&days(60), &[Operation::away(&[(20, 21), (30, 33), (40, 50)])]);
}

/// Files as they are at a time: one that grows, a window that rolls in Parquet, an ensemble of weather forecasts that is replaced.
fn deliver_tables(folder: &Path, now: Timestamp) {
    let hours = now.seconds_since(begin()) / HOUR_S;
    let (mut weather, mut flow) = ("gauge,time,rain,pet\n".to_owned(), "gauge,time,flow\n".to_owned());
    for hour in 1..=hours {
        for (place, (gauge, _)) in GAUGES.iter().enumerate() {
            let time = begin().plus_s(hour * HOUR_S);
            writeln!(weather, "{gauge},{time},{},0.05", rain_mm(hour, place as i64)).unwrap();
        }
        if hour < hours {
            // The gauge is read ten minutes after its time: an hour ends before.
            let time = begin().plus_s(hour * HOUR_S);
            writeln!(flow, "V3524010,{time},{:.3}", 6.0 + 3.0 * (hour as f64 / 40.0).sin()).unwrap();
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    let window: Vec<i64> = ((hours - 30 * 24).max(1)..=hours).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("gauge", Arc::new(StringArray::from(vec!["V3515010"; window.len()]))),
        (
            "time",
            Arc::new(window.iter().map(|h| Some(begin().plus_s(h * HOUR_S).to_string())).collect::<StringArray>()),
        ),
        ("flow", Arc::new(window.iter().map(|h| 2.0 + (*h as f64 / 29.0).sin()).collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(folder.join("flow.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut ahead = "gauge,time,issued,member,rain\n".to_owned();
    for run in (0..=hours).filter(|run| run % 6 == 0 && *run + 80 * 24 > hours) {
        for (lead, member) in (1..=6).flat_map(|lead| [(lead, 0), (lead, 1)]) {
            for (place, (gauge, _)) in GAUGES.iter().enumerate() {
                let (time, issued) = (begin().plus_s((run + lead) * HOUR_S), begin().plus_s(run * HOUR_S));
                let rain = rain_mm(run + lead, place as i64) * f64::from(member + 1) / 2.0;
                writeln!(ahead, "{gauge},{time},{issued},{member},{rain}").unwrap();
            }
        }
    }
    fs::write(folder.join("ahead.csv"), ahead).unwrap();
}

fn tables(days: i64) -> World {
    let data = tempfile::tempdir().unwrap();
    let mut text = format!(
        "name = \"outage\"\ndata = {:?}\n\
         [time]\nstep = \"1h\"\nfrom = \"{}\"\nto = \"{}\"\n[model]\npackage = {:?}\n\
         [forecast]\nhorizon = \"3h\"\nevery = \"1h\"\nscenario = \"members\"\nwait = \"2h\"\nlateness = \"3d\"\ncalibration_rate = 0.05\n\
         [log]\nstore = \"unused\"\nsnapshot_every = 5\nretention = \"90d\"\n[checks]\ngap = {{ step = \"1h\" }}\n{}",
        data.path(),
        begin(),
        begin().plus_s(days * DAY_S),
        root().join("models/zoo/exphydro-cance"),
        filter()
    );
    for (gauge, area_km2) in GAUGES {
        write!(text, "[[catchment]]\nid = \"{gauge}\"\narea_km2 = {area_km2}\n").unwrap();
    }
    text += &table("rain", "weather.csv", "rain", "precipitation", "mm", "1h", "0s");
    text += &table("pet", "weather.csv", "pet", "potential_evapotranspiration", "mm", "1h", "0s");
    text += &table("flow", "flow.csv", "flow", "discharge", "m3 s-1", "0s", "10min");
    text += &table("window", "flow.parquet", "flow", "discharge", "m3 s-1", "0s", "0s");
    text += &table("ahead", "ahead.csv", "rain", "precipitation", "mm", "1h", "0s");
    text += "forecast = { issue_time = \"issued\", member = \"member\" }\n";
    World::new("outage", &text, &["assimilation.members=4".to_owned()], data, deliver_tables)
}

#[test]
fn hourly_tables_after_an_outage_are_as_if_there_had_been_none() {
    if !have_runtime() {
        return;
    }
    let world = tables(14);
    let outages = [
        Operation::away(&[(30, 31), (61, 67), (100, 172)]),
        Operation::away(&[(40, 280)]),
        Operation { ingest_only: true, ..Operation::away(&[(61, 67), (120, 192)]) },
    ];
    compare(&world, &outages);
}

#[test]
fn over_kafka_an_outage_of_ingest_leaves_no_trace() {
    if !have_runtime() {
        return;
    }
    let Some(broker) = Broker::start(1) else { return };
    let world = tables(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = |prefix: &str| Some(KafkaOptions::new(&broker.address(), prefix));
        let undisturbed = operate(&world, &Operation::away(&[])).await;
        let operation = Operation { ingest_only: true, ..Operation::away(&[(20, 21), (31, 37), (50, 62)]) };
        let disturbed = operate_on(&world, &operation, options("away.")).await;
        assert_eq!(disturbed.dead_letters, [""; 0]);
        assert_eq!(disturbed.forecasts.len(), undisturbed.forecasts.len());
        for ((time, expected), (_, found)) in undisturbed.forecasts.iter().zip(&disturbed.forecasts) {
            assert!(expected.batch() == found.batch(), "the forecast of {time} is another");
        }
    });
}

#[test]
fn in_latest_the_newest_forecast_knows_all_that_has_come() {
    if !have_runtime() {
        return;
    }
    let world = tables(4);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let operation = Operation { catch_up: CatchUp::Latest, ..Operation::away(&[(30, 54)]) };
        let left = operate(&world, &operation).await;
        assert_eq!(left.dead_letters, [""; 0]);
        let hour = |h: i64| begin().plus_s(h * HOUR_S);
        let issued: Vec<Timestamp> = left.forecasts.iter().map(|(time, _)| *time).collect();
        assert!(issued.contains(&hour(29)) && issued.contains(&hour(54)), "{issued:?}");
        assert!(!issued.iter().any(|time| (hour(30)..hour(54)).contains(time)), "{issued:?}");
        let (_, next) = left.forecasts.iter().find(|(time, _)| *time == hour(54)).unwrap();
        let not_made = "forecasts of 2014-10-09T06:00:00Z to 2014-10-10T05:00:00Z were not made";
        assert!(next.reason().value(0).ends_with(not_made), "{}", next.reason().value(0));
        // Every reading counts: the state is that of an operation without an outage.
        let undisturbed = operate(&world, &Operation::away(&[])).await;
        let read = |left: &Left| left.observations.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        assert_eq!(read(&left), read(&undisturbed));
    });
}
