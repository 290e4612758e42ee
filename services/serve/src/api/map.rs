//! Map: borders of catchments and rivers, where the definition has flow directions.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};

use crate::{Site, map::Map, problem::Problem};

/// Borders of the catchments, and the rivers in them.
#[utoipa::path(get, path = "/map", tag = "stations", responses(
    (status = 200, description = "lines in metres", body = Map),
    (status = 404, description = "the definition has no flow directions, or they are still being traced", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn map(State(site): State<Site>) -> Result<Response, Problem> {
    let map = site.map().map(|map| Json(map).into_response());
    map.ok_or_else(|| Problem::not_found("the definition has no [network], or it is still being traced"))
}
