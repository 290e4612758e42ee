//! Tables as agencies deliver them, from the file to the forecast.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{archived, means, nilometer, succeed, window};
use arrow::array::Array;
use nilometer_needs::needs;
use nilometer_schemas::{Flag, Observations, Timestamp};
use nilometer_testing::{Definition, TableSource, toml};

const STATION: &str = "G1";
const HOUR_S: i64 = 3_600;

/// How the gauge's file is written: its lines by hour, and the keys of its source that are not the same for all.
struct Gauge {
    file: String,
    keys: &'static str,
}

/// Hour, and the discharge then.
fn flows(from: Timestamp, hours: i64) -> impl Iterator<Item = (Timestamp, f64)> {
    (0..hours).map(move |hour| (from.plus_s(hour * HOUR_S), 1.0 + (hour % 24) as f64 / 10.0))
}

fn plain(from: Timestamp, hours: i64) -> Gauge {
    let mut file = "time,q\n".to_owned();
    flows(from, hours).for_each(|(time, q)| writeln!(file, "{time},{q}").unwrap());
    let keys = "time = { column = { name = \"time\", format = \"rfc3339\" } }\nstation = { constant = \"G1\" }\nunit = \"m3 s-1\"";
    Gauge { file, keys }
}

/// Weather of some hours and the gauge's file in `folder`, and a definition that reads them.
fn pipeline(folder: &Path, from: Timestamp, hours: i64, gauge: &Gauge) -> PathBuf {
    let mut weather = "time,rain,pet\n".to_owned();
    for hour in 0..hours + 24 {
        let rain_mm = if hour % 24 < 4 { 3.0 } else { 0.0 };
        writeln!(weather, "{},{rain_mm},0.05", from.plus_s(hour * HOUR_S)).unwrap();
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("q.csv"), &gauge.file).unwrap();
    let weather = |name: &str, variable: &str| {
        TableSource::new("weather.csv", name, variable, "mm").station("G1").period("1h").delay("-24h")
    };
    Definition::new("tables", "1h", from, from)
        .catchment(
            STATION,
            86.4,
            toml! {
                parameters = "V3515010"
                formerly = ["G0"]
            },
        )
        .source("rain", weather("rain", "precipitation"))
        .source("pet", weather("pet", "potential_evapotranspiration"))
        .section(
            "source.q",
            toml! {
                kind = "table"
                path = "q.csv"
                value = "q"
                variable = "discharge"
            },
        )
        .section("source.q", gauge.keys.parse().unwrap())
        .set("checks.gap.step", "1h")
        .model("hybrid-cance")
        .section_of_cance("assimilation")
        .section(
            "forecast",
            toml! {
                horizon = "24h"
                every = "6h"
                scenario = "perfect"
                wait = "3h"
                lateness = "2d"
                calibration_rate = 0.05
            },
        )
        .set("log.snapshot_every", 7)
        .write(folder)
}

fn replay(definition: &Path, store: &Path, from: Timestamp, to: Timestamp) {
    let mut set = window(store, &from.to_string(), &to.to_string());
    set.push("assimilation.members=8".to_owned());
    succeed(nilometer("replay", definition, &set));
}

/// Of each catchment and lead time the means by seconds since the first tick, and how many rows the gauge gave.
type Run = (Vec<((String, i64), Vec<(i64, f64)>)>, usize);

/// Time, value and flag of every row of the gauge.
fn observed(store: &Path) -> Vec<(Timestamp, Option<f64>, Flag)> {
    let of_batch = |batch| {
        let rows = Observations::try_from(batch).unwrap();
        let value = |row| rows.value().is_valid(row).then(|| rows.value().value(row));
        let row = |row| (Timestamp(rows.valid_time().value(row)), value(row), rows.flag_of(row));
        (0..rows.len()).filter(|row| rows.station().value(*row) == STATION).map(row).collect::<Vec<_>>()
    };
    archived(store, "observation.v1").into_iter().flat_map(of_batch).collect()
}

