//! Return periods: how large a flood and how low a flow is that comes once in so many years, from a station's own history.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use nilometer_archive::readings;
use nilometer_connectors::{FolderLayout, FolderOptions, folder, read_text_table};
use nilometer_schemas::Timestamp;
use nilometer_statistics::{Extreme, Frequency, Gev, LogPearson3, annual_extremes, below_in_a_year, seeded_uniform};
use object_store::ObjectStore;

const DAY_S: i64 = 86_400;
/// Return periods of floods, years.
const FLOODS_YEARS: [f64; 6] = [2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// Return periods of the lowest mean of seven days, years: the lower one first.
const LOW_FLOWS_YEARS: [f64; 2] = [10.0, 2.0];
const LOW_FLOW_DAYS: usize = 7;
/// Low flows are of years that begin in April, so that none is cut in two.
const LOW_FLOW_YEAR_BEGINS: u8 = 4;
/// Share of a year's days that must be known.
const LEAST_SHARE: f64 = 0.95;
const CONFIDENCE: f64 = 0.9;
const RESAMPLES: usize = 1_000;
const SEED: u64 = 0x_4e69_6c65;

/// Which distribution's values become thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// generalised extreme value, by L-moments
    Gev,
    /// log-Pearson III, by moments, with the station's skew
    LogPearson3,
}

/// What return periods are asked of.
pub struct Request {
    /// archive of the pipeline's store, whose observations are the history where neither of the next says another
    pub archive: Option<Arc<dyn ObjectStore>>,
    /// folder of many catchments with what the gauges read
    pub observations: Option<PathBuf>,
    /// CSV with the columns `date` and `discharge_m3_s`: a station's annual peaks
    pub peaks: Option<PathBuf>,
    /// stations, each with what people call it
    pub stations: Vec<(String, String)>,
    /// month with which a year of floods begins, 1 to 12
    pub first_month: u8,
    /// whose values become thresholds
    pub family: Family,
    /// CSV of thresholds for `[stations]`, a station a row
    pub write: Option<PathBuf>,
}

/// Years and their extremes, m³ s⁻¹, and what these are.
struct Extremes {
    of_years: Vec<(i64, f64)>,
    /// as "annual maxima of daily means"
    described: String,
    caution: &'static str,
}

/// What comes once in so many years, m³ s⁻¹.
struct Level {
    id: String,
    return_period_years: f64,
    of_gev: Option<Estimate>,
    of_log_pearson3: Option<Estimate>,
}

struct Estimate {
    m3_s: f64,
    interval_m3_s: [f64; 2],
}

/// Return periods of each station as tables; thresholds of them are written where the request says so.
///
/// # Errors
/// When observations cannot be read, or a station has fewer than five years.
pub async fn return_periods(request: &Request) -> Result<String> {
    let series = match (&request.peaks, &request.observations) {
        (Some(_), _) => BTreeMap::new(),
        (None, Some(path)) => {
            let only = request.stations.iter().map(|(station, _)| station.clone()).collect();
            let layout = FolderLayout::of(path);
            let options = FolderOptions { layout, path: path.clone(), only, ..FolderOptions::default() };
            folder::discharge_m3_s(&options, Timestamp::MIN, Timestamp(i64::MAX))?
        }
        (None, None) => {
            let archive = request.archive.as_ref().context("neither a store nor observations are named")?;
            let all = readings(&**archive, Timestamp::MIN, Timestamp(i64::MAX)).await?;
            all.into_iter().map(|(station, readings)| (station, readings.discharge_m3_s)).collect()
        }
    };
    let (mut text, mut rows) = (String::new(), Vec::new());
    for (station, name) in &request.stations {
        let of_station = of_station(request, station, series.get(station))
            .with_context(|| format!("station {station} has no return periods"))?;
        show(&mut text, station, name, &of_station)?;
        rows.push((station.as_str(), of_station));
    }
    if let Some(path) = &request.write {
        let (csv, section) = thresholds(&rows, request.family, &path.display().to_string());
        fs::write(path, csv).with_context(|| format!("{} cannot be written", path.display()))?;
        write!(text, "{} has these thresholds; a definition takes them with\n\n{section}", path.display())?;
    }
    Ok(text)
}

type OfStation = Vec<(Extremes, Vec<Level>)>;

