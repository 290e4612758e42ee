//! A gauge that reports stage: its station's rating curve makes it discharge, and all behind it is as if it had been measured.

use std::{fmt::Write as _, fs, path::Path};

use crate::support::{
    archived, cance, data_beside, definition, means, nilometer, refused, service::Service, succeed, window,
};
use arrow::array::Array;
use nilometer_needs::needs;
use nilometer_schemas::{Analyses, Forecasts, Observations, STAGE_LEVELS};

const GAUGE: &str = "V3515010";
const H0_M: f64 = 0.2;
const A: f64 = 8.0;
const B: f64 = 1.8;

/// The data with the gauge's discharge written as the stage that its rating gives it.
fn with_stage(cance: &Path) -> tempfile::TempDir {
    let data = data_beside(cance);
    let path = data.path().join(format!("qobs/{GAUGE}.csv"));
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let mut stages = format!("{}\n", lines.next().unwrap());
    for line in lines {
        let discharge_m3_s: f64 = line.trim().parse().unwrap();
        let stage = if discharge_m3_s < 0.0 { discharge_m3_s } else { H0_M + (discharge_m3_s / A).powf(1.0 / B) };
        writeln!(stages, "{stage}").unwrap();
    }
    fs::write(&path, stages).unwrap();
    data
}

fn rating(relative_error: f64) -> String {
    format!(
        "rating.{GAUGE}=[{{ version = \"7\", valid_from = \"2000-01-01T00:00:00Z\", gauged_stage_m = [0.2, 9.0], \
         relative_error = {relative_error}, shape = {{ segments = [{{ from_stage_m = {H0_M}, h0_m = {H0_M}, a = {A}, b = {B} }}] }} }}]"
    )
}

#[needs(cance)]
#[test]
fn a_rated_stage_is_worth_a_discharge_and_less_where_its_curve_is_unsure() {
    let cance = cance();
    let data = with_stage(&cance);
    let of_stage = [
        format!("data={}", data.path().display()),
        format!("source.discharge_{GAUGE}.variable=stage"),
        format!("source.discharge_{GAUGE}.unit=m"),
        "assimilation.stage_error_m=0".to_owned(),
    ];
    let run = |set: &[String]| {
        let store = tempfile::tempdir().unwrap();
        let mut all = window(store.path(), "2014-11-03T00:00:00Z", "2014-11-04T12:00:00Z");
        all.extend_from_slice(set);
        let mut hindcast = nilometer("hindcast", &definition(), &all);
        hindcast.arg("--out").arg(store.path());
        succeed(hindcast);
        store
    };
    // How sure of the gauge each analysis was, in the order of time.
    let errors = |store: &Path| -> Vec<f64> {
        let of_gauge = |batch| {
            let rows = Analyses::try_from(batch).unwrap();
            (0..rows.len())
                .filter(|row| rows.station().value(*row) == GAUGE)
                .map(|row| rows.error_std().value(row))
                .collect::<Vec<_>>()
        };
        archived(store, "analysis.v1").into_iter().flat_map(of_gauge).collect()
    };
    let measured = run(&[]);
    let rated = run(&[&of_stage[..], &[rating(0.0)]].concat());
    let unsure = run(&[&of_stage[..], &[rating(0.3)]].concat());

    let (as_measured, as_rated) = (means(measured.path()), means(rated.path()));
    assert_eq!(as_measured.len(), as_rated.len());
    for (key, series) in &as_measured {
        for (time, mean) in series {
            let other = as_rated[key][time];
            assert!((mean - other).abs() < 1e-4 * (1.0 + mean), "{key:?} {time}: {mean} and {other}");
        }
    }
    let (sure, doubted) = (errors(rated.path()), errors(unsure.path()));
    assert_eq!((sure.len(), doubted.len()), (errors(measured.path()).len(), sure.len()));
    assert!(sure.iter().zip(&doubted).all(|(sure, doubted)| doubted > sure) && !sure.is_empty());

    // Its forecasts are in stage too; those of gauges without a rating are not.
    let mut stages = 0;
    for batch in archived(rated.path(), "forecast.v1") {
        let rows = Forecasts::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let of_gauge = rows.catchment().value(row) == GAUGE;
            assert_eq!(rows.rating_version().is_valid(row), of_gauge);
            assert_eq!(STAGE_LEVELS.map(|level| rows.stage(level).is_valid(row)), [of_gauge; STAGE_LEVELS.len()]);
            if !of_gauge {
                continue;
            }
            assert_eq!(rows.rating_version().value(row), "7");
            let mut extrapolated = false;
            for level in STAGE_LEVELS {
                let stage_m = H0_M + (rows.quantile(level).value(row) / A).powf(1.0 / B);
                assert!((rows.stage(level).value(row) - stage_m).abs() < 1e-9, "{level}: {stage_m}");
                extrapolated |= !(0.2..=9.0).contains(&stage_m);
            }
            assert_eq!(rows.rating_extrapolated().value(row), extrapolated);
            stages += 1;
        }
    }
    assert!(stages > 500, "{stages}");
    for batch in archived(measured.path(), "forecast.v1") {
        let rows = Forecasts::try_from(batch).unwrap();
        assert_eq!(rows.rating_version().null_count(), rows.len());
    }

    let said: Vec<(String, Option<String>)> = archived(rated.path(), "observation.v1")
        .into_iter()
        .flat_map(|batch| {
            let rows = Observations::try_from(batch).unwrap();
            let of_gauge = |row: &usize| rows.station().value(*row) == GAUGE;
            let word = |row| rows.qualifier().is_valid(row).then(|| rows.qualifier().value(row).to_owned());
            let said = |row: usize| (rows.variable().value(row).to_owned(), word(row));
            (0..rows.len()).filter(of_gauge).map(said).collect::<Vec<_>>()
        })
        .collect();
    assert!(!said.is_empty());
    assert!(said.iter().all(|row| *row == ("discharge".to_owned(), Some("rating=7".to_owned()))), "{said:?}");
}

