//! The commands as people meet them: what is wrong is said with its place and a remedy.

use std::{fs, process::Command};

use crate::support::{definition, nilometer, refused, root, service::Service, succeed, window};
use nilometer_needs::needs;

#[test]
fn config_prints_the_definition() {
    let output = succeed({
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.arg("config");
        command
    });
    assert_eq!(output.stdout, fs::read(definition()).unwrap());
}

#[needs(cance)]
#[test]
fn the_definition_that_config_prints_has_no_problem() {
    let output = succeed(nilometer("validate", &definition(), &[]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no problem found"));
}

#[test]
fn validate_reports_every_problem_with_its_path() {
    let set = [
        "time.step=0h",
        "forecast.horizon=90min",
        "forecast.colour=blue",
        "assimilation.members=1",
        "assimilation.error_factors.ice=0.5",
        "source.rain.unit=furlong",
        "source.radar.kind=balloon",
        "network.flow_directions=/nowhere.tif",
        "model.package=/nowhere",
    ];
    let output = nilometer("validate", &definition(), &set.map(str::to_owned)).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    for path in [
        "time.step",
        "forecast.colour",
        "assimilation.members",
        "assimilation.error_factors",
        "source.rain.unit",
        "source.radar.kind",
        "network.flow_directions",
        "model.package",
    ] {
        assert!(said.contains(&format!("{path}: ")), "{path} is not reported in:\n{said}");
    }
}

#[needs(cance)]
#[test]
fn a_model_card_with_a_wrong_hash_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("hybrid-cance");
    fs::create_dir(&package).unwrap();
    for entry in fs::read_dir(root().join("models/zoo/hybrid-cance")).unwrap().flatten() {
        fs::copy(entry.path(), package.join(entry.file_name())).unwrap();
    }
    let weights = package.join("weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let mut set = window(&folder.path().join("store"), "2014-10-08T00:00:00Z", "2014-10-08T05:00:00Z");
    set.push(format!("model.package={}", package.display()));
    for command in ["replay", "run", "validate"] {
        let output = nilometer(command, &definition(), &set).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command} started");
        assert!(said.contains("weights.safetensors has SHA-256") && said.contains("the card says"), "{said}");
    }
    assert!(!folder.path().join("store/log").exists(), "not a row was taken");
}

#[needs(cance)]
#[test]
fn metrics_and_health_are_served_while_a_replay_runs() {
    let folder = tempfile::tempdir().unwrap();
    // Of the window: at a port that the system chooses, and the process logs which.
    let set = window(&folder.path().join("store"), "2014-10-08T00:00:00Z", "2014-10-08T23:00:00Z");
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let health = service.root("/health");
    let finished = health.text();
    assert!(
        finished.contains("\"score/0\"")
            && health.status.is_success()
            && finished.contains("finished")
            && finished.contains("\"healthy\":true"),
        "{finished}"
    );
    let metrics = service.root("/metrics").text();
    let of_forecast = "nilometer_rows{fate=\"received\",role=\"forecast\",partition=\"0\"}";
    assert!(metrics.contains(of_forecast), "{metrics}");
    service.process.signal("TERM");
    service.process.end();
}

fn models(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).arg("models").args(arguments).output().unwrap()
}

