//! `nilometer what-if`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nilometer_forecast::{Rain, WhatIf};
use nilometer_schemas::{Forecasts, Timestamp};

use super::again::{Again, compare};

/// First line of a file of rain.
const HEADER: &str = "valid_time,mm";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    again: Again,
    /// what rain is multiplied by
    #[arg(long)]
    rain_factor: Option<f64>,
    /// rain of steps in place of any other: CSV, its first line `valid_time,mm`
    #[arg(long, value_name = "FILE")]
    rain: Option<PathBuf>,
    /// rain of steps that end behind it is other than it was; that behind the issue when absent
    #[arg(long)]
    since: Option<Timestamp>,
}

pub async fn run(Arguments { again, rain_factor, rain, since }: Arguments) -> Result<()> {
    if rain_factor.is_none() && rain.is_none() {
        bail!("neither --rain-factor nor --rain; accepted is one of them, or both");
    }
    let series_mm = rain.map_or_else(|| Ok(BTreeMap::new()), |file| read(&file))?;
    let rain = Rain { since, factor: rain_factor.unwrap_or(1.0), series_mm };
    let pipeline = again.pipeline()?;
    let sandbox = again.sandbox(&pipeline).await?;
    let made = nilometer_forecast::what_if(sandbox, &again.station, again.issue, &rain).await?;
    compare(&pipeline, &again.station, &made.issued).await?;
    print!("{}", said(&made)?);
    Ok(())
}

/// Rain of steps, by their end, mm.
fn read(file: &Path) -> Result<BTreeMap<Timestamp, f64>> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header.trim() != HEADER) {
        bail!("{}: line 1 is not {HEADER}, which is accepted", file.display());
    }
    let row = |(at, line): (usize, &str)| {
        let numbers = line
            .split_once(',')
            .and_then(|(time, mm)| Some((time.trim().parse::<Timestamp>().ok()?, mm.trim().parse::<f64>().ok()?)));
        let place = || format!("{}: line {} is {line}", file.display(), at + 1);
        numbers.with_context(|| format!("{}; accepted is 2014-11-04T21:00:00Z,3.2", place()))
    };
    lines.filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

fn said(made: &WhatIf) -> Result<String> {
    let (issued, changed) = (&made.issued, &made.changed);
    let mut text = format!(
        "{}, issued {}: nothing of this is published\n\n  {:<22}{:>30}{:>30}\n",
        issued.catchment().value(0),
        Timestamp(issued.issue_time().value(0)),
        "valid",
        "as issued, m³/s [90 %]",
        "what if, m³/s [90 %]"
    );
    let say = |forecasts: &Forecasts, row: usize| {
        let [low, median, high] = [0.05, 0.5, 0.95].map(|level| forecasts.quantile(level).value(row));
        format!("{median:.2} [{low:.2}, {high:.2}]")
    };
    for row in 0..issued.len().min(changed.len()) {
        let valid = Timestamp(issued.valid_time().value(row)).to_string();
        writeln!(text, "  {valid:<22}{:>30}{:>30}", say(issued, row), say(changed, row))?;
    }
    let (before, after) = (&made.issued_events, &made.changed_events);
    if !before.is_empty() {
        writeln!(text, "\n  {:<22}{:>30}{:>30}", "within the horizon", "probability, %", "what if, %")?;
    }
    for row in 0..before.len().min(after.len()) {
        let [before_percent, after_percent] = [before, after].map(|events| events.probability().value(row) * 100.0);
        writeln!(text, "  {:<22}{before_percent:>30.1}{after_percent:>30.1}", before.threshold_name().value(row))?;
    }
    if issued.batch().columns() == changed.batch().columns() {
        writeln!(
            text,
            "\nnothing changes: the forecast meets no rain to multiply (scenario {}); give --rain, or --since",
            issued.scenario().value(0)
        )?;
    }
    Ok(text)
}
