//! Every role on a scheduler with a seed, over a log in memory that answers late and whose store fails: which role goes on is drawn, where one
//! is killed is drawn, which call of the store fails, before or after it was done, is drawn. Whatever was drawn, the archive is that of a quiet run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::support::Arbitrary;
use crate::support::distant::Distant;
use crate::support::requests::Requests;
use crate::support::shaken::Shaken;
use bytes::Bytes;
use futures::TryStreamExt as _;
use nilometer_alert::AlertMetrics;
use nilometer_connectors::{Arrival, Source, Window};
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_drought::DroughtMetrics;
use nilometer_engine::{Clock, EmbeddedLog, Entry, Lifecycle, Log, Metrics, Numbered, Partition, Snapshots};
use nilometer_forecast::{ForecastMetrics, Packages};
use nilometer_ingest::{Action, Announcement, Lines};
use nilometer_needs::needs;
use nilometer_packages::{Mixture, PackageStore, Provider};
use nilometer_runtime::Runtime;
use nilometer_schemas::{ActionKind, Contract, Events, Level, Timestamp, Unit};
use nilometer_score::ScoreMetrics;
use nilometer_testing::{Definition, scaled, toml};
use nilometer_transforms::{AverageOptions, Averager, check::CheckRules};
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path as Key, prefix::PrefixStore,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub const GAUGES: [(&str, f64); 3] = [("V3524010", 381.7), ("V3515010", 107.0), ("V3517010", 25.3)];
pub const HOURS: i64 = 30;
const KILLS: usize = 1_000;
const PUBLISHED: [(&str, Contract); 16] = [
    ("publish_forecast", Contract::Forecast),
    ("publish_event", Contract::Event),
    ("publish_alert", Contract::Alert),
    ("publish_operator", Contract::Operator),
    ("publish_drought", Contract::Drought),
    ("publish_outlook", Contract::Outlook),
    ("publish_drought_outlook", Contract::DroughtOutlook),
    ("publish_outlook_score", Contract::OutlookScore),
    ("publish_state", Contract::State),
    ("publish_analysis", Contract::Analysis),
    ("publish_score", Contract::Score),
    ("publish_observation", Contract::Observation),
    ("publish_dead_letter", Contract::DeadLetter),
    ("publish_model", Contract::Model),
    ("publish_shadow_forecast", Contract::ShadowForecast),
    ("publish_forcing", Contract::Forcing),
];

/// What the roles are made of.
pub struct World {
    pub pipeline: Arc<Pipeline>,
    pub runtime: Runtime,
    pub models: Mixture,
    /// the same with other weights, a shadow from a third of the window on and in force from its middle on
    retrained: Mixture,
    _data: tempfile::TempDir,
}

/// Rain, evapotranspiration and rivers of thirty hours, with repeated, late and unreadable rows; and `corrected` where a gauge says three hours
/// later that it read something else.
fn tables(folder: &Path, corrected: bool) {
    let from: Timestamp = "2014-10-08T00:00:00Z".parse().unwrap();
    let mut text = "gauge,time,rain,pet\n".to_owned();
    let mut flow = "gauge,time,flow\n".to_owned();
    for hour in 1..=HOURS {
        for (place, (gauge, _)) in GAUGES.iter().enumerate() {
            let rain = if hour % 9 < 3 { 2.0 + place as f64 } else { 0.0 };
            writeln!(text, "{gauge},{},{rain},0.05", from.plus_s(hour * 3_600)).unwrap();
            let read = 3.0 + (hour as f64 / 5.0).sin() + place as f64;
            writeln!(flow, "{gauge},{},{read}", from.plus_s(hour * 3_600)).unwrap();
            if (hour + place as i64) % 7 == 0 {
                writeln!(flow, "{gauge},{},{read}\n{gauge},soon,1", from.plus_s(hour * 3_600)).unwrap();
            }
        }
        if corrected && hour % 8 == 6 {
            writeln!(flow, "{},{},5.5", GAUGES[0].0, from.plus_s((hour - 3) * 3_600)).unwrap();
        }
    }
    fs::write(folder.join("weather.csv"), text).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
}

pub fn world(corrected: bool) -> World {
    world_with(corrected, &[])
}

