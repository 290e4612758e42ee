//! What a forecast has to beat: the climate of the day of the year, and today's value.
//!
//! Both give a mean and quantiles at the levels of the forecast, so that [`crate::crps_quantiles`] compares like with like.
//! Plain persistence, without an error, is the ensemble of one member that is today's value: its CRPS is the absolute error.

use crate::{
    error::StatisticsError,
    quantile::{quantiles_of_sorted, require_quantiles},
    series::{mean_of, require_finite, require_length, require_some},
};

const DAYS: usize = 366;
/// Days on either side of a day of the year whose values count as its climate.
const HALF_WINDOW: usize = 15;

/// Mean and quantiles of the values around each day of the year.
#[derive(Debug, Clone, PartialEq)]
pub struct Climatology {
    levels: usize,
    /// `[366]`, NaN on days without values
    means: Vec<f64>,
    /// `[366, L]`
    quantiles: Vec<f64>,
}

impl Climatology {
    /// Learns from `values` `[T]` on `unix_days` `[T]` in any order, some or many a day: for each day of the year the type-7
    /// quantiles at `levels` `[L]` in (0, 1) of the values within 15 days of it in all years. Days are counted round a
    /// year of 366, so that 31 December and 1 January are neighbours in a leap year, and one day more apart in others.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without a value or a level, [`StatisticsError::Length`] where days and values differ in
    /// length, [`StatisticsError::NotFinite`] for a NaN or an infinity, [`StatisticsError::Order`] or
    /// [`StatisticsError::Probability`] for levels.
    pub fn fit(unix_days: &[i64], values: &[f64], levels: &[f64]) -> Result<Self, StatisticsError> {
        require_some("values", values, 1)?;
        require_length("days", unix_days.len(), values.len())?;
        require_finite("values", values)?;
        require_quantiles(levels, levels)?;
        let mut by_day = vec![Vec::new(); DAYS];
        for (day, value) in unix_days.iter().zip(values) {
            by_day[day_of_year(*day) - 1].push(*value);
        }
        let mut fitted =
            Self { levels: levels.len(), means: vec![f64::NAN; DAYS], quantiles: vec![f64::NAN; DAYS * levels.len()] };
        let mut near = Vec::new();
        for day in 0..DAYS {
            near.clear();
            (0..=2 * HALF_WINDOW).for_each(|offset| near.extend(&by_day[(day + DAYS - HALF_WINDOW + offset) % DAYS]));
            if !near.is_empty() {
                near.sort_unstable_by(f64::total_cmp);
                fitted.means[day] = mean_of(&near);
                quantiles_of_sorted(&near, levels, &mut fitted.quantiles[day * levels.len()..][..levels.len()])?;
            }
        }
        Ok(fitted)
    }

    /// The mean on a day, and in `quantiles` `[L]` its quantiles.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] where no value was within 15 days of that day of the year, [`StatisticsError::Length`]
    /// for another number of quantiles than there were levels.
    pub fn forecast(&self, unix_day: i64, quantiles: &mut [f64]) -> Result<f64, StatisticsError> {
        require_length("quantiles", quantiles.len(), self.levels)?;
        let day = day_of_year(unix_day) - 1;
        if self.means[day].is_nan() {
            return Err(StatisticsError::TooFew { what: "climate of this day of the year", actual: 0, least: 1 });
        }
        quantiles.copy_from_slice(&self.quantiles[day * self.levels..][..self.levels]);
        Ok(self.means[day])
    }
}

/// Day of the year, 1 to 366, of a day counted from 1 January 1970, in the Gregorian calendar.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 366")]
pub fn day_of_year(unix_day: i64) -> usize {
    const ERA: i64 = 146_097; // days in 400 years
    // Years from 1 March, so that the leap day is the last one of its year; day 0 is 1 March of year 0.
    let day = (unix_day.rem_euclid(ERA) + 719_468) % ERA;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let from_march = day - (365 * year + year / 4 - year / 100);
    let leap = year % 4 == 0 && (year % 100 != 0 || year == 0);
    let day_of_year = if from_march >= 306 { from_march - 305 } else { from_march + 60 + i64::from(leap) };
    day_of_year as usize
}

/// Today's value with the errors that this had in the past, as ratios, by lead time.
#[derive(Debug, Clone, PartialEq)]
pub struct Persistence {
    epsilon: f64,
    levels: usize,
    /// means of `(later + epsilon) / (earlier + epsilon)`, `[leads]`
    ratios: Vec<f64>,
    /// quantiles of its logarithm, `[leads, L]`
    errors: Vec<f64>,
}

impl Persistence {
    /// Learns from a training series `[T]`, evenly spaced, NaN where there is no value: for each lead time of 1 to `leads`
    /// steps the type-7 quantiles at `levels` `[L]` in (0, 1) of `ln(later + epsilon) - ln(earlier + epsilon)`. The unit of
    /// `epsilon` is that of the series; it keeps a dry river's logarithm finite.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] without a pair of values at a lead time or without a level,
    /// [`StatisticsError::NotFinite`] for a value whose logarithm is no finite number, [`StatisticsError::Order`] or
    /// [`StatisticsError::Probability`] for levels.
    pub fn fit(series: &[f64], leads: usize, levels: &[f64], epsilon: f64) -> Result<Self, StatisticsError> {
        require_quantiles(levels, levels)?;
        let logs: Vec<f64> = series.iter().map(|value| (value + epsilon).ln()).collect();
        if let Some(index) = (0..series.len()).find(|at| !series[*at].is_nan() && !logs[*at].is_finite()) {
            return Err(StatisticsError::NotFinite { what: "logarithm of the series", index, value: logs[index] });
        }
        let mut fitted =
            Self { epsilon, levels: levels.len(), ratios: vec![0.0; leads], errors: vec![0.0; leads * levels.len()] };
        let mut differences = Vec::with_capacity(logs.len());
        for lead in 0..leads {
            let later = logs.iter().skip(lead + 1);
            differences.clear();
            differences.extend(logs.iter().zip(later).map(|(earlier, later)| later - earlier).filter(|d| !d.is_nan()));
            require_some("pairs of values at a lead time", &differences, 1)?;
            differences.sort_unstable_by(f64::total_cmp);
            let errors = &mut fitted.errors[lead * levels.len()..][..levels.len()];
            quantiles_of_sorted(&differences, levels, errors)?;
            differences.iter_mut().for_each(|difference| *difference = difference.exp());
            fitted.ratios[lead] = mean_of(&differences);
        }
        Ok(fitted)
    }

    /// The mean after `today`'s value at lead time `lead`, 0 for the first step, and in `quantiles` `[L]` its quantiles; at least 0.
    ///
    /// # Errors
    /// [`StatisticsError::TooFew`] beyond the last lead time learnt, [`StatisticsError::Length`] for another number
    /// of quantiles than there were levels, [`StatisticsError::NotFinite`] for `today`.
    pub fn forecast(&self, lead: usize, today: f64, quantiles: &mut [f64]) -> Result<f64, StatisticsError> {
        require_length("quantiles", quantiles.len(), self.levels)?;
        require_finite("today's value", &[today])?;
        if lead >= self.ratios.len() {
            return Err(StatisticsError::TooFew {
                what: "lead times learnt",
                actual: self.ratios.len(),
                least: lead.saturating_add(1),
            });
        }
        let scaled = |ratio: f64| ((today + self.epsilon) * ratio - self.epsilon).max(0.0);
        for (quantile, error) in quantiles.iter_mut().zip(&self.errors[lead * self.levels..]) {
            *quantile = scaled(error.exp());
        }
        Ok(scaled(self.ratios[lead]))
    }
}
