//! Models: what forecasts are made with.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::when::When;
use crate::{Site, newest::Announced};

/// What forecasts are made with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Models {
    /// those in force, by partition
    in_force: Vec<Model>,
    /// those that forecast beside them, as their shadows
    challengers: Vec<Model>,
    /// what was announced last, the newest first
    changes: Vec<Model>,
}

/// A model as it was announced.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    partition: u32,
    name: String,
    version: String,
    weights_sha256: String,
    package_sha256: String,
    /// 1 to be in force, 0 to be a challenger
    weight: f64,
    /// since which tick
    since: When,
    /// why it took the place of the one before
    reason: String,
    author: String,
    announcement: u64,
}

/// What forecasts are made with, since when and why.
#[utoipa::path(get, path = "/models", tag = "models", responses(
    (status = 200, description = "the models in force, and those beside them", body = Models),
))]
pub(crate) async fn in_force(State(site): State<Site>) -> Json<Models> {
    let (mut in_force, mut challengers, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for partition in site.numbers() {
        let Some(newest) = site.newest(partition) else { continue };
        let model = |of: &Announced| Model {
            partition,
            name: of.name.clone(),
            version: of.version.clone(),
            weights_sha256: of.weights_sha256.clone(),
            package_sha256: of.package_sha256.clone(),
            weight: of.weight,
            since: When(of.since),
            reason: of.reason.clone(),
            author: of.author.clone(),
            announcement: of.announcement,
        };
        in_force.extend(newest.in_force().map(model));
        challengers.extend(newest.challenger().map(model));
        changes.extend(newest.changes().rev().map(model));
    }
    Json(Models { in_force, challengers, changes })
}
