//! Series of GeoTIFFs in temporary folders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where its input is refused")]

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use nilometer_connectors::{Arrival, Cursor, GeotiffOptions, Source, Window};
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, RawBatch, decode};
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
fn told(batches: &[RawBatch]) -> Vec<(String, String, i64, &str)> {
    batches
        .iter()
        .map(|b| match &b.payload {
            Payload::Grid { valid_time, period_s, .. } => {
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
    let (batches, next) = source.read(&Cursor::default(), at("2014-09-15T02:10:00Z")).unwrap();
    let expected = |h: i64| {
        let path =
            ["", "prcp/2014/09/15/rain_201409150100_x.tif", "prcp/2014/09/15/rain_201409150200_x.tif"][h as usize];
        (format!("2014-09-15T0{h}:10:00Z"), format!("2014-09-15T0{h}:00:00Z"), 3600, path)
    };
    assert_eq!(told(&batches), [expected(1), expected(2)]);
    assert!(source.read(&next, at("2014-09-15T04:09:00Z")).unwrap().0.is_empty(), "hour 3 is absent");
    assert_eq!(source.read(&next, at("2015-01-01")).unwrap().0.len(), 1, "hour 5 arrives after the window");
}

#[test]
fn perfect_rain_arrives_before_it_falls() {
    let root = rain();
    let window = Window { from: at("2014-09-15T00:00:00Z"), until: at("2014-09-16") };
    let mut source = open(RAIN, delay("-24h"), root.path(), window);
    let (batches, _) = source.read(&Cursor::default(), at("2014-09-14T01:00:00Z")).unwrap();
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
    let (batches, next) = source.read(&Cursor::default(), at("2015-01-01")).unwrap();
    let day = |start: &str, end: &str, path| (format!("{start}T00:00:00Z"), format!("{end}T00:00:00Z"), 86_400, path);
    assert_eq!(
        told(&batches),
        [
            day("2014-12-30", "2014-12-31", "pet/1230_ETPJIA.tif"),
            day("2014-12-31", "2015-01-01", "pet/1231_ETPJIA.tif"),
            day("2015-01-01", "2015-01-02", "pet/0101_ETPJIA.tif"),
        ]
    );
    assert_eq!(source.last_arrival(), Some(at("2016-01-01")));
    let (rest, _) = source.read(&next, at("2020-01-01")).unwrap();
    assert_eq!(rest.len(), 4, "2 January, 30 and 31 December, 1 January; 2015 has no 29 February");
    let operations = Window { until: Window::ALL.until, ..window };
    let mut seen = open(PET, Arrival::WhenSeen, root.path(), operations);
    assert_eq!(seen.read(&Cursor::default(), at("2015-01-01")).unwrap().0, batches);
    assert_eq!(seen.last_arrival(), None);
    let options: GeotiffOptions = toml::from_str(PET).unwrap();
    let error = options.open("pet", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(error.to_string().contains("window with a start") && !error.is_retryable(), "{error}");
}

#[test]
fn in_operations_files_arrive_at_their_modification_time() {
    let root = rain();
    let touch = |path: &str, hours: u64| {
        let file = fs::File::options().write(true).open(root.path().join(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(4_100_000_000 + hours * 3600)).unwrap();
    };
    for hour in [0, 1, 2, 4, 5] {
        touch(&format!("prcp/2014/09/15/rain_201409150{hour}00_x.tif"), 10 - hour);
    }
    let seen = |hours: i64| Timestamp((4_100_000_000 + hours * 3600) * 1_000_000);
    let mut source = open(RAIN, Arrival::WhenSeen, root.path(), Window::ALL);
    let (batches, next) = source.read(&Cursor::default(), seen(8)).unwrap();
    let valid: Vec<String> = told(&batches).into_iter().map(|(_, valid, ..)| valid).collect();
    assert_eq!(valid, [5, 4, 2].map(|h| format!("2014-09-15T0{h}:00:00Z")), "in order of arrival");
    write(root.path(), "prcp/2014/09/15/rain_201409150300_x.tif", b"late");
    touch("prcp/2014/09/15/rain_201409150300_x.tif", 9);
    let (batches, last) = source.read(&next, seen(20)).unwrap();
    assert_eq!(batches.len(), 3, "hours 3, 1 and 0");
    assert!(source.read(&last, seen(30)).unwrap().0.is_empty());
    assert_eq!(source.last_arrival(), None);
}

#[test]
fn in_operations_a_file_that_is_moved_into_place_arrives_then() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("prcp/2014/09/15")).unwrap();
    let now = || Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64);
    let mut source = open(RAIN, Arrival::WhenSeen, root.path(), Window::ALL);
    let (none, cursor) = source.read(&Cursor::default(), now().plus_s(-60)).unwrap();
    assert!(none.is_empty());
    let written = root.path().join("elsewhere.tif");
    fs::write(&written, b"rain").unwrap();
    let file = fs::File::options().write(true).open(&written).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000)).unwrap();
    fs::rename(&written, root.path().join("prcp/2014/09/15/rain_201409150300_x.tif")).unwrap();
    assert_eq!(source.read(&cursor, now().plus_s(60)).unwrap().0.len(), 1, "its age is no reason to pass it over");
}

#[test]
fn a_damaged_file_passes_through_and_decoding_refuses_it() {
    let root = rain();
    let options: GeotiffOptions = toml::from_str(RAIN).unwrap();
    let mut source = open(RAIN, delay("0s"), root.path(), Window::ALL);
    let (batches, _) = source.read(&Cursor::default(), at("2014-09-15")).unwrap();
    let letter = decode::grid(&batches[0], &options.decoding()).unwrap_err();
    assert_eq!((letter.reason, letter.bytes.as_slice()), (Reason::Undecodable, &b"rain 0"[..]));
    assert_eq!(letter.locator, "prcp/2014/09/15/rain_201409150000_x.tif");
}

#[test]
fn every_problem_is_told_at_once() {
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
            let (whole, _) = source.read(&Cursor::default(), at("2014-09-18")).unwrap();
            let (mut parts, mut cursor) = (Vec::new(), Cursor::default());
            for until in cuts.iter().map(|h| at("2014-09-15").plus_s(h * 3600)).chain([at("2014-09-18")]) {
                let (batches, next) = source.read(&cursor, until).unwrap();
                let mut again = open(options, delay(shift), root.path(), window);
                prop_assert_eq!(&again.read(&cursor, until).unwrap(), &(batches.clone(), next.clone()));
                parts.extend(batches);
                cursor = next;
            }
            prop_assert_eq!(whole, parts);
        }
    }
}
