//! Forecasts made again: an explanation begins and ends with what was issued, to the last bit, over late rows, other weights and other levels; what
//! would be under other rain; and nothing of either is written.

use std::{collections::BTreeMap, fs, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
};
use futures::TryStreamExt as _;
use nilometer_engine::{EmbeddedLog, Metrics, Snapshots};
use nilometer_forecast::{Explanation, Packages, Part, Rain, SandboxDependencies, SandboxError, explain, what_if};
use nilometer_needs::needs;
use nilometer_packages::PackageStore;
use nilometer_schemas::{Contract, Forecasts, Timestamp};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, memory::InMemory, prefix::PrefixStore};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    simulation::{GAUGES, HOURS, World, quiet_store, world, world_with},
    support::{definition, files, nilometer, refused, service::Service, succeed, window},
};

const GAUGE: &str = GAUGES[0].0;
const STATION: &str = "V3524010";
/// The night of the flood.
const FROM: &str = "2014-11-02T00:00:00Z";
const TO: &str = "2014-11-04T08:00:00Z";

fn sandbox(world: &World, store: &Arc<InMemory>) -> SandboxDependencies {
    SandboxDependencies {
        pipeline: world.pipeline.clone(),
        partition: 0,
        log: Arc::new(EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())),
        snapshots: Snapshots::new(store.clone(), "snapshots", "forecast", 2),
        runtime: world.runtime.clone(),
        models: world.models.clone(),
        packages: Packages::new(PackageStore::new(store.clone()), &world.models),
    }
}

async fn objects(store: &Arc<InMemory>) -> BTreeMap<String, Vec<u8>> {
    let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let mut found = BTreeMap::new();
    for object in listed {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        found.insert(object.location.to_string(), bytes.to_vec());
    }
    found
}

/// The forecasts of the gauge in the archive, by issue time.
async fn issued(store: &Arc<InMemory>) -> BTreeMap<i64, RecordBatch> {
    let archive: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(store.clone(), "archive"));
    let mut found = BTreeMap::<i64, RecordBatch>::new();
    nilometer_archive::visit::<nilometer_archive::ArchiveError>(&*archive, Contract::Forecast, None, |batch| {
        let rows = Forecasts::try_from(batch).unwrap();
        let mine: BooleanArray = rows.catchment().iter().map(|name| Some(name == Some(GAUGE))).collect();
        let rows = filter_record_batch(rows.batch(), &mine).unwrap();
        let issue_time = Forecasts::try_from(rows.clone()).unwrap().issue_time().value(0);
        let all = found
            .remove(&issue_time)
            .map_or_else(|| rows.clone(), |before| concat_batches(&rows.schema(), [&before, &rows]).unwrap());
        found.insert(issue_time, all);
        Ok(())
    })
    .await
    .unwrap();
    found
}

fn stage(explained: &Explanation, part: Part) -> &Forecasts {
    &explained.stages.iter().find(|stage| stage.part == part).unwrap().forecasts
}

#[needs(onnxruntime)]
#[test]
fn an_explanation_begins_and_ends_with_what_was_issued() {
    let world = world(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = quiet_store(&world).await;
        let (issued, untouched) = (issued(&store).await, objects(&store).await);
        assert_eq!(issued.len() as i64, HOURS);
        let hour = |hour: i64| world.pipeline.time.from.plus_s((hour - 1) * 3_600);
        let (mut changed, mut late) = (BTreeMap::<&str, usize>::new(), 0);
        for (against, issue) in (2..HOURS).map(|hour| (hour, hour + 1)).chain([(2, 9), (9, 14), (13, 17), (20, 27)]) {
            let explained = explain(sandbox(&world, &store), GAUGE, hour(issue), hour(against)).await.unwrap();
            // Every column, where it comes from and why it was issued among them.
            assert!(*explained.before.batch() == issued[&hour(against).0], "{against}");
            assert!(*stage(&explained, Part::Model).batch() == issued[&hour(issue).0], "{against} to {issue}");
            late += usize::from(explained.before.reason().iter().flatten().any(|reason| reason.contains("late")));
            let mut last = &explained.before;
            for of_part in &explained.stages {
                let values = |forecasts: &Forecasts| forecasts.quantile(0.5).clone();
                *changed.entry(of_part.part.name()).or_default() +=
                    usize::from(values(&of_part.forecasts) != values(last));
                last = &of_part.forecasts;
            }
            // The other weights are in force from the middle on.
            let swapped = (against..issue).contains(&(HOURS / 2));
            let same = stage(&explained, Part::Model).mean() == stage(&explained, Part::Thresholds).mean();
            assert_eq!(same, !swapped, "{against} to {issue}");
            let of = |rows: &nilometer_schemas::Analyses| (0..rows.len()).map(|row| rows.valid_time().value(row)).max();
            let newest = explained.analyses.iter().filter_map(of).max();
            assert!(
                newest.is_some_and(|newest| newest > hour(against).0 - 7 * 3_600_000_000),
                "the readings are named"
            );
        }
        for part in ["elapsed", "weather", "gauges", "calibration", "model"] {
            assert!(changed[part] > 0, "{part}: {changed:?}");
        }
        assert_eq!(changed["thresholds"], 0, "a level changes no flow");
        assert!(late > 0, "no late row led to a forecast");
        assert_eq!(objects(&store).await, untouched, "something was written");
    });
}

