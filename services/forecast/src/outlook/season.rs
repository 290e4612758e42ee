//! The season: what each week of the year has had, as it was simulated and as it was read, in the logarithm. Pure.

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

use super::WEEK_S;

/// Weeks of a year; the last has a day or two more.
const WEEKS: usize = 52;
/// Weeks to either side of one that are of its season.
const BESIDE: usize = 2;
/// Values that a season needs, and how little they may vary.
const FEWEST: f64 = 10.0;
const SMALLEST_DEVIATION: f64 = 0.05;
const YEAR_DAYS: f64 = 365.2425;

/// Number, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Values {
    number: f64,
    mean: f64,
    squares: f64,
}

impl Values {
    fn add(&mut self, value: f64) {
        self.number += 1.0;
        let off = value - self.mean;
        self.mean += off / self.number;
        self.squares += off * (value - self.mean);
    }

    /// Both together (Chan, Golub & LeVeque 1979, Stanford STAN-CS-79-773).
    fn with(self, other: Self) -> Self {
        let number = self.number + other.number;
        if number == 0.0 {
            return self;
        }
        let off = other.mean - self.mean;
        Self {
            number,
            mean: self.mean + off * other.number / number,
            squares: self.squares + other.squares + off * off * self.number * other.number / number,
        }
    }
}

/// The seasons of one series of flows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Season([Values; WEEKS]);

/// What is usual at one time of the year.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    mean: f64,
    deviation: f64,
}

impl Usual {
    /// How far a logarithm is off what is usual, in standard deviations.
    pub(super) fn anomaly(&self, log: f64) -> f64 {
        (log - self.mean) / self.deviation
    }

    /// The logarithm of an anomaly.
    pub(super) fn log(&self, anomaly: f64) -> f64 {
        self.mean + self.deviation * anomaly
    }
}

impl Default for Season {
    fn default() -> Self {
        Self([Values::default(); WEEKS])
    }
}

impl Season {
    const NUMBERS: usize = 3;

    /// Takes in the logarithm of the mean flow of a week.
    pub(super) fn add(&mut self, week_end: Timestamp, log: f64) {
        self.0[week_of_year(week_end)].add(log);
    }

    /// What is usual in the week that ends then; none while too little is known.
    pub(super) fn usual(&self, week_end: Timestamp) -> Option<Usual> {
        let at = week_of_year(week_end) + WEEKS;
        let near = (at - BESIDE..=at + BESIDE).map(|week| self.0[week % WEEKS]);
        let Values { number, mean, squares } = near.fold(Values::default(), Values::with);
        let deviation = (squares / (number - 1.0)).sqrt().max(SMALLEST_DEVIATION);
        (number >= FEWEST).then_some(Usual { mean, deviation })
    }

    pub(super) fn store<'a>(of: impl Fn(usize) -> &'a Self, name: &str, columns: &mut ColumnsBuilder) {
        columns.f64(name, |at| {
            of(at).0.iter().flat_map(|week| [week.number, week.mean, week.squares]).collect::<Vec<f64>>()
        });
    }

    pub(super) fn restore(&mut self, rows: &KeyedColumns<'_>, name: &str, at: usize) {
        let numbers = rows.f64(name, at).unwrap_or_default().as_chunks::<{ Self::NUMBERS }>().0;
        for (week, [number, mean, squares]) in self.0.iter_mut().zip(numbers) {
            *week = Values { number: *number, mean: *mean, squares: *squares };
        }
    }
}

/// Of the middle of the week.
fn week_of_year(week_end: Timestamp) -> usize {
    let days = week_end.plus_s(-WEEK_S / 2).seconds_since(Timestamp(0)) as f64 / 86_400.0;
    ((days.rem_euclid(YEAR_DAYS) / 7.0) as usize).min(WEEKS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_held_against_the_same_time_of_other_years() {
        let mut season = Season::default();
        let week = |n: i64| Timestamp(0).plus_s(n * WEEK_S);
        let log = |n: i64| {
            let year = (n as f64 * 7.0 / YEAR_DAYS).floor();
            (n as f64 * 7.0 / YEAR_DAYS * std::f64::consts::TAU).sin() + 0.3 * (year - 2.0)
        };
        assert_eq!(season.usual(week(1)), None);
        (1..5 * 52).for_each(|n| season.add(week(n), log(n)));
        for n in [300, 320, 340] {
            let usual = season.usual(week(n)).unwrap();
            let expected = (n as f64 * 7.0 / YEAR_DAYS * std::f64::consts::TAU).sin();
            assert!((usual.mean - expected).abs() < 0.15, "{n}: {usual:?}, {expected}");
            assert!((0.3..0.6).contains(&usual.deviation), "{usual:?}");
            assert!((usual.anomaly(usual.log(1.5)) - 1.5).abs() < 1e-12);
        }
    }
}
