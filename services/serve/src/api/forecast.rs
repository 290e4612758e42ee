//! Forecast: what was said of one station at one issue, column by column; and what each issue said of one hour.

use std::collections::BTreeMap;

use arrow::array::{Array as _, Float32Array, RecordBatch, StringArray};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use nilometer_engine::Partition;
use nilometer_schemas::{
    Contract, Events, Forecasts, QUANTILE_LEVELS, STAGE_LEVELS, TAIL_LEVELS, Timestamp, quantile_column,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    rows::{self, Look},
    when::When,
};
use crate::{
    Site,
    answer::{self, Format},
    problem::Problem,
};

/// Levels that are given unless others are asked for: the median, the 50 % and the 90 % interval.
pub(crate) const USUAL_LEVELS: [f64; 5] = [0.05, 0.25, 0.50, 0.75, 0.95];
/// Stations of which forecasts are given at once.
const AT_ONCE: usize = 200;

/// A forecast of one station as it was issued, column by column; all flows in m³ s⁻¹.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Forecast {
    /// identifier of the catchment
    pub(crate) station: String,
    pub(crate) issue_time: When,
    /// newest time that the state had reached
    pub(crate) state_time: When,
    #[schema(value_type = String, example = "m3/s")]
    unit: &'static str,
    /// future-rain scenario
    scenario: String,
    model: String,
    model_version: String,
    weights_sha256: String,
    /// issue time of the forecast whose place this one takes
    supersedes: Option<When>,
    /// what came late
    reason: Option<String>,
    /// steps since the state's start whose forcing had to be filled in
    filled_steps: i32,
    members: i32,
    /// seconds from one issue to the next
    every_s: i64,
    /// what the log had been read up to
    positions: Positions,
    pub(crate) valid_time: Vec<When>,
    /// mean of the distribution
    mean: Vec<f64>,
    /// by level: q05, q50, …
    pub(crate) quantiles: BTreeMap<String, Vec<Option<f64>>>,
    /// the same in stage, where the gauge has a rating
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    /// by threshold, that the river is at or beyond it at each valid time
    exceedance: BTreeMap<String, Vec<f64>>,
    /// trajectories, where `members=1` asks for them and they are carried
    #[serde(skip_serializing_if = "Option::is_none")]
    trajectories: Option<Vec<Vec<f32>>>,
}

impl Forecast {
    /// The same under another name of its weather.
    pub(crate) fn of_scenario(self, scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..self }
    }
}

/// Quantiles as stages, by the rating that holds at each valid time.
#[derive(Debug, Serialize, ToSchema)]
struct Stage {
    /// m above the gauge's datum, by level: q05, q25, q50, q75, q95
    quantiles_m: BTreeMap<String, Vec<Option<f64>>>,
    /// the agency's name of the rating
    rating_version: Option<String>,
    /// whether one of them lies outside the stages at which discharge was measured
    extrapolated: Vec<Option<bool>>,
}

/// What a forecast had read up to, exclusive.
#[derive(Debug, Serialize, ToSchema)]
struct Positions {
    observation: u64,
    forcing: u64,
}

/// Which forecast, and how much of it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// `latest`, or the issue time
    #[param(example = "latest")]
    issue: Option<String>,
    /// percents of the levels, by commas
    #[param(example = "5,25,50,75,95")]
    quantiles: Option<String>,
    /// 1 for the trajectories too
    #[param(minimum = 0, maximum = 1)]
    members: Option<u8>,
    /// json, csv or arrow; the Accept header where absent. CSV and Arrow are rows of forecast.v1
    f: Option<String>,
}

