//! What operations may read: radar and first-line tables, daily tables, hourly tables with a weather forecast.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use nilometer_packages::Mixture;
use nilometer_schemas::Timestamp;
use nilometer_testing::{Definition, TableSource, toml};
use parquet::arrow::ArrowWriter;
use toml::Table;

use super::{cance, operations::World, root};

pub const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

const GAUGES: [(&str, f64); 2] = [("V3524010", 381.7), ("V3515010", 107.0)];

pub fn begin() -> Timestamp {
    "2014-10-08T00:00:00Z".parse().unwrap()
}

fn rain_mm(hour: i64, place: i64) -> f64 {
    if (hour + 3 * place).rem_euclid(31) < 5 { 1.5 + place as f64 } else { 0.0 }
}

/// The rain of the Cance, an hour a file, known a day ahead; its evapotranspiration of an average year; its discharge.
fn deliver_grids(folder: &Path, now: Timestamp) {
    let cance = cance();
    let hours = now.seconds_since(begin()) / HOUR_S;
    for hour in (hours - 2).max(0)..=hours + 24 {
        let stamp = begin().plus_s(hour * HOUR_S).compact();
        let day = format!("prcp/{}/{}/{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
        fs::create_dir_all(folder.join(&day)).unwrap();
        let prefix = format!("rain_precipitation_{}{}", &stamp[..8], &stamp[9..13]);
        for file in fs::read_dir(cance.join(&day)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && !folder.join(&day).join(&name).exists() {
                fs::copy(&file, folder.join(&day).join(&name)).unwrap();
            }
        }
    }
    fs::create_dir_all(folder.join("qobs")).unwrap();
    let all = fs::read_to_string(cance.join("qobs/V3517010.csv")).unwrap();
    let first = all.lines().next().unwrap();
    let (date, clock) = first.split_at(8);
    let start = format!("{}-{}-{}T{}:{}:00Z", &date[..4], &date[4..6], &date[6..], &clock[..2], &clock[2..4]);
    let lines = 2 + now.seconds_since(start.parse().unwrap()) / HOUR_S;
    let known: String = all.split_inclusive('\n').take(usize::try_from(lines).unwrap()).collect();
    fs::write(folder.join("qobs/V3517010.csv"), known).unwrap();
}

pub fn grids(days: i64) -> World {
    let cance = cance();
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("prcp")).unwrap();
    fs::create_dir(data.path().join("qobs")).unwrap();
    std::os::unix::fs::symlink(cance.join("pet").canonicalize().unwrap(), data.path().join("pet")).unwrap();
    // One catchment and its gauge of the three.
    let definition = Definition::new("grids", "1h", begin(), begin().plus_s(days * DAY_S))
        .model("hybrid-cance")
        .catchment(
            "V3517010",
            25.3,
            toml! { outlet_x_m = 828269.0
            outlet_y_m = 6469198.0 },
        )
        .set("network.flow_directions", cance.join("france_flow_directions.tif").display().to_string())
        .set("network.area_tolerance", 0.15)
        .section_of_cance("source.rain")
        .section_of_cance("source.evapotranspiration")
        .section_of_cance("source.discharge_V3517010")
        .section_of_cance("assimilation")
        .section(
            "forecast",
            toml! {
                horizon = "6h"
                every = "1h"
                scenario = "perfect"
                wait = "3h"
                lateness = "2d"
            },
        );
    World::new("grids", &definition.text(), &["assimilation.members=4".to_owned()], data, deliver_grids)
}

