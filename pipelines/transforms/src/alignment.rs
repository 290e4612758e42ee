//! Alignment: what a gauge that reads between the ends of steps says of a model, whose values are at the ends of steps.

use std::collections::BTreeMap;

use nilometer_schemas::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How readings between the ends of steps count. One at the end of a step is always that step's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// linearly in time: a step's end is observed where a reading lies on either side of it, each less than a step away
    #[default]
    Interpolate,
    /// held to the nearest end of a step, at most half a step away; of two equally near the earlier reading, and the later step
    Nearest,
}

impl Alignment {
    /// What `readings` say of the end of a step: two values and the weight of each, which add up to 1. None where they say nothing of it.
    #[must_use]
    pub fn observed<V: Copy>(
        self,
        readings: &BTreeMap<Timestamp, V>,
        step: Timestamp,
        step_s: i64,
    ) -> Option<[(V, f64); 2]> {
        if let Some(value) = readings.get(&step) {
            return Some([(*value, 1.0), (*value, 0.0)]);
        }
        let within = |reading: &(&Timestamp, &V)| reading.0.seconds_since(step).abs() < step_s;
        let before = readings.range(..step).next_back().filter(within);
        let after = readings.range(step..).next().filter(within);
        match self {
            Self::Interpolate => {
                let ((from, before), (to, after)) = (before?, after?);
                let weight = (step.0 - from.0) as f64 / (to.0 - from.0) as f64;
                Some([(*before, 1.0 - weight), (*after, weight)])
            }
            Self::Nearest => {
                let distance = |(time, _): &(&Timestamp, &V)| (time.0 - step.0).abs();
                let nearest = before.into_iter().chain(after).min_by_key(distance)?;
                let own = Self::Nearest.steps(*nearest.0, step_s).iter().any(|(s, weight)| *s == step && *weight > 0.0);
                own.then_some([(*nearest.1, 1.0), (*nearest.1, 0.0)])
            }
        }
    }

    /// The ends of steps around a reading, with the weight of what is predicted for each; the weights add up to 1. The later one is the end of
    /// the step in which it was read.
    #[must_use]
    pub fn steps(self, reading: Timestamp, step_s: i64) -> [(Timestamp, f64); 2] {
        let later = reading.ceil_s(step_s);
        let earlier = later.plus_s(-step_s);
        let share = (reading.0 - earlier.0) as f64 / (later.0 - earlier.0) as f64;
        let weight = match self {
            Self::Interpolate => share,
            Self::Nearest => f64::from(u8::from(share >= 0.5)),
        };
        [(earlier, 1.0 - weight), (later, weight)]
    }

    /// Readings as values at the ends of steps.
    #[must_use]
    pub fn series(self, readings: &BTreeMap<Timestamp, f64>, step_s: i64) -> BTreeMap<Timestamp, f64> {
        let steps = readings.keys().flat_map(|time| self.steps(*time, step_s)).map(|(step, _)| step);
        let observed = |step| Some((step, weighted(self.observed(readings, step, step_s)?)));
        steps.filter_map(observed).collect()
    }
}

/// The weighted sum of two values.
#[must_use]
pub fn weighted([(one, of_one), (other, of_other)]: [(f64, f64); 2]) -> f64 {
    one * of_one + other * of_other
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn minute(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * 60)
    }

    /// Readings whose value is their minute.
    fn at(minutes: &[i64]) -> BTreeMap<Timestamp, f64> {
        minutes.iter().map(|n| (minute(*n), *n as f64)).collect()
    }

    fn observed(alignment: Alignment, minutes: &[i64], step: i64) -> Option<f64> {
        alignment.observed(&at(minutes), minute(step), HOUR).map(weighted).map(rounded)
    }

    fn rounded(value: f64) -> f64 {
        (value * 1e9).round() / 1e9
    }

    #[test]
    fn a_reading_at_the_end_of_a_step_is_its_own_and_no_gap_of_such_readings_is_bridged() {
        for alignment in [Alignment::Interpolate, Alignment::Nearest] {
            assert_eq!(observed(alignment, &[0, 60, 120], 60), Some(60.0));
            assert_eq!(observed(alignment, &[0, 120], 60), None);
            assert_eq!(observed(alignment, &[45, 60, 75], 60), Some(60.0));
            assert_eq!(alignment.steps(minute(60), HOUR), [(minute(0), 0.0), (minute(60), 1.0)]);
            let series = at(&[0, 60, 180]);
            assert_eq!(alignment.series(&series, HOUR), series);
        }
    }

    #[test]
    fn between_two_readings_less_than_a_step_away_the_end_of_a_step_is_interpolated() {
        let exact = |minutes: &[i64], step| observed(Alignment::Interpolate, minutes, step);
        assert_eq!(exact(&[5, 65, 125], 60), Some(60.0));
        assert_eq!(exact(&[4, 66], 60), Some(60.0), "readings need not be a step apart");
        assert_eq!(exact(&[-5, 5], 0), Some(0.0));
        assert_eq!(exact(&[5, 125], 60), None, "the reading of 1:05 is missing");
        assert_eq!(exact(&[5, 55], 60), None, "nothing was read after it");
        let steps = Alignment::Interpolate.steps(minute(65), HOUR);
        assert_eq!(steps.map(|(step, _)| step), [minute(60), minute(120)]);
        assert!((steps[0].1 - 55.0 / 60.0).abs() < 1e-12 && (steps[0].1 + steps[1].1 - 1.0).abs() < 1e-12);
        let mut series = Alignment::Interpolate.series(&at(&[5, 65, 125, 245, 305]), HOUR);
        series.values_mut().for_each(|value| *value = rounded(*value));
        assert_eq!(series, at(&[60, 120, 300]));
    }

    #[test]
    fn the_nearest_end_of_a_step_is_at_most_half_a_step_away() {
        let nearest = |minutes: &[i64], step| observed(Alignment::Nearest, minutes, step);
        assert_eq!(nearest(&[425], 420), Some(425.0), "one reading a day is enough");
        assert_eq!(nearest(&[425], 480), None);
        assert_eq!(nearest(&[45, 65], 60), Some(65.0));
        assert_eq!(nearest(&[50, 70], 60), Some(50.0), "of two equally near the earlier");
        assert_eq!([nearest(&[30], 0), nearest(&[30], 60)], [None, Some(30.0)], "half way it is of the later step");
        assert_eq!(Alignment::Nearest.steps(minute(65), HOUR), [(minute(60), 1.0), (minute(120), 0.0)]);
    }

    #[test]
    fn a_straight_line_is_observed_as_it_is_whatever_the_times_of_the_readings() {
        for apart in [7, 15, 59, 60] {
            let readings = at(&(0..40).map(|n| 3 + n * apart).collect::<Vec<_>>());
            let series = Alignment::Interpolate.series(&readings, HOUR);
            assert!(series.len() as i64 >= 39 * apart / 60);
            assert!(series.iter().all(|(time, value)| (*value - (time.0 / 60_000_000) as f64).abs() < 1e-9));
        }
    }
}