#[needs(onnxruntime)]
#[test]
fn models_are_listed_shown_and_checked() {
    let list = models(&["list"]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(
        list.status.success() && text.contains("hybrid-cance") && text.contains("any catchment with 27 attributes"),
        "{text}"
    );
    let show = models(&["show", "models/zoo/lstm"]);
    assert_eq!(show.stdout, fs::read(root().join("models/zoo/lstm/card.toml")).unwrap());
    let check = models(&["check", "models/zoo/exphydro-cance"]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    for line in
        ["step.discharge", "gradient.state_gradient", "train_step.loss", "water balance closes", "rollout.onnx on CUDA"]
    {
        assert!(check.status.success() && text.contains(line), "{line} is not in:\n{text}");
    }
}

#[needs(onnxruntime)]
#[test]
fn a_failure_that_no_probe_asks_about_is_no_excuse() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(root().join("models/zoo/exphydro-cance")).unwrap().flatten() {
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let card = folder.path().join("card.toml");
    let text = fs::read_to_string(&card).unwrap();
    fs::write(&card, format!("known_failures = [\"water is wet\"]\n{text}")).unwrap();
    let check = models(&["check", &folder.path().display().to_string()]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(!check.status.success() && said.contains("water is wet") && said.contains("no probe"), "{said}");
}

#[needs(cance)]
#[test]
fn what_is_asked_of_a_filter_must_make_sense() {
    let said = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        nilometer("validate", &definition(), &set).output().unwrap()
    };
    let output = said(&[
        "assimilation.every=90min",
        "assimilation.adaptive_inflation={ rate = 2, maximum = 0.5 }",
        "assimilation.river={ half_width_km = 0, correlation = 2 }",
    ]);
    refused(&output, &["every", "multiple of time.step = 1h", "rate", "maximum", "half_width_km", "correlation"]);
    let output = said(&["assimilation.method=output", "assimilation.every=3h"]);
    refused(&output, &["assimilation.every", "moves no ensemble", "with a filter only"]);
}

#[needs(cance)]
#[test]
fn the_ledger_says_what_an_observation_was_held_against_and_what_it_did() {
    let store = tempfile::tempdir().unwrap();
    let out = store.path().to_str().unwrap();
    let mut set = window(store.path(), "2014-11-03T00:00:00Z", "2014-11-03T12:00:00Z");
    set.push("assimilation.river={ half_width_km = 11, correlation = 0.6 }".to_owned());
    let mut hindcast = nilometer("hindcast", &definition(), &set);
    hindcast.arg("--out").arg(out);
    succeed(hindcast);
    let ledger = |time: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(["ledger", "V3524010", time, "--store", out]);
        command.output().unwrap()
    };
    let said = ledger("2014-11-03T06:00:00Z");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    for word in [
        "used for V3524010 at 2014-11-03T06:00:00Z by etkf on hybrid-cance",
        "used for V3515010 at", // 20.7 km up the river
        "forecast of V3515010 before",
        "the gauge read",
        "soil_store",
        "output error",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(!text.contains("V3517010"), "22.3 km up the river is too far: {text}");
    assert!(text.contains("before: 2014-11-03T05:00:00Z, behind: 2014-11-03T06:00:00Z"), "{text}");
    let nothing = ledger("2014-11-03T06:30:00Z");
    assert!(!nothing.status.success());
    let problem = String::from_utf8(nothing.stderr).unwrap();
    assert!(problem.contains("the next ones are: 2014-11-03T07:00:00Z"), "{problem}");
}

#[needs(cance, onnxruntime)]
#[test]
fn return_periods_are_printed_and_become_thresholds_that_a_definition_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (peaks, table) = (folder.path().join("peaks.csv"), folder.path().join("return-periods.csv"));
    let flow = |year: u32| 100.0 + f64::from(year * 37 % 101) * f64::from(year % 3 + 1);
    let rows: String = (1990..2020).map(|year| format!("{year}-11-04,{}\n", flow(year))).collect();
    fs::write(&peaks, format!("date,discharge_m3_s\n{rows}")).unwrap();
    let thresholds = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["thresholds", "pipelines/definitions/cance.toml"]).args(more);
        command.arg("--peaks").arg(&peaks).arg("--write").arg(&table);
        command
    };
    let text = String::from_utf8(succeed(thresholds(&["V3524010"])).stdout).unwrap();
    assert!(text.contains("Cance at Sarras, station V3524010: instantaneous annual peaks of 30 years, 1990 to 2019"));
    assert!(
        text.lines().any(|line| line.starts_with("q100") && line.ends_with("more than twice the record")),
        "{text}"
    );
    // The section that was printed is one that a definition can have.
    let section = text.split("[stations]").nth(1).unwrap();
    let written = fs::read_to_string(root().join("pipelines/definitions/cance.toml")).unwrap();
    let definition = folder.path().join("cance.toml");
    let here = root().display().to_string();
    let written = written.replace("\"../../", &format!("\"{here}/"));
    // A catchment that says its thresholds itself takes none from a table.
    let (before, behind) = written.split_once("thresholds = [").unwrap();
    let written = format!("{before}{}", behind.split_once("\n]\n").unwrap().1);
    fs::write(&definition, format!("{written}\n[stations]{section}")).unwrap();
    let pipeline = nilometer_definitions::Pipeline::load(&definition, &[]).unwrap_or_else(|error| panic!("{error}"));
    let flows = pipeline.catchments[0].flood_flows_m3_s();
    assert_eq!(flows.len(), 6);
    assert!(flows.is_sorted() && flows[0] > 100.0 && flows[5] < 600.0, "{flows:?}");

    refused(&thresholds(&["V3524010", "V3515010"]).output().unwrap(), &["--peaks is of one station"]);
    refused(&thresholds(&["V9"]).output().unwrap(), &["V9 is no station", "V3524010, V3515010, V3517010"]);
    fs::write(&peaks, "date,discharge_m3_s\n1990-11-04,many\n").unwrap();
    refused(&thresholds(&["V3524010"]).output().unwrap(), &["row 1", "\"many\"; accepted is a number"]);
}
