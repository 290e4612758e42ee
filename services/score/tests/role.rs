//! Forecasts meet what came: every pair once, with baselines that know no more than they could, and the same after any kill.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{collections::BTreeMap, future::Future, path::Path, pin::pin, sync::Arc, task::Poll};

use arrow::{
    array::{Array, RecordBatch, UInt64Array},
    compute::{concat_batches, filter_record_batch},
};
use futures::TryStreamExt as _;
use nilometer_definitions::{Pipeline, Threshold, ThresholdKind};
use nilometer_engine::{
    Balance, EmbeddedLog, Entry, Lifecycle, Log, Message, Metrics, Partition, Registry, Snapshots, retain,
};
use nilometer_needs::needs;
use nilometer_schemas::{
    Contract, Flag, ForecastRow, ForecastsBuilder, ObservationRow, ObservationsBuilder, QUANTILE_LEVELS, Scores,
    Timestamp, Unit, Variable,
};
use nilometer_score::{Dependencies, ScoreError, ScoreMetrics};
use nilometer_statistics::{crps_quantiles, kge_2009, nse};
use nilometer_testing::root;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use tokio::runtime::Runtime as Tokio;

const HOUR: i64 = 3_600;
const TICKS: i64 = 80;
const LEADS: i64 = 6;
const GAUGES: [&str; 3] = ["V3524010", "V3515010", "V3517010"];

fn pipeline() -> Arc<Pipeline> {
    let set = ["forecast.horizon=6h", "forecast.lateness=12h", "log.snapshot_every=7"].map(str::to_owned);
    let mut pipeline = Pipeline::load(&root().join("pipelines/definitions/cance.toml"), &set).unwrap();
    pipeline.catchments[0].thresholds = vec![Threshold {
        id: "twelve".to_owned(),
        name: None,
        value: 12.0,
        unit: Unit::CubicMetrePerSecond,
        kind: ThresholdKind::Flow,
        below: false,
        source: None,
    }];
    Arc::new(pipeline)
}

fn flow(hour: i64, catchment: usize) -> f64 {
    [9.0, 3.0, 0.8][catchment] * (1.2 + ((hour as f64 + 3.0 * catchment as f64) / 9.0).sin())
}

/// When the reading of an hour comes; some are late, some never do.
fn arrives(hour: i64, catchment: usize) -> Option<i64> {
    match (hour + catchment as i64) % 13 {
        0 => None,
        5 => Some(hour + 4),
        _ => Some(hour),
    }
}

fn quantiles(issued: i64, lead: i64, catchment: usize) -> [f64; QUANTILE_LEVELS.len()] {
    // A float32 each, as models say them.
    let middle = flow(issued, catchment) + 0.1 * lead as f64;
    QUANTILE_LEVELS.map(|level| f64::from((middle * (0.5 + level)) as f32))
}

async fn write(log: &EmbeddedLog, from: Timestamp, ticks: std::ops::Range<i64>) {
    write_with(log, from, ticks, Feed::default()).await;
}

/// What else the log has.
#[derive(Default, Clone, Copy)]
struct Feed {
    /// seconds of readings after their hour
    offset_s: i64,
    /// whether a shadow forecasts from tick 20 to 50
    shadow: bool,
}

/// The forecasts of a tick, those of a shadow with four times the water.
fn forecasts(tick: i64, time: Timestamp, shadow: bool) -> RecordBatch {
    let mut forecasts = ForecastsBuilder::new();
    for (catchment, gauge) in GAUGES.into_iter().enumerate() {
        for lead in 1..=LEADS {
            let quantiles = quantiles(tick, lead, catchment).map(|q| if shadow { 4.0 * q } else { q });
            forecasts.push(ForecastRow {
                catchment: gauge,
                variable: Variable::Discharge,
                issue_time: time,
                valid_time: time.plus_s(lead * HOUR),
                mean: quantiles[9],
                quantiles: &quantiles,
                tails: None,
                simulated: None,
                members: 8,
                scenario: "zero",
                state_time: time,
                filled_steps: 0,
                model: "straight",
                model_version: "1",
                weights_sha256: if shadow { "ff" } else { "00" },
                observation_position: 0,
                forcing_position: 0,
                supersedes: None,
                reason: None,
                stage: None,
                member_values: None,
                shadow,
            });
        }
    }
    forecasts.finish().unwrap().into_batch()
}

