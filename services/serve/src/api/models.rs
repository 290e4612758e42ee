//! Models: what forecasts are made with.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::when::When;
use crate::Site;

/// What forecasts are made with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Models {
    /// those in force, by partition; of a blend each with its weight
    in_force: Vec<Model>,
}

/// A model in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    partition: u32,
    name: String,
    version: String,
    weights_sha256: String,
    package_sha256: String,
    /// share of it in what forecasts say
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
    (status = 200, description = "the models in force", body = Models),
))]
pub(crate) async fn in_force(State(site): State<Site>) -> Json<Models> {
    let mut in_force = Vec::new();
    for partition in site.numbers() {
        let Some(newest) = site.newest(partition) else { continue };
        in_force.extend(newest.models().iter().map(|model| Model {
            partition,
            name: model.name.clone(),
            version: model.version.clone(),
            weights_sha256: model.weights_sha256.clone(),
            package_sha256: model.package_sha256.clone(),
            weight: model.weight,
            since: When(model.since),
            reason: model.reason.clone(),
            author: model.author.clone(),
            announcement: model.announcement,
        }));
    }
    Json(Models { in_force })
}
