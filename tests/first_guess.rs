//! A gauge that reads something else than before: its readings are suspect in the light of the forecast, then its gauge is shifted, and the state
//! is not dragged along. A true flood passes.

use std::{fmt::Write as _, fs, ops::Range, path::Path};

use crate::support::{archived, definition, files, means, nilometer, refused, rivers::rivers, same, succeed, window};
use nilometer_needs::needs;
use nilometer_schemas::{Analyses, Flag, Timestamp};

const HOURS: i64 = 130;
const BEGIN: &str = "2014-10-08T00:00:00Z";
const GAUGE: &str = "upper-0";
/// When the gauge reads something else.
const WRONG: Range<i64> = 60..100;

/// What a run left behind.
struct Run {
    store: tempfile::TempDir,
    said: String,
}

/// A row of the ledger: hour, method, flag, innovation.
type Judged = (i64, String, u8, f64);

impl Run {
    /// Runs one river whose upper gauge reads `read(hour, right)`.
    fn new(read: impl Fn(i64, f64) -> f64, set: &[&str]) -> Self {
        let inputs = tempfile::tempdir().unwrap();
        let file = rivers(inputs.path(), 1, HOURS, 1);
        let path = inputs.path().join("flow.csv");
        let flow = fs::read_to_string(&path).unwrap();
        let mut changed = String::new();
        for line in flow.lines() {
            let [gauge, time, value] = line.split(',').collect::<Vec<_>>()[..] else { unreachable!("three columns") };
            match (gauge == GAUGE).then(|| hour(time.parse().unwrap())) {
                Some(hour) => writeln!(changed, "{gauge},{time},{}", read(hour, value.parse().unwrap())).unwrap(),
                None => writeln!(changed, "{line}").unwrap(),
            }
        }
        fs::write(path, changed).unwrap();
        Self::of(&file, set)
    }

