//! The weather of past years: what the weeks may bring that no weather forecast knows of (ensemble streamflow prediction, Day 1985,
//! J. Water Resour. Plan. Manag. 111, 157).

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

const DAY_S: i64 = 86_400;

/// The forcing `[F, C]` of every step of the last years, round and round; NaN where a step is not known.
#[derive(Clone)]
pub(crate) struct History {
    step_s: i64,
    years: i64,
    width: usize,
    slots: i64,
    numbers: Vec<f32>,
    /// end of the newest step
    newest: Timestamp,
}

impl History {
    /// Knows nothing yet. `width` is F·C, `ahead_s` how far forecasts look.
    pub(crate) fn new(step_s: i64, years: u32, width: usize, ahead_s: i64) -> Self {
        let years = i64::from(years);
        let slots = (years * 366 * DAY_S + ahead_s) / step_s + 2;
        let numbers = vec![f32::NAN; usize::try_from(slots).unwrap_or(0) * width];
        Self { step_s, years, width, slots, numbers, newest: Timestamp::MIN }
    }

    /// Takes in the step that ends at `time`, the one behind the newest; none where its forcing never came.
    pub(crate) fn remember(&mut self, time: Timestamp, forcing: Option<&[f32]>) {
        let at = self.slot(time);
        match forcing {
            Some(forcing) => self.numbers[at..at + self.width].copy_from_slice(forcing),
            None => self.numbers[at..at + self.width].fill(f32::NAN),
        }
        self.newest = time;
    }

    /// How far to go back, in seconds, to each past year whose weather of `(from, until]` is all known; the newest year first.
    pub(crate) fn years(&self, from: Timestamp, until: Timestamp) -> Vec<i64> {
        let back_s = |year: i64| {
            let days = (year * 146_097 + 200) / 400;
            (days * DAY_S + self.step_s / 2) / self.step_s * self.step_s
        };
        let first = from.plus_s(self.step_s);
        let known = |back_s: &i64| {
            let mut times = std::iter::successors(Some(first), |at| Some(at.plus_s(self.step_s)));
            times.by_ref().take_while(|at| *at <= until).all(|at| self.at(at.plus_s(-back_s)).is_some())
        };
        (1..=self.years).map(back_s).filter(known).collect()
    }

    /// The forcing `[F, C]` of the step that ends at `time`, if it is known.
    pub(crate) fn at(&self, time: Timestamp) -> Option<&[f32]> {
        let oldest = self.newest.plus_s(-(self.slots - 1) * self.step_s);
        if time > self.newest || time < oldest {
            return None;
        }
        let at = self.slot(time);
        Some(&self.numbers[at..at + self.width]).filter(|forcing| !forcing.iter().any(|value| value.is_nan()))
    }

    /// Adds the column of what is remembered of each of `catchments` `[step, F]`, the newest step first and no further back than anything is known.
    pub(crate) fn store(&self, catchments: usize, columns: &mut ColumnsBuilder) {
        let inputs = self.width / catchments;
        columns.f32("weather.history", |catchment| {
            let back = |steps: i64| self.slot(self.newest.plus_s(-steps * self.step_s)) + catchment;
            let of_step = |steps: i64| (0..inputs).map(move |input| self.numbers[back(steps) + input * catchments]);
            let mut numbers: Vec<f32> =
                if self.newest == Timestamp::MIN { Vec::new() } else { (0..self.slots).flat_map(of_step).collect() };
            let known = numbers.iter().rposition(|number| !number.is_nan()).map_or(0, |last| last / inputs + 1);
            numbers.truncate(known * inputs);
            numbers
        });
    }

    /// Takes up what [`History::store`] gave at `newest` of the catchments that were there.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>, newest: Timestamp) {
        let catchments = rows.len();
        let inputs = self.width / catchments;
        self.newest = newest;
        for catchment in 0..catchments {
            let numbers = rows.f32("weather.history", catchment).unwrap_or_default();
            for (steps, of_step) in (0..self.slots).zip(numbers.chunks_exact(inputs)) {
                let at = self.slot(newest.plus_s(-steps * self.step_s)) + catchment;
                for (input, number) in of_step.iter().enumerate() {
                    self.numbers[at + input * catchments] = *number;
                }
            }
        }
    }

    fn slot(&self, time: Timestamp) -> usize {
        let step = time.seconds_since(Timestamp(0)).div_euclid(self.step_s);
        usize::try_from(step.rem_euclid(self.slots)).unwrap_or(0) * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX_HOURS: i64 = 6 * 3_600;

    fn after(history: &mut History, from: i64, steps: i64) -> Timestamp {
        let mut time = Timestamp(0).plus_s(from * SIX_HOURS);
        for step in from..from + steps {
            time = Timestamp(0).plus_s((step + 1) * SIX_HOURS);
            history.remember(time, Some(&[step as f32, -1.0]));
        }
        time
    }

    #[test]
    fn a_past_year_serves_when_all_of_its_weather_is_known() {
        let mut history = History::new(SIX_HOURS, 3, 2, 10 * DAY_S);
        let now = after(&mut history, 0, 2 * 1_461);
        let ahead = now.plus_s(10 * DAY_S);
        let years = history.years(now, ahead);
        // Two years back lies the beginning, and what came before it is not known.
        assert_eq!(years, [365 * DAY_S, 730 * DAY_S]);
        let then = history.at(now.plus_s(SIX_HOURS - years[0])).unwrap();
        assert!((then[0] - (2.0 * 1_461.0 - 1_460.0)).abs() < 1e-6, "{then:?}");
        assert!(history.at(now.plus_s(SIX_HOURS)).is_none(), "nobody knows tomorrow");
        assert!(History::new(SIX_HOURS, 3, 2, DAY_S).years(now, ahead).is_empty());
        history.remember(now.plus_s(SIX_HOURS), None);
        assert!(history.at(now.plus_s(SIX_HOURS)).is_none(), "what never came is not known");
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken_and_old_years_are_forgotten() {
        let mut history = History::new(SIX_HOURS, 1, 2, DAY_S);
        let now = after(&mut history, 0, 3 * 1_461);
        assert_eq!(history.years(now, now.plus_s(DAY_S)), [365 * DAY_S]);
        assert!(history.at(now.plus_s(-730 * DAY_S)).is_none());
        let mut columns = ColumnsBuilder::new(["a", "b"]);
        history.store(2, &mut columns);
        let columns = columns.finish().unwrap();
        // Longer forecasts and other catchments: the ring has another length, and one catchment was not there.
        let mut again = History::new(SIX_HOURS, 1, 3, 20 * DAY_S);
        again.restore(&columns.keyed(["b", "new", "a"]), now);
        let at = again.slot(now.plus_s(-365 * DAY_S));
        let then = history.at(now.plus_s(-365 * DAY_S)).unwrap();
        assert_eq!((again.numbers[at], again.numbers[at + 2]), (then[1], then[0]));
        assert!(again.numbers[at + 1].is_nan());
        assert!(again.numbers.iter().filter(|number| !number.is_nan()).count() > 2 * 1_461);
    }
}
