//! Six-hourly gauges with gaps, and the weather of past years: `hindcast`, `verify` and `replay` over the layout of the Northwest River
//! Forecast Center.

use std::{collections::BTreeSet, process::Command};

use crate::support::{archived, folder::six_hourly, means, refused, root, succeed};
use nilometer_needs::needs;
use nilometer_schemas::{Analyses, Forecasts};

#[needs(onnxruntime)]
#[test]
fn six_hourly_gauges_are_forecast_and_scored_with_their_gaps() {
    let rain_mm = |step: i64| if step % 24 < 5 { 4.0 } else { 0.0 };
    let (folder, out) = (six_hourly(31 + 28, rain_mm), tempfile::tempdir().unwrap());
    let hindcast = |to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["hindcast", "pipelines/definitions/nwrfc-6hourly.toml", "--set"]);
        command.arg(format!("source.path={}", folder.path().display()));
        command.args(["--warm-up-from", "2010-01-01", "--from", "2010-02-01", "--to", to, "--leads", "1,4", "--out"]);
        command.arg(out.path());
        command
    };
    refused(&hindcast("2010-02-28").output().unwrap(), &["2010-03-01T00:00:00Z", "no forcing", "2010-02-28T18:00:00Z"]);
    succeed(hindcast("2010-02-28T18:00:00Z"));
    let means = means(out.path());
    assert_eq!(means.len(), 2 * 2);
    for gauge in ["SAKW1", "WCHW1"] {
        let [next, day] = [1, 4].map(|lead| &means[&(gauge.to_owned(), lead * 21_600)]);
        // Every six hours of February after its first instant.
        assert_eq!((next.len(), day.len()), (28 * 4 - 1, 28 * 4 - 1));
        assert!(next.values().all(|flow| *flow > 0.0));
    }
    let mut verify = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    let table = succeed({
        verify.arg("verify").arg(out.path());
        verify
    });
    let table = String::from_utf8(table.stdout).unwrap();
    // A reading in seventeen is missing, of two gauges at two lead times.
    let missing = (31 * 4 + 1..59 * 4).filter(|step| step % 17 == 3).count() * 4;
    assert!(
        table.contains(&format!("{} forecasts met an observation, {missing} did not", 111 * 4 - missing)),
        "{table}"
    );
    let mut given = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    given.arg("verify").arg(out.path()).arg("--observations").arg(folder.path());
    let given = String::from_utf8(succeed(given).stdout).unwrap();
    assert!(given.contains("6.0000 h") && given.contains("1 d"), "{given}");
}

