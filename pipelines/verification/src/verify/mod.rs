//! Verify: how good the forecasts of an archive were, a row a catchment and lead time, and their medians.

mod baselines;
mod events;
mod outlooks;
mod scores;
mod trajectories;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use arrow::array::{Array as _, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use futures::TryStreamExt;
use nilometer_archive::{ArchiveError, Readings, readings, visit};
use nilometer_connectors::{FolderLayout, FolderOptions, folder};
use nilometer_definitions::Alignment;
use nilometer_schemas::{Contract, Forecasts, QUANTILE_LEVELS, Timestamp};
use object_store::ObjectStore;
use parquet::arrow::ArrowWriter;

use baselines::Baselines;
use scores::{COVERAGE, METRICS, Pairs, Scores};

/// What to verify.
pub struct Request {
    /// the archive of the forecasts
    pub archive: Arc<dyn ObjectStore>,
    /// folder of many catchments with what the gauges read; the archive's own observations when absent
    pub observations: Option<PathBuf>,
    /// how readings between the ends of steps count
    pub align: Alignment,
    /// what is valid after this counts
    pub from: Timestamp,
    /// and up to this
    pub to: Timestamp,
    /// catchments that do not count
    pub leave_out: BTreeSet<String>,
    /// folder for the files
    pub out: PathBuf,
}

/// Scores every forecast whose observation there is; writes `scores.csv` and `scores.parquet` and gives the table of medians.
///
/// # Errors
/// When archive or observations cannot be read, or no forecast meets an observation.
pub async fn verify(request: &Request) -> Result<String> {
    let forecasts = object_store::path::Path::from(Contract::Forecast.topic());
    if request.archive.list(Some(&forecasts)).try_next().await.context("the archive cannot be listed")?.is_none() {
        bail!("the store's archive holds no forecasts; accepted is what hindcast --out or log.store named");
    }
    let observed = observations(request).await?;
    let valid_times = valid_times(request).await?;
    let aligned = aligned(request, &observed, valid_times.as_ref());
    let (pairs, unmatched) = pairs(request, &observed, &aligned, valid_times.as_ref()).await?;
    if pairs.is_empty() {
        bail!(
            "no forecast of the archive meets an observation; accepted are observations of the same catchments and days ({} catchments have some)",
            observed.len()
        );
    }
    let rows: Vec<Row> = pairs
        .iter()
        .flat_map(|(catchment, leads)| leads.iter().map(move |(lead_time_s, pairs)| (catchment, lead_time_s, pairs)))
        .map(|(catchment, lead_time_s, pairs)| Row { catchment, lead_time_s: *lead_time_s, scores: pairs.scores() })
        .collect();
    fs::create_dir_all(&request.out).with_context(|| format!("{} cannot be made", request.out.display()))?;
    write_csv(&request.out.join("scores.csv"), &rows)?;
    write_parquet(&request.out.join("scores.parquet"), &rows)?;
    let mut text = medians(&rows, unmatched, &request.out)?;
    let window = (request.from, request.to);
    let of_thresholds =
        events::thresholds(&*request.archive, &observed, window, &request.leave_out, &request.out).await?;
    text.extend(of_thresholds);
    text.extend(trajectories::trajectories(request, &aligned).await?);
    text.extend(outlooks::outlooks(request).await?);
    Ok(text)
}

struct Row<'a> {
    catchment: &'a str,
    lead_time_s: i64,
    scores: Scores,
}

/// Observed discharge by station or catchment, from as early as there is any: the climate is that of the years before.
type Observed = BTreeMap<String, Readings>;

async fn observations(request: &Request) -> Result<Observed> {
    match &request.observations {
        Some(path) => {
            let leave_out = request.leave_out.iter().cloned().collect();
            let layout = FolderLayout::of(path);
            let options = FolderOptions { layout, path: path.clone(), leave_out, ..FolderOptions::default() };
            let series = folder::discharge_m3_s(&options, Timestamp::MIN, request.to)?;
            // A folder does not say when a value arrived.
            Ok(series.into_iter().map(|(station, series)| (station, Readings::immediate(series))).collect())
        }
        None => {
            let mut observed = readings(&*request.archive, Timestamp::MIN, request.to).await?;
            observed.retain(|station, _| !request.leave_out.contains(station));
            Ok(observed)
        }
    }
}

