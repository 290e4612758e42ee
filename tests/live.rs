//! Operations: files that grow while the services run, with the wall clock.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::support::{archived, nilometer, refused, root, start, succeed};
use nilometer_needs::needs;
use nilometer_packages::Mixture;
use nilometer_schemas::{DeadLetters, Forecasts, Models, Observations, Timestamp};
use nilometer_testing::{Definition, cance, copy_package, scale_weights, toml};

const GAUGE: &str = "V3517010";

fn this_hour() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let now = Timestamp(i64::try_from(now).unwrap());
    now.plus_s(1).ceil_s(3_600).plus_s(-3_600)
}

fn definition(folder: &Path, from: Timestamp) -> String {
    Definition::new("live", "1h", from, from.plus_s(3_600))
        .set("data", "data")
        .set("time.tick", "1s")
        .set("log.store", folder.join("store").display().to_string())
        .catchment(
            GAUGE,
            25.3,
            toml! {
                outlet_x_m = 828269.0
                outlet_y_m = 6469198.0
            },
        )
        .set("network.flow_directions", cance().join("france_flow_directions.tif").display().to_string())
        .set("network.area_tolerance", 0.15)
        .model("hybrid-cance")
        .section(
            "assimilation",
            toml! {
                method = "etkf"
                members = 8
                seed = 1
                discharge_epsilon_mm = 0.005
                discharge_relative_error = 0.1
                discharge_absolute_error_mm = 0.002
                precipitation_sigma = 0.3
                precipitation_tau = "1h"
                output_error_dry = { sigma = 0.1, tau = "33h" }
                output_error_wet = { sigma = 0.3, tau = "4h" }
                rain_memory = "6h"
                full_wetness_mm = 2.0
            },
        )
        .section(
            "forecast",
            toml! {
                horizon = "6h"
                every = "1s"
                scenario = "zero"
                wait = "0h"
                lateness = "1d"
            },
        )
        .files_of_one_gauge(GAUGE)
        .text()
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Waits for something that the services will do, at most a minute.
fn until(process: &mut Child, what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(process.try_wait().unwrap().is_none(), "the process ended before {what}");
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} did not happen in a minute");
        std::thread::yield_now();
    }
}

fn terminate(mut process: Child) {
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    assert!(process.wait().unwrap().success());
}

fn observed(store: &Path) -> Vec<f64> {
    archived(store, "observation.v1")
        .into_iter()
        .map(|b| Observations::try_from(b).unwrap())
        .flat_map(|o| o.value().iter().flatten().collect::<Vec<_>>())
        .collect()
}