#[needs(onnxruntime)]
#[test]
fn what_past_years_brought_may_come_again() {
    // February was wet in 2010 and is dry in 2011.
    let rain_mm = |step: i64| match step / 4 {
        31..59 => 12.0,
        _ => f64::from(u8::from(step % 24 == 0)),
    };
    let folder = six_hourly(365 + 31 + 28, rain_mm);
    let flow = |scenario: &str| {
        let out = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["hindcast", "pipelines/definitions/nwrfc-6hourly.toml"]);
        for set in [
            format!("source.path={}", folder.path().display()),
            format!("forecast.scenario={scenario}"),
            "forecast.every=24h".to_owned(),
            "assimilation.members=4".to_owned(),
        ] {
            command.args(["--set", &set]);
        }
        command.args(["--warm-up-from", "2010-01-01", "--from", "2011-01-20", "--to", "2011-02-20", "--leads", "40"]);
        succeed({
            command.args(["--assimilation", "none", "--out"]).arg(out.path());
            command
        });
        let said: Vec<String> = archived(out.path(), "forecast.v1")
            .into_iter()
            .flat_map(|batch| {
                let rows = Forecasts::try_from(batch).unwrap();
                (0..rows.len()).map(|row| rows.scenario().value(row).to_owned()).collect::<Vec<_>>()
            })
            .collect();
        assert!(!said.is_empty() && said.iter().all(|s| s == scenario), "{said:?}");
        let means = means(out.path());
        means[&("WCHW1".to_owned(), 864_000)].values().next_back().copied().unwrap()
    };
    let (past, dry) = (flow("past_years"), flow("zero"));
    assert!(past > 2.0 * dry, "with the rain of 2010 {past} m3/s, without rain {dry}");

    // The years are in the snapshot: a restart says the same.
    let replayed = |days: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        for day in days {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
            command.current_dir(root()).args(["replay", "pipelines/definitions/nwrfc-6hourly.toml"]);
            for set in [
                format!("source.path={}", folder.path().display()),
                format!("log.store={}", out.path().display()),
                "time.from=2010-01-01T06:00:00Z".to_owned(),
                format!("time.to={day}T00:00:00Z"),
                "forecast.scenario=past_years".to_owned(),
                "forecast.years=2".to_owned(),
                "forecast.every=48h".to_owned(),
                "assimilation.members=3".to_owned(),
            ] {
                command.args(["--set", &set]);
            }
            succeed(command);
        }
        means(out.path())
    };
    assert_eq!(replayed(&["2011-02-01", "2011-02-09"]), replayed(&["2011-02-09"]));

    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(["validate", "pipelines/definitions/nwrfc-6hourly.toml", "--set"]);
    command.arg(format!("source.path={}", folder.path().display()));
    command.args(["--set", "forecast.scenario=past_years", "--set", "forecast.years=0"]);
    command.args(["--set", "assimilation.also_update=[\"memory\"]"]);
    let words = ["assimilation.members", "another year", "forecast.years", "also_update", "memory", "soil_store"];
    refused(&command.output().unwrap(), &words);
}

#[needs(onnxruntime)]
#[test]
fn a_gauge_of_the_folder_informs_the_one_above_it() {
    let folder = six_hourly(20, |step| if step % 24 < 5 { 4.0 } else { 0.0 });
    let moved = |more: &str| {
        let out = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["hindcast", "pipelines/definitions/nwrfc-6hourly.toml"]);
        let path = format!("source.path={}", folder.path().display());
        for set in [&path, "assimilation.method=etkf", "assimilation.members=8", "forecast.horizon=6h", more] {
            command.args(["--set", set]);
        }
        command.args(["--warm-up-from", "2010-01-01", "--from", "2010-01-10", "--to", "2010-01-15", "--out"]);
        succeed({
            command.arg(out.path());
            command
        });
        let of_batch = |batch| {
            let rows = Analyses::try_from(batch).unwrap();
            let words = |row| [rows.station().value(row), rows.catchment().value(row)].map(str::to_owned);
            (0..rows.len()).map(words).collect::<Vec<_>>()
        };
        archived(out.path(), "analysis.v1").into_iter().flat_map(of_batch).collect::<BTreeSet<_>>()
    };
    let pair = |station: &str, catchment: &str| [station, catchment].map(str::to_owned);
    let own = [pair("SAKW1", "SAKW1"), pair("WCHW1", "WCHW1")];
    assert_eq!(moved("assimilation.seed=2"), own.clone().into());
    let [of_lower, of_upper] = own;
    let river = moved("assimilation.river={ half_width_km = 40.0, correlation = 0.6 }");
    assert_eq!(river, [of_lower, pair("SAKW1", "WCHW1"), of_upper].into());
    assert_eq!(moved("assimilation.river={ half_width_km = 20.0, correlation = 0.6 }").len(), 2, "42.6 km are too far");
    let mut uphill = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    uphill.current_dir(root()).args(["validate", "pipelines/definitions/nwrfc-6hourly.toml"]);
    uphill.args(["--set", &format!("source.path={}", folder.path().display())]);
    uphill.args(["--set", "source.downstream={ WCHW1 = { id = \"SAKW1\", river_km = -1.0 } }"]);
    refused(&uphill.output().unwrap(), &["source.downstream", "WCHW1"]);
}
