//! The report: how good the archived forecasts were, as a table, a CSV and charts.

mod draw;
mod rows;
mod scores;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use nilometer_archive::{Forecast, Forecasted, Readings, StageOutlook, readings};
use nilometer_assimilation::Ratings;
use nilometer_definitions::Pipeline;
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use object_store::ObjectStore;

use draw::{Forecasted as ForecastChart, Outlook, Overview, Strip};
use scores::{LeadScores, peaks, score};

/// Where the median is among [`QUANTILE_LEVELS`].
const MEDIAN: usize = QUANTILE_LEVELS.len() / 2;
/// Lead times shown, hours.
const LEADS_H: [i64; 7] = [1, 2, 3, 6, 9, 12, 24];
/// The lead time of the plots, hours.
const PLOTTED_LEAD_H: i64 = 6;
/// Widths of the charts, pixels: of a page and of a phone.
const WIDTHS: [(&str, f64); 2] = [("", 960.0), ("-phone", 400.0)];
/// Indices of drought that are drawn, and what people call them.
const INDICES: [(&str, &str); 4] =
    [("streamflow", "streamflow"), ("root_zone", "root zone"), ("snow", "snow"), ("precipitation", "rain, 90 days")];
/// How long before the highest peak the plotted single forecast was issued.
const PLOTTED_WARNING_S: i64 = 12 * 3_600;
/// Peaks shown a gauge, and how far apart they lie.
const PEAKS: usize = 2;
const PEAKS_APART_S: i64 = 5 * 86_400;

/// What to report on.
pub struct Request {
    /// archive of the forecasts
    pub archive: Arc<dyn ObjectStore>,
    /// archive of the same run without assimilation
    pub open_loop: Option<Arc<dyn ObjectStore>>,
    /// forecasts issued from here
    pub from: Timestamp,
    /// to here, and verified up to here
    pub to: Timestamp,
    /// the forecast that is drawn
    pub issued: Issue,
    /// whether times are those of the station's people; UTC otherwise
    pub local: bool,
    /// folder for `scores.csv` and the charts
    pub out: PathBuf,
}

/// Which forecast is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// the one of some hours before the highest peak of the window; the newest where there is none
    BeforeThePeak,
    /// the newest
    Newest,
    /// the one of this time
    At(Timestamp),
}

/// Writes the report's files and returns its text.
///
/// # Errors
/// When the archive holds nothing of the window, or a file cannot be written.
pub async fn report(pipeline: &Pipeline, request: &Request) -> Result<String> {
    let observed = readings(&*request.archive, Timestamp::MIN, request.to).await?;
    let forecasts = nilometer_archive::forecasts(&*request.archive, request.from, request.to).await?;
    if forecasts.is_empty() {
        bail!(
            "the archive holds no forecast issued between {} and {}; replay the window first",
            request.from,
            request.to
        );
    }
    let open_loop = match &request.open_loop {
        Some(store) => {
            let mut all = nilometer_archive::forecasts(&**store, request.from, request.to).await?;
            // Of the models by themselves, without what their errors have taught.
            all.values_mut().flat_map(|leads| leads.values_mut()).flatten().for_each(|f| f.mean = f.simulated);
            Some(all)
        }
        None => None,
    };
    fs::create_dir_all(&request.out).with_context(|| format!("{} cannot be made", request.out.display()))?;

    let mut thresholds = rows::thresholds(&*request.archive, request.from, request.to).await?;
    let droughts = rows::droughts(&*request.archive, request.from, request.to).await?;
    let outlooks = rows::outlooks(&*request.archive, request.from, request.to).await?;
    let mut charts = Charts::default();
    let mut text =
        format!("\nForecasts issued {} to {}, rain: {}\n", request.from, request.to, pipeline.forecast.scenario.name());
    let mut csv = String::from(
        "catchment,lead_time_s,pairs,nse,nse_without_assimilation,nse_persistence,crps_m3_s,crps_persistence_m3_s,coverage_90\n",
    );
    for catchment in &pipeline.catchments {
        let nothing = Readings::default();
        let read = observed.get(catchment.station()).unwrap_or(&nothing);
        let mut aligned = pipeline.time.align.series(&read.discharge_m3_s, pipeline.time.step.seconds());
        aligned.retain(|time, _| *time >= request.from);
        let gauge = Gauge {
            id: &catchment.id,
            name: catchment.name(),
            ratings: pipeline.ratings.get(catchment.station()),
            readings: read,
            observed: &aligned,
            forecasts: &forecasts,
            open_loop: open_loop.as_ref(),
        };
        gauge.describe_peaks(&mut text)?;
        gauge.describe_scores(&mut text, &mut csv)?;
        let zone = catchment.timezone.as_deref().filter(|_| request.local);
        let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
        charts.write(&request.out, "hydrograph", &catchment.id, &|width| gauge.overview(request, &zone).draw(width))?;
        if let Some(issue_time) = gauge.issue_time(request)? {
            let until = issue_time.plus_s(pipeline.forecast.horizon.seconds() + pipeline.time.step.seconds());
            let from = issue_time.plus_s(-pipeline.forecast.horizon.seconds());
            let rain = rows::rain(&*request.archive, from, until).await?;
            let nothing = BTreeMap::new();
            let mut none = rows::Issues::new();
            let issues = thresholds.get_mut(&catchment.id).unwrap_or(&mut none);
            let chart = ForecastChart {
                title: catchment.name().to_owned(),
                zone: zone.clone(),
                issue_time,
                observed: &read.discharge_m3_s,
                leads: issued_at(&forecasts, &catchment.id, issue_time),
                rain: rain.get(&catchment.id).unwrap_or(&nothing),
                thresholds: rows::at_issue(issues, issue_time),
            };
            charts.write(&request.out, "forecast", &catchment.id, &|width| chart.draw(width))?;
        }
        if let Some(days) = droughts.get(&catchment.id) {
            for (index, (issue_time, class_now, weeks)) in outlooks.get(&catchment.id).into_iter().flatten() {
                let name = INDICES.iter().find(|(known, _)| known == index).map_or(index.as_str(), |(_, name)| name);
                let nothing = BTreeMap::new();
                let chart = Outlook {
                    title: format!("{}: drought outlook, {name}", catchment.name()),
                    zone: zone.clone(),
                    issue_time: *issue_time,
                    days: days.get(index).unwrap_or(&nothing),
                    class_now: *class_now,
                    weeks: weeks.clone(),
                };
                charts.write(&request.out, &format!("outlook-{index}"), &catchment.id, &|width| chart.draw(width))?;
            }
            let indices = INDICES.iter().filter_map(|(index, name)| Some((*name, days.get(*index)?)));
            let strip = Strip {
                title: format!("{}: how dry it is for the season", catchment.name()),
                zone,
                from: request.from,
                to: request.to,
                indices: indices.collect(),
            };
            charts.write(&request.out, "drought", &catchment.id, &|width| strip.draw(width))?;
        }
    }
    let scores = request.out.join("scores.csv");
    fs::write(&scores, csv).with_context(|| format!("{} cannot be written", scores.display()))?;
    writeln!(
        text,
        "\nCRPS is taken from the {} quantiles. Persistence is the newest reading that had arrived at the issue time; its CRPS is its mean absolute error.",
        QUANTILE_LEVELS.len()
    )?;
    let kinds = if charts.png { "SVG and PNG" } else { "SVG, and no PNG: this system has no fonts" };
    writeln!(text, "Written to {}: scores.csv and {} charts, {kinds}.", request.out.display(), charts.number)?;
    Ok(text)
}

