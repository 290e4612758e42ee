//! `nilometer explain`.

use std::fmt::Write as _;

use anyhow::Result;
use nilometer_forecast::{Explanation, Stage};
use nilometer_schemas::{Events, Forecasts, Timestamp};
use nilometer_verification::say_analysis;

use super::again::{Again, compare};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    again: Again,
    /// the earlier issue that it is held against; the one before when absent
    #[arg(long)]
    against: Option<Timestamp>,
}

pub async fn run(Arguments { again, against }: Arguments) -> Result<()> {
    let pipeline = again.pipeline()?;
    let (station, issue) = (&again.station, again.issue);
    let against = against.unwrap_or_else(|| issue.plus_s(-pipeline.forecast.every.seconds()));
    let explained = nilometer_forecast::explain(again.sandbox(&pipeline).await?, station, issue, against).await?;
    compare(&pipeline, station, &explained.before).await?;
    if let Some(last) = explained.stages.last() {
        compare(&pipeline, station, &last.forecasts).await?;
    }
    print!("{}", said(&explained)?);
    Ok(())
}

fn said(explained: &Explanation) -> Result<String> {
    let Explanation { catchment, issue_time, against, before, events_before, stages, analyses } = explained;
    let mut text = format!("{catchment}, issued {issue_time}, against {against}\n\nthe median, m³/s\n");
    write!(text, "  {:<22}{:>9}", "valid", "before")?;
    stages.iter().try_for_each(|stage| write!(text, "{:>12}", stage.part.name()))?;
    writeln!(text, "{:>9}", "after")?;
    for time in before.valid_time().values() {
        let of = |forecasts: &Forecasts| {
            let row = forecasts.valid_time().values().iter().position(|other| other == time)?;
            Some(forecasts.quantile(0.5).value(row))
        };
        let made: Option<Vec<f64>> = stages.iter().map(|stage| of(&stage.forecasts)).collect();
        // The horizon has moved on: only times that both speak of can differ.
        let (Some(first), Some(made)) = (of(before), made) else { continue };
        writeln!(text, "  {:<22}{}", Timestamp(*time).to_string(), line(first, &made, 1.0, 2))?;
    }
    let probability = |events: &Events, threshold: &str| {
        let row = (0..events.len()).find(|row| events.threshold().value(*row) == threshold)?;
        Some(events.probability().value(row))
    };
    if !events_before.is_empty() {
        writeln!(text, "\nthe probability of each threshold within the horizon, %")?;
    }
    for row in 0..events_before.len() {
        let threshold = events_before.threshold().value(row);
        let made: Option<Vec<f64>> = stages.iter().map(|Stage { events, .. }| probability(events, threshold)).collect();
        let Some(made) = made else { continue };
        let name = events_before.threshold_name().value(row);
        writeln!(text, "  {name:<22}{}", line(events_before.probability().value(row), &made, 100.0, 1))?;
    }
    writeln!(text, "\nwhat was assimilated in between")?;
    for rows in analyses {
        (0..rows.len()).try_for_each(|row| say_analysis(rows, row, &mut text))?;
    }
    if analyses.is_empty() {
        writeln!(text, "  nothing")?;
    }
    Ok(text)
}

/// Where it began, what each part changed, and where it ended.
fn line(before: f64, made: &[f64], scale: f64, digits: usize) -> String {
    let mut text = format!("{:>9.digits$}", before * scale);
    let mut at = before;
    for now in made {
        text.push_str(&format!("{:>+12.digits$}", (now - at) * scale));
        at = *now;
    }
    text.push_str(&format!("{:>9.digits$}", at * scale));
    text
}