#[needs(onnxruntime)]
#[test]
fn a_forecast_that_a_late_row_led_to_is_explained_also_without_that_row() {
    let world = world_with(true, &["forecast.every=4h"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = quiet_store(&world).await;
        let issued = issued(&store).await;
        let off: Vec<i64> =
            issued.keys().copied().filter(|time| !Timestamp(*time).is_multiple_of_s(4 * 3_600)).collect();
        assert!(!off.is_empty(), "no forecast between two that were due");
        for issue in off {
            let against = *issued.range(..issue).next_back().unwrap().0;
            let explained =
                explain(sandbox(&world, &store), GAUGE, Timestamp(issue), Timestamp(against)).await.unwrap();
            assert!(*explained.before.batch() == issued[&against]);
            assert!(*stage(&explained, Part::Model).batch() == issued[&issue]);
            // The corrected reading is what the gauges changed.
            assert!(stage(&explained, Part::Weather).mean() != stage(&explained, Part::Gauges).mean());
        }
        // Between two issues there is nothing to explain.
        let (first, second) = (*issued.keys().next().unwrap(), *issued.keys().nth(1).unwrap());
        let between = Timestamp(second).plus_s(-3_600);
        let refused = explain(sandbox(&world, &store), GAUGE, between, Timestamp(first)).await.unwrap_err();
        assert!(matches!(refused, SandboxError::NotIssued { .. }), "{refused:?}");
    });
}

#[needs(onnxruntime)]
#[test]
fn other_rain_changes_the_forecast_and_nothing_that_is_kept() {
    let world = world(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = quiet_store(&world).await;
        let (issued, untouched) = (issued(&store).await, objects(&store).await);
        let hour = |hour: i64| world.pipeline.time.from.plus_s((hour - 1) * 3_600);
        let issue = hour(21);
        let rain = |since: Option<i64>, factor: f64, series: &[(i64, f64)]| Rain {
            since: since.map(hour),
            factor,
            series_mm: series.iter().map(|(at, mm)| (hour(*at), *mm)).collect(),
        };
        let last = |forecasts: &Forecasts| forecasts.quantile(0.5).value(forecasts.len() - 1);
        let made = async |rain: Rain| what_if(sandbox(&world, &store), GAUGE, issue, &rain).await.unwrap();
        let nothing = made(rain(Some(15), 1.0, &[])).await;
        assert!(*nothing.issued.batch() == issued[&issue.0] && nothing.changed.batch() == nothing.issued.batch());
        assert!(made(rain(None, 5.0, &[])).await.changed.batch() == nothing.issued.batch(), "no rain is forecast");
        let wetter = made(rain(Some(15), 4.0, &[])).await;
        assert!(wetter.issued.batch() == nothing.issued.batch());
        assert!(last(&wetter.changed) > last(&wetter.issued));
        let odds = |made: &nilometer_forecast::WhatIf| {
            [&made.issued_events, &made.changed_events].map(|events| events.probability().value(1))
        };
        let storm = made(rain(None, 1.0, &[(22, 80.0), (23, 80.0)])).await;
        assert!(last(&storm.changed) > 2.0 * last(&storm.issued));
        let [before, after] = odds(&storm);
        assert!(after > before && after > 0.9, "{before} {after}");
        let dry = made(rain(Some(12), 0.0, &[])).await;
        assert!(last(&dry.changed) < last(&dry.issued));
        for (asked, words) in [
            (rain(None, 11.0, &[]), "accepted is 0 to 10"),
            (rain(None, f64::NAN, &[]), "accepted is 0 to 10"),
            (rain(Some(22), 2.0, &[]), "not behind it"),
            (rain(None, 1.0, &[(21, 3.0)]), "behind"),
            (rain(None, 1.0, &[(22, -3.0)]), "accepted is 0 to 1000"),
        ] {
            let refused = what_if(sandbox(&world, &store), GAUGE, issue, &asked).await.unwrap_err();
            assert!(matches!(&refused, SandboxError::Question(said) if said.contains(words)), "{refused}");
        }
        let off_the_hour = Timestamp(issue.0 + 60_000_000);
        let refused = what_if(sandbox(&world, &store), GAUGE, off_the_hour, &rain(None, 2.0, &[])).await.unwrap_err();
        assert!(matches!(&refused, SandboxError::NotIssued { .. }), "{refused}");
        let refused = explain(sandbox(&world, &store), GAUGE, hour(90), hour(21)).await.unwrap_err();
        assert!(matches!(&refused, SandboxError::NotIssued { .. }), "{refused}");
        assert_eq!(objects(&store).await, untouched, "something was written");
    });
}