#[needs(cance)]
#[test]
fn rows_are_taken_as_they_arrive_once_each_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("data"), folder.path().join("store"));
    fs::create_dir(&data).unwrap();
    let now = this_hour();
    for (name, value) in [("rain", 2.0), ("evapotranspiration", 0.05), ("flow", 1.0)] {
        let mut text = String::from("time,value\n");
        for hour in -5..=0 {
            writeln!(text, "{},{}", now.plus_s(hour * 3_600), value + 0.1 * (hour + 5) as f64).unwrap();
        }
        fs::write(data.join(format!("{name}.csv")), text).unwrap();
    }
    let file = folder.path().join("live.toml");
    fs::write(&file, definition(folder.path(), now.plus_s(-5 * 3_600))).unwrap();

    let mut process = start(nilometer("run", &file, &[]));
    until(&mut process, "a forecast", || !archived(&store, "forecast.v1").is_empty());
    let forecast = Forecasts::try_from(archived(&store, "forecast.v1").remove(0)).unwrap();
    assert_eq!(forecast.len(), 6);
    assert!(forecast.state_time().value(0) >= now.0, "history has warmed the state up to this hour");
    assert!(
        forecast.valid_time().values().iter().all(|t| Timestamp(*t).is_multiple_of_s(3_600)),
        "valid at the ends of steps"
    );

    // A line that is half written is not read before its end has come.
    append(&data.join("flow.csv"), &format!("{},7", now.plus_s(-3_600)));
    let forecasts = archived(&store, "forecast.v1").len();
    until(&mut process, "another forecast", || archived(&store, "forecast.v1").len() > forecasts + 1);
    assert!(archived(&store, "dead_letter.v1").is_empty());
    append(&data.join("flow.csv"), "7.5\n");
    // It corrects a value that was used: the state goes back, the forecast says why, and the old row is kept with its reason.
    let reasons = || -> Vec<String> {
        let forecasts = archived(&store, "forecast.v1").into_iter().map(|b| Forecasts::try_from(b).unwrap());
        forecasts.flat_map(|f| f.reason().iter().flatten().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    until(&mut process, "a forecast that takes the place of another", || !reasons().is_empty());
    assert!(reasons()[0].starts_with("late observation of "), "{:?}", reasons());
    until(&mut process, "a dead letter", || !archived(&store, "dead_letter.v1").is_empty());
    let dead_letter = DeadLetters::try_from(archived(&store, "dead_letter.v1").remove(0)).unwrap();
    assert_eq!(dead_letter.reason().value(0), "superseded");
    terminate(process);

    let mut again = start(nilometer("run", &file, &[]));
    let forecasts = archived(&store, "forecast.v1").len();
    until(&mut again, "a forecast after the restart", || archived(&store, "forecast.v1").len() > forecasts);
    terminate(again);
    let flows = observed(&store);
    assert_eq!(flows.len(), 7, "each row once, over the restart: {flows:?}");
    assert!(flows.contains(&77.5), "the whole line");
}

/// Weather and a river up to this hour, and what the services say of them when they begin three hours later than they ended.
#[needs(cance)]
#[test]
fn a_hindcast_goes_into_operation_and_makes_what_was_missed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let now = this_hour();
    let from = now.plus_s(-30 * 3_600);
    for (name, value) in [("rain", 2.0), ("evapotranspiration", 0.05), ("flow", 1.0)] {
        let mut text = String::from("time,value\n");
        for hour in 1..=36 {
            let time = from.plus_s((hour - 6) * 3_600);
            writeln!(text, "{time},{:.4}", value * (1.0 + 0.5 * (hour as f64 / 4.0).sin())).unwrap();
        }
        fs::write(data.join(format!("{name}.csv")), text).unwrap();
    }
    let file = folder.path().join("live.toml");
    fs::write(&file, definition(folder.path(), from)).unwrap();
    const SETS: [&str; 3] = ["time.tick=1h", "forecast.every=1h", "forecast.calibration_rate=0.05"];
    let hindcast = |store: &str, arguments: &[String]| {
        let mut command = nilometer("hindcast", &file, &SETS.map(str::to_owned));
        command.args(arguments).arg("--out").arg(folder.path().join(store));
        succeed(command);
    };
    let operate = |sets: &[&str]| {
        let sets: Vec<String> = SETS.iter().chain(sets).map(|s| (*s).to_owned()).collect();
        nilometer("run", &file, &sets)
    };
    let forecasts = |store: &str| -> Vec<Forecasts> {
        archived(&folder.path().join(store), "forecast.v1").into_iter().map(|b| b.try_into().unwrap()).collect()
    };
    let ended = now.plus_s(-3 * 3_600);
    hindcast("undisturbed", &["--set".to_owned(), format!("time.to={now}")]);
    hindcast("store", &["--to".to_owned(), ended.to_string()]);
    let expected = forecasts("undisturbed");
    let mut process = start(operate(&[]));
    let issued = |forecast: &Forecasts| Timestamp(forecast.issue_time().value(0));
    let of_now = || forecasts("store").iter().any(|forecast| issued(forecast) == now);
    until(&mut process, "the forecast of now", of_now);
    terminate(process);
    let found = forecasts("store");
    let (before, missed): (Vec<_>, Vec<_>) = found.iter().partition(|forecast| issued(forecast) <= ended);
    let to_be: Vec<_> = expected.iter().filter(|forecast| issued(forecast) > ended).collect();
    assert_eq!((missed.len(), to_be.len()), (3, 3));
    assert!(missed.iter().zip(&to_be).all(|(a, b)| a.batch() == b.batch()), "to the last bit, also what was missed");
    let ends_in_time = |forecast: &&Forecasts| forecast.valid_time().values().iter().all(|t| Timestamp(*t) <= ended);
    assert!(before.len() > 20 && before.iter().all(ends_in_time), "a hindcast forecasts what is valid up to its end");
    let store = folder.path().join("store");
    assert!(archived(&store, "dead_letter.v1").is_empty(), "clean data give no dead letter");
    assert_eq!(observed(&store), observed(&folder.path().join("undisturbed")), "each row once");

    let refused = |set: &str, named: &str| {
        let output = operate(&[set]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(named), "{set}: {said}");
    };
    refused(
        "assimilation.members=9",
        "the definition says 9; accepted is the same, another log.store, or --accept-state-loss ensemble",
    );
}

