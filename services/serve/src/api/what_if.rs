//! What if: the forecast of a station under other rain. Nothing of it is published.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use nilometer_forecast::{Rain, WhatIf, require_same};
use nilometer_schemas::Events;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    explain::issue,
    forecast::{self, Forecast, USUAL_LEVELS},
    rows::instant,
    when::When,
};
use crate::{Site, problem::Problem};

/// What other rain.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtherRain {
    /// identifier of the catchment
    #[schema(example = "V3524010")]
    station: String,
    /// issue time; the newest forecast where absent
    issue: Option<String>,
    /// rain of steps that end behind it is other than it was; that behind the issue where absent
    since: Option<String>,
    /// what rain is multiplied by
    #[schema(minimum = 0, maximum = 10, example = 1.5)]
    rain_factor: Option<f64>,
    /// rain of steps in place of any other
    #[schema(max_items = 2_000)]
    rain: Option<Vec<RainOfStep>>,
}

/// Rain of a step.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RainOfStep {
    /// end of the step
    #[schema(example = "2014-11-04T21:00:00Z")]
    valid_time: String,
    /// rain on the catchment, mm
    #[schema(minimum = 0, maximum = 1_000)]
    mm: f64,
}

/// What would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tried {
    station: String,
    issue_time: When,
    /// what was changed began behind it
    since: When,
    /// as it was issued
    issued: Forecast,
    /// under the other rain; its scenario is what_if
    what_if: Forecast,
    /// of each threshold, that it is reached within the horizon
    odds: Vec<OddsIf>,
    /// what is to be known of it
    notes: Vec<String>,
}

/// The probability that a threshold is reached within the horizon.
#[derive(Serialize, ToSchema)]
pub(crate) struct OddsIf {
    threshold: String,
    name: String,
    level_m3_s: f64,
    issued: f64,
    what_if: f64,
}

/// The forecast of a station as it would be under other rain, from the state that the issue was made from. Nothing of it is published.
#[utoipa::path(post, path = "/what-if", tag = "forecasts", request_body = OtherRain, responses(
    (status = 200, description = "the forecast as it was issued, and as it would be", body = Tried),
    (status = 400, description = "the rain means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station or issue, or its state is gone", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "what was issued cannot be made again: the definition has changed", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "too long", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "not JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the JSON of it", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "another one is being made", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "this process cannot, or not in time", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn what_if(State(site): State<Site>, Json(asked): Json<OtherRain>) -> Result<Json<Tried>, Problem> {
    let id = asked.station.as_str();
    site.catchment(id)?;
    if asked.rain_factor.is_none() && asked.rain.is_none() {
        return Err(Problem::bad_request("neither rain_factor nor rain; accepted is one of them, or both"));
    }
    let issue = issue(&site, id, asked.issue.as_deref())?;
    let since = asked.since.as_deref().map(|text| instant("since", text)).transpose()?;
    let of_step = |of: &RainOfStep| Ok((instant("rain.valid_time", &of.valid_time)?, of.mm));
    let series_mm: BTreeMap<_, _> = asked.rain.iter().flatten().map(of_step).collect::<Result<_, Problem>>()?;
    let rain = Rain { since, factor: asked.rain_factor.unwrap_or(1.0), series_mm };
    let said = forecast::issued(&site, id, issue).await?;
    let made = site
        .sandboxes()?
        .run(site.number_of(id), |dependencies| nilometer_forecast::what_if(dependencies, id, issue, &rain))
        .await?;
    require_same(&said, &made.issued)?;
    let document = |forecasts, events: &Events| {
        let events = Some(events).filter(|events| !events.is_empty());
        forecast::document(id, forecasts, events, &USUAL_LEVELS, false, forecast::every_s(&site))
    };
    let mut notes = Vec::new();
    if made.changed.batch().columns() == made.issued.batch().columns() {
        notes.push(format!(
            "nothing changes: the forecast meets no rain to multiply (scenario {}); give rain, or since",
            made.issued.scenario().value(0)
        ));
    }
    Ok(Json(Tried {
        station: id.to_owned(),
        issue_time: When(issue),
        since: When(since.unwrap_or(issue)),
        issued: document(&made.issued, &made.issued_events),
        what_if: document(&made.changed, &made.changed_events).of_scenario("what_if"),
        odds: odds(&made),
        notes,
    }))
}

fn odds(made: &WhatIf) -> Vec<OddsIf> {
    let (issued, changed) = (&made.issued_events, &made.changed_events);
    let of_row = |row: usize| OddsIf {
        threshold: issued.threshold().value(row).to_owned(),
        name: issued.threshold_name().value(row).to_owned(),
        level_m3_s: issued.level_m3_s().value(row),
        issued: issued.probability().value(row),
        what_if: changed.probability().value(row),
    };
    // Both are of the thresholds of one catchment, in the order of the definition.
    (0..issued.len().min(changed.len())).map(of_row).collect()
}
