//! Record: what one catchment has had, as far as later days are held against it, and the droughts that follow. Pure.

use std::collections::VecDeque;

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;
use nilometer_statistics::{
    DroughtChange, DroughtClass, Family, Standardized, WATER_BALANCE_OFFSET_MM, accumulated, percentile,
    percentile_of_score, quantile_of_sorted, score_of_percentile, year_and_month,
};
use serde::{Deserialize, Serialize};

use crate::outlook::Expectations;

pub(crate) const DAY_S: i64 = 86_400;
/// Days of a mean flow.
const FLOW_DAYS: usize = 7;
/// Days of a sum of rain.
const RAIN_DAYS: usize = 90;
/// Days between two values that later ones are held against.
const SAMPLED: i64 = 7;
/// Half the length of a season, days.
const HALF_SEASON: f64 = 15.0;
const YEAR_DAYS: f64 = 365.2425;
/// How old a value must be at least: a drought is not held against itself, days.
const OLD_ENOUGH: i64 = 180;
/// Months of the indices of months.
const ACCUMULATED: [usize; 4] = [1, 3, 6, 12];
/// Flow that is exceeded in 80 % of a season begins a deficit.
const DEFICIT_LEVEL: f64 = 0.2;

/// What is judged each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Daily {
    Streamflow,
    RootZone,
    Snow,
    Precipitation,
}

impl Daily {
    pub(crate) const ALL: [Self; 4] = [Self::Streamflow, Self::RootZone, Self::Snow, Self::Precipitation];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Streamflow => "streamflow",
            Self::RootZone => "root_zone",
            Self::Snow => "snow",
            Self::Precipitation => "precipitation",
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Streamflow => "m3 s-1",
            Self::RootZone | Self::Snow | Self::Precipitation => "mm",
        }
    }
}

/// What a catchment had on a day; NaN where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Day {
    pub(crate) flow_m3_s: f64,
    pub(crate) rain_mm: f64,
    pub(crate) evapotranspiration_mm: f64,
    pub(crate) root_zone_mm: f64,
    pub(crate) snow_mm: f64,
}

/// Where one index stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    class: DroughtClass,
    pub(crate) since: Option<Timestamp>,
    pub(crate) duration_days: i32,
    pub(crate) deficit_m3: f64,
    pub(crate) lowest_m3_s: Option<f64>,
    /// of the newest day that was known
    #[serde(default)]
    pub(crate) percentile: Option<f64>,
}

impl Standing {
    pub(crate) const fn class(&self) -> Option<u8> {
        self.class.class()
    }
}

/// What an index says of a day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) index: Daily,
    pub(crate) value: f64,
    pub(crate) percentile: Option<f64>,
    pub(crate) years: i32,
    pub(crate) change: DroughtChange,
}

/// What an index says of the months that end with one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JudgedMonths {
    /// as `spi_3`
    pub(crate) index: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) score: f64,
    pub(crate) percentile: f64,
    pub(crate) years: i32,
}

/// Sums or means of a month, and of how many days.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Running {
    sum: f64,
    days: f64,
}

/// Series of months.
const MONTHLY: usize = 4;
const RAIN: usize = 0;
const EVAPOTRANSPIRATION: usize = 1;
const FLOW: usize = 2;
const ROOT_ZONE: usize = 3;

/// What one catchment has had.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    flows: VecDeque<f32>,
    rains: VecDeque<f32>,
    /// days of the values that later ones are held against, and the values of each index
    sampled: Vec<i64>,
    seasons: [Vec<f32>; Daily::ALL.len()],
    /// month of the first value, counted from 1970, and the values of each series of months
    first_month: i64,
    months: [Vec<f32>; MONTHLY],
    running: [Running; MONTHLY],
    pub(crate) standings: [Standing; Daily::ALL.len()],
    /// what outlooks expect of the weeks to come
    pub(crate) expectations: Expectations,
}

