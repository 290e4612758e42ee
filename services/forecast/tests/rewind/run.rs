//! A river's log with what comes late in it, a run over it, and what that leaves behind.

use std::{collections::BTreeMap, future::Future, pin::pin, sync::Arc, task::Poll};

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::Float32Type,
};
use futures::TryStreamExt as _;
use nilometer_definitions::Pipeline;
use nilometer_engine::{EmbeddedLog, Entry, Lifecycle, Log, Message, Metrics, Partition, Snapshots};
use nilometer_forecast::{Dependencies, ForecastMetrics, Packages};
use nilometer_packages::{Mixture, PackageStore, Provider};
use nilometer_runtime::Runtime;
use nilometer_schemas::{
    Analyses, Contract, DeadLetters, Events, Flag, ForcingRow, ForcingsBuilder, Forecasts, ModelRow, ModelsBuilder,
    ObservationRow, ObservationsBuilder, States, Timestamp, Variable,
};
use nilometer_testing::root;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};
use tokio::runtime::Runtime as Tokio;

pub(super) const HOUR: i64 = 3_600;
pub(super) const TICKS: i64 = 60;
pub(super) const GAUGES: [&str; 3] = ["V3524010", "V3515010", "V3517010"];

pub(super) fn pipeline(set: &[&str]) -> Arc<Pipeline> {
    let always = [
        "forecast.scenario=zero",
        "forecast.lateness=12h",
        "forecast.horizon=6h",
        "log.snapshot_every=7",
        "assimilation.members=8",
    ];
    let set: Vec<String> = always.iter().chain(set).map(|s| (*s).to_owned()).collect();
    Arc::new(Pipeline::load(&root().join("pipelines/definitions/cance.toml"), &set).unwrap())
}

/// A row on its way: hour of its time, catchment, value (none: withdrawn), and the hour in which it comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gauged {
    pub(super) hour: i64,
    pub(super) catchment: usize,
    pub(super) value: Option<f64>,
    pub(super) arrives: i64,
}

/// Rain of a period that ends with an hour, and the hour in which it comes, instead of that hour's own or beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rain {
    pub(super) hour: i64,
    pub(super) arrives: i64,
    pub(super) period_s: i64,
    pub(super) repeats: bool,
}

impl Rain {
    pub(super) fn late(hour: i64, arrives: i64) -> Self {
        Self { hour, arrives, period_s: HOUR, repeats: false }
    }
}

pub(super) fn reading(hour: i64, catchment: usize) -> f64 {
    let (size, phase) = ([9.0, 3.0, 0.8][catchment], hour as f64 + 3.0 * catchment as f64);
    size * (1.2 + (phase / 9.0).sin())
}

pub(super) fn on_time() -> Vec<Gauged> {
    let row = |hour, catchment| Gauged { hour, catchment, value: Some(reading(hour, catchment)), arrives: hour };
    (1..TICKS).flat_map(|hour| (0..GAUGES.len()).map(move |catchment| row(hour, catchment))).collect()
}

/// Rows of which the first gauge's of an hour is far off, and what comes later instead (none: withdrawn).
pub(super) fn wrong(hour: i64, arrives: i64, value: Option<f64>) -> Vec<Gauged> {
    let mut rows = on_time();
    let row = rows.iter_mut().find(|r| r.hour == hour && r.catchment == 0).unwrap();
    let right = Gauged { arrives, value, ..*row };
    row.value = Some(200.0);
    rows.push(right);
    rows
}

