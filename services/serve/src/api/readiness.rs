//! Readiness: whether what is served is what there is.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::when::When;
use crate::{Site, site::FOLLOWED};

/// Whether what is served is what there is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    /// whether each topic has been read to where it ended at the start
    log: bool,
    /// topics that have not
    behind: Vec<&'static str>,
    /// whether the archive answers
    archive: bool,
    /// whether the store of the snapshots answers
    snapshot: bool,
    /// whether there is a forecast, which says its model
    model: bool,
    /// the newest tick that has been forecast
    time: Option<When>,
    /// bytes of messages in memory, and at most
    memory_bytes: [usize; 2],
}

/// Whether the log has been read, archive and snapshots answer, and there is a forecast.
#[utoipa::path(get, path = "/ready", tag = "service", responses(
    (status = 200, description = "ready", body = Readiness),
    (status = 503, description = "not yet; says what is missing", body = Readiness),
))]
pub(crate) async fn ready(State(site): State<Site>) -> (StatusCode, Json<Readiness>) {
    let behind = site.behind();
    let behind: Vec<&str> =
        FOLLOWED.into_iter().filter(|topic| behind.contains(topic)).map(|topic| topic.topic()).collect();
    let [archive, snapshot] = site.stores_answer().await;
    let time = site.time();
    let ready = behind.is_empty() && archive && snapshot && time.is_some();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let memory_bytes = [site.bytes(), site.pipeline().serve.memory_mib << 20];
    let (log, model) = (behind.is_empty(), time.is_some());
    (status, Json(Readiness { ready, log, behind, archive, snapshot, model, time: time.map(When), memory_bytes }))
}