impl Record {
    /// Takes in a day, counted from 1970; days follow one another. `least_years` is what a percentile needs.
    pub(crate) fn take(&mut self, day: i64, had: Day, least_years: u32) -> (Vec<Judged>, Vec<JudgedMonths>) {
        push(&mut self.flows, had.flow_m3_s, FLOW_DAYS);
        push(&mut self.rains, had.rain_mm, RAIN_DAYS);
        let values = Daily::ALL.map(|index| match index {
            Daily::Streamflow => mean(&self.flows, FLOW_DAYS),
            Daily::RootZone => had.root_zone_mm,
            Daily::Snow => had.snow_mm,
            Daily::Precipitation => mean(&self.rains, RAIN_DAYS) * RAIN_DAYS as f64,
        });
        let judged = Daily::ALL.iter().zip(values).enumerate().map(|(at, (index, value))| {
            let (season, years) = self.season(at, day);
            let known = years >= least_years && !value.is_nan();
            // Where most years have no snow now, none is no drought.
            let counts = *index != Daily::Snow || 2 * season.iter().filter(|s| **s > 0.0).count() > season.len();
            let percentile = (known && counts).then(|| percentile(value, season.iter().copied())).flatten();
            let change = self.judge(at, day, value, percentile, season);
            Judged { index: *index, value, percentile, years: years.cast_signed(), change }
        });
        let judged: Vec<Judged> = judged.collect();
        if day % SAMPLED == 0 {
            self.sampled.push(day);
            self.seasons.iter_mut().zip(values).for_each(|(season, value)| season.push(value as f32));
        }
        (judged, self.month(day, had, least_years))
    }

    /// The values of an index at the same time of the years before, and how many years these are of.
    pub(crate) fn season(&self, index: usize, day: i64) -> (Vec<f64>, u32) {
        let (mut season, mut years, mut newest) = (Vec::new(), 0, i64::MAX);
        for (then, value) in self.sampled.iter().zip(&self.seasons[index]).filter(|(_, value)| !value.is_nan()) {
            let ago = day - then;
            let year = (ago as f64 / YEAR_DAYS).round();
            if ago >= OLD_ENOUGH && (ago as f64 - year * YEAR_DAYS).abs() <= HALF_SEASON {
                season.push(f64::from(*value));
                if year as i64 != newest {
                    (years, newest) = (years + 1, year as i64);
                }
            }
        }
        (season, years)
    }

    fn judge(
        &mut self,
        at: usize,
        day: i64,
        value: f64,
        percentile: Option<f64>,
        mut season: Vec<f64>,
    ) -> DroughtChange {
        let standing = &mut self.standings[at];
        standing.percentile = percentile.or(standing.percentile);
        let (before, change) = (standing.class(), standing.class.day(percentile));
        if standing.class() != before {
            standing.since = Some(Timestamp(0).plus_s((day + 1) * DAY_S));
        }
        if standing.class().is_none() {
            *standing = Standing { class: standing.class, percentile: standing.percentile, ..Standing::default() };
            return change;
        }
        standing.duration_days += 1;
        if Daily::ALL[at] == Daily::Streamflow && !value.is_nan() {
            season.sort_by(f64::total_cmp);
            let level = quantile_of_sorted(&season, DEFICIT_LEVEL).unwrap_or(f64::NAN);
            standing.deficit_m3 += (level - value).max(0.0) * DAY_S as f64;
            standing.lowest_m3_s = Some(standing.lowest_m3_s.map_or(value, |lowest| lowest.min(value)));
        }
        change
    }

    /// Adds a day to its month; where the month ends, what its indices say.
    fn month(&mut self, day: i64, had: Day, least_years: u32) -> Vec<JudgedMonths> {
        let (year, month) = year_and_month(day);
        let number = year * 12 + i64::from(month) - 1;
        if self.months[RAIN].is_empty() && self.running == [Running::default(); MONTHLY] {
            self.first_month = number;
        }
        let of_day = [had.rain_mm, had.evapotranspiration_mm, had.flow_m3_s, had.root_zone_mm];
        for (running, value) in self.running.iter_mut().zip(of_day) {
            running.sum += value;
            running.days += 1.0;
        }
        let (next_year, next_month) = year_and_month(day + 1);
        if (next_year, next_month) == (year, month) {
            return Vec::new();
        }
        for ((series, running), mean) in self.months.iter_mut().zip(&mut self.running).zip([false, false, true, true]) {
            let Running { sum, days } = std::mem::take(running);
            // A month that began in its middle, or lacks a day, is none.
            let value = if mean { sum / days } else { sum };
            series.push(if days >= 28.0 { value as f32 } else { f32::NAN });
        }
        self.judge_months(month, least_years)
    }

