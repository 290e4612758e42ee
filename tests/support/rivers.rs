//! Many small rivers with made hourly weather: enough networks that a log has partitions to share.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use nilometer_schemas::Timestamp;

use super::{
    root,
    sections::{filter, weather_and_flow},
};

/// The begin of the weather, as seconds since 1970: 2014-10-08.
const BEGIN_S: i64 = 1_412_726_400;

/// Tables of the weather and of two gauges a river, the upper above the lower, and a definition that runs them for so many hours.
pub fn rivers(folder: &Path, count: usize, hours: i64, partitions: u32) -> PathBuf {
    let hour = |hour: i64| Timestamp(BEGIN_S * 1_000_000).plus_s(hour * 3_600);
    let mut weather = "gauge,time,rain,pet\n".to_owned();
    let mut flow = "gauge,time,flow\n".to_owned();
    let mut text = format!(
        "name = \"rivers\"\ndata = {folder:?}\n\
         [time]\nstep = \"1h\"\nfrom = \"{}\"\nto = \"{}\"\n\
         [model]\npackage = {:?}\n\
         [forecast]\nhorizon = \"6h\"\nevery = \"1h\"\nscenario = \"zero\"\nwait = \"0s\"\nlateness = \"6h\"\nscore = false\n\
         [log]\nstore = \"unused\"\nsnapshot_every = 12\nretention = \"30d\"\npartitions = {partitions}\n",
        hour(1),
        hour(hours),
        root().join("models/zoo/exphydro-cance")
    );
    // The filter is that of the Cance.
    text += &filter();
    for river in 0..count {
        let (upper, lower) = (format!("upper-{river}"), format!("lower-{river}"));
        write!(
            text,
            "[[catchment]]\nid = \"{upper}\"\narea_km2 = 107.0\nparameters = \"V3515010\"\n\
             downstream = {{ id = \"{lower}\", river_km = 20.0 }}\n\
             [[catchment]]\nid = \"{lower}\"\narea_km2 = 381.7\nparameters = \"V3524010\"\n"
        )
        .unwrap();
        for step in 1..=hours {
            for (place, gauge) in [&upper, &lower].into_iter().enumerate() {
                let rain = if (step + river as i64) % 9 < 3 { 2.0 + place as f64 } else { 0.0 };
                writeln!(weather, "{gauge},{},{rain},0.05", hour(step)).unwrap();
                let read = 3.0 + (step as f64 / 5.0 + river as f64).sin() + 4.0 * place as f64;
                writeln!(flow, "{gauge},{},{read}", hour(step)).unwrap();
            }
        }
    }
    text += &weather_and_flow("0s");
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    let file = folder.join("rivers.toml");
    fs::write(&file, text).unwrap();
    file
}
