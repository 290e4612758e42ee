//! Series of GeoTIFFs in temporary folders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where its input is refused")]

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use nilometer_connectors::{Arrival, Connector as _, Cursor, GeotiffOptions, Look, Source, Window};
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, Period, RawBatch, Whole, decode};
use proptest::prelude::*;
use tempfile::TempDir;

const RAIN: &str = r#"
    path = "prcp/%Y/%m/%d/rain_%Y%m%d%H%M_*.tif"
    period = "1h"
    time_label = "end"
    variable = "precipitation"
    unit = "mm"
    scale = 0.1
"#;
const PET: &str = r#"
    path = "pet/%m%d_ETPJIA.tif"
    period = "1d"
    time_label = "start"
    recurring = "yearly"
    variable = "potential_evapotranspiration"
    unit = "mm d-1"
"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Hours 0 to 5 of 2014-09-15 without hour 3, and a file that is none of them.
fn rain() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for hour in [0, 1, 2, 4, 5] {
        write(root.path(), &format!("prcp/2014/09/15/rain_201409150{hour}00_x.tif"), format!("rain {hour}").as_bytes());
    }
    write(root.path(), "prcp/2014/09/15/notes.txt", b"");
    root
}

fn open(options: &str, arrival: Arrival, root: &Path, window: Window) -> Box<dyn Source> {
    let options: GeotiffOptions = toml::from_str(options).unwrap();
    assert_eq!(options.problems(root), []);
    options.open("radar", arrival, root, window).unwrap()
}

fn delay(text: &str) -> Arrival {
    Arrival::Delay { delay: text.parse().unwrap() }
}

