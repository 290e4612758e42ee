//! What a forecast has to beat: that the river stays as it is, and that it is as in other years.

use std::collections::BTreeMap;

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{Climatology, crps_quantiles, quantile_of_sorted};

use crate::report::Observed;

/// Flows that are exceeded by 2 % are floods.
pub const HIGH: f64 = 0.98;

const DAY_US: i64 = 86_400_000_000;

/// Years of observations outside the verified window that make a climatology of their own.
const FEWEST_DAYS: usize = 3 * 365;

/// Persistence and climatology of each catchment.
pub struct Baselines<'a> {
    observed: &'a Observed,
    climates: BTreeMap<String, Climatology>,
    high_flows: BTreeMap<String, f64>,
}

/// What they said of one valid time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// the newest observation at the issue time, m³ s⁻¹
    pub persisted: Option<f64>,
    /// CRPS of the climatology, m³ s⁻¹
    pub climatology_crps: Option<f64>,
    /// the flow from which on it counts as a flood, m³ s⁻¹
    pub high_flow: Option<f64>,
}

impl<'a> Baselines<'a> {
    /// The climate of a catchment is that of all days outside `from` to `to`, what is verified; where these are fewer than three years, of
    /// all days there are, which flatters it.
    pub fn new(observed: &'a Observed, from: Timestamp, to: Timestamp) -> Self {
        let (mut climates, mut high_flows) = (BTreeMap::new(), BTreeMap::new());
        for (station, series) in observed {
            let mut inside: Vec<f64> =
                series.iter().filter(|(t, _)| **t > from && **t <= to).map(|(_, value)| *value).collect();
            inside.sort_unstable_by(f64::total_cmp);
            if let Ok(high) = quantile_of_sorted(&inside, HIGH) {
                high_flows.insert(station.clone(), high);
            }
            let outside: BTreeMap<_, _> = series.iter().filter(|(time, _)| **time <= from || **time > to).collect();
            let apart = outside.keys().map(|time| day(**time)).collect::<std::collections::BTreeSet<_>>().len();
            let (days, values): (Vec<i64>, Vec<f64>) = if apart >= FEWEST_DAYS {
                outside.iter().map(|(time, value)| (day(**time), **value)).unzip()
            } else {
                series.iter().map(|(time, value)| (day(*time), *value)).unzip()
            };
            if let Ok(climate) = Climatology::fit(&days, &values, &QUANTILE_LEVELS) {
                climates.insert(station.clone(), climate);
            }
        }
        Self { observed, climates, high_flows }
    }

    /// What both say of `valid_time` at `issue_time`, where `observed_m3_s` came.
    pub fn of(&self, station: &str, issue_time: Timestamp, valid_time: Timestamp, observed_m3_s: f64) -> Baseline {
        let series = self.observed.get(station);
        let persisted = series.and_then(|s| s.range(..=issue_time).next_back()).map(|(_, value)| *value);
        let mut quantiles = [0.0; QUANTILE_LEVELS.len()];
        let climatology_crps = self.climates.get(station).and_then(|climate| {
            climate.forecast(day(valid_time), &mut quantiles).ok()?;
            crps_quantiles(&QUANTILE_LEVELS, &quantiles, observed_m3_s).ok()
        });
        Baseline { persisted, climatology_crps, high_flow: self.high_flows.get(station).copied() }
    }
}

/// The day whose period ends at a time, counted from 1970.
const fn day(time: Timestamp) -> i64 {
    (time.0 - 1).div_euclid(DAY_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_river_that_stays_as_it_is_persists_and_years_outside_the_window_make_the_climate() {
        let at = |n: i64| Timestamp(n * DAY_US);
        // Four years of 5, then one of 9.
        let series: BTreeMap<_, _> = (1..=1826).map(|n| (at(n), if n <= 1461 { 5.0 } else { 9.0 })).collect();
        let observed = Observed::from([("a".to_owned(), series)]);
        let baselines = Baselines::new(&observed, at(1461), at(1826));
        let found = baselines.of("a", at(1500), at(1501), 9.0);
        assert_eq!(found.persisted, Some(9.0));
        assert!((found.climatology_crps.unwrap() - 4.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.high_flow, Some(9.0));
        let unknown = Baseline { persisted: None, climatology_crps: None, high_flow: None };
        assert_eq!(baselines.of("b", at(1500), at(1501), 9.0), unknown);
    }
}
