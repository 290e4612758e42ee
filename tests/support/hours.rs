//! The Cance hour by hour, for tests and exercises that make rivers of it.

use std::{collections::BTreeMap, path::Path};

use nilometer_schemas::{Contract, Flag, Forcings, Observations, Timestamp, Variable};

use super::{archived, definition, nilometer, succeed, window};

/// Its gauges, and the areas of their catchments in km².
pub const GAUGES: [(&str, f64); 3] = [("V3524010", 381.7), ("V3515010", 107.0), ("V3517010", 25.3)];
const HOUR: i64 = 3_600;

/// What fell and what the gauges read.
pub struct Hours {
    /// gauge and hour → rain and evapotranspiration, mm
    pub weather: BTreeMap<(usize, Timestamp), [f64; 2]>,
    /// gauge and hour → m³ s⁻¹
    pub flow: BTreeMap<(usize, Timestamp), f64>,
}

fn gauge_of(id: &str) -> usize {
    GAUGES.iter().position(|(gauge, _)| *gauge == id).unwrap()
}

impl Hours {
    /// Those of a window, by a replay below `folder`.
    pub fn of_the_cance(folder: &Path, from: &str, to: &str) -> Self {
        let store = folder.join("cance");
        let mut set = window(&store, from, to);
        set.extend(["assimilation.members=2", "forecast.every=24h", "forecast.score=false"].map(str::to_owned));
        succeed(nilometer("replay", &definition(), &set));
        let mut hours = Self { weather: BTreeMap::new(), flow: BTreeMap::new() };
        for batch in archived(&store, Contract::Forcing.topic()) {
            let rows = Forcings::try_from(batch).unwrap();
            for row in 0..rows.len() {
                let key = (gauge_of(rows.catchment().value(row)), Timestamp(rows.valid_time().value(row)));
                let period = rows.period_s().value(row) / HOUR;
                match rows.variable().value(row).parse().unwrap() {
                    Variable::Precipitation => hours.weather.entry(key).or_default()[0] = rows.value().value(row),
                    // A day's evapotranspiration is that of each of its hours.
                    _ => {
                        for hour in 0..period.max(1) {
                            let key = (key.0, key.1.plus_s(-hour * HOUR));
                            let of_hour = rows.value().value(row) / period.max(1) as f64;
                            hours.weather.entry(key).or_default()[1] = of_hour;
                        }
                    }
                }
            }
        }
        for batch in archived(&store, Contract::Observation.topic()) {
            let rows = Observations::try_from(batch).unwrap();
            for row in (0..rows.len()).filter(|row| rows.flag_of(*row) == Flag::Pass) {
                let key = (gauge_of(rows.station().value(row)), Timestamp(rows.valid_time().value(row)));
                hours.flow.insert(key, rows.value().value(row));
            }
        }
        hours
    }
}