/// Median and 90 % interval, and whether the rating had to be extrapolated for one of the stages.
fn describe_stage(stage: &StageOutlook) -> String {
    let [low, _, median, _, high] = stage.stage_m;
    let extrapolated = if stage.extrapolated { "*" } else { "" };
    format!("{median:.2} [{low:.2}, {high:.2}]{extrapolated}")
}

struct Gauge<'a> {
    id: &'a str,
    /// what people call it
    name: &'a str,
    ratings: Option<&'a Ratings>,
    /// as they arrived
    readings: &'a Readings,
    /// at the ends of steps
    observed: &'a BTreeMap<Timestamp, f64>,
    forecasts: &'a Forecasted,
    open_loop: Option<&'a Forecasted>,
}

fn of<'a>(all: &'a Forecasted, id: &str, lead_h: i64) -> &'a [Forecast] {
    all.get(id).and_then(|leads| leads.get(&(lead_h * 3_600))).map_or(&[], Vec::as_slice)
}

/// One forecast of a catchment, in the order of its lead times.
fn issued_at<'a>(all: &'a Forecasted, id: &str, issue_time: Timestamp) -> Vec<&'a Forecast> {
    let leads = all.get(id).into_iter().flat_map(|leads| leads.values());
    leads.filter_map(|f| f.iter().find(|f| f.issue_time == issue_time)).collect()
}