/// `(arrival, valid time, period, locator)`.
fn delivered(batches: &[RawBatch]) -> Vec<(String, String, i64, &str)> {
    batches
        .iter()
        .map(|b| match &b.payload {
            Payload::Whole(Whole { period: Some(Period { valid_time, period_s }), .. }) => {
                (b.arrival.to_string(), valid_time.to_string(), *period_s, b.locator.as_str())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn fields_arrive_after_their_delay_and_a_missing_file_yields_nothing() {
    let root = rain();
    let window = Window { from: at("2014-09-15T01:00:00Z"), until: at("2014-09-15T05:00:00Z") };
    let mut source = open(RAIN, delay("10min"), root.path(), window);
    assert_eq!((source.name(), source.last_arrival()), ("radar", Some(at("2014-09-15T04:10:00Z"))));
    let (batches, next) = source.read(&Cursor::default(), Look::at(at("2014-09-15T02:10:00Z"))).unwrap();
    let expected = |h: i64| {
        let path =
            ["", "prcp/2014/09/15/rain_201409150100_x.tif", "prcp/2014/09/15/rain_201409150200_x.tif"][h as usize];
        (format!("2014-09-15T0{h}:10:00Z"), format!("2014-09-15T0{h}:00:00Z"), 3600, path)
    };
    assert_eq!(delivered(&batches), [expected(1), expected(2)]);
    assert!(source.read(&next, Look::at(at("2014-09-15T04:09:00Z"))).unwrap().0.is_empty(), "hour 3 is absent");
    assert_eq!(source.read(&next, Look::at(at("2015-01-01"))).unwrap().0.len(), 1, "hour 5 arrives after the window");
}

#[test]
fn perfect_rain_arrives_before_it_falls() {
    let root = rain();
    let window = Window { from: at("2014-09-15T00:00:00Z"), until: at("2014-09-16") };
    let mut source = open(RAIN, delay("-24h"), root.path(), window);
    let (batches, _) = source.read(&Cursor::default(), Look::at(at("2014-09-14T01:00:00Z"))).unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].arrival, at("2014-09-14"));
}

#[test]
fn a_yearly_series_gives_each_day_at_its_start_over_the_turn_of_the_year() {
    let root = tempfile::tempdir().unwrap();
    for day in ["1230", "1231", "0101", "0102", "0229"] {
        write(root.path(), &format!("pet/{day}_ETPJIA.tif"), b"pet");
    }
    let window = Window { from: at("2014-12-31"), until: at("2016-01-01") };
    let mut source = open(PET, delay("0s"), root.path(), window);
    let (batches, next) = source.read(&Cursor::default(), Look::at(at("2015-01-01"))).unwrap();
    let day = |start: &str, end: &str, path| (format!("{start}T00:00:00Z"), format!("{end}T00:00:00Z"), 86_400, path);
    assert_eq!(
        delivered(&batches),
        [
            day("2014-12-30", "2014-12-31", "pet/1230_ETPJIA.tif"),
            day("2014-12-31", "2015-01-01", "pet/1231_ETPJIA.tif"),
            day("2015-01-01", "2015-01-02", "pet/0101_ETPJIA.tif"),
        ]
    );
    assert_eq!(source.last_arrival(), Some(at("2016-01-01")));
    let (rest, _) = source.read(&next, Look::at(at("2020-01-01"))).unwrap();
    assert_eq!(rest.len(), 4, "2 January, 30 and 31 December, 1 January; 2015 has no 29 February");
    let operations = Window { until: Window::ALL.until, ..window };
    let mut seen = open(PET, operating("0s"), root.path(), operations);
    assert_eq!(seen.read(&Cursor::default(), Look::at(at("2015-01-01"))).unwrap().0, batches);
    assert_eq!(seen.last_arrival(), None);
    let options: GeotiffOptions = toml::from_str(PET).unwrap();
    let error = options.open("pet", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(error.to_string().contains("window with a start") && !error.is_retryable(), "{error}");
}

fn operating(delay: &str) -> Arrival {
    Arrival::WhenSeen { delay: delay.parse().unwrap(), ahead: "16d".parse().unwrap() }
}

/// Locators of the batches.
fn names(batches: &[RawBatch]) -> Vec<&str> {
    batches.iter().map(|b| b.locator.rsplit_once("rain_20140915").unwrap().1).collect()
}

#[test]
fn in_operations_a_file_arrives_when_it_is_seen_whatever_its_age() {
    let root = rain();
    let mut source = open(RAIN, operating("0s"), root.path(), Window::ALL);
    let look = |h: i64| Look::at(at("2014-09-15T00:00:00Z").plus_s(h * 3_600));
    let (batches, next) = source.read(&Cursor::default(), look(4)).unwrap();
    assert_eq!(names(&batches), ["0000_x.tif", "0100_x.tif", "0200_x.tif", "0400_x.tif"], "hour 5 has not been yet");
    assert!(batches.iter().all(|b| b.arrival == look(4).now));
    // One that comes late, with the age that it had where it was written.
    let late = root.path().join("prcp/2014/09/15/rain_201409150300_x.tif");
    fs::write(&late, b"late").unwrap();
    let file = fs::File::options().write(true).open(&late).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    let (batches, next) = source.read(&next, look(5)).unwrap();
    assert_eq!(names(&batches), ["0300_x.tif", "0500_x.tif"]);
    // Delivered again it is no news, with another content it is.
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_001)).unwrap();
    let mut restarted = open(RAIN, operating("0s"), root.path(), Window::ALL);
    let (none, next) = restarted.read(&next, look(6)).unwrap();
    assert_eq!(names(&none), [""; 0]);
    fs::write(&late, b"corrected").unwrap();
    assert_eq!(names(&restarted.read(&next, look(7)).unwrap().0), ["0300_x.tif"]);
    assert_eq!(source.last_arrival(), None);
}

#[test]
fn missed_ticks_get_the_files_that_they_would_have_had() {
    let root = rain();
    let mut source = open(RAIN, operating("10min"), root.path(), Window::ALL);
    let mut cursor = Cursor::default();
    let now = at("2014-09-15T05:30:00Z");
    let mut delivered = Vec::new();
    for h in 0..=5 {
        let look = Look { tick: at("2014-09-15").plus_s(h * 3_600), now, catching_up: h < 5 };
        let (batches, next) = source.read(&cursor, look).unwrap();
        delivered.push(names(&batches).join(" "));
        let again = source.read_again(&cursor, &next, look).unwrap();
        assert_eq!(again, (batches, next.clone()), "a redo gives the same");
        cursor = next;
    }
    assert_eq!(delivered, ["", "0000_x.tif", "0100_x.tif", "0200_x.tif", "", "0400_x.tif 0500_x.tif"]);
}

#[test]
fn operations_go_on_where_a_replay_ended() {
    let root = rain();
    let window = Window { from: at("2014-09-15T01:00:00Z"), until: at("2014-09-15T02:00:00Z") };
    let mut replay = open(RAIN, delay("0s"), root.path(), window);
    let (_, ended) = replay.read(&Cursor::default(), Look::at(window.until)).unwrap();
    for cursor in [replay.handed_over(&ended).unwrap(), ended] {
        let operations = Window { until: Window::ALL.until, ..window };
        let mut source = open(RAIN, operating("0s"), root.path(), operations);
        let (batches, _) = source.read(&cursor, Look::at(at("2014-09-15T05:00:00Z"))).unwrap();
        assert_eq!(names(&batches), ["0400_x.tif", "0500_x.tif"]);
    }
}

#[test]
fn one_file_that_cannot_be_read_holds_up_no_other() {
    let root = rain();
    let hour = |h: i64| root.path().join(format!("prcp/2014/09/15/rain_20140915{h:02}00_x.tif"));
    fs::remove_file(hour(1)).unwrap();
    std::os::unix::fs::symlink(hour(1), hour(1)).unwrap();
    fs::remove_file(hour(2)).unwrap();
    fs::create_dir(hour(2)).unwrap();
    let mut replay = open(RAIN, delay("0s"), root.path(), Window::ALL);
    let (batches, _) = replay.read(&Cursor::default(), Look::at(at("2014-09-16"))).unwrap();
    let refused = batches.iter().filter(|b| matches!(&b.payload, Payload::Unreadable { rows: 1, .. })).count();
    assert_eq!((batches.len(), refused), (5, 2), "what a replay cannot read is a dead letter");
    let mut source = open(RAIN, operating("0s"), root.path(), Window::ALL);
    let (batches, next) = source.read(&Cursor::default(), Look::at(at("2014-09-16"))).unwrap();
    assert_eq!(batches.len(), 3, "in operations it is tried again");
    fs::remove_file(hour(1)).unwrap();
    fs::write(hour(1), b"repaired").unwrap();
    assert_eq!(names(&source.read(&next, Look::at(at("2014-09-16"))).unwrap().0), ["0100_x.tif"]);
}

#[test]
fn a_damaged_file_passes_through_and_decoding_refuses_it() {
    let root = rain();
    let options: GeotiffOptions = toml::from_str(RAIN).unwrap();
    let mut source = open(RAIN, delay("0s"), root.path(), Window::ALL);
    let (batches, _) = source.read(&Cursor::default(), Look::at(at("2014-09-15"))).unwrap();
    let dead_letter = decode::grid(&batches[0], &options.decoding()).unwrap_err();
    assert_eq!((dead_letter.reason, dead_letter.bytes.as_slice()), (Reason::Undecodable, &b"rain 0"[..]));
    assert_eq!(dead_letter.locator, "prcp/2014/09/15/rain_201409150000_x.tif");
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
        path = "pet/%m%d.tif"
        period = "0s"
        time_label = "end"
        time_zone = "Mars"
        variable = "precipitation"
        unit = "m3 s-1"
        scale = 0.0
        valid_range = { min = 1.0, max = 1.0 }
        max_cells = 0
    "#;
    let options: GeotiffOptions = toml::from_str(text).unwrap();
    let keys: Vec<String> = options.problems("nowhere".as_ref()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["path", "path", "period", "time_zone", "unit", "scale", "valid_range", "max_cells"]);
    assert!(toml::from_str::<GeotiffOptions>(&format!("{RAIN}\nfoo = 1")).unwrap_err().to_string().contains("foo"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn how_time_is_cut_does_not_matter(
        cuts in proptest::collection::btree_set(-30_i64..40, 0..6),
        shift in prop_oneof![Just("0s"), Just("-24h"), Just("90min")],
    ) {
        let root = rain();
        write(root.path(), "pet/0915_ETPJIA.tif", b"pet");
        write(root.path(), "pet/0914_ETPJIA.tif", b"pet");
        let window = Window { from: at("2014-09-15"), until: at("2014-09-17") };
        for options in [RAIN, PET] {
            let mut source = open(options, delay(shift), root.path(), window);
            let (whole, _) = source.read(&Cursor::default(), Look::at(at("2014-09-18"))).unwrap();
            let (mut parts, mut cursor) = (Vec::new(), Cursor::default());
            for until in cuts.iter().map(|h| at("2014-09-15").plus_s(h * 3600)).chain([at("2014-09-18")]) {
                let (batches, next) = source.read(&cursor, Look::at(until)).unwrap();
                let mut again = open(options, delay(shift), root.path(), window);
                prop_assert_eq!(&again.read(&cursor, Look::at(until)).unwrap(), &(batches.clone(), next.clone()));
                parts.extend(batches);
                cursor = next;
            }
            prop_assert_eq!(whole, parts);
        }
    }
}
