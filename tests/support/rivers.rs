//! Many small rivers with made hourly weather: enough networks that a log has partitions to share.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use nilometer_schemas::Timestamp;
use nilometer_testing::{Definition, toml};

/// The begin of the weather, as seconds since 1970: 2014-10-08.
const BEGIN_S: i64 = 1_412_726_400;

/// Tables of the weather and of two gauges a river, the upper above the lower, and a definition that runs them for so many hours.
pub fn rivers(folder: &Path, count: usize, hours: i64, partitions: u32) -> PathBuf {
    let hour = |hour: i64| Timestamp(BEGIN_S * 1_000_000).plus_s(hour * 3_600);
    let mut weather = "gauge,time,rain,pet\n".to_owned();
    let mut flow = "gauge,time,flow\n".to_owned();
    // The filter is that of the Cance.
    let mut definition = Definition::new("rivers", "1h", hour(1), hour(hours))
        .model("exphydro-cance")
        .section(
            "forecast",
            toml! {
                horizon = "6h"
                every = "1h"
                scenario = "zero"
                wait = "0s"
                lateness = "6h"
                score = false
            },
        )
        .section(
            "log",
            toml! { snapshot_every = 12
            retention = "30d" },
        )
        .set("log.partitions", i64::from(partitions))
        .section_of_cance("assimilation")
        .weather_and_flow("0s");
    for river in 0..count {
        let (upper, lower) = (format!("upper-{river}"), format!("lower-{river}"));
        let mut above = toml! { parameters = "V3515010"
        downstream = { river_km = 20.0 } };
        above["downstream"].as_table_mut().unwrap().insert("id".to_owned(), lower.clone().into());
        definition = definition.catchment(&upper, 107.0, above);
        definition = definition.catchment(&lower, 381.7, toml! { parameters = "V3524010" });
        for step in 1..=hours {
            for (place, gauge) in [&upper, &lower].into_iter().enumerate() {
                let rain = if (step + river as i64) % 9 < 3 { 2.0 + place as f64 } else { 0.0 };
                writeln!(weather, "{gauge},{},{rain},0.05", hour(step)).unwrap();
                let read = 3.0 + (step as f64 / 5.0 + river as f64).sin() + 4.0 * place as f64;
                writeln!(flow, "{gauge},{},{read}", hour(step)).unwrap();
            }
        }
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    definition.write(folder)
}
