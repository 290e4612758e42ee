//! Readings: what the gauges of several stations read, column by column.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    forecast,
    rows::{self, Look},
    when::When,
};
use crate::{
    Site,
    problem::Problem,
    series::{Series, of_readings},
};

/// Which stations, and since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// identifiers, by commas; at most 200
    #[param(example = "V3524010,V3515010")]
    stations: String,
    /// first time; a day before `to` where absent
    from: Option<String>,
    /// last time; the newest tick where absent
    to: Option<String>,
}

/// What the gauge of one station read, column by column.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readings {
    /// identifier of the catchment
    station: String,
    /// ends of the periods, ascending
    valid_time: Vec<When>,
    /// discharge, m³ s⁻¹; null where a reading is missing
    value: Vec<Option<f64>>,
    /// QARTOD: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing
    flag: Vec<u8>,
}

/// Discharge of several stations at once, the newest of each time; of more than three stations from memory alone.
#[utoipa::path(get, path = "/readings", tag = "rows", params(Which), responses(
    (status = 200, description = "in the order that was asked for", body = Vec<Readings>),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn several(
    State(site): State<Site>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Readings>>, Problem> {
    let to = match which.to.as_deref() {
        Some(text) => rows::instant("to", text)?,
        None => site.time().unwrap_or_default(),
    };
    let from = match which.from.as_deref() {
        Some(text) => rows::instant("from", text)?,
        None => to.plus_s(-86_400),
    };
    rows::ordered(from, to)?;
    let mut all = Vec::new();
    let ids = forecast::some_stations(&site, &which.stations)?;
    let how = Look::of(ids.len());
    for id in ids {
        let Series { times, values, flags, .. } = of_readings(&site, id, (from, to), how).await?;
        let valid_time = times.into_iter().map(When).collect();
        all.push(Readings { station: id.to_owned(), valid_time, value: values, flag: flags });
    }
    Ok(Json(all))
}
