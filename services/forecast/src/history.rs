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

    /// Takes in the step that ends at `time`, the one behind the newest: of each row of `[F, C]` what is known of it.
    pub(crate) fn remember(&mut self, time: Timestamp, known: impl Fn(usize) -> Option<f32>) {
        let at = self.slot(time);
        for (row, number) in self.numbers[at..at + self.width].iter_mut().enumerate() {
            *number = known(row).unwrap_or(f32::NAN);
        }
        self.newest = time;
    }

    /// How far to go back, in seconds, to each past year in which a catchment's weather of `(from, until]` is all known; the newest year first. Of each
    /// of `catchments`, since one that was added later knows less.
    pub(crate) fn years(&self, catchments: usize, from: Timestamp, until: Timestamp) -> Vec<Vec<i64>> {
        let back_s = |year: i64| {
            let days = (year * 146_097 + 200) / 400;
            (days * DAY_S + self.step_s / 2) / self.step_s * self.step_s
        };
        let first = from.plus_s(self.step_s);
        let known = |catchment: usize, back_s: &i64| {
            let times = std::iter::successors(Some(first), |at| Some(at.plus_s(self.step_s)));
            let rows = || (catchment..self.width).step_by(catchments);
            times
                .take_while(|at| *at <= until)
                .all(|at| rows().all(|row| self.value(at.plus_s(-back_s), row).is_some()))
        };
        let of_catchment = |catchment| (1..=self.years).map(back_s).filter(|back_s| known(catchment, back_s)).collect();
        (0..catchments).map(of_catchment).collect()
    }

    /// A row of the forcing `[F, C]` of the step that ends at `time`, if it is known.
    pub(crate) fn value(&self, time: Timestamp, row: usize) -> Option<f32> {
        let oldest = self.newest.plus_s(-(self.slots - 1) * self.step_s);
        if time > self.newest || time < oldest {
            return None;
        }
        Some(self.numbers[self.slot(time) + row]).filter(|value| !value.is_nan())
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

    /// Steps in which the first catchment has the step's number, and the second −1.
    fn after(history: &mut History, from: i64, steps: i64) -> Timestamp {
        let mut time = Timestamp(0).plus_s(from * SIX_HOURS);
        for step in from..from + steps {
            time = Timestamp(0).plus_s((step + 1) * SIX_HOURS);
            history.remember(time, |row| Some([step as f32, -1.0][row]));
        }
        time
    }

    #[test]
    fn a_past_year_serves_when_all_of_its_weather_is_known() {
        let mut history = History::new(SIX_HOURS, 3, 2, 10 * DAY_S);
        let now = after(&mut history, 0, 2 * 1_461);
        let ahead = now.plus_s(10 * DAY_S);
        let years = history.years(2, now, ahead);
        // Two years back lies the beginning, and what came before it is not known.
        assert_eq!(years, [[365 * DAY_S, 730 * DAY_S], [365 * DAY_S, 730 * DAY_S]]);
        let then = history.value(now.plus_s(SIX_HOURS - years[0][0]), 0).unwrap();
        assert!((then - (2.0 * 1_461.0 - 1_460.0)).abs() < 1e-6, "{then:?}");
        assert_eq!(history.value(now.plus_s(SIX_HOURS), 0), None, "tomorrow is not known");
        assert_eq!(History::new(SIX_HOURS, 3, 2, DAY_S).years(2, now, ahead), [[0_i64; 0]; 2]);
        history.remember(now.plus_s(SIX_HOURS), |row| (row == 0).then_some(1.0));
        assert_eq!(history.value(now.plus_s(SIX_HOURS), 1), None, "what never came is not known");
    }

    #[test]
    fn a_gap_in_one_catchment_costs_the_others_nothing() {
        let mut history = History::new(SIX_HOURS, 3, 2, 10 * DAY_S);
        let now = after(&mut history, 0, 1_461);
        let gap = now.plus_s(SIX_HOURS);
        history.remember(gap, |row| (row == 0).then_some(1.0));
        let later = after(&mut history, 1_462, 1_460);
        let years = history.years(2, later.plus_s(-SIX_HOURS), later.plus_s(DAY_S));
        assert!(years[0].contains(&(365 * DAY_S)), "{years:?}");
        assert!(!years[1].contains(&(365 * DAY_S)), "{years:?}");
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken_and_old_years_are_forgotten() {
        let mut history = History::new(SIX_HOURS, 1, 2, DAY_S);
        let now = after(&mut history, 0, 3 * 1_461);
        assert_eq!(history.years(2, now, now.plus_s(DAY_S)), [[365 * DAY_S]; 2]);
        assert!(history.value(now.plus_s(-730 * DAY_S), 0).is_none());
        let mut columns = ColumnsBuilder::new(["a", "b"]);
        history.store(2, &mut columns);
        let columns = columns.finish().unwrap();
        // Longer forecasts and other catchments: the ring has another length, and one catchment was not there.
        let mut again = History::new(SIX_HOURS, 1, 3, 20 * DAY_S);
        again.restore(&columns.keyed(["b", "new", "a"]), now);
        let then = now.plus_s(-365 * DAY_S);
        let values = [0, 1, 2].map(|row| again.value(then, row));
        assert_eq!(values, [history.value(then, 1), None, history.value(then, 0)]);
        assert!(values[0].is_some());
        assert!(again.numbers.iter().filter(|number| !number.is_nan()).count() > 2 * 1_461);
    }
}