    fn judge_months(&self, month: u8, least_years: u32) -> Vec<JudgedMonths> {
        let mut judged = Vec::new();
        let series = |at: usize| self.months[at].iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let (rain, flow, root_zone) = (series(RAIN), series(FLOW), series(ROOT_ZONE));
        let balance: Vec<f64> = rain
            .iter()
            .zip(series(EVAPOTRANSPIRATION))
            .map(|(rain, evapotranspiration)| rain - evapotranspiration + WATER_BALANCE_OFFSET_MM)
            .collect();
        let first_month = (self.first_month.rem_euclid(12) + 1) as u8;
        for months in ACCUMULATED {
            for (name, amounts, family) in [("spi", &rain, Family::Gamma), ("spei", &balance, Family::PearsonIII)] {
                let Ok(amounts) = accumulated(amounts, months) else { continue };
                let (last, before) = (amounts.len() - 1, same_months(&amounts));
                let Ok(fit) = Standardized::fit(&amounts, first_month, 0..last, family) else { continue };
                let score = fit.score(month, amounts[last]);
                if before.len() < least_years as usize || score.is_nan() {
                    continue;
                }
                let offset = if name == "spei" { WATER_BALANCE_OFFSET_MM * months as f64 } else { 0.0 };
                judged.push(JudgedMonths {
                    index: format!("{name}_{months}"),
                    value: amounts[last] - offset,
                    unit: "mm",
                    score,
                    percentile: percentile_of_score(score),
                    years: i32::try_from(before.len()).unwrap_or(i32::MAX),
                });
            }
            for (name, values, unit) in [("ssi", &flow, "m3 s-1"), ("ssmi", &root_zone, "mm")] {
                let Ok(sums) = accumulated(values, months) else { continue };
                let (value, before) = (sums[sums.len() - 1] / months as f64, same_months(&sums));
                let means = before.iter().map(|sum| sum / months as f64);
                let Some(percentile) = percentile(value, means).filter(|_| before.len() >= least_years as usize) else {
                    continue;
                };
                judged.push(JudgedMonths {
                    index: format!("{name}_{months}"),
                    value,
                    unit,
                    score: score_of_percentile(percentile),
                    percentile,
                    years: i32::try_from(before.len()).unwrap_or(i32::MAX),
                });
            }
        }
        judged
    }

    /// Adds the columns of records, but for where their indices stand.
    pub(crate) fn store(records: &[Self], columns: &mut ColumnsBuilder) {
        let expectations: Vec<&Expectations> = records.iter().map(|record| &record.expectations).collect();
        Expectations::store(&expectations, columns);
        columns.f32("flows", |at| records[at].flows.iter().copied().collect::<Vec<_>>());
        columns.f32("rains", |at| records[at].rains.iter().copied().collect::<Vec<_>>());
        columns.i64("sampled", |at| records[at].sampled.clone());
        for (of, index) in Daily::ALL.into_iter().enumerate() {
            columns.f32(&format!("season.{}", index.name()), |at| records[at].seasons[of].clone());
        }
        columns.i64("month", |at| [records[at].first_month]);
        for of in 0..MONTHLY {
            columns.f32(&format!("months.{of}"), |at| records[at].months[of].clone());
        }
        columns.f64("running", |at| records[at].running.iter().flat_map(|r| [r.sum, r.days]).collect::<Vec<_>>());
    }

    /// Takes up what [`Record::store`] gave of a catchment; nothing where it was not there.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>, at: usize) {
        self.expectations.restore(rows, at);
        let f32s = |name: &str| rows.f32(name, at).unwrap_or_default();
        self.flows = f32s("flows").iter().copied().collect();
        self.rains = f32s("rains").iter().copied().collect();
        self.sampled = rows.i64("sampled", at).unwrap_or_default().to_vec();
        for (season, index) in self.seasons.iter_mut().zip(Daily::ALL) {
            *season = f32s(&format!("season.{}", index.name())).to_vec();
        }
        self.first_month = rows.i64("month", at).and_then(|month| month.first().copied()).unwrap_or(0);
        for (of, series) in self.months.iter_mut().enumerate() {
            *series = f32s(&format!("months.{of}")).to_vec();
        }
        let running = rows.f64("running", at).unwrap_or_default();
        for (running, [sum, days]) in self.running.iter_mut().zip(running.as_chunks().0) {
            *running = Running { sum: *sum, days: *days };
        }
    }
}