/// A river's log: every hour a message of forcing and one of what the gauges say.
pub(super) async fn write(log: &EmbeddedLog, from: Timestamp, rows: &[Gauged], rain_late: Option<Rain>) {
    for tick in 0..TICKS {
        let time = from.plus_s(tick * HOUR);
        let (mut forcings, mut observations) = (ForcingsBuilder::new(), ObservationsBuilder::new());
        let mut force = |hour: i64, catchment: &str, variable, value, period_s| {
            forcings.push(ForcingRow {
                catchment,
                variable,
                valid_time: from.plus_s(hour * HOUR),
                period_s,
                value: Some(value),
                valid_weight_fraction: 1.0,
                flag: Flag::Pass,
                flag_source: "pass",
                member: None,
                issue_time: None,
                source: "test",
                ingest_time: time,
            });
        };
        for catchment in GAUGES {
            let rain = |hour: i64| if hour % 17 < 5 { 3.0 } else { 0.0 };
            if rain_late.is_none_or(|late| late.repeats || late.hour != tick) {
                force(tick, catchment, Variable::Precipitation, rain(tick), HOUR);
            }
            if let Some(late) = rain_late.filter(|late| late.arrives == tick) {
                force(late.hour, catchment, Variable::Precipitation, rain(late.hour), late.period_s);
            }
            force(tick, catchment, Variable::PotentialEvapotranspiration, 0.05, HOUR);
        }
        for row in rows.iter().filter(|row| row.arrives == tick) {
            let (flag, flag_source) =
                if row.value.is_some() { (Flag::Pass, "pass") } else { (Flag::Missing, "withdrawn") };
            observations.push(ObservationRow {
                station: GAUGES[row.catchment],
                variable: Variable::Discharge,
                valid_time: from.plus_s(row.hour * HOUR),
                period_s: 0,
                value: row.value,
                flag,
                flag_source,
                qualifier: None,
                source: "test",
                ingest_time: time,
            });
        }
        for (contract, batch) in [
            (Contract::Forcing, forcings.finish().unwrap().into_batch()),
            (Contract::Observation, observations.finish().unwrap().into_batch()),
        ] {
            let message = Message { time, producer: "ingest", sequence: tick + 1, batch };
            log.append(Partition::new(contract, 0), message).await.unwrap();
        }
    }
}

pub(super) type Ended = Result<nilometer_engine::Balance, nilometer_forecast::ForecastError>;

/// The log as a process of its own sees it.
pub(super) fn open_log(store: &Arc<dyn ObjectStore>) -> EmbeddedLog {
    EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())
}

pub(super) fn start(
    pipeline: &Arc<Pipeline>,
    store: &Arc<dyn ObjectStore>,
    log: Arc<EmbeddedLog>,
    metrics: &Metrics,
) -> impl Future<Output = Ended> + use<> {
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.next_role();
    lifecycle.stop();
    let lateness_us = pipeline.forecast.lateness.seconds() * 1_000_000;
    let dependencies = Dependencies {
        log,
        snapshots: Snapshots::new(store.clone(), "snapshots", "forecast", 2).reaching(lateness_us),
        runtime: Runtime::open(None, &[Provider::Cpu]).unwrap(),
        models: pipeline.models.clone(),
        packages: Packages::new(PackageStore::new(store.clone()), &pipeline.models),
        metrics: ForecastMetrics::new(metrics.role("forecast"), metrics.registry()).unwrap(),
        partition: 0,
        accept_state_loss: Vec::new(),
    };
    nilometer_forecast::run(pipeline.clone(), dependencies, stop)
}

/// Issue time, catchment and lead: mean and every quantile, to the bit.
pub(super) type Numbers = BTreeMap<(i64, String, i64), Vec<u64>>;

/// What a run left behind.
pub(super) struct Left {
    pub(super) forecasts: Numbers,
    pub(super) shadow_forecasts: Numbers,
    /// of each row of both, what the members said
    pub(super) member_values: Vec<Vec<f32>>,
    /// messages of events, in order
    pub(super) events: Vec<Events>,
    /// end of step, catchment and store of each row of states
    pub(super) states: Vec<(i64, String, String)>,
    pub(super) superseding: Vec<(i64, i64, String)>,
    pub(super) dead_letters: Vec<(String, u64)>,
    /// station, valid time and the tick at which it moved the state
    pub(super) ledger: Vec<(String, i64, i64)>,
    pub(super) balance: nilometer_engine::Balance,
    pub(super) failed_shadows: u64,
}

/// A run over a river's log, which kills may interrupt.
pub(super) struct Run {
    pipeline: Arc<Pipeline>,
    pub(super) store: Arc<dyn ObjectStore>,
    tokio: Tokio,
}

