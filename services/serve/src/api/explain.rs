//! Explain: how a forecast came to differ from an earlier one, part by part.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, Float64Array};
use arrow::datatypes::Float64Type;
use axum::{
    Json,
    extract::{Path, Query, State},
};
use nilometer_forecast::{Explanation, require_same};
use nilometer_schemas::{Analyses, Events, Forecasts, Timestamp, quantile_column};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{forecast, rows::instant, when::When};
use crate::{Site, problem::Problem};

/// The levels that are split.
const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];

/// How a forecast came to differ from an earlier one.
#[derive(Serialize, ToSchema)]
pub(crate) struct Split {
    /// identifier of the catchment
    station: String,
    /// of the forecast
    issue_time: When,
    /// of the earlier one
    against: When,
    #[schema(value_type = String)]
    unit: &'static str,
    /// the times that both speak of
    valid_time: Vec<When>,
    /// what the earlier one said
    before: Series,
    /// what each part changed, in the order in which it is counted; `before` and all of them are `after`
    changes: Vec<Change>,
    /// what the forecast said
    after: Series,
    /// the same of the probability of each threshold within the horizon
    odds: Vec<Odds>,
    /// what was assimilated in between
    readings: Vec<Reading>,
}

/// Flows of the valid times, or their differences.
#[derive(Serialize, ToSchema)]
pub(crate) struct Series {
    mean: Vec<f64>,
    /// by level: q05, q50, q95
    quantiles: BTreeMap<String, Vec<f64>>,
}

/// What a part changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    /// elapsed: the same hour is nearer; weather: observed, and its forecasts; gauges: what was read; calibration: what that taught; thresholds:
    /// their levels; model: other weights
    #[schema(value_type = String, example = "weather")]
    part: &'static str,
    #[serde(flatten)]
    series: Series,
}

/// The probability that a threshold is reached within the horizon.
#[derive(Serialize, ToSchema)]
pub(crate) struct Odds {
    threshold: String,
    name: String,
    /// level as a flow, m³ s⁻¹
    level_m3_s: f64,
    before: f64,
    /// by part, as differences
    changes: BTreeMap<&'static str, f64>,
    after: f64,
}

/// A reading, and what it did to the stores.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reading {
    station: String,
    variable: String,
    unit: String,
    valid_time: When,
    observed: f64,
    /// what the model expected
    expected: f64,
    /// how it was assimilated; ignored or gauge_shift where it was not
    method: String,
    model: String,
    /// what each store gained, mm
    stores_mm: BTreeMap<String, f64>,
    /// change of the logarithm of the model's error of flow
    output_error: Option<f64>,
}

/// Which two issues.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// issue time of the forecast; the newest where absent
    #[param(example = "2014-11-04T20:00:00Z")]
    issue: Option<String>,
    /// issue time of the earlier one; the one before where absent
    #[param(example = "2014-11-04T19:00:00Z")]
    against: Option<String>,
}

/// Why a forecast differs from an earlier one: both are made again, step by step, with one part more of what came in between each time.
#[utoipa::path(get, path = "/stations/{id}/explain", tag = "forecasts", params(("id" = String, Path, description = "identifier of the catchment"), Which), responses(
    (status = 200, description = "the change, split", body = Split),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station or issue, or its state is gone", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "what was issued cannot be made again: the definition has changed", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "another one is being made", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "this process cannot, or not in time", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn explain(
    State(site): State<Site>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Split>, Problem> {
    site.catchment(&id)?;
    let issue = issue(&site, &id, which.issue.as_deref())?;
    let against = match which.against.as_deref() {
        Some(text) => instant("against", text)?,
        None => issue.plus_s(-forecast::every_s(&site)),
    };
    let (said_before, said) =
        (forecast::issued(&site, &id, against).await?, forecast::issued(&site, &id, issue).await?);
    let sandboxes = site.sandboxes()?;
    let explained = sandboxes
        .run(site.number_of(&id), |dependencies| nilometer_forecast::explain(dependencies, &id, issue, against))
        .await?;
    require_same(&said_before, &explained.before)?;
    if let Some(last) = explained.stages.last() {
        require_same(&said, &last.forecasts)?;
    }
    Ok(Json(split(&explained)))
}