fn of_station(request: &Request, station: &str, series: Option<&BTreeMap<Timestamp, f64>>) -> Result<OfStation> {
    if let Some(path) = &request.peaks {
        let [(only, _)] = request.stations.as_slice() else {
            bail!("--peaks is of one station; accepted is one station with it");
        };
        debug_assert_eq!(only, station, "the request has one station");
        let extremes = peaks(path)?;
        let levels = floods(&extremes)?;
        return Ok(vec![(extremes, levels)]);
    }
    let Some(series) = series.filter(|series| series.len() > 1) else {
        bail!("it has no history of discharge; accepted are a store with observations, --observations or --peaks");
    };
    let daily = Daily::of(series);
    let maxima = Extremes {
        of_years: annual_extremes(daily.first, &daily.largest, Extreme::Largest, request.first_month, LEAST_SHARE)?,
        described: format!("annual maxima of {}", daily.described),
        caution: daily.caution,
    };
    let minima = Extremes {
        of_years: annual_extremes(
            daily.first,
            &daily.mean,
            Extreme::SmallestMean { days: LOW_FLOW_DAYS },
            LOW_FLOW_YEAR_BEGINS,
            LEAST_SHARE,
        )?,
        described: format!("annual minima of the mean of {LOW_FLOW_DAYS} days"),
        caution: "",
    };
    let floods = floods(&maxima)?;
    let mut all = vec![(maxima, floods)];
    // A river that is dry for a week has no log-Pearson III of its low flows.
    if let Ok(low_flows) = low_flows(&minima) {
        all.push((minima, low_flows));
    }
    Ok(all)
}

/// A series by days, counted from 1 January 1970; NaN where nothing is known.
struct Daily {
    first: i64,
    largest: Vec<f64>,
    mean: Vec<f64>,
    described: String,
    caution: &'static str,
}

impl Daily {
    fn of(series: &BTreeMap<Timestamp, f64>) -> Self {
        let gaps = series.keys().zip(series.keys().skip(1)).map(|(time, next)| next.seconds_since(*time));
        let step_s = gaps.min().unwrap_or(DAY_S);
        // A period is valid at its end, and an instant at midnight counts to the day that ends.
        let day = |time: &Timestamp| (time.seconds_since(Timestamp(0)) - 1).div_euclid(DAY_S);
        let (first, last) =
            series.keys().next().zip(series.keys().next_back()).map_or((0, 0), |(a, b)| (day(a), day(b)));
        let days = usize::try_from(last - first).map_or(0, |days| days + 1);
        let (mut largest, mut sum, mut count) = (vec![f64::NAN; days], vec![0.0; days], vec![0_u32; days]);
        for (time, m3_s) in series {
            let at = usize::try_from(day(time) - first).unwrap_or(0);
            largest[at] = largest[at].max(*m3_s);
            sum[at] += m3_s;
            count[at] += 1;
        }
        let mean = sum.iter().zip(&count).map(|(sum, count)| sum / f64::from(*count)).collect();
        let (described, caution) = match step_s {
            DAY_S.. => {
                ("daily means".to_owned(), "They lie below instantaneous peaks, most in small and steep catchments.")
            }
            60.. => (format!("readings every {} min", step_s / 60), "The peak between two readings may lie higher."),
            _ => ("readings".to_owned(), ""),
        };
        Self { first, largest, mean, described, caution }
    }
}

/// A file of annual peaks; of two of one year the larger counts.
fn peaks(path: &std::path::Path) -> Result<Extremes> {
    let rows =
        read_text_table(path, &["date", "discharge_m3_s"]).map_err(|e| anyhow::anyhow!("{} {e}", path.display()))?;
    let mut of_years: BTreeMap<i64, f64> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| !row[1].is_empty()) {
        let refuse = |what: &str| format!("{}, row {}: {what}", path.display(), at + 1);
        let year = row[0].get(..4).and_then(|year| year.parse().ok());
        let year: i64 = year.with_context(|| refuse(&format!("date is {:?}; accepted is year-month-day", row[0])))?;
        let m3_s: f64 = row[1]
            .parse()
            .ok()
            .filter(|m3_s: &f64| m3_s.is_finite() && *m3_s >= 0.0)
            .with_context(|| refuse(&format!("discharge_m3_s is {:?}; accepted is a number, 0 or more", row[1])))?;
        let largest = of_years.entry(year).or_insert(m3_s);
        *largest = largest.max(m3_s);
    }
    let of_years = of_years.into_iter().collect();
    Ok(Extremes { of_years, described: "instantaneous annual peaks".to_owned(), caution: "" })
}

fn floods(extremes: &Extremes) -> Result<Vec<Level>> {
    let peaks: Vec<f64> = extremes.of_years.iter().map(|(_, m3_s)| *m3_s).collect();
    let gev = Gev::fit(&peaks).map(Frequency::Gev)?;
    let log_pearson3 = LogPearson3::fit(&peaks).map(Frequency::LogPearson3).ok();
    let level = |(at, years): (usize, f64)| {
        let (below, seed) = (below_in_a_year(years), SEED + 2 * at as u64);
        Ok(Level {
            id: format!("q{years}"),
            return_period_years: years,
            of_gev: Some(estimate(&gev, peaks.len(), below, seed)?),
            of_log_pearson3: log_pearson3.as_ref().map(|f| estimate(f, peaks.len(), below, seed + 1)).transpose()?,
        })
    };
    FLOODS_YEARS.into_iter().enumerate().map(level).collect()
}