fn push(values: &mut VecDeque<f32>, value: f64, most: usize) {
    if values.len() == most {
        values.pop_front();
    }
    values.push_back(value as f32);
}

/// NaN while there are fewer than `days`, or one is unknown.
fn mean(values: &VecDeque<f32>, days: usize) -> f64 {
    if values.len() < days { f64::NAN } else { values.iter().map(|value| f64::from(*value)).sum::<f64>() / days as f64 }
}

/// The values of the same month in the years before the last one.
fn same_months(values: &[f64]) -> Vec<f64> {
    let before = values.iter().rev().step_by(12).skip(1);
    before.copied().filter(|value| !value.is_nan()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    /// A river with a summer and a winter, a little other each year; the days of `dry` have a tenth of the water.
    fn day(day: i64, dry: &std::ops::Range<i64>) -> Day {
        let season = (day as f64 / YEAR_DAYS * std::f64::consts::TAU).cos() + 2.0;
        let year = 1.0 + 0.1 * ((day / 365) % 7) as f64;
        let share = if dry.contains(&day) { 0.1 } else { 1.0 };
        Day {
            flow_m3_s: 10.0 * season * year * share,
            rain_mm: 2.0 * season * year * share,
            evapotranspiration_mm: 1.5,
            root_zone_mm: 100.0 * season * year * share,
            snow_mm: (season - 2.5).max(0.0) * 50.0 * year,
        }
    }

    #[test]
    fn a_dry_spell_is_a_drought_with_a_begin_and_an_end() {
        let (mut record, dry) = (Record::default(), 12 * 365..12 * 365 + 120);
        let mut changes = Vec::new();
        let mut months = Vec::new();
        for now in 0..14 * 365 {
            let (judged, of_months) = record.take(now, day(now, &dry), 5);
            let streamflow = &judged[0];
            if now < 4 * 365 {
                assert_eq!(streamflow.percentile, None, "too few years");
            }
            if !matches!(streamflow.change, DroughtChange::None | DroughtChange::Persists) && now >= dry.start {
                changes.push((now - dry.start, streamflow.change));
            }
            if streamflow.change == DroughtChange::Persists && dry.contains(&now) {
                assert!(record.standings[0].duration_days > 0);
            }
            months.extend(of_months.into_iter().map(|judged| (now - dry.start, judged)));
        }
        let first = changes.iter().find(|(_, change)| *change == DroughtChange::Develops).unwrap();
        // The mean of seven days falls first, then a week of it counts.
        assert!((6..=14).contains(&first.0), "{changes:?}");
        let last = changes.iter().find(|(_, change)| *change == DroughtChange::Ends).unwrap();
        assert!((120 + 14..=120 + 35).contains(&last.0), "{changes:?}");
        let of = |index: &str, when: std::ops::Range<i64>| {
            let found = months.iter().filter(|(at, judged)| judged.index == index && when.contains(at));
            found.map(|(_, judged)| judged.score).fold(f64::NAN, f64::min)
        };
        assert!(of("spi_3", 60..120) < -2.0 && of("spi_3", 220..400) > -1.5, "{}", of("spi_3", 60..120));
        for (index, when) in [("ssi_1", 30..120), ("ssmi_6", 100..180), ("spei_12", 60..200)] {
            assert!(of(index, when.clone()) < -1.0, "{index}: {}", of(index, when));
        }
    }

    #[test]
    fn a_record_goes_on_from_a_snapshot() {
        let (mut record, dry) = (Record::default(), 2_000..2_100);
        (0..2_050).for_each(|now| drop(record.take(now, day(now, &dry), 4)));
        let mut columns = ColumnsBuilder::new(["a"]);
        Record::store(std::slice::from_ref(&record), &mut columns);
        let columns = columns.finish().unwrap();
        let mut restored = Record { standings: record.standings.clone(), ..Record::default() };
        restored.restore(&columns.keyed(["a"]), 0);
        // Not as values: what is unknown is like nothing.
        let same = |one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| format!("{one:?}") == format!("{other:?}");
        assert!(same(&restored, &record));
        for now in 2_050..2_400 {
            let (one, other) = (restored.take(now, day(now, &dry), 4), record.take(now, day(now, &dry), 4));
            assert!(same(&one, &other), "{now}");
        }
    }
}