impl Run {
    /// With models that have a weight from an hour on.
    pub(super) fn new(
        pipeline: &Arc<Pipeline>,
        rows: &[Gauged],
        rain_late: Option<Rain>,
        changes: &[(i64, &Mixture, f64)],
    ) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let tokio = Tokio::new().unwrap();
        tokio.block_on(async {
            let log = open_log(&store);
            write(&log, pipeline.time.from, rows, rain_late).await;
            announce(&log, &store, pipeline.time.from, changes).await;
        });
        Self { pipeline: pipeline.clone(), store, tokio }
    }

    /// Lets the role be polled so often, and drops it at an await, as a killed process ends between two writes.
    pub(super) fn kill_after(&self, polls: usize) {
        self.tokio.block_on(async {
            let mut role = pin!(self.start(Arc::new(open_log(&self.store)), &Metrics::unregistered()));
            let mut left = polls;
            std::future::poll_fn(|context| {
                left = left.saturating_sub(1);
                if left == 0 || role.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    }

    /// Drops the role once the log has so many messages of a contract.
    pub(super) fn kill_once_there_are(&self, contract: Contract, messages: u64) {
        let log = Arc::new(open_log(&self.store));
        self.tokio.block_on(async {
            tokio::select! {
                written = log.wait(Partition::new(contract, 0), messages - 1) => written.unwrap(),
                ended = self.start(log.clone(), &Metrics::unregistered()) => panic!("ended first: {ended:?}"),
            }
        });
    }

    /// Takes a package out of the store.
    pub(super) fn forget(&self, models: &Mixture) {
        let folder = object_store::path::Path::from("models").join(models.content_sha256());
        self.tokio.block_on(async {
            let files: Vec<_> = self.store.list(Some(&folder)).try_collect().await.unwrap();
            assert!(!files.is_empty());
            for file in files {
                self.store.delete(&file.location).await.unwrap();
            }
        });
    }

    fn start(&self, log: Arc<EmbeddedLog>, metrics: &Metrics) -> impl Future<Output = Ended> + use<> {
        start(&self.pipeline, &self.store, log, metrics)
    }

    /// Runs to the end.
    pub(super) fn end(&self) -> Left {
        self.tokio.block_on(async {
            let metrics = Metrics::unregistered();
            let balance = self.start(Arc::new(open_log(&self.store)), &metrics).await.unwrap();
            left(&open_log(&self.store), balance, failed_shadows(&metrics)).await
        })
    }
}

pub(super) fn live(pipeline: &Arc<Pipeline>, rows: &[Gauged], rain_late: Option<Rain>, kill_after: &[usize]) -> Left {
    live_with(pipeline, rows, rain_late, kill_after, &[])
}

/// With models that have a weight from an hour on.
pub(super) fn live_with(
    pipeline: &Arc<Pipeline>,
    rows: &[Gauged],
    rain_late: Option<Rain>,
    kill_after: &[usize],
    changes: &[(i64, &Mixture, f64)],
) -> Left {
    let run = Run::new(pipeline, rows, rain_late, changes);
    kill_after.iter().for_each(|polls| run.kill_after(*polls));
    run.end()
}

/// Puts models into the log, each with its weight from an hour on.
async fn announce(log: &EmbeddedLog, store: &Arc<dyn ObjectStore>, from: Timestamp, changes: &[(i64, &Mixture, f64)]) {
    for (number, (hour, models, weight)) in (1..).zip(changes) {
        PackageStore::new(store.clone()).publish(models).await.unwrap();
        let time = from.plus_s(hour * HOUR);
        let mut row = ModelsBuilder::new();
        row.push(ModelRow {
            name: models.name(),
            version: models.version(),
            package_sha256: models.content_sha256(),
            weights_sha256: models.weights_sha256(),
            weight: *weight,
            reason: "a test",
            author: "test",
            announcement: number,
            ingest_time: time,
        });
        let batch = row.finish().unwrap().into_batch();
        let message = Message { time, producer: "ingest", sequence: number.cast_signed(), batch };
        log.append(Partition::new(Contract::Model, 0), message).await.unwrap();
    }
}

fn failed_shadows(metrics: &Metrics) -> u64 {
    let families = metrics.registry().gather();
    let family = families.iter().find(|family| family.name() == "nilometer_forecast_failed_shadows_total").unwrap();
    family.get_metric()[0].get_counter().get_value() as u64
}

/// What the log holds after a run.
async fn left(log: &EmbeddedLog, balance: nilometer_engine::Balance, failed_shadows: u64) -> Left {
    let mut found = Left {
        forecasts: BTreeMap::new(),
        shadow_forecasts: BTreeMap::new(),
        member_values: Vec::new(),
        events: Vec::new(),
        states: Vec::new(),
        superseding: Vec::new(),
        dead_letters: Vec::new(),
        ledger: Vec::new(),
        balance,
        failed_shadows,
    };
    for contract in [Contract::Forecast, Contract::ShadowForecast] {
        let mut at = 0;
        while let Some(Entry::Record(record)) = log.read(Partition::new(contract, 0), at).await.unwrap() {
            at += 1;
            let rows = Forecasts::try_from(record.batch).unwrap();
            for row in 0..rows.len() {
                let shadow = rows.is_shadow(row);
                assert_eq!(shadow, contract == Contract::ShadowForecast);
                let issued = rows.issue_time().value(row);
                let mut numbers = vec![rows.mean().value(row).to_bits()];
                numbers.extend(nilometer_schemas::QUANTILE_LEVELS.map(|l| rows.quantile(l).value(row).to_bits()));
                let members = rows.member_values().is_valid(row).then(|| rows.member_values().value(row));
                let members = members.map_or_else(Vec::new, |m| m.as_primitive::<Float32Type>().values().to_vec());
                found.member_values.push(members);
                let key = (issued, rows.catchment().value(row).to_owned(), rows.lead_time_s().value(row));
                let into = if shadow { &mut found.shadow_forecasts } else { &mut found.forecasts };
                assert!(into.insert(key, numbers).is_none(), "a forecast came twice");
                if !shadow && !rows.reason().value(row).is_empty() {
                    let reason = rows.reason().value(row).to_owned();
                    found.superseding.push((issued, rows.supersedes().value(row), reason));
                }
            }
        }
    }
    found.superseding.dedup();
    let mut at = 0;
    while let Some(Entry::Record(record)) = log.read(Partition::new(Contract::Event, 0), at).await.unwrap() {
        at += 1;
        found.events.push(Events::try_from(record.batch).unwrap());
    }
    let mut at = 0;
    while let Some(Entry::Record(record)) = log.read(Partition::new(Contract::State, 0), at).await.unwrap() {
        at += 1;
        let rows = States::try_from(record.batch).unwrap();
        let row = |r: usize| {
            (rows.valid_time().value(r), rows.catchment().value(r).to_owned(), rows.store().value(r).to_owned())
        };
        found.states.extend((0..rows.len()).map(row));
    }
    let mut at = 0;
    while let Some(Entry::Record(record)) = log.read(Partition::new(Contract::Analysis, 0), at).await.unwrap() {
        at += 1;
        let rows = Analyses::try_from(record.batch).unwrap();
        let row =
            |r: usize| (rows.station().value(r).to_owned(), rows.valid_time().value(r), rows.analysis_time().value(r));
        found.ledger.extend((0..rows.len()).map(row));
    }
    let mut at = 0;
    while let Some(Entry::Record(record)) = log.read(Partition::new(Contract::DeadLetter, 0), at).await.unwrap() {
        at += 1;
        let dead_letters = DeadLetters::try_from(record.batch).unwrap();
        found.dead_letters.extend(
            (0..dead_letters.len()).map(|r| (dead_letters.reason().value(r).to_owned(), dead_letters.rows().value(r))),
        );
    }
    found
}

/// Forecasts issued from `hour` on.
pub(super) fn since(left: &Left, pipeline: &Pipeline, hour: i64) -> Vec<(i64, String, i64, Vec<u64>)> {
    numbers_since(&left.forecasts, pipeline, hour)
}

pub(super) fn numbers_since(numbers: &Numbers, pipeline: &Pipeline, hour: i64) -> Vec<(i64, String, i64, Vec<u64>)> {
    let from = pipeline.time.from.plus_s(hour * HOUR).0;
    numbers.iter().filter(|(k, _)| k.0 >= from).map(|(k, v)| (k.0, k.1.clone(), k.2, v.clone())).collect()
}

pub(super) fn dead_letters_of(left: &Left, reason: &str) -> u64 {
    left.dead_letters.iter().filter(|(r, _)| r == reason).map(|(_, rows)| rows).sum()
}