async fn write_with(log: &EmbeddedLog, from: Timestamp, ticks: std::ops::Range<i64>, feed: Feed) {
    let Feed { offset_s, shadow } = feed;
    for tick in ticks {
        let time = from.plus_s(tick * HOUR);
        let mut observations = ObservationsBuilder::new();
        for (catchment, gauge) in GAUGES.into_iter().enumerate() {
            for hour in (tick - 4).max(0)..=tick {
                let mut read = |value: Option<f64>, flag| {
                    observations.push(ObservationRow {
                        station: gauge,
                        variable: Variable::Discharge,
                        valid_time: from.plus_s(hour * HOUR + offset_s),
                        period_s: 0,
                        value,
                        flag,
                        flag_source: "test",
                        qualifier: None,
                        source: "test",
                        ingest_time: time,
                    });
                };
                if arrives(hour, catchment) == Some(tick) {
                    read(Some(flow(hour, catchment)), Flag::Pass);
                } else if hour == tick {
                    // What has failed its checks is no observation, and neither is a gap.
                    read(Some(900.0), Flag::Fail);
                    read(None, Flag::Missing);
                }
                // A correction comes an hour later.
                if arrives(hour, catchment) == Some(tick - 1) && hour % 11 == 0 {
                    read(Some(500.0), Flag::Pass);
                }
            }
        }
        for (contract, producer, batch) in [
            (Contract::Observation, "ingest", observations.finish().unwrap().into_batch()),
            (Contract::ShadowForecast, "forecast", forecasts(tick, time, true)),
            (Contract::Forecast, "forecast", forecasts(tick, time, false)),
        ] {
            if contract == Contract::ShadowForecast && !(shadow && (20..50).contains(&tick)) {
                continue;
            }
            let message = Message { time, producer, sequence: tick + 1, batch };
            log.append(Partition::new(contract, 0), message).await.unwrap();
        }
    }
}

fn start(
    pipeline: &Arc<Pipeline>,
    store: &Arc<dyn ObjectStore>,
    registry: &Registry,
) -> impl Future<Output = Result<Balance, ScoreError>> + use<> {
    let metrics = Metrics::unregistered();
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.next_role();
    lifecycle.stop();
    let dependencies = Dependencies {
        log: Arc::new(EmbeddedLog::new(store.clone(), "log", &metrics)),
        snapshots: Snapshots::new(store.clone(), "snapshots", "score", 2),
        metrics: ScoreMetrics::new(metrics.role("score"), registry).unwrap(),
        partition: 0,
    };
    nilometer_score::run(pipeline.clone(), dependencies, stop)
}

