//! What if: the forecast of an issue under other precipitation.

use std::collections::BTreeMap;

use nilometer_schemas::{Events, Forecasts, Timestamp};

use super::{Otherwise, Sandbox, SandboxDependencies, SandboxError};
use crate::weather_change::WeatherChange;

/// Factors that are accepted.
const FACTORS: [f64; 2] = [0.0, 10.0];
/// Precipitation of a step that is accepted, mm.
const MOST_MM: f64 = 1_000.0;

/// Other precipitation on a catchment.
#[derive(Debug, Clone, PartialEq)]
pub struct Rain {
    /// steps that end behind it are changed; those behind the issue where none is named
    pub since: Option<Timestamp>,
    /// what their precipitation is multiplied by
    pub factor: f64,
    /// precipitation of steps, by their end, mm, in place of any other
    pub series_mm: BTreeMap<Timestamp, f64>,
}

/// A forecast, and what it would be.
#[derive(Debug)]
pub struct WhatIf {
    /// as it was issued
    pub issued: Forecasts,
    /// the same of thresholds
    pub issued_events: Events,
    /// under the other precipitation
    pub changed: Forecasts,
    /// the same of thresholds
    pub changed_events: Events,
}

/// The forecast of a catchment issued at `issue`, as it was and under other precipitation.
///
/// # Errors
/// [`SandboxError`] where it was not issued, its state is gone, or the precipitation means nothing.
pub async fn what_if(
    dependencies: SandboxDependencies,
    catchment: &str,
    issue: Timestamp,
    rain: &Rain,
) -> Result<WhatIf, SandboxError> {
    let since = rain.since.unwrap_or(issue);
    let step_s = dependencies.pipeline.time.step.seconds();
    check(rain, since, issue, step_s).map_err(SandboxError::Question)?;
    // Steps that are changed are taken again, so the state is one from before the first.
    let begin = since.min(Timestamp(issue.0 - 1));
    let mut sandbox = Sandbox::open(dependencies, catchment, begin).await?;
    let place = sandbox.setting.index.place_of_catchment(catchment).unwrap_or(0);
    let (stored, columns) = sandbox.state().await?;
    let issued = sandbox.forecast_at(issue, &Otherwise::default()).await?;
    sandbox.replay.go_on_from(stored, columns).await?;
    let change = WeatherChange {
        catchment: place,
        since,
        factor: rain.factor as f32,
        series_mm: rain.series_mm.iter().map(|(time, mm)| (*time, *mm as f32)).collect(),
    };
    let changed = sandbox.forecast_at(issue, &Otherwise { change: Some(change), ..Otherwise::default() }).await?;
    Ok(WhatIf {
        issued: issued.forecasts,
        issued_events: issued.events,
        changed: changed.forecasts,
        changed_events: changed.events,
    })
}

fn check(rain: &Rain, since: Timestamp, issue: Timestamp, step_s: i64) -> Result<(), String> {
    let [least, most] = FACTORS;
    if !(least..=most).contains(&rain.factor) {
        return Err(format!("the factor of rain is {}; accepted is {least} to {most}", rain.factor));
    }
    if since > issue {
        return Err(format!("since is {since} and the issue {issue}; accepted is a time that is not behind it"));
    }
    for (time, mm) in &rain.series_mm {
        if !time.is_multiple_of_s(step_s) || *time <= since {
            return Err(format!(
                "the rain has a row at {time}; accepted are ends of steps of {step_s} s behind {since}"
            ));
        }
        if !(0.0..=MOST_MM).contains(mm) {
            return Err(format!("the rain at {time} is {mm} mm; accepted is 0 to {MOST_MM}"));
        }
    }
    Ok(())
}