impl Gauge<'_> {
    fn describe_peaks(&self, text: &mut String) -> Result<()> {
        writeln!(text, "\n{}", self.id)?;
        writeln!(
            text,
            "  {:<22}{:>10}   {:<28}{:<28}",
            "peak", "observed", "forecast 6 h before", "forecast 12 h before"
        )?;
        for (time, value) in peaks(self.observed, PEAKS, PEAKS_APART_S) {
            let none = || "none".to_owned();
            let forecast =
                |lead_h: i64| of(self.forecasts, self.id, lead_h).iter().find(|forecast| forecast.valid_time == time);
            let said = |lead_h: i64| {
                forecast(lead_h).map_or_else(none, |f| {
                    format!(
                        "{:.1} [{:.1}, {:.1}]",
                        f.quantiles[MEDIAN],
                        f.quantiles[0],
                        f.quantiles[QUANTILE_LEVELS.len() - 1]
                    )
                })
            };
            writeln!(text, "  {:<22}{value:>10.1}   {:<28}{:<28}m³/s", time.to_string(), said(6), said(12))?;
            if let Some(rating) = self.ratings.and_then(|ratings| ratings.at(time)) {
                let stage_m = rating.stage_m(value);
                let said =
                    |lead_h: i64| forecast(lead_h).and_then(|f| f.stage.as_ref()).map_or_else(none, describe_stage);
                let label = format!("by rating {}", rating.version());
                writeln!(text, "  {label:<22}{stage_m:>10.2}   {:<28}{:<28}m", said(6), said(12))?;
            }
        }
        Ok(())
    }

    fn describe_scores(&self, text: &mut String, csv: &mut String) -> Result<()> {
        let show = |v: Option<f64>, digits: usize| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
        let mut line = |name: &str, cells: Vec<String>| {
            writeln!(text, "  {name:<26}{}", cells.iter().map(|c| format!("{c:>9}")).collect::<String>())
        };
        let scores: Vec<LeadScores> = LEADS_H
            .iter()
            .map(|lead| score(of(self.forecasts, self.id, *lead), self.observed, self.readings))
            .collect();
        let open: Vec<Option<f64>> = LEADS_H
            .iter()
            .map(|lead| self.open_loop.and_then(|all| score(of(all, self.id, *lead), self.observed, self.readings).nse))
            .collect();
        let row =
            |get: &dyn Fn(&LeadScores) -> Option<f64>, digits| scores.iter().map(|s| show(get(s), digits)).collect();
        line("lead", LEADS_H.iter().map(|h| format!("{h} h")).collect())?;
        line("NSE", row(&|s| s.nse, 3))?;
        if self.open_loop.is_some() {
            line("NSE without assimilation", open.iter().map(|v| show(*v, 3)).collect())?;
        }
        line("NSE of persistence", row(&|s| s.nse_persistence, 3))?;
        line("CRPS, m³/s", row(&|s| s.crps, 3))?;
        line("CRPS of persistence, m³/s", row(&|s| s.crps_persistence, 3))?;
        line("in the 90 % interval, %", row(&|s| s.coverage_90.map(|c| 100.0 * c), 1))?;
        for ((lead, s), open) in LEADS_H.iter().zip(&scores).zip(&open) {
            let cell = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
            writeln!(
                csv,
                "{},{},{},{},{},{},{},{},{}",
                self.id,
                lead * 3_600,
                s.pairs,
                cell(s.nse),
                cell(*open),
                cell(s.nse_persistence),
                cell(s.crps),
                cell(s.crps_persistence),
                cell(s.coverage_90)
            )?;
        }
        Ok(())
    }

    /// One lead time over the whole window.
    fn overview(&self, request: &Request, zone: &TimeZone) -> Overview<'_> {
        let ahead = |all| of(all, self.id, PLOTTED_LEAD_H).iter().collect::<Vec<_>>();
        Overview {
            title: format!("{}: {PLOTTED_LEAD_H} hours ahead", self.name),
            zone: zone.clone(),
            observed: self.observed,
            forecasts: ahead(self.forecasts),
            open_loop: self.open_loop.map(ahead).unwrap_or_default(),
            from: request.from,
            to: request.to,
        }
    }

    /// When the forecast that is drawn was issued; none where the archive has none of this catchment.
    fn issue_time(&self, request: &Request) -> Result<Option<Timestamp>> {
        let issued: BTreeSet<Timestamp> = self
            .forecasts
            .get(self.id)
            .into_iter()
            .flat_map(BTreeMap::values)
            .flatten()
            .map(|f| f.issue_time)
            .collect();
        let newest = issued.last().copied();
        match request.issued {
            Issue::Newest => Ok(newest),
            Issue::At(time) if issued.contains(&time) => Ok(Some(time)),
            Issue::At(time) => {
                let near = issued.range(..=time).next_back().or(newest.as_ref());
                let near = near.map_or_else(String::new, |near| format!("; the one before it is of {near}"));
                bail!("no forecast of {} was issued at {time}{near}", self.id)
            }
            Issue::BeforeThePeak => {
                let peak = peaks(self.observed, 1, PEAKS_APART_S).first().map(|(peak, _)| *peak);
                let before =
                    peak.and_then(|peak| issued.range(..=peak.plus_s(-PLOTTED_WARNING_S)).next_back().copied());
                Ok(before.or(newest))
            }
        }
    }
}

/// What was drawn.
#[derive(Default)]
struct Charts {
    number: usize,
    png: bool,
}

impl Charts {
    /// Writes a chart of a catchment, for a page and for a phone.
    fn write(&mut self, out: &Path, kind: &str, id: &str, draw: &dyn Fn(f64) -> String) -> Result<()> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let id: String = id.chars().map(plain).collect();
        for (suffix, width) in WIDTHS {
            self.png = draw::write(&out.join(format!("{kind}-{id}{suffix}")), &draw(width))?;
            self.number += 1;
        }
        Ok(())
    }
}
