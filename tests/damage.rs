//! What is lost of a log is appended again by its producer, at the positions that it had, or it is said: whatever the topic, wherever it was, and
//! however it was lost.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{archived, files, nilometer, refused, same, succeed};
use nilometer_engine::conformance::Corruption;
use nilometer_needs::needs;
use nilometer_schemas::{DeadLetters, Timestamp};
use nilometer_testing::{Definition, toml};

const GAUGES: [(&str, f64); 2] = [("V3524010", 381.7), ("V3515010", 107.0)];
const HOURS: i64 = 12;
/// The log is damaged when so much has been replayed.
const FIRST_TO: &str = "2014-10-08T08:00:00Z";
const TOPICS: [&str; 6] = ["observation.v1", "forcing.v1", "forecast.v1", "analysis.v1", "score.v1", "dead_letter.v1"];

/// A definition of two gauges with rain, evapotranspiration and discharge, of which some rows cannot be read.
fn small_definition(folder: &Path) -> PathBuf {
    let from: Timestamp = "2014-10-08T00:00:00Z".parse().unwrap();
    let (mut weather, mut flow) = ("gauge,time,rain,pet\n".to_owned(), "gauge,time,flow\n".to_owned());
    for hour in 1..=HOURS {
        let time = from.plus_s(hour * 3_600);
        for (place, (gauge, _)) in GAUGES.iter().enumerate() {
            writeln!(weather, "{gauge},{time},{},0.05", (hour % 4) as f64).unwrap();
            let bad = if place == 0 { "1x" } else { "" };
            writeln!(flow, "{gauge},{time},{}{bad}", 3.0 + (hour as f64 / 5.0).sin()).unwrap();
            writeln!(flow, "{gauge},{time},{}", 3.0 + (hour as f64 / 5.0).sin()).unwrap();
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    let definition = Definition::new("damage", "1h", "2014-10-08T01:00:00Z", "2014-10-08T12:00:00Z")
        .model("exphydro-cance")
        .section(
            "forecast",
            toml! {
                horizon = "2h"
                every = "1h"
                scenario = "zero"
                wait = "0s"
                score = true
            },
        )
        .section(
            "log",
            toml! { snapshot_every = 2
            retention = "30d" },
        )
        .section_of_cance("assimilation")
        .weather_and_flow("0s");
    definition.catchments(GAUGES).write(folder)
}

/// A definition, what an undisturbed replay archives, and a store that was stopped on the way.
struct World {
    folder: tempfile::TempDir,
    definition: PathBuf,
    expected: BTreeMap<PathBuf, Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let definition = small_definition(folder.path());
        let mut world = Self { folder, definition, expected: BTreeMap::new() };
        let whole = world.store("whole");
        succeed(world.replay(&whole));
        world.expected = files(&whole.join("archive"));
        for topic in ["forecast.v1", "analysis.v1", "score.v1", "dead_letter.v1"] {
            assert!(world.expected.keys().filter(|key| key.starts_with(topic)).count() > 5, "{topic}");
        }
        let mut first = world.replay(&world.store("stopped"));
        first.arg("--set").arg(format!("time.to={FIRST_TO}"));
        succeed(first);
        world
    }

    fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replay(&self, store: &Path) -> Command {
        let set = ["assimilation.members=4".to_owned(), format!("log.store={}", store.display())];
        nilometer("replay", &self.definition, &set)
    }

    /// A copy of the store that was stopped; with `killed` as if it had been before its last snapshots.
    fn copy(&self, killed: bool) -> PathBuf {
        let copy = self.store("copy");
        let _ = fs::remove_dir_all(&copy);
        let copied = Command::new("cp").arg("-r").arg(self.store("stopped")).arg(&copy).status().unwrap();
        assert!(copied.success());
        for role in fs::read_dir(copy.join("snapshots")).unwrap().flatten().filter(|_| killed) {
            fs::remove_file(segments(&role.path().join("0")).pop().unwrap()).unwrap();
        }
        copy
    }
}

/// The objects of a folder, in order.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn damage(path: &Path, how: Corruption) {
    match how.of(fs::read(path).unwrap()) {
        Some(left) => fs::write(path, left).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
}

fn check(store: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.args(["store", "check"]).arg(store).output().unwrap()
}

#[needs(onnxruntime)]
#[test]
fn whatever_is_lost_is_appended_again() {
    let world = World::new();
    for topic in TOPICS {
        for at_the_end in [true, false] {
            for how in Corruption::ALL {
                for killed in [false, true] {
                    let name = format!("{topic}, {how:?}, last: {at_the_end}, behind the snapshots: {killed}");
                    let store = world.copy(killed);
                    let segments = segments(&store.join("log").join(topic).join("0"));
                    let at = if at_the_end { segments.len() - 1 } else { segments.len() / 2 };
                    damage(&segments[at], how);
                    let checked = check(&store);
                    let code = checked.status.code().unwrap();
                    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
                    assert!(code == 3 || (killed && at_the_end && code == 0), "{name}: {code}\n{text}");
                    assert!(code == 0 || text.contains(&format!("{topic}/0: position {at} (")), "{name}:\n{text}");
                    let output = world.replay(&store).output().unwrap();
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{name}:\n{said}");
                    println!("{name}");
                    same(&world.expected, &files(&store.join("archive")));
                    let checked = check(&store);
                    assert_eq!(checked.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&checked.stdout));
                }
            }
        }
    }
}