/// Observed discharge at the ends of steps, by station.
type Aligned<'a> = BTreeMap<&'a str, BTreeMap<Timestamp, f64>>;

fn aligned<'a>(request: &Request, observed: &'a Observed, valid_times: Option<&ValidTimes>) -> Aligned<'a> {
    // Where nothing was forecast nothing is held against it.
    let step_s = valid_times.map_or(1, |valid_times| valid_times.step_s);
    let align = |readings: &Readings| request.align.series(&readings.discharge_m3_s, step_s);
    observed.iter().map(|(station, readings)| (station.as_str(), align(readings))).collect()
}

type ByCatchmentAndLead = BTreeMap<String, BTreeMap<i64, Pairs>>;

/// Forecasts beside what came, and how many forecasts nothing came for.
async fn pairs(
    request: &Request,
    observed: &Observed,
    aligned: &Aligned<'_>,
    valid_times: Option<&ValidTimes>,
) -> Result<(ByCatchmentAndLead, u64)> {
    let (mut pairs, mut unmatched) = (ByCatchmentAndLead::new(), 0);
    let Some(valid_times) = valid_times else { return Ok((pairs, unmatched)) };
    let mut baselines = Baselines::new(observed, Timestamp(valid_times.first.0.saturating_sub(1)), valid_times.last);
    visit(&*request.archive, Contract::Forecast, None, |batch| {
        unmatched += add(&Forecasts::try_from(batch)?, request, aligned, &mut baselines, &mut pairs);
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok((pairs, unmatched))
}

/// When the forecasts that are verified are valid.
struct ValidTimes {
    first: Timestamp,
    last: Timestamp,
    /// the shortest time between two of them, which is the step where they have two in a row
    step_s: i64,
}

/// Of the forecasts in the window; none where there are none.
async fn valid_times(request: &Request) -> Result<Option<ValidTimes>> {
    let mut all = BTreeSet::new();
    visit(&*request.archive, Contract::Forecast, None, |batch| {
        let times = Forecasts::try_from(batch)?.valid_time().values().clone();
        all.extend(times.iter().map(|time| Timestamp(*time)).filter(|t| *t > request.from && *t <= request.to));
        Ok::<_, ArchiveError>(())
    })
    .await?;
    let step_s = all.iter().zip(all.iter().skip(1)).map(|(time, next)| next.seconds_since(*time)).min();
    Ok(all.first().zip(all.last()).map(|(first, last)| ValidTimes {
        first: *first,
        last: *last,
        // A single valid time says nothing of the step; then only readings of that time count.
        step_s: step_s.unwrap_or(1),
    }))
}

/// Adds the rows of a batch; gives how many had no observation.
fn add(
    rows: &Forecasts,
    request: &Request,
    observed: &Aligned<'_>,
    baselines: &mut Baselines<'_>,
    pairs: &mut ByCatchmentAndLead,
) -> u64 {
    let columns = QUANTILE_LEVELS.map(|level| rows.quantile(level));
    let mut unmatched = 0;
    for row in 0..rows.len() {
        let (catchment, valid_time) = (rows.catchment().value(row), Timestamp(rows.valid_time().value(row)));
        if valid_time <= request.from || valid_time > request.to || request.leave_out.contains(catchment) {
            continue;
        }
        let Some(value) = observed.get(catchment).and_then(|series| series.get(&valid_time)) else {
            unmatched += 1;
            continue;
        };
        let quantiles = columns.map(|column| column.value(row));
        if !pairs.contains_key(catchment) {
            pairs.insert(catchment.to_owned(), BTreeMap::new());
        }
        let Some(leads) = pairs.get_mut(catchment) else { continue };
        let pairs = leads.entry(rows.lead_time_s().value(row)).or_default();
        let baseline = baselines.of(catchment, Timestamp(rows.issue_time().value(row)), valid_time, *value);
        let simulated = rows.simulated().is_valid(row).then(|| rows.simulated().value(row));
        pairs.add(valid_time, *value, (rows.mean().value(row), simulated), &quantiles, baseline);
    }
    unmatched
}

fn write_csv(path: &Path, rows: &[Row<'_>]) -> Result<()> {
    let mut text = String::from("catchment,lead_time_s,pairs");
    METRICS.iter().for_each(|(name, _)| {
        text.push(',');
        text.push_str(name);
    });
    text.push('\n');
    for row in rows {
        write!(text, "{},{},{}", row.catchment, row.lead_time_s, row.scores.pairs)?;
        for value in row.scores.values {
            match value {
                Some(value) => write!(text, ",{value}")?,
                None => text.push(','),
            }
        }
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn write_parquet(path: &Path, rows: &[Row<'_>]) -> Result<()> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("catchment", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.catchment)))),
        ("lead_time_s", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.lead_time_s)))),
        ("pairs", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.scores.pairs as i64)))),
    ];
    for (metric, (name, _)) in METRICS.iter().enumerate() {
        columns.push((name, Arc::new(rows.iter().map(|r| r.scores.values[metric]).collect::<Float64Array>())));
    }
    let batch = RecordBatch::try_from_iter(columns)?;
    let file = fs::File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Whether a row is as a line of the table says; none where it cannot be said.
