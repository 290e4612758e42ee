//! The climate of each gauge: one value a day, of the last ten years.

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{climate_of_day, day_that_ends};

/// Days that are remembered.
const DAYS: usize = 3_700;

/// The newest value of each day, `[C, DAYS]` round and round; NaN where there is none.
pub(crate) struct Climate {
    values: Vec<f32>,
    /// newest day of each catchment, counted from 1970
    newest: Vec<i64>,
    near: Vec<f64>,
}

impl Climate {
    pub(crate) fn new(catchments: usize) -> Self {
        Self { values: vec![f32::NAN; catchments * DAYS], newest: vec![i64::MIN; catchments], near: Vec::new() }
    }

    /// Takes in what a gauge read; of several values of one day the last counts.
    pub(crate) fn add(&mut self, catchment: usize, valid_time: Timestamp, discharge_m3_s: f64) {
        let (day, newest) = (day(valid_time), self.newest[catchment]);
        if newest == i64::MIN || day > newest {
            // The days between have no value, and what stood there is ten years old.
            let first = newest.max(day - DAYS as i64) + 1;
            (first..day).for_each(|skipped| self.set(catchment, skipped, f32::NAN));
            self.newest[catchment] = day;
        } else if day <= newest - DAYS as i64 {
            return;
        }
        self.set(catchment, day, discharge_m3_s as f32);
    }

    /// Quantiles at [`QUANTILE_LEVELS`] of the same time of the year in the years before; none while there are too few.
    pub(crate) fn quantiles(
        &mut self,
        catchment: usize,
        valid_time: Timestamp,
    ) -> Option<[f64; QUANTILE_LEVELS.len()]> {
        let (newest, mut quantiles) = (self.newest[catchment], [0.0; QUANTILE_LEVELS.len()]);
        let (values, near) = (&self.values, &mut self.near);
        let value_of_day = |day: i64| {
            let value = (day <= newest && day > newest - DAYS as i64).then(|| f64::from(values[at(catchment, day)]));
            value.filter(|value| !value.is_nan())
        };
        climate_of_day(day(valid_time), value_of_day, &QUANTILE_LEVELS, near, &mut quantiles).ok()?.map(|()| quantiles)
    }

    fn set(&mut self, catchment: usize, day: i64, value: f32) {
        self.values[at(catchment, day)] = value;
    }

    /// Adds the columns of each gauge's newest day, and of its values from there back as far as there are any.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        columns.i64("climate.day", |catchment| Some(self.newest[catchment]).filter(|day| *day > i64::MIN));
        columns.f32("climate.discharge_m3_s", |catchment| {
            let newest = self.newest[catchment];
            let days = if newest > i64::MIN { DAYS as i64 } else { 0 };
            let mut values: Vec<f32> = (0..days).map(|back| self.values[at(catchment, newest - back)]).collect();
            values.truncate(values.iter().rposition(|value| !value.is_nan()).map_or(0, |last| last + 1));
            values
        });
    }

    /// Takes up what [`Climate::store`] gave of the catchments that were there.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        for catchment in 0..rows.len() {
            let Some([newest]) = rows.i64("climate.day", catchment) else { continue };
            self.newest[catchment] = *newest;
            let values = rows.f32("climate.discharge_m3_s", catchment).unwrap_or_default();
            for (back, value) in (0..DAYS as i64).zip(values) {
                self.set(catchment, *newest - back, *value);
            }
        }
    }
}

/// The day whose period ends at a time, counted from 1970.
const fn day(time: Timestamp) -> i64 {
    day_that_ends(time.0)
}

fn at(catchment: usize, day: i64) -> usize {
    catchment * DAYS + usize::try_from(day.rem_euclid(DAYS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    fn noon(day: i64) -> Timestamp {
        Timestamp(day * DAY_US + DAY_US / 2)
    }

    #[test]
    fn the_same_time_of_years_before_is_the_climate_and_this_year_is_not() {
        let mut climate = Climate::new(2);
        // Three years in which the flow of a day is its number in the year, then one of 1000.
        (0..3 * 365).for_each(|d| climate.add(1, noon(d), (d % 365) as f64));
        (3 * 365..3 * 365 + 200).for_each(|d| climate.add(1, noon(d), 1_000.0));
        let quantiles = climate.quantiles(1, noon(3 * 365 + 199)).unwrap();
        assert!((quantiles[9] - 199.0).abs() <= 1.0 && quantiles[18] < 215.0, "{quantiles:?}");
        assert!(climate.quantiles(1, noon(200)).is_none() && climate.quantiles(0, noon(900)).is_none());
    }

    #[test]
    fn what_is_older_than_ten_years_is_gone_after_a_silence() {
        let mut climate = Climate::new(1);
        (0..365).for_each(|d| climate.add(0, noon(d), 5.0));
        climate.add(0, noon(365 * 12), 7.0);
        assert!(climate.values.iter().filter(|v| !v.is_nan()).count() == 1, "only the newest");
        let mut columns = ColumnsBuilder::new(["gauge"]);
        climate.store(&mut columns);
        let (columns, mut restored) = (columns.finish().unwrap(), Climate::new(2));
        restored.restore(&columns.keyed(["new", "gauge"]));
        assert_eq!(restored.newest, [i64::MIN, climate.newest[0]]);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&restored.values[DAYS..]), bits(&climate.values));
        assert!(restored.values[..DAYS].iter().all(|value| value.is_nan()));
    }
}
