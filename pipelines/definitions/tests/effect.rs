//! What a definition says without effect is refused where it can only be a mistake, and warned of where it may be meant.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nilometer_definitions::Pipeline;

/// A definition of one gauge with rain, evapotranspiration and discharge from tables, and its files.
fn definition(folder: &Path) -> PathBuf {
    fs::create_dir(folder.join("data")).unwrap();
    for file in ["rain.csv", "evapotranspiration.csv", "flow.csv"] {
        fs::write(folder.join("data").join(file), "time,value\n").unwrap();
    }
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/zoo");
    let table = |name: &str, variable: &str, unit: &str, period: &str| {
        format!(
            "[source.{name}]\nkind = \"table\"\npath = \"{name}.csv\"\nstation = {{ constant = \"V3515010\" }}\n\
             time = {{ column = {{ name = \"time\", format = \"rfc3339\" }} }}\nvalue = \"value\"\n\
             variable = \"{variable}\"\nunit = \"{unit}\"\nperiod = \"{period}\"\n"
        )
    };
    let text = format!(
        r#"
name = "one gauge"
data = "data"
[time]
step = "1h"
from = "2014-10-25T00:00:00Z"
to = "2014-11-06T00:00:00Z"
[[catchment]]
id = "V3515010"
area_km2 = 107.0
[model]
package = "{}"
[assimilation]
method = "etkf"
members = 32
seed = 1
[forecast]
horizon = "24h"
scenario = "zero"
wait = "3h"
[log]
store = "out"
{}{}{}"#,
        zoo.join("hybrid-cance").display(),
        table("rain", "precipitation", "mm", "1h"),
        table("evapotranspiration", "potential_evapotranspiration", "mm", "1h"),
        table("flow", "discharge", "m3 s-1", "0s"),
    );
    let file = folder.join("one-gauge.toml");
    fs::write(&file, text).unwrap();
    file
}

/// Problems of the definition with overrides, or else its warnings.
fn said(set: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
    match Pipeline::load(&definition(folder.path()), &set) {
        Ok(pipeline) => (true, pipeline.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        Err(error) => (false, error.to_string()),
    }
}

const OTHER_FLOW: &str = r#"source.second={ kind = "table", path = "flow.csv", station = { constant = "V3515010" }, time = { column = { name = "time", format = "rfc3339" } }, value = "value", variable = "discharge", unit = "m3 s-1" }"#;
const OTHER_RAIN: &str = r#"source.second={ kind = "table", path = "rain.csv", station = { constant = "V3515010" }, time = { column = { name = "time", format = "rfc3339" } }, value = "value", variable = "precipitation", unit = "mm", period = "1h" }"#;

#[test]
fn a_definition_of_three_keys_assumes_the_errors_of_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = definition(folder.path());
    let hourly = Pipeline::load(&file, &[]).unwrap();
    assert!(hourly.warnings.is_empty(), "{:?}", hourly.warnings);
    let assumed = &hourly.assimilation;
    assert!((assumed.discharge_epsilon_mm - 0.01 / 24.0).abs() < 1e-15);
    assert_eq!(assumed.precipitation_tau.seconds(), 3_600);
    assert_eq!(assumed.output_error_dry.tau.seconds(), 33 * 3_600);
    let set = ["assimilation.rain_memory=9h".to_owned()];
    let own = Pipeline::load(&file, &set).unwrap().assimilation;
    assert_eq!(own.rain_memory.seconds(), 9 * 3_600, "what is said counts");
}

#[test]
fn what_can_only_be_a_mistake_is_refused_with_what_is_accepted() {
    for (set, expected) in [
        ("catchment=[]", "catchment: is empty"),
        ("source={}", "source: is empty"),
        ("name=\"\"", "name: is empty"),
        ("log.store=\"\"", "log.store: is empty"),
        ("log.snapshot_every=0", "log.snapshot_every: is 0; accepted is 1"),
        ("log.retention=-1d", "log.retention: is -1d; accepted is above 0s"),
        ("log.compact_after=-1h", "log.compact_after: is -1h; accepted is 0s or more"),
        ("model.providers=[]", "model.providers: is empty; accepted is cpu or cuda"),
        ("forecast.leads=[6, 1, 6]", "forecast.leads: is [6, 1, 6], which has a lead time twice"),
        ("forecast.leads=[0]", "forecast.leads: is [0]"),
        ("forecast.from=2014-11-07T00:00:00Z", "forecast.from: is 2014-11-07T00:00:00Z, behind which nothing"),
        ("forecast.until=2014-10-25T00:00:00Z", "forecast.until: is 2014-10-25T00:00:00Z, before which nothing"),
        ("source.flow.station={ constant = \"V35\" }", "source.flow.station: is \"V35\", which no catchment has"),
        ("source.flow.missing=[nan]", "source.flow.missing: has a number that no cell equals"),
        ("station_checks.V35={ gap = { step = \"1h\" } }", "station_checks.V35: is no catchment's station"),
        (OTHER_RAIN, "source.second: delivers precipitation of V3515010, which source.rain delivers too"),
    ] {
        let (accepted, text) = said(&[set]);
        assert!(!accepted && text.contains(expected) && text.contains("accepted"), "{set}: {text}");
    }
}

