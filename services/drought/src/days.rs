//! Days: what has come of each day that is not judged yet. Pure.

use std::collections::BTreeMap;

use nilometer_schemas::{Held, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::{DAY_S, Day};

/// What one catchment had on one day, as far as it has come; of two values of one time the later counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gathered {
    flow_m3_s: BTreeMap<Timestamp, f64>,
    /// with the length of its period, s
    rain_mm: BTreeMap<Timestamp, (f64, i64)>,
    evapotranspiration_mm: BTreeMap<Timestamp, (f64, i64)>,
    /// of each model the newest time, and what its soils and its snow hold then, mm; none where it has no such store
    stores: BTreeMap<String, (Timestamp, Option<f64>, Option<f64>)>,
}

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    Flow,
    /// over a period of so many seconds
    Rain(i64),
    Evapotranspiration(i64),
}

/// The day that a period ends in, counted from 1970: midnight ends the day before.
pub(crate) const fn day_of(valid_time: Timestamp) -> i64 {
    (valid_time.0 - 1).div_euclid(DAY_S * 1_000_000)
}

impl Gathered {
    pub(crate) fn add(&mut self, amount: Amount, valid_time: Timestamp, value: f64) {
        match amount {
            Amount::Flow => _ = self.flow_m3_s.insert(valid_time, value),
            Amount::Rain(period_s) => _ = self.rain_mm.insert(valid_time, (value, period_s)),
            Amount::Evapotranspiration(period_s) => {
                _ = self.evapotranspiration_mm.insert(valid_time, (value, period_s));
            }
        }
    }

    pub(crate) fn hold(&mut self, model: &str, valid_time: Timestamp, held: Held, mm: f64) {
        let stored = self.stores.entry(model.to_owned()).or_default();
        if valid_time > stored.0 {
            *stored = (valid_time, None, None);
        }
        if valid_time == stored.0 {
            let sum = if held == Held::RootZone { &mut stored.1 } else { &mut stored.2 };
            *sum = Some(sum.unwrap_or(0.0) + mm);
        }
    }

    /// The day as it is judged.
    pub(crate) fn day(&self) -> Day {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
            if n > 0.0 { sum / n } else { f64::NAN }
        };
        // A sum that lacks a part of the day is none.
        let whole = |of: &BTreeMap<Timestamp, (f64, i64)>| {
            let known_s: i64 = of.values().map(|(_, period_s)| period_s).sum();
            if known_s >= DAY_S { of.values().map(|(value, _)| value).sum() } else { f64::NAN }
        };
        Day {
            flow_m3_s: mean(&mut self.flow_m3_s.values().copied()),
            rain_mm: whole(&self.rain_mm),
            evapotranspiration_mm: whole(&self.evapotranspiration_mm),
            root_zone_mm: mean(&mut self.stores.values().filter_map(|(_, root_zone, _)| *root_zone)),
            snow_mm: mean(&mut self.stores.values().filter_map(|(.., snow)| *snow)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_what_ends_in_it() {
        let hour = |hour: i64| Timestamp(hour * 3_600_000_000);
        assert_eq!([1, 24, 25].map(|at| day_of(hour(at))), [0, 0, 1]);
        let mut gathered = Gathered::default();
        for at in 1..=24 {
            gathered.add(Amount::Rain(3_600), hour(at), 0.5);
            gathered.add(Amount::Flow, hour(at), at as f64);
        }
        // What arrives again takes the place of what was there.
        gathered.add(Amount::Rain(3_600), hour(24), 1.5);
        gathered.add(Amount::Evapotranspiration(3_600), hour(3), 1.0);
        for (model, store, at, mm) in [
            ("hbv", "snow_store", 24, 5.0),
            ("hbv", "melt_water_store", 24, 1.0),
            ("hbv", "soil_store", 23, 50.0),
            ("hbv", "soil_store", 24, 60.0),
            ("exphydro", "soil_store", 24, 80.0),
            ("exphydro", "upper_zone_store", 24, 9.0),
        ] {
            if let Some(held) = Held::of_store(store) {
                gathered.hold(model, hour(at), held, mm);
            }
        }
        let day = gathered.day();
        assert!((day.rain_mm - 13.0).abs() < 1e-12 && (day.flow_m3_s - 12.5).abs() < 1e-12);
        assert!(day.evapotranspiration_mm.is_nan(), "an hour is no day");
        assert_eq!((day.root_zone_mm, day.snow_mm), (70.0, 6.0), "the newest of each model, its snow as a whole");
    }
}
