//! What a forecast has to beat: that the river stays as it is, and that it is as in the years before.

use std::collections::BTreeMap;

use nilometer_archive::Readings;
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{climate_of_day, crps_quantiles, day_that_ends, quantile_of_sorted};

/// Flows that are exceeded by 2 % are floods.
pub const HIGH: f64 = 0.98;

/// Persistence and climatology of each catchment.
pub struct Baselines<'a> {
    gauges: BTreeMap<&'a str, Gauge<'a>>,
    near: Vec<f64>,
}

struct Gauge<'a> {
    readings: &'a Readings,
    /// the last value of each day
    by_day: BTreeMap<i64, f64>,
    high_flow: Option<f64>,
    /// the day of the last question, and the climate of it
    climate: Option<(i64, Option<[f64; QUANTILE_LEVELS.len()]>)>,
}

/// What they said of one valid time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Baseline {
    /// the newest reading that had arrived at the issue time, m³ s⁻¹
    pub persisted: Option<f64>,
    /// CRPS of the climatology, m³ s⁻¹
    pub climatology_crps: Option<f64>,
    /// the flow from which on it counts as a flood, m³ s⁻¹
    pub high_flow: Option<f64>,
}

impl<'a> Baselines<'a> {
    /// Of gauges; flows that are high are those of valid times after `from` up to `to`.
    pub fn new(observed: &'a BTreeMap<String, Readings>, from: Timestamp, to: Timestamp) -> Self {
        let gauge = |readings: &'a Readings| {
            let series = &readings.discharge_m3_s;
            let mut inside: Vec<f64> =
                series.iter().filter(|(t, _)| **t > from && **t <= to).map(|(_, value)| *value).collect();
            inside.sort_unstable_by(f64::total_cmp);
            Gauge {
                readings,
                by_day: series.iter().map(|(time, value)| (day_that_ends(time.0), *value)).collect(),
                high_flow: quantile_of_sorted(&inside, HIGH).ok(),
                climate: None,
            }
        };
        let gauges = observed.iter().map(|(station, readings)| (station.as_str(), gauge(readings))).collect();
        Self { gauges, near: Vec::new() }
    }

    /// What both say of `valid_time` at `issue_time`, where `observed_m3_s` came.
    pub fn of(&mut self, station: &str, issue_time: Timestamp, valid_time: Timestamp, observed_m3_s: f64) -> Baseline {
        let Some(gauge) = self.gauges.get_mut(station) else { return Baseline::default() };
        let day = day_that_ends(valid_time.0);
        if gauge.climate.is_none_or(|(of, _)| of != day) {
            let (mut quantiles, by_day) = ([0.0; QUANTILE_LEVELS.len()], &gauge.by_day);
            let value_of_day = |day: i64| by_day.get(&day).copied();
            let known = climate_of_day(day, value_of_day, &QUANTILE_LEVELS, &mut self.near, &mut quantiles);
            gauge.climate = Some((day, known.ok().flatten().map(|()| quantiles)));
        }
        let climate = gauge.climate.and_then(|(_, quantiles)| quantiles);
        Baseline {
            persisted: gauge.readings.persisted_m3_s(issue_time),
            climatology_crps: climate.and_then(|q| crps_quantiles(&QUANTILE_LEVELS, &q, observed_m3_s).ok()),
            high_flow: gauge.high_flow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn a_river_that_stays_as_it_is_persists_and_years_before_make_the_climate() {
        let at = |n: i64| Timestamp(n * DAY_US);
        // Four years of 5, then one of 9.
        let series: BTreeMap<_, _> = (1..=1826).map(|n| (at(n), if n <= 1461 { 5.0 } else { 9.0 })).collect();
        let observed = BTreeMap::from([("a".to_owned(), Readings::immediate(series))]);
        let mut baselines = Baselines::new(&observed, at(1461), at(1826));
        let found = baselines.of("a", at(1500), at(1501), 9.0);
        assert_eq!(found.persisted, Some(9.0));
        assert!((found.climatology_crps.unwrap() - 4.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.high_flow, Some(9.0));
        assert_eq!(baselines.of("a", at(1500), at(200), 9.0).climatology_crps, None, "no year before it is known");
        assert_eq!(baselines.of("b", at(1500), at(1501), 9.0), Baseline::default());
    }
}