#[needs(onnxruntime)]
#[test]
fn a_topic_that_is_gone_is_made_again_and_so_is_the_log() {
    let world = World::new();
    for gone in TOPICS.map(|topic| format!("log/{topic}")).iter().map(String::as_str).chain(["log"]) {
        let store = world.copy(false);
        fs::remove_dir_all(store.join(gone)).unwrap();
        let checked = check(&store);
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(3), "{gone}:\n{text}");
        assert!(
            text.contains("/0: positions 0 to") && text.contains("rows): missing; appended again by"),
            "{gone}:\n{text}"
        );
        succeed(world.replay(&store));
        same(&world.expected, &files(&store.join("archive")));
        assert_eq!(check(&store).status.code(), Some(0), "{gone}");
    }
}

#[needs(onnxruntime)]
#[test]
fn what_would_be_other_rows_is_refused_or_given_up_with_its_count() {
    let world = World::new();
    let store = world.copy(true);
    let lost = 6;
    damage(&segments(&store.join("log/forcing.v1/0"))[lost], Corruption::BitFlipped);
    // More evapotranspiration than then: what ingest would append is not what it had appended.
    let weather = world.store("weather.csv");
    let text = fs::read_to_string(&weather).unwrap();
    fs::write(&weather, text.replace(",0.05", ",0.06")).unwrap();
    let place = format!("forcing.v1/0: position {lost}");
    refused(&world.replay(&store).output().unwrap(), &[&place, "not what it had appended", "--accept-loss"]);
    let mut accepting = world.replay(&store);
    accepting.arg("--accept-loss");
    succeed(accepting);
    let checked = check(&store);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let dead_letters: Vec<(String, u64, bool)> = archived(&store, "dead_letter.v1")
        .into_iter()
        .flat_map(|batch| {
            let rows = DeadLetters::try_from(batch).unwrap();
            let lost = |row: &usize| rows.reason().value(*row) == "damaged_segment";
            let dead_letter = |row: usize| {
                (rows.locator().value(row).to_owned(), rows.rows().value(row), rows.bytes().value(row).is_empty())
            };
            (0..rows.len()).filter(lost).map(dead_letter).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(dead_letters, [(format!("forcing.v1/0@{lost}"), 4, false)], "its rows and its bytes");
    // It is not asked about again.
    succeed(world.replay(&store));
}
