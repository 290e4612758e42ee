//! Step readings: what gauges say of the ends of steps, from which calibration and output updating learn. Pure.

use std::collections::BTreeMap;

use nilometer_definitions::{Alignment, weighted};
use nilometer_schemas::{Flag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Observation, observation::place_in};

/// What a gauge says of the end of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReading {
    /// end of the step
    pub step: Timestamp,
    /// catchment index
    pub catchment: usize,
    /// discharge, m³ s⁻¹
    pub discharge_m3_s: f64,
}

/// What each gauge has read in the last step, m³ s⁻¹, by catchment and time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepReadings(BTreeMap<usize, BTreeMap<Timestamp, f64>>);

impl StepReadings {
    /// Takes in what was read in the step that ends at `step`, sorted by catchment. Gives what is now known of its end and of the end before, and was
    /// not known when that step was taken: by time, then catchment. Nothing depends on readings of later steps that have come already, so a run
    /// that catches up learns as one that was never down.
    pub fn take(
        &mut self,
        alignment: Alignment,
        step: Timestamp,
        step_s: i64,
        read: &[Observation],
    ) -> Vec<StepReading> {
        let before = step.plus_s(-step_s);
        let telling: Vec<_> = read.iter().filter(|o| o.is_discharge() && o.flag != Flag::Suspect).collect();
        let mut known = Vec::new();
        for group in telling.chunk_by(|a, b| a.catchment == b.catchment) {
            let catchment = group[0].catchment;
            let recent = self.0.entry(catchment).or_default();
            let unknown = [before, step].map(|at| (at, alignment.observed(recent, at, step_s).is_none()));
            recent.extend(group.iter().map(|o| (o.valid_time, o.value)));
            for (at, _) in unknown.into_iter().filter(|(_, unknown)| *unknown) {
                if let Some(pair) = alignment.observed(recent, at, step_s) {
                    known.push(StepReading { step: at, catchment, discharge_m3_s: weighted(pair) });
                }
            }
            *recent = recent.split_off(&Timestamp(before.0.saturating_add(1)));
        }
        known.sort_by_key(|reading| (reading.step, reading.catchment));
        known
    }

    /// The same of other catchments: each has what its place `from` in this one has read.
    #[must_use]
    pub fn select(&self, from: &[Option<usize>]) -> Self {
        let of_catchment =
            |(old, recent): (&usize, &BTreeMap<Timestamp, f64>)| Some((place_in(from, *old)?, recent.clone()));
        Self(self.0.iter().filter_map(of_catchment).collect())
    }
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Variable;

    use super::*;

    const HOUR: i64 = 3_600;

    fn minute(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * 60)
    }

    fn read(minutes: &[i64]) -> Vec<Observation> {
        let at = |n: &i64| Observation {
            catchment: 3,
            variable: Variable::Discharge,
            valid_time: minute(*n),
            value: *n as f64,
            flag: Flag::Pass,
            error_factor: 1.0,
        };
        minutes.iter().map(at).collect()
    }

    fn taken(readings: &mut StepReadings, alignment: Alignment, hour: i64, minutes: &[i64]) -> Vec<(i64, f64)> {
        let known = readings.take(alignment, minute(60 * hour), HOUR, &read(minutes));
        known.iter().map(|one| (one.step.0 / 60_000_000, one.discharge_m3_s.round())).collect()
    }

    #[test]
    fn a_reading_off_the_hour_tells_of_the_hour_before_it_and_one_on_the_hour_of_its_own() {
        let mut readings = StepReadings::default();
        assert_eq!(taken(&mut readings, Alignment::Interpolate, 1, &[5]), []);
        assert_eq!(taken(&mut readings, Alignment::Interpolate, 2, &[65]), [(60, 60.0)]);
        assert_eq!(taken(&mut readings, Alignment::Interpolate, 3, &[]), []);
        assert_eq!(taken(&mut readings, Alignment::Interpolate, 4, &[185, 240]), [(240, 240.0)]);
        assert_eq!(taken(&mut readings, Alignment::Interpolate, 5, &[255, 270, 285, 300]), [(300, 300.0)]);
    }

    #[test]
    fn the_nearest_reading_tells_of_an_hour_once() {
        let mut readings = StepReadings::default();
        assert_eq!(taken(&mut readings, Alignment::Nearest, 1, &[5]), [(0, 5.0)]);
        assert_eq!(taken(&mut readings, Alignment::Nearest, 2, &[115]), [(120, 115.0)]);
        assert_eq!(taken(&mut readings, Alignment::Nearest, 3, &[125]), [], "it was known");
        let suspect: Vec<_> = read(&[240]).into_iter().map(|o| Observation { flag: Flag::Suspect, ..o }).collect();
        assert_eq!(readings.take(Alignment::Nearest, minute(240), HOUR, &suspect), []);
    }
}
