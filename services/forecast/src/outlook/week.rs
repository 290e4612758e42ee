//! The week under way: what the models had of it so far, and what the gauges read. Pure.

use nilometer_alignment::StepReading;
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

use super::WEEK_S;

/// Share of a week's steps that must have been simulated, or read, for their mean to count.
const ENOUGH: f64 = 6.0 / 7.0;

/// Sums over the steps of the week that have passed, of each catchment.
pub(super) struct WeekUnderWay {
    whole: f64,
    begin: Timestamp,
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    simulated_m3_s: f64,
    steps: f64,
    read_m3_s: f64,
    read: f64,
}

impl WeekUnderWay {
    pub(super) fn new(catchments: usize, step_s: i64) -> Self {
        Self { whole: (WEEK_S / step_s) as f64, begin: Timestamp::MIN, sums: vec![Sums::default(); catchments] }
    }

    /// Takes in a step. What is read only now of a week that is over changes nothing.
    pub(super) fn take(&mut self, simulated_m3_s: &[f64], read: &[StepReading]) {
        for (sums, simulated_m3_s) in self.sums.iter_mut().zip(simulated_m3_s) {
            sums.simulated_m3_s += simulated_m3_s;
            sums.steps += 1.0;
        }
        for reading in read.iter().filter(|reading| reading.step > self.begin) {
            let sums = &mut self.sums[reading.catchment];
            sums.read_m3_s += reading.discharge_m3_s;
            sums.read += 1.0;
        }
    }

    /// Ends the week at `step`: the means of what the models had, and of each gauge that read enough.
    pub(super) fn end(&mut self, step: Timestamp) -> (Vec<f64>, Vec<StepReading>) {
        self.begin = step;
        let sums = std::mem::take(&mut self.sums);
        self.sums = vec![Sums::default(); sums.len()];
        let simulated = sums.iter().map(|sums| sums.simulated_m3_s / sums.steps.max(1.0)).collect();
        let enough = sums.iter().enumerate().filter(|(_, sums)| sums.read >= ENOUGH * self.whole);
        let mean = |(catchment, sums): (usize, &Sums)| StepReading {
            step,
            catchment,
            discharge_m3_s: sums.read_m3_s / sums.read,
        };
        (simulated, enough.map(mean).collect())
    }

    /// Means of a catchment's week so far, m³ s⁻¹: as it was simulated, and as the gauge read it where it read enough; none where too much of it is still to
    /// come.
    pub(super) fn so_far(&self, catchment: usize) -> Option<(f64, Option<f64>)> {
        let Sums { simulated_m3_s, steps, read_m3_s, read } = self.sums[catchment];
        let enough = |number: f64| number >= ENOUGH * self.whole;
        enough(steps).then(|| (simulated_m3_s / steps, enough(read).then(|| read_m3_s / read)))
    }

    pub(super) fn store(&self, columns: &mut ColumnsBuilder) {
        columns.i64("week.begin", |_| [self.begin.0]);
        columns.f64("week", |catchment| {
            let Sums { simulated_m3_s, steps, read_m3_s, read } = self.sums[catchment];
            [simulated_m3_s, steps, read_m3_s, read]
        });
    }

    pub(super) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        for (catchment, sums) in self.sums.iter_mut().enumerate() {
            if let Some([begin]) = rows.i64("week.begin", catchment) {
                self.begin = Timestamp(*begin);
            }
            if let Some([simulated_m3_s, steps, read_m3_s, read]) = rows.f64("week", catchment) {
                let (simulated_m3_s, steps) = (*simulated_m3_s, *steps);
                *sums = Sums { simulated_m3_s, steps, read_m3_s: *read_m3_s, read: *read };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * 86_400)
    }

    #[test]
    fn a_week_counts_where_a_gauge_has_read_nearly_all_of_it() {
        let mut week = WeekUnderWay::new(2, 86_400);
        let mut end = |from: i64, missing: i64| {
            for n in from + 1..=from + 7 {
                let reading = |catchment| StepReading { step: day(n), catchment, discharge_m3_s: n as f64 };
                let read: Vec<_> = [0, 1].into_iter().filter(|c| *c == 0 || n > from + missing).map(reading).collect();
                week.take(&[1.0, 3.0], &read);
            }
            week.end(day(from + 7))
        };
        let (steps, read) = end(0, 1);
        assert_eq!(steps, [1.0, 3.0]);
        assert_eq!(read.iter().map(|r| r.discharge_m3_s).collect::<Vec<_>>(), [4.0, 4.5]);
        assert_eq!(end(7, 2).1.len(), 1, "two days are missing");
        assert_eq!(week.so_far(0), None, "a week begins");
        (15..21).for_each(|_| week.take(&[2.0, 3.0], &[]));
        assert_eq!(week.so_far(0), Some((2.0, None)), "nearly all of it, without readings");
        week.end(day(14));
        week.take(&[1.0, 3.0], &[StepReading { step: day(14), catchment: 0, discharge_m3_s: 9.0 }]);
        let mut columns = ColumnsBuilder::new(["a", "b"]);
        week.store(&mut columns);
        let columns = columns.finish().unwrap_or_else(|e| panic!("{e}"));
        let mut again = WeekUnderWay::new(2, 86_400);
        again.restore(&columns.keyed(["b", "a"]));
        assert_eq!((again.begin, again.sums[1], again.sums[0]), (day(14), week.sums[0], week.sums[1]));
        assert!((week.sums[0].read).abs() < f64::EPSILON, "it is of the week before");
    }
}