/// Starts the role and drops it at an await, as a killed process ends between two writes.
async fn kill_after(polls: usize, pipeline: &Arc<Pipeline>, store: &Arc<dyn ObjectStore>) {
    let mut role = pin!(start(pipeline, store, &Registry::default()));
    let mut left = polls;
    std::future::poll_fn(|context| {
        left = left.saturating_sub(1);
        if left == 0 || role.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Every batch of scores in the log.
async fn scores(log: &EmbeddedLog) -> Vec<Scores> {
    let mut found = Vec::new();
    while let Some(Entry::Record(record)) =
        log.read(Partition::new(Contract::Score, 0), found.len() as u64).await.unwrap()
    {
        found.push(Scores::try_from(record.batch).unwrap());
    }
    found
}

/// Every batch of scores, and where every forecast went.
fn run(pipeline: &Arc<Pipeline>, registry: &Registry, kills: &[usize]) -> (Vec<Scores>, Balance) {
    run_with(pipeline, registry, kills, Feed::default())
}

fn run_with(pipeline: &Arc<Pipeline>, registry: &Registry, kills: &[usize], feed: Feed) -> (Vec<Scores>, Balance) {
    Tokio::new().unwrap().block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
        write_with(&log, pipeline.time.from, 0..TICKS, feed).await;
        for polls in kills {
            kill_after(*polls, pipeline, &store).await;
        }
        let balance = start(pipeline, &store, registry).await.unwrap();
        (scores(&log).await, balance)
    })
}

#[needs(cance)]
#[test]
fn each_forecast_is_judged_by_the_newest_word_beside_what_was_known_when_it_was_issued() {
    let pipeline = pipeline();
    let registry = Registry::default();
    let (scores, balance) = run(&pipeline, &registry, &[]);
    let from = pipeline.time.from;
    let hour = |time: i64| Timestamp(time).seconds_since(from) / HOUR;
    let mut series: BTreeMap<(String, i64), BTreeMap<i64, [f64; 2]>> = BTreeMap::new();
    let (mut judged, mut revised, mut briers) = (0, 0, 0);
    let mut newest_counts: BTreeMap<(String, i64), [u64; 4]> = BTreeMap::new();
    for rows in &scores {
        for row in 0..rows.len() {
            let name = rows.catchment().value(row);
            let catchment = GAUGES.iter().position(|g| *g == name).unwrap();
            let (issued, valid) = (hour(rows.issue_time().value(row)), hour(rows.valid_time().value(row)));
            let lead = rows.lead_time_s().value(row) / HOUR;
            let of = series.entry((name.to_owned(), lead)).or_default();
            let again = of.contains_key(&valid);
            let observed = if again { 500.0 } else { flow(valid, catchment) };
            assert_eq!((rows.observed().value(row), valid - issued), (observed, lead));
            let read = arrives(valid, catchment).unwrap() + i64::from(again);
            assert_eq!(hour(rows.score_time().value(row)), read, "when it was read");
            let said = quantiles(issued, lead, catchment);
            let crps = crps_quantiles(&QUANTILE_LEVELS, &said, observed).unwrap();
            assert!((rows.crps().value(row) - crps).abs() < 1e-12);
            // The newest reading that had come by the issue time.
            let known = (0..=issued).rev().find(|h| arrives(*h, catchment).is_some_and(|a| a <= issued));
            // A correction that came by then is the newest word on its hour.
            let corrected = |h: i64| h % 11 == 0 && arrives(h, catchment).unwrap() < issued;
            let persisted = known.map(|h| if corrected(h) { 500.0 } else { flow(h, catchment) });
            let error = persisted.map(|p| (f64::from(p as f32) - observed).abs());
            assert_eq!(rows.crps_persistence().is_valid(row), error.is_some());
            assert!(error.is_none_or(|e| (rows.crps_persistence().value(row) - e).abs() < 1e-9), "{name} {issued}");
            assert!(rows.crps_climatology().is_null(row), "three days are no climate");
            of.insert(valid, [observed, said[9]]);
            assert_eq!(rows.pairs().value(row), of.len() as u64);
            if of.len() > 3 {
                let (observed, simulated): (Vec<f64>, Vec<f64>) = of.values().map(|[o, s]| (*o, *s)).unzip();
                assert!((rows.nse().value(row) - nse(&observed, &simulated).unwrap()).abs() < 1e-9);
                assert!((rows.kge().value(row) - kge_2009(&observed, &simulated).unwrap()).abs() < 1e-9);
            }
            // What was counted so far never goes back.
            let floods = [rows.flood_hits(), rows.flood_misses(), rows.flood_false_alarms()].map(|counts| {
                counts.value(row).as_any().downcast_ref::<UInt64Array>().unwrap().iter().flatten().sum::<u64>()
            });
            let counted = [floods[0], floods[1], floods[2], rows.peaks().value(row)];
            let before = newest_counts.insert((name.to_owned(), lead), counted).unwrap_or_default();
            assert!(counted.iter().zip(before).all(|(now, before)| *now >= before), "{name}: {before:?}, {counted:?}");
            if again {
                revised += 1;
                continue;
            }
            judged += 1;
            briers += rows.brier().value(row).len();
        }
    }
    assert!(briers > 100 && judged > 1_000 && revised > 50, "{briers} {judged} {revised}");
    assert_eq!((balance.used, balance.received), (judged, (TICKS * LEADS * 3) as u64));
    assert!(balance.pending > 0 && balance.missing > 0, "{balance:?}");
    let shown = registry.gather();
    let total = |name: &str| -> f64 {
        let family = shown.iter().find(|f| f.name() == name).unwrap();
        family.get_metric().iter().map(|m| m.get_counter().get_value()).sum()
    };
    assert_eq!(total("nilometer_score_forecasts_total"), judged as f64);
    assert_eq!(total("nilometer_score_revised_total"), f64::from(revised));
    assert_eq!(total("nilometer_score_thresholds_total"), briers as f64);
    assert!(total("nilometer_score_covered_total") < judged as f64);
    let of_gauge = |lead: i64| newest_counts[&(GAUGES[0].to_owned(), lead)];
    let [hits, misses, ..] = of_gauge(1);
    assert!(hits > 0 && hits + misses <= 4, "a flood every 57 hours, some hidden by gaps: {newest_counts:?}");
    assert!(of_gauge(1)[1] + of_gauge(1)[2] <= of_gauge(LEADS)[1] + of_gauge(LEADS)[2], "{newest_counts:?}");
    assert_eq!(newest_counts[&(GAUGES[1].to_owned(), 1)], [0; 4], "no thresholds");
    let counted: u64 = (1..=LEADS).map(|lead| of_gauge(lead)[..3].iter().sum::<u64>()).sum();
    assert!(total("nilometer_score_floods_total") >= counted as f64 && counted > 0);
}

#[needs(cance)]
#[test]
fn a_forecast_is_judged_by_readings_on_either_side_of_its_hour_and_the_same_after_any_kill() {
    let pipeline = pipeline();
    let registry = Registry::default();
    let (before_s, share) = (-300, 300.0 / HOUR as f64);
    let feed = Feed { offset_s: before_s, shadow: false };
    let whole = run_with(&pipeline, &registry, &[], feed);
    let mut revised = 0;
    let mut judged = BTreeMap::new();
    for rows in &whole.0 {
        for row in 0..rows.len() {
            let catchment = GAUGES.iter().position(|g| *g == rows.catchment().value(row)).unwrap();
            let hour = Timestamp(rows.valid_time().value(row)).seconds_since(pipeline.time.from) / HOUR;
            let read = [hour, hour + 1].map(|h| arrives(h, catchment).expect("both readings are there"));
            let key = (catchment, hour, rows.issue_time().value(row));
            let again = judged.insert(key, rows.observed().value(row)).is_some();
            revised += u64::from(again);
            if !again {
                let score_hour = Timestamp(rows.score_time().value(row)).seconds_since(pipeline.time.from) / HOUR;
                assert_eq!(score_hour, *read.iter().max().unwrap(), "when the later of the two had come");
            }
            // A reading of every eleventh hour is corrected.
            let read = |h: i64| [flow(h, catchment), if h % 11 == 0 { 500.0 } else { flow(h, catchment) }];
            let expected = read(hour).map(|a| read(hour + 1).map(|b| (1.0 - share) * a + share * b));
            let observed = rows.observed().value(row);
            assert!(expected.iter().flatten().any(|value| (value - observed).abs() < 1e-9), "{hour}: {observed}");
        }
    }
    assert!(judged.len() > 800 && revised > 50, "{} {revised}", judged.len());
    assert_eq!(whole.1.used, judged.len() as u64);
    for kills in [vec![9], vec![40, 25, 3], vec![150, 79, 2]] {
        assert!(run_with(&pipeline, &Registry::default(), &kills, feed) == whole, "after {kills:?} polls");
    }
}

#[needs(cance)]
#[test]
fn a_shadow_is_scored_apart_and_the_model_in_force_as_without_it() {
    let pipeline = pipeline();
    let (shadow, registry) = (Feed { offset_s: 0, shadow: true }, Registry::default());
    let (alone, with_shadow) = (run(&pipeline, &Registry::default(), &[]), run_with(&pipeline, &registry, &[], shadow));
    let rows = |(scores, _): &(Vec<Scores>, Balance), shadow: bool| {
        let batches: Vec<RecordBatch> = scores.iter().map(|rows| rows.batch().clone()).collect();
        let all = Scores::try_from(concat_batches(&Contract::Score.schema(), &batches).unwrap()).unwrap();
        let mask = all.shadow().iter().map(|is| Some(is == Some(shadow))).collect();
        Scores::try_from(filter_record_batch(all.batch(), &mask).unwrap()).unwrap()
    };
    assert!(rows(&with_shadow, false) == rows(&alone, false));
    let of_shadow = rows(&with_shadow, true);
    let judged = with_shadow.1.used - alone.1.used;
    assert_eq!(with_shadow.1.received - alone.1.received, (30 * LEADS * 3) as u64);
    assert!(of_shadow.len() as u64 >= judged && judged > 400, "{judged}");
    assert_eq!(of_shadow.pairs().value(0), 1, "it begins to count with its first");
    let last = of_shadow.len() - 1;
    assert!(
        of_shadow.pairs().value(last) > 20 && of_shadow.nse().value(last) < 0.0,
        "four times the water is no skill"
    );
    let shown = registry.gather();
    let total = |name: &str, of: &str| -> f64 {
        let family = shown.iter().find(|f| f.name() == name).unwrap();
        let is = |m: &&prometheus::proto::Metric| m.get_label().iter().any(|l| l.name() == "shadow" && l.value() == of);
        family.get_metric().iter().filter(is).map(|m| m.get_counter().get_value()).sum()
    };
    assert_eq!(total("nilometer_score_forecasts_total", "false"), alone.1.used as f64);
    assert_eq!(total("nilometer_score_forecasts_total", "true"), judged as f64);
    for kills in [vec![9], vec![40, 25, 3], vec![150, 79, 2], vec![200, 30]] {
        assert!(run_with(&pipeline, &Registry::default(), &kills, shadow) == with_shadow, "after {kills:?} polls");
    }
}

/// Writes the snapshot of this version that later builds must read: `NILOMETER_FREEZE=1`.
#[needs(cance)]
#[test]
fn a_snapshot_in_the_middle_of_a_shadow_is_what_is_frozen() {
    let pipeline = pipeline();
    let bytes = Tokio::new().unwrap().block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
        write_with(&log, pipeline.time.from, 0..40, Feed { offset_s: 0, shadow: true }).await;
        start(&pipeline, &store, &Registry::default()).await.unwrap();
        let snapshots: Vec<_> = store.list(Some(&"snapshots/score".into())).try_collect().await.unwrap();
        let newest = snapshots.into_iter().map(|object| object.location).max().unwrap();
        store.get(&newest).await.unwrap().bytes().await.unwrap()
    });
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen/scores-3.arrow");
    if std::env::var_os("NILOMETER_FREEZE").is_some() {
        std::fs::write(&frozen, &bytes).unwrap();
    }
    assert!(
        std::fs::read(frozen).unwrap() == bytes,
        "a snapshot of this version changed: give it a version of its own"
    );
}

