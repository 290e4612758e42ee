//! Ledger: what an observation did. The ledger's rows of one observation, and the forecasts before and behind it of each catchment that it
//! moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use anyhow::{Result, bail};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use nilometer_archive::visit;
use nilometer_schemas::{Analyses, Contract, Forecasts, Timestamp, Variable};
use object_store::ObjectStore;

const DAY_S: i64 = 86_400;
/// Later observations that are named where the one asked for is not there.
const SHOWN_LATER: usize = 3;

/// One observation of one station.
pub struct Request {
    /// the archive of ledger and forecasts
    pub archive: Arc<dyn ObjectStore>,
    /// whose observation
    pub station: String,
    /// its valid time
    pub time: Timestamp,
}

/// Says what the observation was held against, what it did to each model's stores, and how the forecast moved.
///
/// # Errors
/// When the archive cannot be read, or the ledger has no such row.
pub async fn ledger(request: &Request) -> Result<String> {
    let (mut text, mut moved) = (String::new(), BTreeSet::new());
    let mut analysed_at = Timestamp::MIN;
    let (mut found, mut later) = (Vec::new(), BTreeSet::new());
    let around = Some((request.time.plus_s(-2 * DAY_S), request.time.plus_s(30 * DAY_S)));
    visit(&*request.archive, Contract::Analysis, around, |batch| {
        let rows = Analyses::try_from(batch)?;
        for row in (0..rows.len()).filter(|row| rows.station().value(*row) == request.station) {
            let valid_time = Timestamp(rows.valid_time().value(row));
            if valid_time == request.time {
                moved.insert(rows.catchment().value(row).to_owned());
                analysed_at = analysed_at.max(Timestamp(rows.analysis_time().value(row)));
                let mut words = String::new();
                say(&rows, row, &mut words)?;
                let names = [rows.catchment(), rows.variable()].map(|names| names.value(row).to_owned());
                found.push(((rows.analysis_time().value(row), names), words));
            } else if valid_time > request.time {
                later.insert(valid_time);
                if later.len() > SHOWN_LATER {
                    later.pop_last();
                }
            }
        }
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    if moved.is_empty() {
        let later: Vec<String> = later.iter().map(Timestamp::to_string).collect();
        let next = if later.is_empty() { "none behind it".to_owned() } else { later.join(", ") };
        bail!(
            "the ledger has no observation of {} at {}; the next ones are: {next}. With assimilation.method = \"none\" there is no ledger",
            request.station,
            request.time
        );
    }
    // The archive gives the rows of a compacted day by catchment, those of another one by time.
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    text.extend(found.into_iter().map(|(_, words)| words));
    for catchment in moved {
        say_forecasts(request, &catchment, analysed_at, &mut text).await?;
    }
    Ok(text)
}

/// Says what one row of the ledger did.
///
/// # Errors
/// When it names a variable that there is not.
pub fn say(rows: &Analyses, row: usize, text: &mut String) -> Result<()> {
    let (innovation, error) = (rows.innovation().value(row), rows.error_std().value(row));
    let spread = rows.spread().is_valid(row).then(|| rows.spread().value(row));
    let expected = spread.unwrap_or(0.0).hypot(error);
    // A suspect reading, or one of a shifted gauge.
    let used = match rows.method().value(row) {
        "ignored" | "gauge_shift" => "not used",
        _ => "used",
    };
    writeln!(
        text,
        "{} at {}, {used} for {} at {} by {} on {} {}",
        rows.station().value(row),
        Timestamp(rows.valid_time().value(row)),
        rows.catchment().value(row),
        Timestamp(rows.analysis_time().value(row)),
        rows.method().value(row),
        rows.model().value(row),
        rows.weights_sha256().value(row).chars().take(12).collect::<String>(),
    )?;
    let (variable, unit) = (rows.variable().value(row), rows.unit().value(row));
    let (what, unit, scale) = match variable.parse()? {
        Variable::Discharge => ("the gauge read", "m³/s", "in the logarithm"),
        _ => (variable, unit, unit),
    };
    writeln!(
        text,
        "  {what} {:.3} {unit} (flag {}), expected were {:.3}: {innovation:+.3} {scale}, {:+.1} standard deviations",
        rows.observed().value(row),
        rows.flag().value(row),
        rows.predicted().value(row),
        innovation / expected,
    )?;
    match spread {
        Some(spread) => writeln!(text, "  the members differ by {spread:.3}, the observation's error is {error:.3}")?,
        None if used == "not used" => {
            writeln!(text, "  left out as suspect, the gauge's error is {error:.3}: nothing was moved")?;
        }
        None => writeln!(
            text,
            "  a single member, the gauge's error is {error:.3}: the forecast was moved, the state was not"
        )?,
    }
    let (stores, increments) = (rows.store().value(row), rows.increment_mm().value(row));
    let (stores, increments) = (stores.as_string::<i32>(), increments.as_primitive::<Float64Type>());
    for store in 0..stores.len() {
        writeln!(text, "  {:<24}{:>+12.4} mm", stores.value(store), increments.value(store))?;
    }
    if rows.output_error_increment().is_valid(row) {
        let increment = rows.output_error_increment().value(row);
        writeln!(text, "  {:<24}{increment:>+12.4}    (flow × {:.3})", "output error", increment.exp())?;
    }
    Ok(())
}

/// What was forecast of a valid time: mean and the 90 % interval.
type Outlook = BTreeMap<Timestamp, [f64; 3]>;

async fn say_forecasts(request: &Request, catchment: &str, analysed_at: Timestamp, text: &mut String) -> Result<()> {
    let (mut before, mut behind) = ((Timestamp::MIN, Outlook::new()), (Timestamp(i64::MAX), Outlook::new()));
    let mut reason = None;
    let around = Some((analysed_at.plus_s(-30 * DAY_S), analysed_at.plus_s(30 * DAY_S)));
    visit(&*request.archive, Contract::Forecast, around, |batch| {
        let rows = Forecasts::try_from(batch)?;
        for row in (0..rows.len()).filter(|row| rows.catchment().value(*row) == catchment) {
            let issue_time = Timestamp(rows.issue_time().value(row));
            let outlook = if issue_time < analysed_at && issue_time >= before.0 {
                if issue_time > before.0 {
                    before = (issue_time, Outlook::new());
                }
                &mut before.1
            } else if issue_time >= analysed_at && issue_time <= behind.0 {
                if issue_time < behind.0 {
                    behind = (issue_time, Outlook::new());
                }
                if rows.reason().is_valid(row) {
                    reason = Some(rows.reason().value(row).to_owned());
                }
                &mut behind.1
            } else {
                continue;
            };
            let numbers = [rows.mean(), rows.quantile(0.05), rows.quantile(0.95)].map(|column| column.value(row));
            outlook.insert(Timestamp(rows.valid_time().value(row)), numbers);
        }
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    if behind.1.is_empty() {
        writeln!(text, "no forecast of {catchment} was archived behind it")?;
        return Ok(());
    }
    let issued =
        |(at, outlook): &(Timestamp, Outlook)| if outlook.is_empty() { "none".to_owned() } else { at.to_string() };
    writeln!(text, "forecast of {catchment} before: {}, behind: {}", issued(&before), issued(&behind))?;
    if let Some(reason) = reason {
        writeln!(text, "  issued because of: {reason}")?;
    }
    writeln!(text, "  {:<24}{:>28}{:>28}", "valid", "before, m³/s [90 %]", "behind, m³/s [90 %]")?;
    let show = |numbers: Option<&[f64; 3]>| {
        numbers.map_or_else(|| "-".to_owned(), |[mean, low, high]| format!("{mean:.2} [{low:.2}, {high:.2}]"))
    };
    for (valid_time, numbers) in &behind.1 {
        let valid = valid_time.to_string();
        writeln!(text, "  {valid:<24}{:>28}{:>28}", show(before.1.get(valid_time)), show(Some(numbers)))?;
    }
    Ok(())
}