    fn of(file: &Path, set: &[&str]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut all: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        all.push(format!("log.store={}", store.path().display()));
        all.push("serve.address=127.0.0.1:0".to_owned());
        let output = succeed(nilometer("replay", file, &all));
        Self { store, said: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    /// The ledger of the upper gauge.
    fn ledger(&self) -> Vec<Judged> {
        let of_batch = |batch| {
            let rows = Analyses::try_from(batch).unwrap();
            let judged = |row: usize| {
                let hour = hour(Timestamp(rows.valid_time().value(row)));
                (hour, rows.method().value(row).to_owned(), rows.flag().value(row), rows.innovation().value(row))
            };
            let of_gauge = (0..rows.len()).filter(|row| rows.station().value(*row) == GAUGE);
            of_gauge.map(judged).collect::<Vec<_>>()
        };
        let mut ledger: Vec<Judged> =
            archived(self.store.path(), "analysis.v1").into_iter().flat_map(of_batch).collect();
        ledger.sort_by_key(|row| row.0);
        ledger
    }

    /// The largest mean of a forecast for the upper gauge while it reads something else.
    fn highest_m3_s(&self) -> f64 {
        let means = means(self.store.path());
        let of_gauge = means.iter().filter(|((catchment, _), _)| catchment == GAUGE).flat_map(|(_, series)| series);
        let during = of_gauge.filter(|(time, _)| WRONG.contains(&hour(**time)));
        during.map(|(_, mean)| *mean).fold(0.0, f64::max)
    }

    /// How often its log has a text.
    fn says(&self, text: &str) -> usize {
        self.said.lines().filter(|line| line.contains(text)).count()
    }
}

fn hour(time: Timestamp) -> i64 {
    time.seconds_since(BEGIN.parse().unwrap()) / 3_600
}

/// Cubic feet a second that are labelled as cubic metres, for a while.
fn in_feet(hour: i64, right: f64) -> f64 {
    if WRONG.contains(&hour) { right * 35.314_667 } else { right }
}

#[needs(onnxruntime)]
#[test]
fn a_unit_error_is_a_gauge_shift_and_does_not_drag_the_state() {
    let right = Run::new(|_, right| right, &[]);
    assert_eq!(right.says("gauge shifted"), 0, "{}", right.said);
    assert!(right.ledger().iter().all(|row| row.2 == Flag::Pass as u8));
    let wrong = Run::new(in_feet, &[]);
    let (usual, highest) = (right.highest_m3_s(), wrong.highest_m3_s());
    assert!(highest < 2.5 * usual, "{highest} m³/s, and {usual} from right readings");
    assert_eq!((wrong.says("gauge shifted"), wrong.says("no longer shifted")), (1, 1), "{}", wrong.said);
    assert!(wrong.said.contains("ft3/s that are labelled m3/s") && wrong.said.contains("2014-10-10T12:00:00Z"));
    let ledger = wrong.ledger();
    assert_eq!(ledger.len(), right.ledger().len(), "no reading is lost");
    for (hour, method, flag, _) in ledger {
        let expected = match hour {
            60..65 => ("etkf", Flag::Suspect),
            65..100 => ("gauge_shift", Flag::Suspect),
            _ => ("etkf", Flag::Pass),
        };
        assert_eq!((method.as_str(), flag), (expected.0, expected.1 as u8), "hour {hour}");
    }
}

#[needs(onnxruntime)]
#[test]
fn suspect_readings_can_be_left_out_and_the_check_switched_off() {
    let ignored = Run::new(in_feet, &["checks.suspect=ignore", "checks.gauge_shift={ readings = 1000 }"]);
    let at_first = ignored.ledger().into_iter().filter(|row| (60..80).contains(&row.0));
    assert_eq!(at_first.map(|row| row.1).collect::<Vec<_>>(), vec!["ignored"; 20]);
    assert_eq!(ignored.says("gauge shifted"), 0);

    let off = Run::new(in_feet, &[&format!("station_checks.{GAUGE}.first_guess=false")]);
    assert!(off.ledger().iter().all(|row| (row.1.as_str(), row.2) == ("etkf", Flag::Pass as u8)));
    assert!(off.highest_m3_s() > 50.0, "the state is dragged along: {} m³/s", off.highest_m3_s());
}

#[needs(onnxruntime)]
#[test]
fn what_other_checks_suspect_is_left_out_too_where_that_is_asked_for() {
    let spike = |hour: i64, right: f64| if hour == 70 { right * 1.5 } else { right };
    let flagged = "checks.spike={ threshold = 1.0 }";
    let of_spike = |run: &Run| run.ledger().into_iter().find(|row| row.0 == 70).map(|row| (row.1, row.2)).unwrap();
    let suspect = Flag::Suspect as u8;
    assert_eq!(of_spike(&Run::new(spike, &[flagged])), ("etkf".to_owned(), suspect));
    assert_eq!(of_spike(&Run::new(spike, &[flagged, "checks.suspect=ignore"])), ("ignored".to_owned(), suspect));
}

#[needs(onnxruntime)]
#[test]
fn a_river_that_has_changed_for_good_is_believed_after_a_time() {
    let changed = |hour: i64, right: f64| if hour >= 60 { right * 35.0 } else { right };
    let run = Run::new(changed, &["checks.gauge_shift={ accept_after = \"1d\" }"]);
    assert_eq!(run.says("are assimilated again"), 1, "{}", run.said);
    let ledger = run.ledger();
    let of = |wanted: i64| ledger.iter().find(|row| row.0 == wanted).unwrap();
    assert_eq!((of(83).1.as_str(), of(84).1.as_str()), ("gauge_shift", "etkf"));
    assert!(of(HOURS - 5).3.abs() < 0.5, "the state follows: {:?}", of(HOURS - 5));
}

#[needs(onnxruntime)]
#[test]
fn every_filter_checks_readings_and_without_one_the_options_are_said_to_do_nothing() {
    for (method, members) in [("enkf", 16), ("denkf", 16)] {
        let set = [format!("assimilation.method={method}"), format!("assimilation.members={members}")];
        let run = Run::new(in_feet, &set.each_ref().map(String::as_str));
        assert_eq!(run.says("gauge shifted"), 1, "{method}: {}", run.said);
        assert!(run.highest_m3_s() < 30.0, "{method}: {} m³/s", run.highest_m3_s());
    }
    let none = Run::new(in_feet, &["assimilation.method=none", "checks.first_guess=true"]);
    assert!(none.says("have no effect") > 0 && none.ledger().is_empty(), "{}", none.said);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let inputs = tempfile::tempdir().unwrap();
    let file = rivers(inputs.path(), 1, 10, 1);
    for (set, words) in [
        ("checks.gauge_shift={ readings = 1 }", ["checks.gauge_shift.readings", "accepted is 2 to 1000"]),
        ("checks.gauge_shift={ accept_after = \"0s\" }", ["checks.gauge_shift.accept_after", "above 0 s"]),
        ("checks.suspect=forget", ["suspect", "`downweight` or `ignore`"]),
    ] {
        refused(&nilometer("validate", &file, &[set.to_owned()]).output().unwrap(), &words);
    }
}

#[needs(cance)]
#[test]
fn a_true_flood_passes() {
    let [checked, unchecked] = [true, false].map(|first_guess| {
        let store = tempfile::tempdir().unwrap();
        let mut set = window(store.path(), "2014-10-28T00:00:00Z", "2014-11-05T12:00:00Z");
        set.push(format!("checks.first_guess={first_guess}"));
        succeed(nilometer("replay", &definition(), &set));
        store
    });
    let forecasts = |store: &tempfile::TempDir| files(&store.path().join("archive/forecast.v1"));
    same(&forecasts(&unchecked), &forecasts(&checked));
    let observed = |batch| {
        let rows = Analyses::try_from(batch).unwrap();
        rows.observed().iter().flatten().fold(0.0, f64::max)
    };
    let highest = archived(checked.path(), "analysis.v1").into_iter().map(observed).fold(0.0, f64::max);
    assert!(highest > 300.0, "the flood of 2014-11-04 is in it: {highest} m³/s");
}