#[needs(cance)]
#[test]
fn a_role_that_is_killed_at_any_moment_says_the_same() {
    let pipeline = pipeline();
    let whole = run(&pipeline, &Registry::default(), &[]);
    for kills in [vec![2], vec![3, 2], vec![9], vec![20, 9], vec![40, 25, 3], vec![60], vec![150, 79, 2]] {
        let killed = run(&pipeline, &Registry::default(), &kills);
        assert!(killed == whole, "after {kills:?} polls");
    }
}

#[needs(cance)]
#[test]
fn a_role_whose_last_snapshot_never_came_says_the_same() {
    let pipeline = pipeline();
    let whole = run(&pipeline, &Registry::default(), &[]);
    // The scores behind the last snapshot but one stand in the log already, and are made again.
    for crashed_at in [8, 20, 41, 79] {
        let again = Tokio::new().unwrap().block_on(async {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
            write(&log, pipeline.time.from, 0..crashed_at).await;
            start(&pipeline, &store, &Registry::default()).await.unwrap();
            let snapshots: Vec<_> = store.list(Some(&"snapshots/score".into())).try_collect().await.unwrap();
            let newest = snapshots.into_iter().map(|object| object.location).max().unwrap();
            store.delete(&newest).await.unwrap();
            write(&log, pipeline.time.from, crashed_at..TICKS).await;
            let balance = start(&pipeline, &store, &Registry::default()).await.unwrap();
            (scores(&log).await, balance)
        });
        assert!(again == whole, "crashed at tick {crashed_at}");
    }
}

