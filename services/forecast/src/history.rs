//! The weather of past years: what the weeks may bring that no weather forecast knows of (ensemble streamflow prediction, Day 1985,
//! J. Water Resour. Plan. Manag. 111, 157).

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

const DAY_S: i64 = 86_400;

/// The forcing `[F, C]` of every step of the last years, round and round; NaN where a step is not known.
#[derive(Clone)]
pub(crate) struct History {
    step_s: i64,
    years: usize,
    width: usize,
    slots: i64,
    numbers: Vec<f32>,
    /// end of the newest step
    newest: Timestamp,
    /// steps that are remembered, up to `slots`
    steps: i64,
}

impl History {
    /// Knows nothing yet. `width` is F·C, `ahead_s` how far forecasts look.
    pub(crate) fn new(step_s: i64, years: u32, width: usize, ahead_s: i64) -> Self {
        let slots = (i64::from(years) * 366 * DAY_S + ahead_s) / step_s + 2;
        let numbers = vec![f32::NAN; usize::try_from(slots).unwrap_or(0) * width];
        Self { step_s, years: years as usize, width, slots, numbers, newest: Timestamp::MIN, steps: 0 }
    }

    /// Takes in the step that ends at `time`, the one behind the newest: of each row of `[F, C]` what is known of it.
    pub(crate) fn remember(&mut self, time: Timestamp, known: impl Fn(usize) -> Option<f32>) {
        let at = self.slot(time);
        for (row, number) in self.numbers[at..at + self.width].iter_mut().enumerate() {
            *number = known(row).unwrap_or(f32::NAN);
        }
        self.newest = time;
        self.steps = (self.steps + 1).min(self.slots);
    }

    /// The past years, 0 for the last, in which a catchment's weather of `(from, until]` is all known, the newest first. Of each of `catchments`, since one
    /// that was added later knows less.
    pub(crate) fn years(&self, catchments: usize, from: Timestamp, until: Timestamp) -> Vec<Vec<usize>> {
        let mut years = vec![Vec::new(); catchments];
        let first = from.plus_s(self.step_s);
        let times =
            || std::iter::successors(Some(first), |at| Some(at.plus_s(self.step_s))).take_while(|at| *at <= until);
        for year in 0..self.years {
            let mut known = vec![true; catchments];
            for time in times() {
                let Some(forcing) = self.at(time, year) else {
                    known.fill(false);
                    break;
                };
                for of_input in forcing.chunks_exact(catchments) {
                    known.iter_mut().zip(of_input).for_each(|(known, value)| *known &= !value.is_nan());
                }
            }
            years.iter_mut().zip(known).filter(|(_, known)| *known).for_each(|(years, _)| years.push(year));
        }
        years
    }

    /// Of each past year, 0 for the last, the forcing `[F, C]` of the step that ended at this time of it, NaN where it is not known; none beyond what is
    /// remembered.
    pub(crate) fn of_years(&self, time: Timestamp) -> impl Iterator<Item = Option<&[f32]>> {
        (0..self.years).map(move |year| self.at(time, year))
    }

    fn at(&self, time: Timestamp, year: usize) -> Option<&[f32]> {
        let days = ((year as i64 + 1) * 146_097 + 200) / 400;
        let back_s = (days * DAY_S + self.step_s / 2) / self.step_s * self.step_s;
        let time = time.plus_s(-back_s);
        let oldest = self.newest.plus_s(-(self.slots - 1) * self.step_s);
        let slot = (oldest..=self.newest).contains(&time).then(|| self.slot(time))?;
        Some(&self.numbers[slot..slot + self.width])
    }

    /// Adds the column of what is remembered of each of `catchments` `[step, F]`, the newest step first and no further back than anything is known.
    pub(crate) fn store(&self, catchments: usize, columns: &mut ColumnsBuilder) {
        let inputs = self.width / catchments;
        columns.f32("weather.history", |catchment| {
            let back = |steps: i64| self.slot(self.newest.plus_s(-steps * self.step_s)) + catchment;
            let of_step = |steps: i64| (0..inputs).map(move |input| self.numbers[back(steps) + input * catchments]);
            let mut numbers: Vec<f32> = (0..self.steps).flat_map(of_step).collect();
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
                self.steps = self.steps.max(steps + 1);
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
        // Two years back lies the beginning, and what came before it is not known.
        assert_eq!(history.years(2, now, ahead), [[0, 1], [0, 1]]);
        let then = history.at(now.plus_s(SIX_HOURS), 0).unwrap()[0];
        assert!((then - (2.0 * 1_461.0 - 1_460.0)).abs() < 1e-6, "{then:?}");
        assert_eq!(history.at(now.plus_s(366 * DAY_S), 0), None, "next year's weather is not known");
        assert_eq!(History::new(SIX_HOURS, 3, 2, DAY_S).years(2, now, ahead), [[0_usize; 0]; 2]);
    }

    #[test]
    fn a_gap_in_one_catchment_costs_the_others_nothing() {
        let mut history = History::new(SIX_HOURS, 3, 2, 10 * DAY_S);
        let now = after(&mut history, 0, 1_461);
        history.remember(now.plus_s(SIX_HOURS), |row| (row == 0).then_some(1.0));
        let later = after(&mut history, 1_462, 1_460);
        let years = history.years(2, later.plus_s(-SIX_HOURS), later.plus_s(DAY_S));
        assert!(years[0].contains(&0) && !years[1].contains(&0), "{years:?}");
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken_and_old_years_are_forgotten() {
        let mut history = History::new(SIX_HOURS, 1, 2, DAY_S);
        let now = after(&mut history, 0, 3 * 1_461);
        assert_eq!(history.years(2, now, now.plus_s(DAY_S)), [[0], [0]]);
        assert!(history.at(now, 1).is_none());
        let mut columns = ColumnsBuilder::new(["a", "b"]);
        history.store(2, &mut columns);
        let columns = columns.finish().unwrap();
        // Longer forecasts and other catchments: the ring has another length, and one catchment was not there.
        let mut again = History::new(SIX_HOURS, 1, 3, 20 * DAY_S);
        again.restore(&columns.keyed(["b", "new", "a"]), now);
        let (then, before) = (again.at(now, 0).unwrap(), history.at(now, 0).unwrap());
        assert_eq!((then[0], then[2]), (before[1], before[0]));
        assert!(then[1].is_nan());
        assert!(again.numbers.iter().filter(|number| !number.is_nan()).count() > 2 * 1_461);
    }
}