type Condition<'a> = &'a dyn Fn(&Row<'_>) -> Option<bool>;

/// A line a metric, a column a lead time.
fn medians(rows: &[Row<'_>], unmatched: u64, out: &Path) -> Result<String> {
    let leads: BTreeSet<i64> = rows.iter().map(|r| r.lead_time_s).collect();
    let of_lead = |lead: i64| rows.iter().filter(move |r| r.lead_time_s == lead);
    let mut text = String::from("median over catchments");
    let pad = METRICS.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0).max(36);
    text = format!("{text:<pad$}");
    for lead in &leads {
        write!(text, "{:>12}", show_lead(*lead))?;
    }
    text.push('\n');
    for (metric, (_, label)) in METRICS.iter().enumerate() {
        write!(text, "{label:<pad$}")?;
        for lead in &leads {
            let mut values: Vec<f64> = of_lead(*lead).filter_map(|r| r.scores.values[metric]).collect();
            match median(&mut values) {
                Some(value) => write!(text, "{value:>12.4}")?,
                None => write!(text, "{:>12}", "-")?,
            }
        }
        text.push('\n');
    }
    let shares: [(&str, Condition<'_>); 4] = [
        ("share of catchments with NSE < 0", &|r| Some(r.scores.values[0]? < 0.0)),
        ("… with CRPS below persistence's", &|r| r.scores.below_persistence),
        ("… with CRPS below climatology's", &|r| r.scores.below_climatology),
        ("… with 0.85 to 0.95 in the interval", &|r| Some((0.85..=0.95).contains(&r.scores.values[COVERAGE]?))),
    ];
    for (label, holds) in shares {
        write!(text, "{label:<pad$}")?;
        for lead in &leads {
            let all: Vec<bool> = of_lead(*lead).filter_map(holds).collect();
            let share = all.iter().filter(|holds| **holds).count() as f64 / all.len().max(1) as f64;
            write!(text, "{share:>12.4}")?;
        }
        text.push('\n');
    }
    write!(text, "{:<pad$}", "share of all in the 90 % interval")?;
    for lead in &leads {
        let all = of_lead(*lead).filter_map(|r| Some((r.scores.values[COVERAGE]?, r.scores.pairs as f64)));
        let (covered, pairs) = all.fold((0.0, 0.0), |(covered, sum), (share, n)| (covered + share * n, sum + n));
        write!(text, "{:>12.4}", covered / f64::max(pairs, 1.0))?;
    }
    write!(text, "\n{:<pad$}", "catchments with a score")?;
    for lead in &leads {
        write!(text, "{:>12}", of_lead(*lead).filter(|r| r.scores.values[0].is_some()).count())?;
    }
    let pairs: usize = rows.iter().map(|r| r.scores.pairs).sum();
    writeln!(
        text,
        "\n{pairs} forecasts met an observation, {unmatched} did not; a row a catchment and lead time in {}",
        out.display()
    )?;
    Ok(text)
}

fn show_lead(lead_time_s: i64) -> String {
    if lead_time_s % 86_400 == 0 {
        format!("{} d", lead_time_s / 86_400)
    } else {
        format!("{:.4} h", lead_time_s as f64 / 3_600.0)
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some(f64::midpoint(values[half - 1], values[half])),
    }
}