/// The same with more of its definition.
pub fn world_with(corrected: bool, more: &[&str]) -> World {
    let data = tempfile::tempdir().unwrap();
    tables(data.path(), corrected);
    // The filter is that of the Cance, with fewer members.
    let definition = Definition::new("simulation", "1h", "2014-10-08T01:00:00Z", "2014-10-09T06:00:00Z")
        .model("exphydro-cance")
        .section(
            "forecast",
            toml! {
                horizon = "3h"
                every = "1h"
                scenario = "zero"
                wait = "0s"
                lateness = "6h"
                score = true
                calibration_rate = 0.05
            },
        )
        .section(
            "log",
            toml! { snapshot_every = 3
            retention = "30d" },
        )
        .section_of_cance("assimilation")
        .section("drought", toml! { years = 1 })
        .weather_and_flow("10min");
    let minor = toml! { thresholds = [
        { id = "action", value = 3.6, unit = "m3 s-1", kind = "flow" },
        { id = "minor", value = 6.0, unit = "m3 s-1", kind = "flow" },
    ] };
    let of_gauge = |definition: Definition, (gauge, area_km2): (&str, f64)| {
        definition.catchment(gauge, area_km2, if gauge == GAUGES[0].0 { minor.clone() } else { toml::Table::new() })
    };
    let file = GAUGES.into_iter().fold(definition, of_gauge).write(data.path());
    let overrides: Vec<String> = more.iter().chain(&["assimilation.members=4"]).map(|set| (*set).to_owned()).collect();
    let pipeline = Arc::new(Pipeline::load(&file, &overrides).unwrap_or_else(|problems| panic!("{problems}")));
    World {
        runtime: Runtime::open(None, &[Provider::Cpu]).unwrap(),
        models: pipeline.models.clone(),
        retrained: scaled("exphydro-cance", 1.01),
        pipeline,
        _data: data,
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// A role: how it stands, and what tells it that its inputs are complete.
struct Actor {
    name: &'static str,
    /// place in the flow: a role of a later one drains when all of the earlier ones have ended
    place: usize,
    running: Option<(Running, Lifecycle)>,
    ended: bool,
}

fn cast() -> Vec<Actor> {
    let roles = [("ingest", 0), ("forecast", 1), ("score", 2), ("drought", 2), ("alert", 3)].into_iter();
    let all = roles.chain(PUBLISHED.map(|(name, _)| (name, 4)));
    all.map(|(name, place)| Actor { name, place, running: None, ended: false }).collect()
}

fn start(
    world: &World,
    name: &'static str,
    store: &Arc<dyn ObjectStore>,
    log: &Arc<dyn Log>,
    landed: &Arc<AtomicUsize>,
) -> (Running, Lifecycle) {
    let pipeline = world.pipeline.clone();
    let metrics = Metrics::unregistered();
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.next_role();
    let snapshots = Snapshots::new(store.clone(), "snapshots", name, 2);
    let log = log.clone();
    let said = |error: &dyn std::error::Error| {
        std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let running: Running = match name {
        "ingest" => {
            let window = Window { from: pipeline.time.from, until: pipeline.time.to };
            let (mut sources, mut decoders) = (Vec::new(), BTreeMap::new());
            for (name, definition) in &pipeline.sources {
                let arrival = Arrival::Delay { delay: definition.delay };
                if name == "flow" {
                    sources.push(Box::new(Requests::open(&pipeline, landed.clone())) as Box<dyn Source>);
                } else {
                    sources.push(definition.connector.open(name, arrival, &pipeline.data, window).unwrap());
                }
                decoders.insert(name.clone(), definition.connector.decoder(BTreeMap::new()).unwrap());
            }
            let rules =
                CheckRules::new(&pipeline.checks, GAUGES.map(|(gauge, _)| (gauge.to_owned(), Default::default())));
            let averager = Averager::new(Vec::new(), AverageOptions::default());
            let dependencies = nilometer_ingest::Dependencies {
                raw: Some(log.clone()),
                log,
                snapshots,
                announcements: Announcement::of_store(store.clone()),
                actions: Action::of_store(store.clone()),
                sources,
                lines: Lines { decoders, ratings: BTreeMap::new(), rules, averager },
                clock: Clock::Replay { from: pipeline.time.from, to: pipeline.time.to, every_s: 3_600, speed: None },
                snapshot_every: 3,
                growing: false,
                metrics,
                parts: Partitioning::new(&pipeline),
            };
            Box::pin(async move { nilometer_ingest::run(dependencies, stop).await.map(drop).map_err(|e| said(&e)) })
        }
        "forecast" => {
            let dependencies = nilometer_forecast::Dependencies {
                log,
                snapshots: snapshots.reaching(6 * 3_600_000_000),
                runtime: world.runtime.clone(),
                models: world.models.clone(),
                packages: Packages::new(PackageStore::new(store.clone()), &world.models),
                metrics: ForecastMetrics::new(metrics.role("forecast"), metrics.registry()).unwrap(),
                partition: 0,
                accept_state_loss: Vec::new(),
            };
            Box::pin(async move {
                nilometer_forecast::run(pipeline, dependencies, stop).await.map(drop).map_err(|e| said(&e))
            })
        }
        "score" => {
            let metrics = ScoreMetrics::new(metrics.role("score"), metrics.registry()).unwrap();
            let dependencies = nilometer_score::Dependencies { log, snapshots, metrics, partition: 0 };
            Box::pin(
                async move { nilometer_score::run(pipeline, dependencies, stop).await.map(drop).map_err(|e| said(&e)) },
            )
        }
        "drought" => {
            let metrics = DroughtMetrics::new(metrics.role("drought"), metrics.registry()).unwrap();
            let dependencies = nilometer_drought::Dependencies { log, snapshots, metrics, partition: 0 };
            Box::pin(async move {
                nilometer_drought::run(pipeline, dependencies, stop).await.map(drop).map_err(|e| said(&e))
            })
        }
        "alert" => {
            let metrics = AlertMetrics::new(metrics.role("alert"), metrics.registry()).unwrap();
            let dependencies = nilometer_alert::Dependencies { log, snapshots, metrics, partition: 0 };
            Box::pin(
                async move { nilometer_alert::run(pipeline, dependencies, stop).await.map(drop).map_err(|e| said(&e)) },
            )
        }
        _ => {
            let (_, contract) = PUBLISHED.into_iter().find(|(published, _)| *published == name).unwrap();
            let dependencies = nilometer_publish::Dependencies {
                log,
                snapshots,
                archive: Arc::new(PrefixStore::new(store.clone(), "archive")),
                metrics: metrics.role("publish"),
                partition: Partition::new(contract, 0),
                refuses_as: matches!(
                    contract,
                    Contract::Forecast
                        | Contract::Event
                        | Contract::Alert
                        | Contract::Drought
                        | Contract::State
                        | Contract::Analysis
                        | Contract::Score
                )
                .then_some(name),
                snapshot_every: 3,
            };
            Box::pin(async move { nilometer_publish::run(dependencies, stop).await.map(drop).map_err(|e| said(&e)) })
        }
    };
    (running, lifecycle)
}

/// What a run leaves: every object of the archive, and of every topic the watermarks in order.
#[derive(Debug, PartialEq)]
struct Left {
    archive: BTreeMap<String, Vec<u8>>,
    watermarks: BTreeMap<&'static str, Vec<i64>>,
}

/// What was done to a run.
#[derive(Default)]
struct Done {
    kills: usize,
    gave_up: usize,
    failed: u64,
}

/// The definition's models from the first tick on, and the others as their shadow from a third on; from the middle on the two have changed places.
async fn announce(world: &World, store: Arc<dyn ObjectStore>) {
    let (packages, announcements) = (PackageStore::new(store.clone()), Announcement::of_store(store));
    let hour = |hour: i64| Some(world.pipeline.time.from.plus_s(hour * 3_600));
    let changes = [
        (&world.models, None, 1.0),
        (&world.retrained, hour(HOURS / 3), 0.0),
        (&world.retrained, hour(HOURS / 2), 1.0),
    ];
    for (models, from, weight) in changes {
        packages.publish(models).await.unwrap();
        let announcement = Announcement::of(models, "a test".to_owned(), "simulation".to_owned(), Timestamp(0));
        announcements.ask(&Announcement { from, weight, ..announcement }).await.unwrap();
    }
}

/// What an operator does about the alerts of the first gauge, some hours after they rise.
async fn operate(world: &World, actions: &Numbered<Action>) {
    let hour = |hour: i64| Some(world.pipeline.time.from.plus_s(hour * 3_600));
    let lower = Level { value: 3.2, unit: Unit::CubicMetrePerSecond, until: hour(24) };
    let deeds = [
        (ActionKind::Acknowledge, hour(8), hour(20)),
        (ActionKind::Note, hour(9), None),
        (ActionKind::Silence, hour(9), hour(12)),
        (ActionKind::Threshold, hour(14), hour(24)),
    ];
    for (action, from, until) in deeds {
        let action = Action {
            station: GAUGES[0].0.to_owned(),
            kind: None,
            threshold: Some("action".to_owned()),
            action,
            operator: "ana".to_owned(),
            note: Some("seen from the bridge".to_owned()),
            until,
            level: (action == ActionKind::Threshold).then_some(lower),
            action_time: Timestamp(0),
            from,
        };
        actions.ask(&action).await.unwrap();
    }
}

/// Plays without a seed: the store as the roles leave it.
pub async fn quiet_store(world: &World) -> Arc<InMemory> {
    let shaken = Shaken::new(None);
    play_in(world, &shaken, None, 0).await;
    shaken.store
}

/// What a play leaves, and what was done to it.
async fn play(world: &World, seed: Option<u64>, kills: usize) -> (Left, Done) {
    let shaken = Shaken::new(seed);
    let done = play_in(world, &shaken, seed, kills).await;
    (left(&shaken.store).await, done)
}

/// Lets the roles go on in the order that a seed draws, and kills as the seed draws until `kills` is used up. No seed: one after the
/// other, and nothing fails.
async fn play_in(world: &World, shaken: &Shaken, seed: Option<u64>, kills: usize) -> Done {
    let store: Arc<dyn ObjectStore> = Arc::new(shaken.clone());
    let open = || -> Arc<dyn Log> { Arc::new(EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())) };
    announce(world, shaken.store.clone()).await;
    operate(world, &Action::of_store(shaken.store.clone())).await;
    let (mut log, mut actors, mut done) = (open(), cast(), Done::default());
    let landed = Arc::new(AtomicUsize::new(0));
    let mut arbitrary = Arbitrary(seed.unwrap_or(0));
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut steps = 0_u64;
    while actors.iter().any(|actor| !actor.ended) {
        steps += 1;
        assert!(steps < 2_000_000, "seed {seed:?}: the roles do not come to an end");
        // Tasks that roles have started go on here, and the budget of this one is filled up.
        tokio::task::yield_now().await;
        if done.kills < kills && arbitrary.below(60) == 0 {
            done.kills += 1;
            // One process of many, or all in one with what they knew of the log.
            if arbitrary.below(4) == 0 {
                actors.iter_mut().for_each(|actor| (actor.running, actor.ended) = (None, false));
                log = open();
            } else {
                let at = arbitrary.below(actors.len() as u64) as usize;
                actors[at].running = None;
            }
        }
        let chosen = match seed {
            Some(_) => arbitrary.below(actors.len() as u64) as usize,
            None => steps as usize % actors.len(),
        };
        let complete = actors.iter().all(|actor| actor.ended || actor.place >= actors[chosen].place);
        let actor = &mut actors[chosen];
        if actor.ended {
            continue;
        }
        let (running, lifecycle) = actor.running.get_or_insert_with(|| {
            // Each process has its own way to the log; in a quiet run there is none.
            let near = seed
                .map(|_| -> Arc<dyn Log> { Arc::new(Distant::new(log.clone(), Arbitrary(arbitrary.below(u64::MAX)))) });
            start(world, actor.name, &store, near.as_ref().unwrap_or(&log), &landed)
        });
        if complete && actor.place > 0 {
            lifecycle.stop();
        }
        match running.as_mut().poll(&mut context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => (actor.running, actor.ended) = (None, true),
            Poll::Ready(Err(error)) => {
                assert!(error.contains("it was drawn"), "seed {seed:?}: {} gave up: {error}", actor.name);
                done.gave_up += 1;
                actor.running = None;
            }
        }
        if steps.is_multiple_of(64) {
            for actor in &actors {
                let of_actor = Snapshots::new(shaken.store.clone(), "snapshots", actor.name, 2);
                let now = of_actor.ordinals().await.unwrap().last().copied().unwrap_or(0);
                let before = newest.insert(actor.name, now).unwrap_or(0);
                assert!(now >= before, "seed {seed:?}: the snapshots of {} went back", actor.name);
            }
        }
    }
    done.failed = shaken.failed.load(Ordering::Relaxed);
    done
}

async fn left(store: &Arc<InMemory>) -> Left {
    let mut archive = BTreeMap::new();
    let objects: Vec<ObjectMeta> = store.list(Some(&Key::from("archive"))).try_collect().await.unwrap();
    for object in objects {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        archive.insert(object.location.to_string(), bytes.to_vec());
    }
    let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
    let mut watermarks = BTreeMap::new();
    for contract in Contract::ALL {
        let partition = Partition::new(contract, 0);
        let mut times = Vec::new();
        for position in 0..log.bounds(partition).await.unwrap().end {
            let Some(Entry::Record(record)) = log.read(partition, position).await.unwrap() else {
                panic!("{partition}")
            };
            times.push(record.time.0);
        }
        watermarks.insert(contract.topic(), times);
    }
    Left { archive, watermarks }
}

/// Issue times at which the first gauge's lowest threshold was at the level that an operator had given it.
fn lowered(left: &Left) -> Vec<i64> {
    let mut times = Vec::new();
    for (_, bytes) in left.archive.iter().filter(|(key, _)| key.contains("/event.v1/")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes.clone())).unwrap().build().unwrap();
        for rows in reader.map(|batch| Events::try_from(batch.unwrap()).unwrap()) {
            let lower = |row: &usize| rows.threshold().value(*row) == "action" && rows.level_m3_s().value(*row) < 3.6;
            times.extend((0..rows.len()).filter(lower).map(|row| rows.issue_time().value(row)));
        }
    }
    times.sort_unstable();
    times
}