#[needs(cance)]
#[test]
fn what_has_left_the_log_or_rots_in_it_is_lost_and_the_rest_is_judged() {
    let pipeline = pipeline();
    let (whole, all) = run(&pipeline, &Registry::default(), &[]);
    // The role sees so many ticks of the first forty, then something changes, then come the others.
    let judged = |before: i64, change: &'static str| {
        Tokio::new().unwrap().block_on(async {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
            write(&log, pipeline.time.from, 0..before).await;
            start(&pipeline, &store, &Registry::default()).await.unwrap();
            match change {
                "nothing" => {}
                "trimmed" => {
                    write(&log, pipeline.time.from, 0..40).await;
                    for contract in [Contract::Observation, Contract::Forecast] {
                        retain(&log, Partition::new(contract, 0), 0, 20).await.unwrap();
                    }
                }
                topic => {
                    let key = format!("log/{topic}/0/{:020}.arrow", 38);
                    store.put(&key.into(), b"rotten".as_slice().into()).await.unwrap();
                }
            }
            write(&log, pipeline.time.from, 40..TICKS).await;
            start(&pipeline, &store, &Registry::default()).await.unwrap()
        })
    };
    assert_eq!(judged(40, "nothing"), all);
    // A role that begins when twenty messages have gone already.
    assert_eq!(judged(0, "trimmed").received, all.received - 20 * 18, "what the log still has");
    // Of the forecasts of tick 38, read before and read again, those that had not been judged are lost.
    let rotten = judged(40, "forecast.v1");
    let lost = rotten.rejected_rows();
    assert_eq!(rotten.received, all.received);
    assert!(lost > 0 && lost <= 18 && rotten.used >= all.used - lost, "{rotten:?} {all:?}");
    // What had been judged by readings that are gone now waits again, and is given up.
    let unread = judged(40, "observation.v1");
    assert_eq!((unread.received, unread.rejected_rows()), (all.received, 0));
    assert!(!whole.is_empty() && unread.used < all.used && unread.missing + unread.pending > all.missing + all.pending);
}