/// The second source of `text` with its stations in a column.
fn by_column(text: &str) -> String {
    text.replace("{ constant = \"V3515010\" }", "{ column = \"site\" }")
}

#[test]
fn sources_whose_stations_are_in_a_column_overlap_for_sure_where_there_is_one_station() {
    // A record of the past and a file that grows are two of one kind: that is warned of.
    for other in [&by_column(OTHER_FLOW), OTHER_FLOW] {
        let (accepted, text) = said(&[other]);
        assert!(accepted && text.contains("source.second: delivers discharge of V3515010, as source.flow"), "{text}");
    }
    let rating = r#"rating.V3515010=[{ version = "1", valid_from = "2010-01-01T00:00:00Z", gauged_stage_m = [0.3, 2.4], relative_error = 0.05, shape = { segments = [{ from_stage_m = 0.2, h0_m = 0.2, a = 8.0, b = 1.8 }] } }]"#;
    let stage = OTHER_FLOW.replace("discharge", "stage").replace("m3 s-1", "m");
    for stage in [by_column(&stage), stage] {
        let (accepted, text) = said(&[rating, &stage]);
        assert!(
            !accepted && text.contains("source.second: delivers discharge of V3515010, which source.flow"),
            "{text}"
        );
    }
    let two = "catchment=[{ id = \"V3515010\", area_km2 = 107.0 }, { id = \"V3517010\", area_km2 = 25.3 }]";
    let (accepted, text) = said(&[two, &by_column(OTHER_FLOW)]);
    assert!(accepted && text.contains("source.second: delivers discharge as source.flow does"), "{text}");
}

#[test]
fn what_may_be_meant_is_warned_of() {
    for (set, expected) in [
        (&["forecast.years=5"][..], "forecast.years: is for scenario = \"past_years\" and for outlooks"),
        (&["assimilation.particle_jitter=0.2"], "assimilation: particle_jitter without effect: method = \"etkf\""),
        (
            &["assimilation.method=output", "assimilation.inflation=1.1", "assimilation.members=1"],
            "assimilation: inflation without effect: method = \"output\", members = 1",
        ),
        (
            &["assimilation.members=1", "assimilation.method=none", "assimilation.store_noise_mm=0.3"],
            "store_noise_mm without effect",
        ),
        (
            &["assimilation.soil_moisture={ from = \"2013-01-01T00:00:00Z\", to = \"2014-01-01T00:00:00Z\" }"],
            "assimilation.soil_moisture: is there, but no source delivers soil_moisture",
        ),
        (&["source.flow.time_zone=Europe/Paris"], "source.flow.time_zone: is there, but times written as rfc3339"),
        (
            &["source.rain.path=rain.parquet", "source.rain.delimiter=;"],
            "source.rain.delimiter: is there, but the table is Parquet",
        ),
        (&["station_checks.V3515010={}"], "station_checks.V3515010: is empty"),
        (&["model.providers=[\"cpu\", \"cuda\"]"], "model.providers: names more than one; the first, cpu, is used"),
        (
            &[
                "source.flow.variable=air_temperature",
                "source.flow.unit=degC",
                "source.flow.period=1h",
                "assimilation.method=none",
                "forecast.calibration_rate=0.1",
                "checks.spike={ threshold = 5 }",
            ],
            "source.flow.variable: is \"air_temperature\", which hybrid-cance does not take",
        ),
        (
            &[
                "source.flow.variable=air_temperature",
                "source.flow.unit=degC",
                "source.flow.period=1h",
                "assimilation.method=none",
                "forecast.calibration_rate=0.1",
            ],
            "forecast.calibration_rate: is above 0, but no source delivers discharge",
        ),
        (
            &[
                "source.flow.variable=air_temperature",
                "source.flow.unit=degC",
                "source.flow.period=1h",
                "assimilation.method=none",
                "checks.spike={ threshold = 5 }",
            ],
            "checks: spike are of discharge and stage, which no source delivers",
        ),
    ] {
        let (accepted, text) = said(set);
        assert!(accepted && text.contains(expected), "{set:?}: {text}");
    }
}
