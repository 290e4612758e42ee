//! Sources that give nothing are said, and what each has given can be asked for.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{nilometer, refused, root, succeed};
use nilometer_needs::needs;
use nilometer_schemas::Timestamp;
use nilometer_testing::{Definition, toml};

const FROM: &str = "2014-10-25T00:00:00Z";
const HOURS: i64 = 24;

fn at(hour: i64) -> Timestamp {
    FROM.parse::<Timestamp>().unwrap().plus_s(3_600 * hour)
}

/// Hours of a table, each with the value that `value` gives.
fn hours(of: impl IntoIterator<Item = i64>, value: impl Fn(i64) -> f64) -> String {
    of.into_iter().fold("time,value\n".to_owned(), |mut text, hour| {
        writeln!(text, "{},{}", at(hour), value(hour)).unwrap();
        text
    })
}

/// A definition of one gauge; its weather is there, of its discharge what `flow` says.
fn definition(folder: &Path, flow: &str) -> PathBuf {
    fs::create_dir_all(folder.join("data")).unwrap();
    for name in ["rain", "evapotranspiration"] {
        fs::write(folder.join(format!("data/{name}.csv")), hours(0..=HOURS, |_| 0.1)).unwrap();
    }
    fs::write(folder.join("data/flow.csv"), flow).unwrap();
    Definition::new("one-gauge", "1h", FROM, at(HOURS))
        .set("data", "data")
        .set("log.store", "store")
        .catchments([("V3515010", 107.0)])
        .model("hybrid-cance")
        .section(
            "assimilation",
            toml! {
                method = "etkf"
                members = 8
                seed = 1
            },
        )
        .section(
            "forecast",
            toml! {
                horizon = "6h"
                every = "6h"
                scenario = "zero"
                wait = "0h"
            },
        )
        .files_of_one_gauge("V3515010")
        .write(folder)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn status(definition: &Path, set: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.args(["sources", "status"]).arg(definition);
    for text in set {
        command.arg("--set").arg(text);
    }
    command.output().unwrap()
}

/// The cells of a source's line.
fn line(table: &str, source: &str) -> Vec<String> {
    let of_source = table.lines().find(|line| line.split_whitespace().next() == Some(source)).unwrap();
    of_source.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[needs(onnxruntime)]
#[test]
fn a_source_without_a_row_in_the_window_is_said_with_what_it_holds() {
    for (flow, expected) in [
        ("", "flow.csv is empty"),
        ("time,value\n", "flow.csv holds no row"),
        (&*hours([-8_760, -8_750], |_| 3.0), "flow.csv holds rows from 2013-10-25T00:00:00Z to 2013-10-25T10:00:00Z"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = definition(folder.path(), flow);
        let expected = ["source.flow: gives no row in the window from 2014-10-25T00:00:00Z", expected];
        let validated = succeed(nilometer("validate", &file, &[]));
        let replayed = succeed(nilometer("replay", &file, &[]));
        for said in [text(&validated), text(&replayed)] {
            assert!(expected.iter().all(|words| said.contains(words)), "{expected:?} is not in:\n{said}");
        }
        assert!(text(&validated).contains("no problem found, 1 warning"), "{}", text(&validated));
        assert!(text(&replayed).contains("gave no row that could be used"), "{}", text(&replayed));
        let cells = line(&text(&status(&file, &[])), "flow");
        assert_eq!(cells[1..6], ["never", "never", "0", "0", "the beginning"].map(str::to_owned), "{cells:?}");
    }
}

#[needs(onnxruntime)]
#[test]
fn a_window_without_weather_is_refused_and_empties_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = definition(folder.path(), &hours(0..=HOURS, |_| 3.0));
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("archive/forecast.v1")).unwrap();
    fs::write(out.join("archive/forecast.v1/kept"), "kept").unwrap();
    let mut command = nilometer("hindcast", &file, &[]);
    command.args(["--from", "2500-01-01", "--to", "2500-01-03", "--out"]).arg(&out);
    let output = command.output().unwrap();
    refused(&output, &["no source gives weather in the window", "source.rain", "holds rows from 2014-10-25T00:00:00Z"]);
    assert!(out.join("archive/forecast.v1/kept").exists());
}

#[needs(onnxruntime)]
#[test]
fn what_each_source_has_given_is_shown_and_dead_letters_have_one_line() {
    let folder = tempfile::tempdir().unwrap();
    // The gauge is silent from hour 12 on, 4 of its readings cannot be, and one comes twice.
    let mut flow = hours(0..=12, |hour| if (3..7).contains(&hour) { -1.0 } else { 3.0 });
    writeln!(flow, "{},3", at(12)).unwrap();
    let file = definition(folder.path(), &flow);
    let nothing = status(&file, &[]);
    refused(&nothing, &["is no folder", "accepted is a store"]);
    assert!(!folder.path().join("store").exists(), "a look makes no store");
    let said = text(&succeed(nilometer("replay", &file, &[])));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("dead letters: ")).collect();
    assert!((1..=2).contains(&lines.len()), "{said}");
    assert!(lines[0].contains("gross_range") && lines[0].contains("flow.csv:5: discharge at"), "{said}");
    let table = text(&status(&file, &[]));
    let silent = at(12).to_string();
    assert_eq!(
        line(&table, "flow"),
        ["flow", &silent, &silent, "9", "0", &silent, "gross_range 4, duplicate 1"].map(str::to_owned),
        "{table}"
    );
    let rain = line(&table, "rain");
    assert_eq!(rain[1..], [&at(HOURS).to_string(), &at(HOURS).to_string(), "25", "0", "-", "0"].map(str::to_owned));
}

#[needs(onnxruntime)]
#[test]
fn rows_that_come_late_are_shown_by_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = definition(folder.path(), &hours(0..=HOURS, |_| 3.0));
    let set = ["source.flow.delay=3h".to_owned()];
    let said = text(&succeed(nilometer("replay", &file, &set)));
    assert!(said.contains("discharge of V3515010 at 2014-10-25T"), "{said}");
    let cells = line(&text(&status(&file, &set)), "flow");
    assert_eq!(cells[3..], ["22", "22", "-", "0"].map(str::to_owned), "what came within the day came behind the state");
}

#[needs(onnxruntime)]
#[test]
fn forcing_that_does_not_come_is_said_when_that_begins_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = definition(folder.path(), &hours(0..=HOURS, |_| 3.0));
    fs::write(folder.path().join("data/rain.csv"), hours((0..=6).chain(12..=HOURS), |_| 0.1)).unwrap();
    let said = text(&succeed(nilometer("replay", &file, &[])));
    let lines = |words: &str| said.lines().filter(|line| line.contains(words)).map(str::to_owned).collect::<Vec<_>>();
    let (begins, ends) = (lines("forcing did not arrive in time"), lines("forcing arrives again"));
    assert_eq!((begins.len(), ends.len()), (1, 1), "{said}");
    for word in ["step=2014-10-25T07:00:00Z", "variable=precipitation", "V3515010"] {
        assert!(begins[0].contains(word), "{word} is not in {}", begins[0]);
    }
    assert!(ends[0].contains("step=2014-10-25T12:00:00Z") && ends[0].contains("filled_steps=5"), "{}", ends[0]);
}

#[test]
fn the_reference_has_every_key_and_is_the_page_in_docs() {
    let output = Command::new(env!("CARGO_BIN_EXE_nilometer")).args(["config", "--reference"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let file = root().join("docs/reference.md");
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(page == written, "{} is not what `nilometer config --reference` prints: write it anew", file.display());
}
