//! Forecasts made again: an explanation begins and ends with what was issued, to the last bit, over late rows, other weights and other levels; what
//! would be under other rain; and nothing of either is written.

use std::{collections::BTreeMap, sync::Arc};

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

use crate::simulation::{GAUGES, HOURS, World, quiet_store, world};

const GAUGE: &str = GAUGES[0].0;

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