#[needs(cance)]
#[test]
fn a_rated_gauge_is_served_in_stage_too() {
    let folder = tempfile::tempdir().unwrap();
    let levels = folder.path().join("levels.csv");
    fs::write(&levels, format!("id,flood stage\n{GAUGE},1.5\n")).unwrap();
    let mut set = window(&folder.path().join("store"), "2014-11-03T12:00:00Z", "2014-11-03T18:00:00Z");
    set.push(rating(0.05));
    set.push(format!(
        "stations={{ path = \"{}\", station = \"id\", thresholds = [{{ id = \"flood\", column = \"flood stage\", unit = \"m\", kind = \"stage\" }}] }}",
        levels.display()
    ));
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let stage_m = |discharge_m3_s: f64| H0_M + (discharge_m3_s / A).powf(1.0 / B);
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let of_gauge = service.get(&format!("/stations/{GAUGE}")).json()["properties"].clone();
    let (read, flood) = (&of_gauge["observed"], &of_gauge["events"][0]);
    assert!((number(&read["stage_m"]) - stage_m(number(&read["value"]))).abs() < 1e-9, "{read}");
    assert_eq!(number(&flood["stage_m"]), 1.5);
    assert!((stage_m(number(&flood["value"])) - 1.5).abs() < 1e-9, "{flood}");
    let forecast = service.get(&format!("/stations/{GAUGE}/forecast")).json();
    assert_eq!(forecast["stage"]["rating_version"], "7");
    let of_level = |of: &serde_json::Value, level: &str| -> Vec<f64> {
        of[level].as_array().unwrap().iter().map(number).collect()
    };
    for level in ["q05", "q25", "q50", "q75", "q95"] {
        let flows = of_level(&forecast["quantiles"], level);
        let stages = of_level(&forecast["stage"]["quantiles_m"], level);
        assert_eq!(flows.len(), stages.len());
        assert!(flows.iter().zip(&stages).all(|(flow, stage)| (stage_m(*flow) - stage).abs() < 1e-9), "{level}");
    }
    let unrated = service.get("/stations/V3524010").json();
    assert_eq!(unrated["properties"]["observed"]["stage_m"], serde_json::Value::Null);
    assert!(service.get("/stations/V3524010/forecast").json().get("stage").is_none());
}

#[needs(cance)]
#[test]
fn a_stage_that_nothing_rates_is_refused_before_the_first_row() {
    let set = [format!("source.discharge_{GAUGE}.variable=stage"), format!("source.discharge_{GAUGE}.unit=m")];
    let output = nilometer("validate", &definition(), &set).output().unwrap();
    refused(&output, &["source.discharge_V3515010.variable", "[[rating.STATION]]"]);
    let elsewhere = [rating(0.05).replace(GAUGE, "X1")];
    refused(
        &nilometer("validate", &definition(), &elsewhere).output().unwrap(),
        &["rating.X1", "no catchment's station"],
    );
    let falling = [rating(-1.0)];
    refused(
        &nilometer("validate", &definition(), &falling).output().unwrap(),
        &["rating 7", "relative error", "0 to 10"],
    );
}
