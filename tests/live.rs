//! Operations: files that grow while the services run, with the wall clock.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::support::{archived, cance, nilometer, root, sections::files_of_one_gauge, start, succeed};
use nilometer_schemas::{DeadLetters, Forecasts, Observations, Timestamp};
use sha2::{Digest, Sha256};

const GAUGE: &str = "V3517010";

fn this_hour() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let now = Timestamp(i64::try_from(now).unwrap());
    now.plus_s(1).ceil_s(3_600).plus_s(-3_600)
}

fn definition(folder: &Path, from: Timestamp) -> String {
    let root = root().display().to_string();
    let mut text = format!(
        r#"
name = "live"
data = "data"
[time]
step = "1h"
tick = "1s"
from = "{from}"
to = "{}"
[[catchment]]
id = "{GAUGE}"
area_km2 = 25.3
outlet_x_m = 828269.0
outlet_y_m = 6469198.0
[network]
flow_directions = "{root}/.cache/cance/france_flow_directions.tif"
area_tolerance = 0.15
[model]
package = "{root}/models/zoo/hybrid-cance"
[assimilation]
method = "etkf"
members = 8
seed = 1
discharge_epsilon_mm = 0.005
discharge_relative_error = 0.1
discharge_absolute_error_mm = 0.002
precipitation_sigma = 0.3
precipitation_tau = "1h"
output_error_dry = {{ sigma = 0.1, tau = "33h" }}
output_error_wet = {{ sigma = 0.3, tau = "4h" }}
rain_memory = "6h"
full_wetness_mm = 2.0
[forecast]
horizon = "6h"
every = "1s"
scenario = "zero"
wait = "0h"
lateness = "1d"
[log]
store = "{}"
"#,
        from.plus_s(3_600),
        folder.join("store").display()
    );
    text += &files_of_one_gauge(GAUGE);
    text
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

#[test]
fn rows_are_taken_as_they_arrive_once_each_over_a_restart() {
    if cance().is_none() {
        return;
    }
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
#[test]
fn a_hindcast_goes_into_operation_and_makes_what_was_missed() {
    if cance().is_none() {
        return;
    }
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

/// Writes other weights into a package's folder; gives their hash.
fn train_on(package: &Path, factor: f32) -> String {
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (weights, card) = (package.join("weights.safetensors"), package.join("card.toml"));
    let old = fs::read(&weights).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(old[..8].try_into().unwrap())).unwrap();
    let scaled = old[header..].as_chunks::<4>().0.iter().flat_map(|b| (f32::from_le_bytes(*b) * factor).to_le_bytes());
    let new: Vec<u8> = old[..header].iter().copied().chain(scaled).collect();
    fs::write(&weights, &new).unwrap();
    fs::write(&card, fs::read_to_string(&card).unwrap().replace(&hex(&old), &hex(&new))).unwrap();
    hex(&new)
}

#[test]
fn a_hangup_swaps_the_weights_between_two_steps_and_refuses_damaged_ones() {
    if cance().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, store, package) =
        (folder.path().join("data"), folder.path().join("store"), folder.path().join("hybrid-cance"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&package).unwrap();
    for file in fs::read_dir(root().join("models/zoo/hybrid-cance")).unwrap().flatten() {
        fs::copy(file.path(), package.join(file.file_name())).unwrap();
    }
    let now = this_hour();
    for (name, value) in [("rain", 2.0), ("evapotranspiration", 0.05), ("flow", 1.0)] {
        fs::write(data.join(format!("{name}.csv")), format!("time,value\n{now},{value}\n")).unwrap();
    }
    let file = folder.path().join("live.toml");
    fs::write(&file, definition(folder.path(), now.plus_s(-3_600))).unwrap();
    let hang_up = |process: &Child| {
        assert!(Command::new("kill").args(["-HUP", &process.id().to_string()]).status().unwrap().success());
    };

    let mut process = start(nilometer("run", &file, &[format!("model.package={}", package.display())]));
    until(&mut process, "a forecast", || !hashes(&store).is_empty());
    let new = train_on(&package, 1.001);
    hang_up(&process);
    until(&mut process, "a forecast by the new weights", || hashes(&store).last() == Some(&new));
    fs::write(package.join("weights.safetensors"), "damaged").unwrap();
    hang_up(&process);
    let count = hashes(&store).len();
    until(&mut process, "forecasts after that", || hashes(&store).len() > count + 2);
    terminate(process);
    let hashes = hashes(&store);
    assert_eq!(hashes.last(), Some(&new), "what is damaged is not used");
    assert!(hashes.iter().skip_while(|h| **h != new).all(|h| *h == new), "old weights never come back");
    assert_eq!(observed(&store).len(), 1, "no row is lost or read twice");
}