#[needs(onnxruntime)]
#[test]
fn a_record_that_begins_before_1970_is_run_like_any_other() {
    let run = |from: &str, parts: &[i64]| -> Run {
        let from: Timestamp = from.parse().unwrap();
        let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let definition = pipeline(folder.path(), from, 72, &plain(from, 72));
        parts.iter().for_each(|hours| replay(&definition, store.path(), from, from.plus_s(hours * HOUR_S)));
        let means = means(store.path()).into_iter().map(|(key, series)| {
            let since = |(time, mean): (Timestamp, f64)| (time.seconds_since(from), mean);
            (key, series.into_iter().map(since).collect::<Vec<_>>())
        });
        (means.collect::<Vec<_>>(), observed(store.path()).len())
    };
    let over_1970 = run("1969-12-30", &[71]);
    assert!(!over_1970.0.is_empty() && over_1970.1 >= 71, "{}", over_1970.1);
    // The ensemble's noise is drawn by time, so the flows differ, and nothing else.
    let seconds = |series: Vec<(i64, f64)>| series.into_iter().map(|(second, _)| second).collect::<Vec<_>>();
    let times = |(means, _): Run| means.into_iter().map(|(key, series)| (key, seconds(series))).collect::<Vec<_>>();
    assert_eq!(times(over_1970), times(run("2014-12-30", &[71])));
    assert_eq!(run("1950-03-01", &[20, 40, 71]), run("1950-03-01", &[71]), "from a snapshot on it is the same");
}

#[needs(onnxruntime)]
#[test]
fn a_national_file_with_ice_and_a_renumbered_station_is_used_for_what_it_says() {
    let from: Timestamp = "2014-12-30".parse().unwrap();
    let mut file = "Retrieved today\n# unit: mm/d\nsite;when;q;cd\n5s;20d;14n;10s\n".to_owned();
    for (hour, (time, q)) in flows(from, 72).enumerate() {
        let name = if hour < 30 { "G0" } else { STATION };
        let (value, code) = match hour {
            40 => ("***".to_owned(), ""),
            41 => (q.to_string().replace('.', ","), "P Ice"),
            42 => (q.to_string().replace('.', ","), "P Eqp"),
            _ => (q.to_string().replace('.', ","), "P"),
        };
        writeln!(file, "{name};{time};{value};{code}\nELSEWHERE;{time};77,7;P").unwrap();
    }
    let keys = "station = { column = \"site\" }\ntime = { column = { name = \"when\", format = \"rfc3339\" } }\nunit = \"mm d-1\"\n\
                delimiter = \";\"\ndecimal = \",\"\ncomment = \"#\"\nskip_lines = 1\nskip_after_header = 1\nmissing = [\"***\"]\n\
                qualifier = \"cd\"\nqualifier_flags = { Ice = \"suspect\", Eqp = \"missing\", P = \"pass\" }\nother_stations = \"skip\"";
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let definition = pipeline(folder.path(), from, 72, &Gauge { file, keys });
    replay(&definition, store.path(), from, from.plus_s(71 * HOUR_S));
    let found = observed(store.path());
    assert_eq!(found.len(), 72);
    for (hour, ((time, q), (found_time, value, flag))) in flows(from, 72).zip(found).enumerate() {
        let expected = match hour {
            40 | 42 => (None, Flag::Missing),
            41 => (Some(q), Flag::Suspect),
            _ => (Some(q), Flag::Pass),
        };
        // 1 mm a day over 86.4 km² is 1 m³/s.
        let close = value.zip(expected.0).is_none_or(|(value, q)| (value - q).abs() < 1e-12);
        assert!(time == found_time && close && value.is_some() == expected.0.is_some(), "{hour}: {value:?}");
        assert_eq!(flag, expected.1, "{hour}");
    }
    assert!(archived(store.path(), "dead_letter.v1").is_empty(), "other stations are passed over");
}