#[needs(onnxruntime)]
#[test]
fn whatever_is_drawn_the_archive_is_that_of_a_quiet_run() {
    let world = world(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (quiet, _) = play(&world, None, 0).await;
        assert_eq!(quiet.archive.keys().filter(|key| key.contains("/forecast.v1/")).count() as i64, HOURS);
        let ticks = &quiet.watermarks["observation.v1"];
        assert_eq!(quiet.watermarks["model.v1"], [ticks[0], ticks[ticks.len() / 3], ticks[ticks.len() / 2]]);
        let shadows = quiet.archive.keys().filter(|key| key.contains("/shadow_forecast.v1/")).count() as i64;
        assert_eq!(shadows, HOURS - HOURS / 3);
        assert!(["score.v1", "dead_letter.v1", "raw.v1"].iter().all(|topic| !quiet.watermarks[topic].is_empty()));
        assert_eq!(quiet.watermarks["drought.v1"].len(), ticks.len());
        let alerts = quiet.archive.keys().filter(|key| key.contains("/alert.v1/")).count() as i64;
        assert!(alerts > HOURS / 2, "{alerts} messages of alerts");
        assert_eq!(
            quiet.watermarks["operator.v1"],
            [ticks[8], ticks[9], ticks[14]],
            "the two actions of one hour in one message"
        );
        assert_eq!(lowered(&quiet), ticks[14..24], "from the tick that takes it until its time");
        let mut all = Done::default();
        let mut seed = 0;
        while all.kills < KILLS {
            seed += 1;
            let (left, done) = play(&world, Some(seed), 25).await;
            let name = |seed| format!("seed {seed}");
            for (topic, times) in &quiet.watermarks {
                assert_eq!(&left.watermarks[topic], times, "{}: {topic}", name(seed));
            }
            let keys = |left: &Left| left.archive.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&left), keys(&quiet), "{}", name(seed));
            let differ = quiet.archive.iter().find(|(key, bytes)| left.archive[*key] != **bytes);
            assert!(differ.is_none(), "{}: {} differs", name(seed), differ.unwrap().0);
            all.kills += done.kills;
            all.gave_up += done.gave_up;
            all.failed += done.failed;
        }
        println!(
            "{seed} seeds, {} kills, {} failures of the store, which ended {} roles",
            all.kills, all.failed, all.gave_up
        );
        assert!(all.failed > 200 && all.gave_up > 100, "{} failures, {} roles ended", all.failed, all.gave_up);
    });
}