/// Days of two catchments: weather that is known with the day, gauges that are read nine hours later.
fn deliver_days(folder: &Path, now: Timestamp) {
    let days = now.seconds_since(begin()) / DAY_S;
    let mut weather = "gauge,time,prcp,tmin,tmax,dayl,srad,vp\n".to_owned();
    let mut flow = "gauge,time,flow\n".to_owned();
    for day in 1..=days {
        for (place, gauge) in ["a", "b"].iter().enumerate() {
            let time = begin().plus_s(day * DAY_S);
            let rain = rain_mm(7 * day, place as i64) * 8.0;
            let warm = 8.0 + (day as f64 / 9.0).sin();
            writeln!(weather, "{gauge},{time},{rain},{},{},0.45,200,900", warm - 4.0, warm + 4.0).unwrap();
            if day < days {
                writeln!(flow, "{gauge},{time},{:.3}", 5.0 + 2.0 * (day as f64 / 5.0).sin()).unwrap();
            }
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
}

pub fn days(days: i64) -> World {
    let data = tempfile::tempdir().unwrap();
    let package = root().join("models/zoo/exphydro-regional");
    let card = Mixture::load(&package).unwrap();
    let attributes: Table = card.first().card().attributes.iter().map(|a| (a.name.clone(), 1.0.into())).collect();
    let mut definition = Definition::new("days", "1d", begin(), begin().plus_s(days * DAY_S))
        .model("exphydro-regional")
        .section(
            "forecast",
            toml! {
                horizon = "3d"
                every = "1d"
                scenario = "zero"
                wait = "2d"
                lateness = "20d"
                calibration_rate = 0.05
            },
        )
        .section(
            "log",
            toml! { snapshot_every = 5
            retention = "900d" },
        )
        .section_of_cance("assimilation");
    for gauge in ["a", "b"] {
        let keys = Table::from_iter([("attributes".to_owned(), attributes.clone().into())]);
        definition = definition.catchment(gauge, 100.0, keys);
    }
    for (name, value, variable, unit) in [
        ("rain", "prcp", "precipitation", "mm"),
        ("coldest", "tmin", "minimum_air_temperature", "degC"),
        ("warmest", "tmax", "maximum_air_temperature", "degC"),
        ("light", "dayl", "day_length", "d"),
        ("sun", "srad", "shortwave_radiation", "W m-2"),
        ("vapour", "vp", "vapour_pressure", "Pa"),
    ] {
        definition = definition.source(name, TableSource::new("weather.csv", value, variable, unit).period("1d"));
    }
    let flow = TableSource::new("flow.csv", "flow", "discharge", "m3 s-1").delay("9h");
    let definition = definition.source("flow", flow);
    World::new("days", &definition.text(), &["assimilation.members=4".to_owned()], data, deliver_days)
}

/// Files as they are at a time: one that grows, a window that rolls in Parquet, an ensemble of weather forecasts that is replaced.
fn deliver_tables(folder: &Path, now: Timestamp) {
    let hours = now.seconds_since(begin()) / HOUR_S;
    let (mut weather, mut flow) = ("gauge,time,rain,pet\n".to_owned(), "gauge,time,flow\n".to_owned());
    for hour in 1..=hours {
        for (place, (gauge, _)) in GAUGES.iter().enumerate() {
            let time = begin().plus_s(hour * HOUR_S);
            writeln!(weather, "{gauge},{time},{},0.05", rain_mm(hour, place as i64)).unwrap();
        }
        if hour < hours {
            // The gauge is read ten minutes after its time: an hour ends before.
            let time = begin().plus_s(hour * HOUR_S);
            writeln!(flow, "V3524010,{time},{:.3}", 6.0 + 3.0 * (hour as f64 / 40.0).sin()).unwrap();
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    let window: Vec<i64> = ((hours - 30 * 24).max(1)..=hours).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("gauge", Arc::new(StringArray::from(vec!["V3515010"; window.len()]))),
        (
            "time",
            Arc::new(window.iter().map(|h| Some(begin().plus_s(h * HOUR_S).to_string())).collect::<StringArray>()),
        ),
        ("flow", Arc::new(window.iter().map(|h| 2.0 + (*h as f64 / 29.0).sin()).collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(folder.join("flow.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut ahead = "gauge,time,issued,member,rain\n".to_owned();
    for run in (0..=hours).filter(|run| run % 6 == 0 && *run + 80 * 24 > hours) {
        for (lead, member) in (1..=6).flat_map(|lead| [(lead, 0), (lead, 1)]) {
            for (place, (gauge, _)) in GAUGES.iter().enumerate() {
                let (time, issued) = (begin().plus_s((run + lead) * HOUR_S), begin().plus_s(run * HOUR_S));
                let rain = rain_mm(run + lead, place as i64) * f64::from(member + 1) / 2.0;
                writeln!(ahead, "{gauge},{time},{issued},{member},{rain}").unwrap();
            }
        }
    }
    fs::write(folder.join("ahead.csv"), ahead).unwrap();
}

pub fn tables(days: i64) -> World {
    let data = tempfile::tempdir().unwrap();
    let definition = Definition::new("outage", "1h", begin(), begin().plus_s(days * DAY_S))
        .model("exphydro-cance")
        .section(
            "forecast",
            toml! {
                horizon = "3h"
                every = "1h"
                scenario = "members"
                wait = "2h"
                lateness = "3d"
                calibration_rate = 0.05
            },
        )
        .section(
            "log",
            toml! { snapshot_every = 5
            retention = "90d" },
        )
        .set("checks.gap.step", "1h")
        .section_of_cance("assimilation")
        .weather_and_flow("10min")
        .source("window", TableSource::new("flow.parquet", "flow", "discharge", "m3 s-1"))
        .source(
            "ahead",
            TableSource::new("ahead.csv", "rain", "precipitation", "mm").period("1h").set(
                "forecast",
                toml! { issue_time = "issued"
                member = "member" },
            ),
        );
    let definition = definition.catchments(GAUGES);
    World::new("outage", &definition.text(), &["assimilation.members=4".to_owned()], data, deliver_tables)
}