/// SHA-256 of the weights that made each forecast, in order.
fn hashes(store: &Path) -> Vec<String> {
    archived(store, "forecast.v1")
        .into_iter()
        .map(|b| Forecasts::try_from(b).unwrap().weights_sha256().value(0).to_owned())
        .collect()
}

/// Announces a package to a pipeline's store.
fn publish(package: &Path, store: &Path, reason: &str, more: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.args(["models", "publish"]).arg(package).arg("--store").arg(store).args(["--reason", reason]);
    command.args(more).output().unwrap()
}

#[needs(cance)]
#[test]
fn published_weights_are_in_force_from_a_tick_on_and_stay_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store, package) =
        (folder.path().join("data"), folder.path().join("store"), folder.path().join("hybrid-cance"));
    fs::create_dir(&data).unwrap();
    copy_package("hybrid-cance", &package);
    let now = this_hour();
    for (name, value) in [("rain", 2.0), ("evapotranspiration", 0.05), ("flow", 1.0)] {
        fs::write(data.join(format!("{name}.csv")), format!("time,value\n{now},{value}\n")).unwrap();
    }
    let file = folder.path().join("live.toml");
    fs::write(&file, definition(folder.path(), now.plus_s(-3_600))).unwrap();
    let run = || start(nilometer("run", &file, &[]));

    let mut process = run();
    until(&mut process, "a forecast", || !hashes(&store).is_empty());
    let new = scale_weights(&package, 1.001);
    let published = publish(&package, &store, "a test", &[]);
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    assert!(String::from_utf8_lossy(&published.stdout).contains("announcement 2: in force from its next tick on"));
    until(&mut process, "a forecast by the new weights", || hashes(&store).last() == Some(&new));
    terminate(process);
    let rows: Vec<_> = archived(&store, "model.v1").into_iter().map(|batch| Models::try_from(batch).unwrap()).collect();
    let said = |row: usize| (rows[row].author().value(0).to_owned(), rows[row].reason().value(0).to_owned());
    assert_eq!(said(0), ("definition".to_owned(), "the definition names it".to_owned()));
    assert_eq!((said(1).1.as_str(), rows[1].weights_sha256().value(0)), ("a test", new.as_str()));

    // The definition names the old weights still, and what was published since stays in force.
    let count = hashes(&store).len();
    let mut process = run();
    until(&mut process, "forecasts after the restart", || hashes(&store).len() > count + 2);
    let by_weights = hashes(&store);
    assert!(by_weights.iter().skip_while(|hash| **hash != new).all(|hash| *hash == new), "old weights never come back");

    // A model of another graph runs beside it.
    let other = root().join("models/zoo/exphydro-cance");
    let published = publish(&other, &store, "to be compared", &["--shadow"]);
    assert!(String::from_utf8_lossy(&published.stdout).contains("announcement 3: a shadow from its next tick on"));
    until(&mut process, "a shadow's forecast", || !archived(&store, "shadow_forecast.v1").is_empty());
    let shadow = Forecasts::try_from(archived(&store, "shadow_forecast.v1").remove(0)).unwrap();
    assert!(shadow.is_shadow(0) && shadow.model().value(0) == "exphydro-cance");

    // What cannot be used is refused at once, or becomes a dead letter where only the store's copy is damaged.
    refused(
        &publish(&other, &store, "another model", &[]),
        &["is another model than hybrid-cance", "accepted are other weights of the same graphs"],
    );
    scale_weights(&package, 1.001);
    assert!(publish(&package, &store, "damaged on its way", &[]).status.success());
    let damaged = Mixture::load(&package).unwrap().content_sha256().to_owned();
    fs::write(store.join("models").join(&damaged).join("weights.safetensors"), "damaged").unwrap();
    let refusals = || {
        let dead_letters = archived(&store, "dead_letter.v1").into_iter().map(|b| DeadLetters::try_from(b).unwrap());
        dead_letters
            .flat_map(|rows| rows.detail().iter().map(|d| d.unwrap().to_owned()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let mut last = String::new();
    until(&mut process, "a dead letter, or the weights", || {
        last = refusals().pop().unwrap_or_default();
        last.contains("weights.safetensors") || hashes(&store).last() != Some(&new)
    });
    let count = hashes(&store).len();
    until(&mut process, "forecasts after that", || hashes(&store).len() > count + 2);
    terminate(process);
    assert!(last.contains("weights.safetensors has SHA-256"), "{last}");
    assert_eq!(hashes(&store).last(), Some(&new), "what is damaged is not used");
    assert_eq!(observed(&store).len(), 1, "no row is lost or read twice");
}
