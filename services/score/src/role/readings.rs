//! Readings: what the gauges of a partition have read, and what that says of the ends of steps, of which forecasts are.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_alignment::{CatchmentIndex, Observation, ObservationContent};
use nilometer_definitions::{Alignment, weighted};
use nilometer_schemas::{Flag, Timestamp, Variable};
use nilometer_statistics::counts;

use super::inputs::Tick;

/// What a gauge read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) discharge_m3_s: f64,
    pub(super) flag: Flag,
}

/// What one gauge read, by time.
pub(super) type Readings = BTreeMap<Timestamp, Reading>;

/// What several gauges read, by time and catchment.
pub(super) type ReadingsOfTimes = BTreeMap<Timestamp, BTreeMap<usize, Reading>>;

impl Reading {
    /// The weighted sum of two, with the worse flag of those that count.
    fn between(pair: [(Self, f64); 2]) -> Self {
        let counting = pair.iter().filter(|(_, weight)| *weight > 0.0);
        let flag = counting.map(|(reading, _)| reading.flag).reduce(Flag::worst).unwrap_or(pair[0].0.flag);
        Self { discharge_m3_s: weighted(pair.map(|(reading, weight)| (reading.discharge_m3_s, weight))), flag }
    }
}

/// The gauges of a partition's catchments.
pub(super) struct Gauges {
    index: Arc<CatchmentIndex>,
    alignment: Alignment,
    step_s: i64,
    /// what each has read since the oldest forecast that waits
    pub(super) recent: Vec<Readings>,
}

impl Gauges {
    pub(super) fn new(index: Arc<CatchmentIndex>, alignment: Alignment, step_s: i64) -> Self {
        Self { recent: vec![Readings::new(); index.len()], index, alignment, step_s }
    }

    /// The usable readings of a tick, by valid time and catchment; of several of one time the first.
    pub(super) fn of_tick(&self, tick: &Tick) -> ReadingsOfTimes {
        let mut readings = ReadingsOfTimes::new();
        for record in &tick.observations {
            // What does not keep its contract the forecast role reports.
            let Ok(rows) = self.index.observations(&record.batch) else { continue };
            for content in rows {
                let ObservationContent::Value(Observation { catchment, variable, valid_time, value, flag, .. }) =
                    content
                else {
                    continue;
                };
                if valid_time > tick.time || variable != Variable::Discharge || !counts(flag) {
                    continue;
                }
                // A station may be that of several catchments.
                for &place in self.index.places_of_station(self.index.station(catchment)) {
                    let reading = Reading { discharge_m3_s: value, flag };
                    readings.entry(valid_time).or_default().entry(place).or_insert(reading);
                }
            }
        }
        readings
    }

    /// Remembers the readings of a tick; gives what gauges now say of the ends of steps that these are about.
    pub(super) fn at_steps(&mut self, readings: &ReadingsOfTimes) -> ReadingsOfTimes {
        for (time, of_time) in readings {
            for (catchment, reading) in of_time {
                self.recent[*catchment].insert(*time, *reading);
            }
        }
        let mut observed = ReadingsOfTimes::new();
        for (time, of_time) in readings {
            for (step, _) in self.alignment.steps(*time, self.step_s) {
                for catchment in of_time.keys() {
                    if let Some(pair) = self.alignment.observed(&self.recent[*catchment], step, self.step_s) {
                        observed.entry(step).or_default().insert(*catchment, Reading::between(pair));
                    }
                }
            }
        }
        observed
    }

    /// Forgets what no forecast after `time` can need.
    pub(super) fn forget(&mut self, time: Timestamp) {
        for recent in &mut self.recent {
            *recent = recent.split_off(&time.plus_s(-self.step_s));
        }
    }
}