/// The issue time that is asked about; the newest where none is.
pub(crate) fn issue(site: &Site, catchment: &str, asked: Option<&str>) -> Result<Timestamp, Problem> {
    match asked {
        None | Some("latest") => forecast::newest(site, catchment)
            .map(|newest| Timestamp(newest.issue_time().value(0)))
            .ok_or_else(|| Problem::not_found(format!("no forecast of {catchment} yet"))),
        Some(text) => instant("issue", text),
    }
}

/// As an answer.
fn split(explained: &Explanation) -> Split {
    let stages = || explained.stages.iter().map(|stage| &stage.forecasts);
    // The horizon has moved: what all speak of is behind the later issue, and before the end of the earlier horizon.
    let speaks = |forecasts: &Forecasts, time: i64| forecasts.valid_time().values().contains(&time);
    let times: Vec<i64> = explained.before.valid_time().values().iter().copied().collect();
    let times: Vec<i64> = times.into_iter().filter(|time| stages().all(|stage| speaks(stage, *time))).collect();
    let before = Series::of(&explained.before, &times);
    let mut last = Series::of(&explained.before, &times);
    let mut changes = Vec::new();
    for stage in &explained.stages {
        let now = Series::of(&stage.forecasts, &times);
        changes.push(Change { part: stage.part.name(), series: now.minus(&last) });
        last = now;
    }
    Split {
        station: explained.catchment.clone(),
        issue_time: When(explained.issue_time),
        against: When(explained.against),
        unit: "m3/s",
        valid_time: times.iter().map(|time| When(Timestamp(*time))).collect(),
        before,
        changes,
        after: last,
        odds: odds(explained),
        readings: explained.analyses.iter().flat_map(readings).collect(),
    }
}

impl Series {
    /// What a forecast says of some of its times.
    fn of(forecasts: &Forecasts, times: &[i64]) -> Self {
        let of_times = |column: &Float64Array| {
            let places = times.iter().filter_map(|time| forecasts.valid_time().values().iter().position(|t| t == time));
            places.map(|row| column.value(row)).collect()
        };
        let quantile = |level: f64| (quantile_column(level), of_times(forecasts.quantile(level)));
        Self { mean: of_times(forecasts.mean()), quantiles: LEVELS.map(quantile).into() }
    }

    fn minus(&self, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let of_level = |(name, values): (&String, &Vec<f64>)| (name.clone(), minus(values, &other.quantiles[name]));
        Self { mean: minus(&self.mean, &other.mean), quantiles: self.quantiles.iter().map(of_level).collect() }
    }
}

fn odds(explained: &Explanation) -> Vec<Odds> {
    let of = |events: &Events, threshold: &str| {
        let row = (0..events.len()).find(|row| events.threshold().value(*row) == threshold)?;
        Some(events.probability().value(row))
    };
    let Some(last) = explained.stages.last() else { return Vec::new() };
    let of_row = |row: usize| {
        let threshold = last.events.threshold().value(row);
        let before = of(&explained.events_before, threshold)?;
        let (mut at, mut changes) = (before, BTreeMap::new());
        for stage in &explained.stages {
            let now = of(&stage.events, threshold)?;
            changes.insert(stage.part.name(), now - at);
            at = now;
        }
        Some(Odds {
            threshold: threshold.to_owned(),
            name: last.events.threshold_name().value(row).to_owned(),
            level_m3_s: last.events.level_m3_s().value(row),
            before,
            changes,
            after: at,
        })
    };
    (0..last.events.len()).filter_map(of_row).collect()
}

fn readings(rows: &Analyses) -> Vec<Reading> {
    let of_row = |row: usize| {
        let (stores, increments) = (rows.store().value(row), rows.increment_mm().value(row));
        let (stores, increments) =
            (stores.as_string::<i32>().clone(), increments.as_primitive::<Float64Type>().clone());
        let of_store = |store: usize| (stores.value(store).to_owned(), increments.value(store));
        Reading {
            station: rows.station().value(row).to_owned(),
            variable: rows.variable().value(row).to_owned(),
            unit: rows.unit().value(row).to_owned(),
            valid_time: When(Timestamp(rows.valid_time().value(row))),
            observed: rows.observed().value(row),
            expected: rows.predicted().value(row),
            method: rows.method().value(row).to_owned(),
            model: rows.model().value(row).to_owned(),
            stores_mm: (0..stores.len()).map(of_store).collect(),
            output_error: rows.output_error_increment().is_valid(row).then(|| rows.output_error_increment().value(row)),
        }
    };
    (0..rows.len()).map(of_row).collect()
}