#[needs(cance)]
#[test]
fn a_change_is_split_exactly_and_other_rain_is_tried_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let set = window(&store, FROM, TO);
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let forecast = |issue: &str| service.get(&format!("/stations/{STATION}/forecast?issue={issue}")).json();
    let (before, after) = (forecast("2014-11-04T02:00:00Z"), forecast("2014-11-04T05:00:00Z"));
    let path = format!("/stations/{STATION}/explain?issue=2014-11-04T05:00:00Z&against=2014-11-04T02:00:00Z");
    let answer = service.get(&path);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let split = answer.json();
    // What both speak of: 21 of 24 hours.
    assert_eq!(split["valid_time"].as_array().unwrap().len(), 21);
    assert_eq!(numbers(&split["before"]["quantiles"]["q50"]), numbers(&before["quantiles"]["q50"])[3..]);
    assert_eq!(numbers(&split["after"]["quantiles"]["q50"]), numbers(&after["quantiles"]["q50"])[..21]);
    let mut sum = numbers(&split["before"]["quantiles"]["q95"]);
    let parts: Vec<&str> =
        split["changes"].as_array().unwrap().iter().map(|change| change["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["elapsed", "weather", "gauges", "calibration", "thresholds", "model"]);
    for change in split["changes"].as_array().unwrap() {
        sum.iter_mut().zip(numbers(&change["quantiles"]["q95"])).for_each(|(sum, change)| *sum += change);
    }
    let end = numbers(&split["after"]["quantiles"]["q95"]);
    assert!(sum.iter().zip(&end).all(|(sum, end)| (sum - end).abs() < 1e-9 * end), "{sum:?} {end:?}");
    for odds in split["odds"].as_array().unwrap() {
        let changes: f64 = odds["changes"].as_object().unwrap().values().map(|change| change.as_f64().unwrap()).sum();
        let whole = odds["after"].as_f64().unwrap() - odds["before"].as_f64().unwrap();
        assert!((changes - whole).abs() < 1e-12, "{odds}");
    }
    let read: Vec<&str> =
        split["readings"].as_array().unwrap().iter().map(|row| row["valid_time"].as_str().unwrap()).collect();
    assert_eq!(read, ["2014-11-04T03:00:00Z", "2014-11-04T04:00:00Z", "2014-11-04T05:00:00Z"]);
    assert!(split["readings"][0]["stores_mm"]["soil_store"].is_f64());
    let newest = service.get(&format!("/stations/{STATION}/explain")).json();
    assert_eq!((&newest["issue_time"], &newest["against"]), (&json!(TO), &json!("2014-11-04T07:00:00Z")));

    let archive = || files(&store.join("archive"));
    let untouched = archive();
    let ask = |body: Value| service.request(Method::POST, "/what-if", |request| request.json(&body));
    let wetter = ask(json!({"station": STATION, "issue": "2014-11-04T05:00:00Z", "rain_factor": 1.5}));
    assert_eq!(wetter.status, StatusCode::OK, "{}", wetter.text());
    let wetter = wetter.json();
    assert_eq!(wetter["issued"]["quantiles"]["q50"], after["quantiles"]["q50"]);
    assert_eq!(wetter["what_if"]["scenario"], "what_if");
    let peak = |which: &str| numbers(&wetter[which]["quantiles"]["q50"]).into_iter().fold(0.0, f64::max);
    assert!(peak("what_if") > 1.2 * peak("issued"), "{} {}", peak("issued"), peak("what_if"));
    assert!(wetter["odds"].as_array().unwrap().iter().all(|odds| odds["what_if"].as_f64() >= odds["issued"].as_f64()));
    let storm = json!({"station": STATION, "rain": [{"valid_time": "2014-11-04T09:00:00Z", "mm": 60.0}]});
    assert_eq!(ask(storm).json()["issue_time"], TO);
    assert_eq!(ask(json!({"station": STATION, "rain_factor": 1.0})).json()["notes"].as_array().unwrap().len(), 1);
    assert_eq!(archive(), untouched, "something was published");
    for (body, status) in [
        (json!({"station": STATION}), 400),
        (json!({"station": STATION, "rain_factor": 40}), 400),
        (json!({"station": STATION, "rain": [{"valid_time": "2014-11-04T09:10:00Z", "mm": 1.0}]}), 400),
        (json!({"station": STATION, "rain_factor": 1, "issue": "2014-11-04T05:10:00Z"}), 404),
        (json!({"station": "none", "rain_factor": 1}), 404),
        (json!({"station": STATION, "snow": 1}), 422),
    ] {
        let refused = ask(body.clone());
        assert_eq!(refused.status.as_u16(), status, "{body} {}", refused.text());
        assert_eq!(refused.header("content-type"), "application/problem+json", "{body}");
    }
    let counted = service.root("/metrics").text();
    let asked = |status: &str| {
        let line = counted.lines().find(|line| line.contains(&format!("serve_requests_total{{status=\"{status}\"}}")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).unwrap_or(0)
    };
    assert!(asked("200") == 7 && asked("400") == 3 && asked("422") == 1, "{counted}");
    assert!(counted.contains("nilometer_serve_stream_clients 0"), "{counted}");
    for (query, status) in [
        ("against=2014-11-04T08:00:00Z&issue=2014-11-04T05:00:00Z", 400),
        ("issue=2014-12-04T05:00:00Z", 404),
        ("issue=yesterday", 400),
    ] {
        let refused = service.get(&format!("/stations/{STATION}/explain?{query}"));
        assert_eq!(refused.status.as_u16(), status, "{query} {}", refused.text());
    }
    // The commands say the same of a store at rest.
    service.process.signal("TERM");
    service.process.end();
    let said = |command: &str, more: &[&str]| {
        let mut command = nilometer(command, &definition(), &set);
        command.args([STATION, "2014-11-04T05:00:00Z"]).args(more);
        String::from_utf8(succeed(command).stdout).unwrap()
    };
    let median = |value: &Value, at: usize| format!("{:.2}", numbers(&value["quantiles"]["q50"])[at]);
    let explained = said("explain", &["--against", "2014-11-04T02:00:00Z"]);
    for word in ["calibration", "Minor flood", "the gauge read", &median(&before, 3), &median(&after, 0)] {
        assert!(explained.contains(word), "{word} is not in {explained}");
    }
    let rain = folder.path().join("rain.csv");
    fs::write(&rain, "valid_time,mm\n2014-11-04T06:00:00Z,30\n").unwrap();
    let tried = said("what-if", &["--rain", rain.to_str().unwrap()]);
    assert!(tried.contains(&median(&after, 23)) && tried.contains("Major flood"), "{tried}");
    // What another definition makes of the log is no explanation of what was issued.
    let mut other = nilometer("explain", &definition(), &set);
    other.args([STATION, "2014-11-04T05:00:00Z", "--set", "assimilation.discharge_relative_error=0.5"]);
    refused(&other.output().unwrap(), &["cannot be made again as it was issued", "the definition"]);
    fs::write(&rain, "valid_time,mm\nsoon,30\n").unwrap();
    let mut damaged = nilometer("what-if", &definition(), &set);
    damaged.args([STATION, "2014-11-04T05:00:00Z", "--rain", rain.to_str().unwrap()]);
    refused(&damaged.output().unwrap(), &["line 2 is soon,30", "accepted is 2014-11-04T21:00:00Z,3.2"]);
}
