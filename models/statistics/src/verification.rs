//! Verification: which readings count against forecasts, and the two baselines that a forecast has to beat. Live scores, `verify` and `report` take
//! these, so that one name has one number.

use nilometer_schemas::Flag;

use crate::{error::StatisticsError, quantile::quantiles_of_sorted};

/// Years that a climate counts.
const YEARS: i64 = 10;
/// Days on either side of a day of the year whose values count as its climate.
const HALF_WINDOW: i64 = 15;
/// Fewer values are no climate.
const FEWEST: usize = 31;
const DAY_US: i64 = 86_400_000_000;

/// Whether a reading is held against forecasts: not one that failed its checks or is missing. A suspect one is, and its flag is said.
#[must_use]
pub const fn counts(flag: Flag) -> bool {
    !matches!(flag, Flag::Fail | Flag::Missing)
}

/// Persistence: the newest reading of a gauge that has arrived. Readings are taken in the order of their arrival; of one valid time the last counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newest {
    /// microseconds since 1970
    valid_time_us: i64,
    value: f64,
}

impl Default for Newest {
    fn default() -> Self {
        Self { valid_time_us: i64::MIN, value: f64::NAN }
    }
}

impl Newest {
    /// One reading.
    #[must_use]
    pub const fn of(valid_time_us: i64, value: f64) -> Self {
        Self { valid_time_us, value }
    }

    /// Takes in a reading that counts.
    pub const fn take(&mut self, valid_time_us: i64, value: f64) {
        if valid_time_us >= self.valid_time_us {
            *self = Self { valid_time_us, value };
        }
    }

    /// Its valid time, microseconds since 1970; the least number before the first reading.
    #[must_use]
    pub const fn valid_time_us(&self) -> i64 {
        self.valid_time_us
    }

    /// Its value; none before the first reading.
    #[must_use]
    pub const fn value(&self) -> Option<f64> {
        if self.value.is_nan() { None } else { Some(self.value) }
    }
}

/// The day, counted from 1970, whose period ends at a time of microseconds since 1970.
#[must_use]
pub const fn day_that_ends(time_us: i64) -> i64 {
    (time_us - 1).div_euclid(DAY_US)
}

/// Climatology of a day: quantiles at `levels` `[L]` of the values within 15 days of it in each of the ten years before, one value a day as
/// `value_of_day` gives it; none where these are fewer than 31. `near` is room that is used again.
///
/// # Errors
/// [`StatisticsError`] for levels that are no probabilities or values that are no numbers.
pub fn climate_of_day(
    day: i64,
    mut value_of_day: impl FnMut(i64) -> Option<f64>,
    levels: &[f64],
    near: &mut Vec<f64>,
    quantiles: &mut [f64],
) -> Result<Option<()>, StatisticsError> {
    near.clear();
    for year in 1..=YEARS {
        // A mean year of the Gregorian calendar, to the nearest day.
        let then = day - (year * 146_097 + 200) / 400;
        near.extend((then - HALF_WINDOW..=then + HALF_WINDOW).filter_map(&mut value_of_day));
    }
    if near.len() < FEWEST {
        return Ok(None);
    }
    near.sort_unstable_by(f64::total_cmp);
    quantiles_of_sorted(near, levels, quantiles).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_is_missing_does_not_count() {
        let flags = [Flag::Pass, Flag::NotEvaluated, Flag::Suspect, Flag::Fail, Flag::Missing];
        assert_eq!(flags.map(counts), [true, true, true, false, false]);
    }

    #[test]
    fn the_newest_reading_is_the_latest_by_its_own_time_and_of_one_time_the_last() {
        let mut newest = Newest::default();
        assert_eq!(newest.value(), None);
        for (time, value, expected) in [(5, 1.0, 1.0), (3, 9.0, 1.0), (5, 2.0, 2.0), (6, 4.0, 4.0)] {
            newest.take(time, value);
            assert_eq!(newest.value(), Some(expected));
        }
    }

    #[test]
    fn the_climate_of_a_day_is_that_of_years_before_it() {
        // The flow of a day is its number in the year; from day 1095 on it is 1000.
        let value =
            |day: i64| (0..1_295).contains(&day).then_some(if day < 1_095 { (day % 365) as f64 } else { 1_000.0 });
        let (levels, mut near, mut quantiles) = ([0.5, 0.95], Vec::new(), [0.0; 2]);
        assert_eq!(climate_of_day(1_294, value, &levels, &mut near, &mut quantiles), Ok(Some(())));
        assert!((quantiles[0] - 199.0).abs() <= 1.0 && quantiles[1] < 215.0, "{quantiles:?}");
        assert_eq!(climate_of_day(200, value, &levels, &mut near, &mut quantiles), Ok(None));
        assert_eq!([0, 1, DAY_US, DAY_US + 1].map(day_that_ends), [-1, 0, 0, 1]);
    }
}
