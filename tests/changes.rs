//! A definition that changes under a pipeline with a year of history: gauges come and go, the horizon grows, and those that stay are forecast to
//! the last bit as in a run that never changed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{archived, files, nilometer, refused, root, succeed};
use nilometer_needs::needs;
use nilometer_schemas::{DeadLetters, Forecasts, QUANTILE_LEVELS, Timestamp};
use nilometer_testing::{Definition, TableSource, toml};

/// 2013-10-01.
const BEGIN: Timestamp = Timestamp(1_380_585_600_000_000);
const YEAR: i64 = 365;
/// Days after the change.
const AFTER: i64 = 20;
const WEATHER: [(&str, &str); 6] = [
    ("precipitation", "mm"),
    ("minimum_air_temperature", "degC"),
    ("maximum_air_temperature", "degC"),
    ("day_length", "d"),
    ("shortwave_radiation", "W m-2"),
    ("vapour_pressure", "Pa"),
];

fn day(day: i64) -> Timestamp {
    BEGIN.plus_s(day * 86_400)
}

/// Daily tables of six gauges.
fn write_tables(folder: &Path) {
    let mut weather = format!("gauge,time,{}\n", WEATHER.map(|(name, _)| name).join(","));
    let mut flow = "gauge,time,flow\n".to_owned();
    for at in 1..=YEAR + AFTER {
        let warmth = 8.0 - 12.0 * (at as f64 * std::f64::consts::TAU / 365.0).sin();
        for gauge in 0..6 {
            let rain = if (at + 5 * gauge) % 7 < 2 { 9.0 + gauge as f64 } else { 0.0 };
            writeln!(weather, "g{gauge},{},{rain},{:.2},{:.2},0.5,150,800", day(at), warmth - 4.0, warmth + 4.0)
                .unwrap();
            let read = 3.0 + (at as f64 / 9.0 + gauge as f64).sin() + gauge as f64;
            writeln!(flow, "g{gauge},{},{read}", day(at)).unwrap();
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
}

/// A definition of some of the gauges, in this order.
fn definition(folder: &Path, name: &str, gauges: &[&str], horizon: &str, until: i64) -> PathBuf {
    let mut definition = Definition::new("changes", "1d", day(1), day(until))
        .model("exphydro-local")
        .section(
            "forecast",
            toml! {
                every = "1d"
                scenario = "zero"
                wait = "2d"
                lateness = "3d"
                calibration_rate = 0.05
            },
        )
        .set("forecast.horizon", horizon)
        .section(
            "log",
            toml! { snapshot_every = 50
            retention = "600d" },
        )
        .section_of_cance("assimilation");
    for gauge in gauges {
        definition = definition.catchment(gauge, 107.0, toml! { parameters = "01022500" });
    }
    for (variable, unit) in WEATHER {
        // Rain is known two days ahead, so some of a gauge that goes still waits, and a gauge that comes has none yet.
        let delay = if variable == "precipitation" { "-2d" } else { "0s" };
        let source = TableSource::new("weather.csv", variable, variable, unit).period("1d").delay(delay);
        definition = definition.source(variable, source);
    }
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, definition.source("flow", TableSource::new("flow.csv", "flow", "discharge", "m3 s-1")).text())
        .unwrap();
    file
}

fn replay(definition: &Path, store: &Path, more: &[&str]) -> Command {
    let mut set = vec![format!("log.store={}", store.display()), "assimilation.output_updating=true".to_owned()];
    set.extend(more.iter().map(|set| (*set).to_owned()));
    nilometer("replay", definition, &set)
}

fn diff(store: &Path, definition: &Path, more: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(["state", "diff"]).arg(store).arg(definition);
    more.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    command.output().unwrap()
}

/// Every number of the forecasts issued after a day, to the bit, by catchment, issue and valid time.
fn forecasts(store: &Path, after: i64) -> BTreeMap<(String, Timestamp, Timestamp), Vec<u64>> {
    let mut found = BTreeMap::new();
    for batch in archived(store, "forecast.v1") {
        let rows = Forecasts::try_from(batch).unwrap();
        for row in (0..rows.len()).filter(|row| Timestamp(rows.issue_time().value(*row)) > day(after)) {
            let key = (
                rows.catchment().value(row).to_owned(),
                Timestamp(rows.issue_time().value(row)),
                Timestamp(rows.valid_time().value(row)),
            );
            let quantiles = QUANTILE_LEVELS.iter().map(|level| rows.quantile(*level).value(row).to_bits());
            found.insert(key, std::iter::once(rows.mean().value(row).to_bits()).chain(quantiles).collect());
        }
    }
    found
}

#[needs(onnxruntime)]
#[test]
fn gauges_come_and_go_and_the_horizon_grows_without_a_trace_in_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (steady, changed) = (folder.path().join("steady"), folder.path().join("changed"));
    write_tables(folder.path());
    let before = ["g0", "g1", "g2", "g3"];
    succeed(replay(&definition(folder.path(), "first", &before, "6d", YEAR), &steady, &[]));
    for (name, bytes) in files(&steady) {
        fs::create_dir_all(changed.join(&name).parent().unwrap()).unwrap();
        fs::write(changed.join(name), bytes).unwrap();
    }
    succeed(replay(&definition(folder.path(), "whole", &before, "6d", YEAR + AFTER), &steady, &[]));
    // g1 goes, g4 and g5 come, the order is another, and forecasts reach three days further.
    let after = definition(folder.path(), "then", &["g3", "g4", "g0", "g5", "g2"], "9d", YEAR + AFTER);
    let differs = diff(&changed, &after, &[]);
    assert_eq!(differs.status.code(), Some(0));
    let said = String::from_utf8(differs.stdout).unwrap();
    for line in
        ["g1 gone: its state is forgotten", "g4 new: begins with its initial state", "3 catchments go on as they are"]
    {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
    succeed(replay(&after, &changed, &[]));

    let (expected, found) = (forecasts(&steady, YEAR), forecasts(&changed, YEAR));
    let issues = usize::try_from(AFTER).unwrap();
    assert_eq!(expected.len(), 4 * 6 * issues);
    assert_eq!(found.len(), 5 * 9 * issues, "those that have come are forecast too, and all of them further");
    let stayed = expected.iter().filter(|((catchment, ..), _)| catchment != "g1");
    let mut compared = 0;
    for (key, numbers) in stayed {
        assert_eq!(&found[key], numbers, "{key:?}");
        compared += 1;
    }
    assert_eq!(compared, 3 * 6 * issues);

    let dead_letters: Vec<(String, u64)> = archived(&changed, "dead_letter.v1")
        .into_iter()
        .map(|batch| DeadLetters::try_from(batch).unwrap())
        .flat_map(|rows| {
            (0..rows.len())
                .map(|row| (rows.locator().value(row).to_owned(), rows.rows().value(row)))
                .collect::<Vec<_>>()
        })
        // The tables have gauges that no definition names: ingest refuses those row by row.
        .filter(|(locator, _)| !locator.contains(".csv"))
        .collect();
    assert_eq!(dead_letters, [("g1".to_owned(), 2)], "what waited of the gauge that went");

    // What an ensemble cannot go on over is refused by name, unless that is accepted.
    let fewer = ["assimilation.members=8"];
    assert_eq!(diff(&changed, &after, &fewer).status.code(), Some(3));
    let output = replay(&after, &changed, &fewer).output().unwrap();
    refused(&output, &["assimilation.members: 32", "the definition says 8", "--accept-state-loss ensemble"]);
    let mut accepted = replay(&after, &changed, &fewer);
    accepted.args(["--accept-state-loss", "ensemble"]);
    succeed(accepted);
    let step = ["time.step=12h", "time.tick=12h"];
    refused(&replay(&after, &changed, &step).output().unwrap(), &["time.step"]);
}

/// Days before the change, and after it.
const SHORT: [i64; 2] = [40, 12];

#[needs(onnxruntime)]
#[test]
fn every_method_of_assimilation_goes_on_in_those_that_stay() {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path());
    let [before, after] = SHORT;
    let first = definition(folder.path(), "first", &["g0", "g1", "g2"], "3d", before);
    let whole = definition(folder.path(), "whole", &["g0", "g1", "g2"], "3d", before + after);
    let then = definition(folder.path(), "then", &["g4", "g2", "g0"], "3d", before + after);
    for (method, members) in [("variational", 1), ("output", 1), ("enkf", 8), ("denkf", 8), ("particle", 8)] {
        let set = [
            format!("assimilation.method={method}"),
            format!("assimilation.members={members}"),
            "assimilation.output_updating=false".to_owned(),
        ];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let (steady, changed) = (folder.path().join(format!("{method}-1")), folder.path().join(format!("{method}-2")));
        for (store, last) in [(&steady, &whole), (&changed, &then)] {
            succeed(replay(&first, store, &set));
            succeed(replay(last, store, &set));
        }
        let (expected, found) = (forecasts(&steady, before), forecasts(&changed, before));
        let mut compared = 0;
        for (key, numbers) in expected.iter().filter(|((catchment, ..), _)| catchment != "g1") {
            assert_eq!(&found[key], numbers, "{method}: {key:?}");
            compared += 1;
        }
        assert_eq!(compared, 2 * 3 * usize::try_from(after).unwrap(), "{method}");
    }
}