/// What was said of one station at one issue.
#[utoipa::path(get, path = "/stations/{id}/forecast", tag = "forecasts", params(("id" = String, Path, description = "identifier of the catchment"), Which), responses(
    (status = 200, description = "as JSON, or rows of forecast.v1", content((Forecast = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station, or no such issue", body = Problem, content_type = "application/problem+json"),
    (status = 406, description = "no such format", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn one(
    State(site): State<Site>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = Format::of(which.f.as_deref(), &headers)?;
    site.catchment(&id)?;
    let levels = levels(which.quantiles.as_deref())?;
    let members = which.members.unwrap_or(0);
    if members > 1 {
        return Err(Problem::bad_request(format!("members is {members}; accepted is 0 or 1")));
    }
    let forecasts = match which.issue.as_deref() {
        None | Some("latest") => newest(&site, &id).ok_or_else(|| {
            Problem::not_found(format!("no forecast of {id} yet; the first comes with its first issue"))
        })?,
        Some(issue) => issued(&site, &id, rows::instant("issue", issue)?).await?,
    };
    if format != Format::Json {
        return answer::rows(format, Contract::Forecast, forecasts.batch());
    }
    let events = events_of(&site, &id, Timestamp(forecasts.issue_time().value(0))).await?;
    let document = document(&id, &forecasts, events.as_ref(), &levels, members == 1, every_s(&site));
    Ok(Json(document).into_response())
}

/// Which stations, and how much of their newest forecasts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Several {
    /// identifiers, by commas; at most 200
    #[param(example = "V3524010,V3515010")]
    stations: String,
    /// percents of the levels, by commas
    #[param(example = "5,50,95")]
    quantiles: Option<String>,
}

/// The newest forecasts of several stations at once; one that has none is left out.
#[utoipa::path(get, path = "/forecasts", tag = "forecasts", params(Several), responses(
    (status = 200, description = "in the order that was asked for", body = Vec<Forecast>),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn several(
    State(site): State<Site>,
    Query(which): Query<Several>,
) -> Result<Json<Vec<Forecast>>, Problem> {
    let levels = levels(which.quantiles.as_deref())?;
    let mut all = Vec::new();
    for id in some_stations(&site, &which.stations)? {
        let Some(forecasts) = newest(&site, id) else { continue };
        all.push(document(id, &forecasts, None, &levels, false, every_s(&site)));
    }
    Ok(Json(all))
}

/// Identifiers by commas, each of a station.
pub(crate) fn some_stations<'a>(site: &Site, ids: &'a str) -> Result<Vec<&'a str>, Problem> {
    let ids: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.len() > AT_ONCE {
        return Err(Problem::bad_request(format!("{} stations; accepted are at most {AT_ONCE} at once", ids.len())));
    }
    ids.iter().try_for_each(|id| site.catchment(id).map(drop))?;
    Ok(ids)
}

/// Which hour.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hour {
    /// the hour that is asked about; the newest tick where absent
    #[param(example = "2014-11-04T20:00:00Z")]
    valid_time: Option<String>,
    /// json, csv or arrow
    f: Option<String>,
}