fn low_flows(extremes: &Extremes) -> Result<Vec<Level>> {
    let minima: Vec<f64> = extremes.of_years.iter().map(|(_, m3_s)| *m3_s).collect();
    let log_pearson3 = Frequency::LogPearson3(LogPearson3::fit(&minima)?);
    let level = |(at, years): (usize, f64)| {
        let estimate = estimate(&log_pearson3, minima.len(), 1.0 / years, SEED + 100 + at as u64)?;
        let id = format!("{LOW_FLOW_DAYS}q{years}");
        Ok(Level { id, return_period_years: years, of_gev: None, of_log_pearson3: Some(estimate) })
    };
    LOW_FLOWS_YEARS.into_iter().enumerate().map(level).collect()
}

fn estimate(frequency: &Frequency, years: usize, below: f64, seed: u64) -> Result<Estimate> {
    let mut drawn = 0;
    let uniform = || {
        drawn += 1;
        seeded_uniform(seed, drawn)
    };
    let interval_m3_s = frequency.interval(years, below, CONFIDENCE, RESAMPLES, uniform)?;
    Ok(Estimate { m3_s: frequency.quantile(below)?, interval_m3_s })
}

fn show(text: &mut String, station: &str, name: &str, of_station: &OfStation) -> Result<()> {
    let called = if name == station { String::new() } else { format!("{name}, ") };
    for (extremes, levels) in of_station {
        let (first, last) = extremes.of_years.first().zip(extremes.of_years.last()).map_or((0, 0), |(a, b)| (a.0, b.0));
        let years = extremes.of_years.len();
        writeln!(text, "{called}station {station}: {} of {years} years, {first} to {last}", extremes.described)?;
        if !extremes.caution.is_empty() {
            writeln!(text, "{}", extremes.caution)?;
        }
        writeln!(text, "{:<8}{:>8}{:>36}{:>36}", "", "years", "GEV, m3/s (90 %)", "log-Pearson III, m3/s (90 %)")?;
        for level in levels {
            let cell = |estimate: &Option<Estimate>| {
                estimate.as_ref().map_or_else(
                    || "-".to_owned(),
                    |e| {
                        let [low, high] = e.interval_m3_s.map(significant);
                        format!("{} ({low} to {high})", significant(e.m3_s))
                    },
                )
            };
            let beyond =
                if level.return_period_years > 2.0 * years as f64 { "  more than twice the record" } else { "" };
            writeln!(
                text,
                "{:<8}{:>8}{:>36}{:>36}{beyond}",
                level.id,
                level.return_period_years,
                cell(&level.of_gev),
                cell(&level.of_log_pearson3)
            )?;
        }
        text.push('\n');
    }
    Ok(())
}

/// A number with four significant digits.
fn significant(value: f64) -> String {
    let magnitude = if value > 0.0 { value.log10().floor() } else { 0.0 };
    let decimals = (3.0 - magnitude).clamp(0.0, 6.0);
    format!("{value:.0$}", decimals as usize)
}

/// The CSV, and the section that takes it.
fn thresholds(rows: &[(&str, OfStation)], family: Family, path: &str) -> (String, String) {
    let ids = |years: &[f64], prefix: &str| years.iter().map(|y| format!("{prefix}{y}")).collect::<Vec<_>>();
    let (floods, low_flows) = (ids(&FLOODS_YEARS, "q"), ids(&LOW_FLOWS_YEARS, &format!("{LOW_FLOW_DAYS}q")));
    // A low flow that comes every other year is reached before one that comes every ten.
    let low_flows: Vec<String> = low_flows.into_iter().rev().collect();
    let mut csv = format!("station,{},{}\n", floods.join(","), low_flows.join(","));
    for (station, of_station) in rows {
        csv.push_str(station);
        for id in floods.iter().chain(&low_flows) {
            let level = of_station.iter().flat_map(|(_, levels)| levels).find(|level| level.id == *id);
            let estimate = level.and_then(|level| match family {
                Family::Gev => level.of_gev.as_ref().or(level.of_log_pearson3.as_ref()),
                Family::LogPearson3 => level.of_log_pearson3.as_ref(),
            });
            csv.push(',');
            csv.push_str(&estimate.map_or_else(String::new, |estimate| significant(estimate.m3_s)));
        }
        csv.push('\n');
    }
    let mut section = format!("[stations]\npath = {path:?}\nstation = \"station\"\nthresholds = [\n");
    let source = match family {
        Family::Gev => "GEV, L-moments",
        Family::LogPearson3 => "log-Pearson III",
    };
    for (id, years) in floods.iter().zip(FLOODS_YEARS) {
        section.push_str(&format!(
            "    {{ id = \"{id}\", name = \"{years}-year flood\", column = \"{id}\", unit = \"m3 s-1\", kind = \"flow\", source = \"{source}\" }},\n"
        ));
    }
    for (id, years) in low_flows.iter().zip(LOW_FLOWS_YEARS.iter().rev()) {
        section.push_str(&format!(
            "    {{ id = \"{id}\", name = \"lowest 7 days in {years} years\", column = \"{id}\", unit = \"m3 s-1\", kind = \"flow\", below = true, \
             source = \"log-Pearson III\" }},\n"
        ));
    }
    section.push_str("]\n");
    (csv, section)
}
