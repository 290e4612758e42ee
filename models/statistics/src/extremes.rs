//! Annual extremes of a daily series: what return periods are made of.

use crate::{
    StatisticsError,
    series::{count, mean_of},
};

/// Months that a year may begin with.
const MONTHS: std::ops::RangeInclusive<u8> = 1..=12;

/// Which extreme of a year counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// the largest value
    Largest,
    /// the smallest mean of so many days in a row, all of them known
    SmallestMean {
        /// days, at least 1
        days: usize,
    },
}

/// The extreme of each year, by the calendar year in which it begins. Years begin on the first of `first_month` (10 for the water year of
/// the United States, 4 for their climatic year), and count where at least `least_share` of their days are known. `daily` `[T]` begins on
/// `first_unix_day`, counted from 1 January 1970, and is NaN where there is no value. A mean is of the year in which its last day lies.
///
/// # Errors
/// [`StatisticsError::Probability`] for a month that is none, [`StatisticsError::TooFew`] for a mean of no day.
pub fn annual_extremes(
    first_unix_day: i64,
    daily: &[f64],
    extreme: Extreme,
    first_month: u8,
    least_share: f64,
) -> Result<Vec<(i64, f64)>, StatisticsError> {
    if !MONTHS.contains(&first_month) {
        let (what, accepted) = ("the first month of a year", "1 to 12");
        return Err(StatisticsError::Probability { what, value: f64::from(first_month), accepted });
    }
    let window = match extreme {
        Extreme::Largest => 1,
        Extreme::SmallestMean { days } => days,
    };
    if window == 0 {
        return Err(StatisticsError::TooFew { what: "days of a mean", actual: 0, least: 1 });
    }
    let mut years: Vec<Year> = Vec::new();
    for (at, unix_day) in (first_unix_day..).take(daily.len()).enumerate() {
        let (civil_year, month) = year_and_month(unix_day);
        let begins = civil_year - i64::from(month < first_month);
        if years.last().is_none_or(|year| year.begins != begins) {
            years.push(Year { begins, known: 0, extreme: None });
        }
        let Some(year) = years.last_mut() else { continue };
        year.known += usize::from(!daily[at].is_nan());
        let Some(from) = (at + 1).checked_sub(window) else { continue };
        let value = mean_of(&daily[from..=at]);
        let counts = |other: f64| match extreme {
            Extreme::Largest => value > other,
            Extreme::SmallestMean { .. } => value < other,
        };
        if !value.is_nan() && year.extreme.is_none_or(counts) {
            year.extreme = Some(value);
        }
    }
    let of_year = |year: Year| {
        let days = first_day_of(year.begins + 1, first_month) - first_day_of(year.begins, first_month);
        let enough = count(year.known) >= least_share * days as f64;
        year.extreme.filter(|_| enough).map(|value| (year.begins, value))
    };
    Ok(years.into_iter().filter_map(of_year).collect())
}

struct Year {
    begins: i64,
    known: usize,
    extreme: Option<f64>,
}

/// Year and month of a day counted from 1 January 1970, in the Gregorian calendar.
#[must_use]
pub fn year_and_month(unix_day: i64) -> (i64, u8) {
    const ERA: i64 = 146_097; // days in 400 years
    // Years from 1 March, so that the leap day is the last one of its year; day 0 is 1 March of year 0.
    let from_march_0 = unix_day + 719_468;
    let (era, day) = (from_march_0.div_euclid(ERA), from_march_0.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let from_march = day - (365 * year + year / 4 - year / 100);
    let month = (5 * from_march + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year + i64::from(month <= 2), month as u8)
}

/// The first day of a month, counted from 1 January 1970.
fn first_day_of(year: i64, month: u8) -> i64 {
    let year = year - i64::from(month <= 2);
    let month = i64::from(month);
    let from_march = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + from_march - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    /// 1 October 2000.
    const OCTOBER_2000: i64 = 11_231;

    #[test]
    fn days_have_their_month_and_months_their_first_day() {
        assert_eq!(year_and_month(0), (1970, 1));
        assert_eq!(year_and_month(-1), (1969, 12));
        assert_eq!([OCTOBER_2000 - 1, OCTOBER_2000].map(year_and_month), [(2000, 9), (2000, 10)]);
        assert_eq!([11_016, 11_017].map(year_and_month), [(2000, 2), (2000, 3)], "a leap year");
        for unix_day in -200_000..200_000 {
            let (year, month) = year_and_month(unix_day);
            let starts = year_and_month(unix_day - 1) != (year, month);
            assert_eq!(first_day_of(year, month) == unix_day, starts, "{unix_day}");
        }
    }

    #[test]
    fn a_water_year_has_the_flood_of_its_winter() {
        let mut daily = vec![1.0; 365 + 365];
        daily[91] = 9.0; // 31 December 2000
        daily[92] = 7.0; // 1 January 2001
        daily[400] = 5.0;
        let largest = |daily: &[f64], first_month, least_share| {
            annual_extremes(OCTOBER_2000, daily, Extreme::Largest, first_month, least_share).unwrap()
        };
        assert_eq!(largest(&daily, 10, 1.0), [(2000, 9.0), (2001, 5.0)]);
        assert_eq!(largest(&daily, 1, 0.2), [(2000, 9.0), (2001, 7.0), (2002, 1.0)]);
        assert_eq!(largest(&daily, 1, 1.0), [(2001, 7.0)], "the others are not whole");
        daily[200] = f64::NAN;
        assert_eq!(largest(&daily, 10, 1.0), [(2001, 5.0)]);
        assert_eq!(largest(&daily, 10, 0.99), [(2000, 9.0), (2001, 5.0)]);
    }

    #[test]
    fn a_low_flow_is_a_mean_of_days_that_are_all_known() {
        let mut daily = vec![10.0; 365];
        daily[100..107].fill(3.0);
        daily[200] = 0.0;
        daily[203] = f64::NAN;
        let lowest = |days| annual_extremes(OCTOBER_2000, &daily, Extreme::SmallestMean { days }, 10, 0.9).unwrap();
        assert_eq!(lowest(7), [(2000, 3.0)], "{:?}", lowest(7));
        assert_eq!(lowest(1), [(2000, 0.0)]);
    }

    #[test]
    fn what_is_no_year_is_refused() {
        assert!(annual_extremes(0, &[1.0], Extreme::Largest, 13, 0.5).is_err());
        assert!(annual_extremes(0, &[1.0], Extreme::SmallestMean { days: 0 }, 4, 0.5).is_err());
        assert_eq!(annual_extremes(0, &[], Extreme::Largest, 4, 0.5), Ok(Vec::new()));
    }
}