/// What each issue said of one hour: rows of forecast.v1, the earliest issue first.
#[utoipa::path(get, path = "/stations/{id}/foresight", tag = "forecasts", params(("id" = String, Path, description = "identifier of the catchment"), Hour), responses(
    (status = 200, description = "rows of forecast.v1", content((rows::Rows = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
    (status = 406, description = "no such format", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn foresight(
    State(site): State<Site>,
    Path(id): Path<String>,
    Query(hour): Query<Hour>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = Format::of(hour.f.as_deref(), &headers)?;
    site.catchment(&id)?;
    let valid_time = match hour.valid_time.as_deref() {
        Some(text) => rows::instant("valid_time", text)?,
        None => site.time().ok_or_else(|| Problem::not_found("no forecast yet"))?,
    };
    let horizon_s = site.pipeline().forecast.horizon.seconds();
    let all =
        rows::between(&site, Contract::Forecast, &id, (valid_time.plus_s(-horizon_s), valid_time), Look::Everywhere)
            .await?;
    let of_hour = rows::only(&all, "valid_time", valid_time..=valid_time)?;
    answer::rows(format, Contract::Forecast, &of_hour)
}

/// The newest forecast of a catchment, from memory.
pub(crate) fn newest(site: &Site, catchment: &str) -> Option<Forecasts> {
    let tail = site.tail(Partition::new(Contract::Forecast, site.number_of(catchment)))?;
    let found = tail.newest_first().find_map(|held| held.of(catchment))?;
    drop(tail);
    last_issue(found)
}

/// The newest issue of the rows of one catchment.
fn last_issue(rows: RecordBatch) -> Option<Forecasts> {
    let forecasts = Forecasts::try_from(rows).ok()?;
    let newest = forecasts.issue_time().values().iter().max().copied()?;
    rows::only(forecasts.batch(), "issue_time", Timestamp(newest)..=Timestamp(newest)).ok()?.try_into().ok()
}

/// The last forecast of a catchment that was issued between two times: of memory, or exactly at the second one.
pub(crate) async fn last_between(
    site: &Site,
    catchment: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<Option<Forecasts>, Problem> {
    let in_memory = site.tail(Partition::new(Contract::Forecast, site.number_of(catchment))).and_then(|tail| {
        tail.newest_first()
            .filter_map(|held| last_issue(held.of(catchment)?))
            .find(|forecasts| (first..=last).contains(&Timestamp(forecasts.issue_time().value(0))))
    });
    if in_memory.is_some() {
        return Ok(in_memory);
    }
    let found = rows::between(site, Contract::Forecast, catchment, (last, last), Look::Everywhere).await?;
    Ok(Forecasts::try_from(found).ok().filter(|forecasts| !forecasts.is_empty()))
}

/// The forecast of an issue: the last that was made of it.
pub(crate) async fn issued(site: &Site, catchment: &str, issue: Timestamp) -> Result<Forecasts, Problem> {
    let in_memory = site.tail(Partition::new(Contract::Forecast, site.number_of(catchment))).and_then(|tail| {
        tail.newest_first().filter_map(|held| held.of(catchment)).find_map(|rows| {
            let of_issue = rows::only(&rows, "issue_time", issue..=issue).ok()?;
            (of_issue.num_rows() > 0).then_some(of_issue)
        })
    });
    let found = match in_memory {
        Some(found) => found,
        None => rows::between(site, Contract::Forecast, catchment, (issue, issue), Look::Everywhere).await?,
    };
    let found = Forecasts::try_from(found).map_err(|error| Problem::internal(&error))?;
    if found.is_empty() {
        let every = site.pipeline().forecast.every;
        return Err(Problem::not_found(format!(
            "no forecast of {catchment} was issued at {issue}; accepted is a time at which one was, every {every}"
        )));
    }
    Ok(found)
}

/// What an issue says of the thresholds of a catchment; none where it has none.
async fn events_of(site: &Site, catchment: &str, issue: Timestamp) -> Result<Option<Events>, Problem> {
    let in_memory = site.tail(Partition::new(Contract::Event, site.number_of(catchment))).and_then(|tail| {
        tail.newest_first().filter_map(|held| held.of(catchment)).find_map(|rows| {
            let of_issue = rows::only(&rows, "issue_time", issue..=issue).ok()?;
            (of_issue.num_rows() > 0).then_some(of_issue)
        })
    });
    if site.catchment(catchment)?.thresholds.is_empty() {
        return Ok(None);
    }
    let found = match in_memory {
        Some(found) => found,
        None => rows::between(site, Contract::Event, catchment, (issue, issue), Look::Everywhere).await?,
    };
    Ok(Events::try_from(found).ok().filter(|events| !events.is_empty()))
}

/// Percents as levels; the usual ones where none are asked for.
fn levels(percents: Option<&str>) -> Result<Vec<f64>, Problem> {
    let Some(percents) = percents else { return Ok(USUAL_LEVELS.to_vec()) };
    let known = || TAIL_LEVELS.into_iter().chain(QUANTILE_LEVELS);
    let level = |percent: &str| {
        let asked = percent.trim().trim_start_matches('q').parse::<f64>().ok()? / 100.0;
        known().find(|level| (level - asked).abs() < 1e-9)
    };
    let refused = |percent: &str| {
        Problem::bad_request(format!(
            "quantiles has {percent}; accepted are 1, 2, 98, 99 and multiples of 5 from 5 to 95, by commas"
        ))
    };
    let mut levels = Vec::new();
    for percent in percents.split(',') {
        levels.push(level(percent).ok_or_else(|| refused(percent))?);
    }
    Ok(levels)
}

/// The document of a forecast, which has a row at least.
pub(crate) fn document(
    catchment: &str,
    forecasts: &Forecasts,
    events: Option<&Events>,
    levels: &[f64],
    with_members: bool,
    every_s: i64,
) -> Forecast {
    let text = |column: &StringArray| column.value(0).to_owned();
    let quantile = |level: &f64| {
        let name = quantile_column(*level);
        let column = forecasts.batch().column_by_name(&name).and_then(|column| column.as_any().downcast_ref());
        let values = column.map_or_else(Vec::new, |column: &arrow::array::Float64Array| column.iter().collect());
        (name, values)
    };
    let stage = || Stage {
        quantiles_m: STAGE_LEVELS
            .map(|level| (quantile_column(level), forecasts.stage(level).iter().collect()))
            .into_iter()
            .collect(),
        rating_version: forecasts.rating_version().iter().next().flatten().map(str::to_owned),
        extrapolated: forecasts.rating_extrapolated().iter().collect(),
    };
    let trajectories = || {
        let members = forecasts.member_values();
        let of_row = |row: usize| {
            let values = members.value(row);
            values.as_any().downcast_ref::<Float32Array>().map_or_else(Vec::new, |values| values.values().to_vec())
        };
        let carried = (0..forecasts.len()).all(|row| members.is_valid(row));
        carried.then(|| transposed(&(0..forecasts.len()).map(of_row).collect::<Vec<_>>()))
    };
    Forecast {
        station: catchment.to_owned(),
        issue_time: When(Timestamp(forecasts.issue_time().value(0))),
        state_time: When(Timestamp(forecasts.state_time().value(0))),
        unit: "m3/s",
        scenario: text(forecasts.scenario()),
        model: text(forecasts.model()),
        model_version: text(forecasts.model_version()),
        weights_sha256: text(forecasts.weights_sha256()),
        supersedes: forecasts.supersedes().is_valid(0).then(|| When(Timestamp(forecasts.supersedes().value(0)))),
        reason: forecasts.reason().is_valid(0).then(|| text(forecasts.reason())),
        filled_steps: forecasts.filled_steps().value(0),
        members: forecasts.members().value(0),
        every_s,
        positions: Positions {
            observation: forecasts.observation_position().value(0),
            forcing: forecasts.forcing_position().value(0),
        },
        valid_time: forecasts.valid_time().values().iter().map(|time| When(Timestamp(*time))).collect(),
        mean: forecasts.mean().values().to_vec(),
        quantiles: levels.iter().map(quantile).collect(),
        stage: (forecasts.rating_version().null_count() < forecasts.len()).then(stage),
        exceedance: events.map_or_else(BTreeMap::new, exceedance),
        trajectories: if with_members { trajectories() } else { None },
    }
}

/// Seconds from one issue to the next.
pub(crate) fn every_s(site: &Site) -> i64 {
    site.pipeline().forecast.every.seconds()
}

/// By threshold, its probability at each lead time.
fn exceedance(events: &Events) -> BTreeMap<String, Vec<f64>> {
    let of_row = |row: usize| {
        let values = events.probability_by_lead().value(row);
        let values = values.as_any().downcast_ref::<arrow::array::Float64Array>();
        (events.threshold().value(row).to_owned(), values.map_or_else(Vec::new, |values| values.values().to_vec()))
    };
    (0..events.len()).map(of_row).collect()
}

/// From the members of each lead time to the lead times of each member.
fn transposed(by_lead: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let members = by_lead.iter().map(Vec::len).min().unwrap_or(0);
    (0..members).map(|member| by_lead.iter().map(|values| values[member]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_that_forecasts_have() {
        assert_eq!(levels(Some("5,50, 99")).ok(), Some(vec![0.05, 0.5, 0.99]));
        assert_eq!(levels(Some("q50")).ok(), Some(vec![0.5]));
        assert!(levels(Some("7")).is_err() && levels(Some("")).is_err() && levels(Some("5,,50")).is_err());
    }
}
