//! OGC API - Environmental Data Retrieval 1.2: forecasts, readings, events and droughts. An instance is an issue time.

mod collection;
mod content;
mod part;

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, OpenApi, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};

use collection::{Collection, described, link, places, typed};
use part::{interval, nearest};

use super::covjson::{self, CRS84};
use crate::{Site, answer::base, problem::Problem, rates};

const COVJSON: &str = "application/prs.coverage+json";
/// The classes that are kept.
const CLASSES: [&str; 11] = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/core",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/collections",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/queries",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/instances",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/json",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/geojson",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/edr-geojson",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/covjson",
    "https://www.opengis.net/spec/ogcapi-edr-1/1.2/conf/oas31",
];
#[derive(OpenApi)]
#[openapi(
    info(title = "Nilometer, OGC API - EDR", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/edr")),
)]
struct Api;

/// The routes, below `/edr`.
pub(crate) fn router() -> Router<Site> {
    let (routes, document) = routes_and_document();
    routes.route("/openapi.json", get(move || async move { Json(document) }))
}

fn routes_and_document() -> (Router<Site>, Document) {
    let (routes, document) = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(landing))
        .routes(routes!(conformance))
        .routes(routes!(collections))
        .routes(routes!(collection))
        .routes(routes!(locations))
        .routes(routes!(location))
        .routes(routes!(position))
        .routes(routes!(instances))
        .routes(routes!(instance))
        .routes(routes!(locations_of_instance))
        .routes(routes!(location_of_instance))
        .routes(routes!(position_of_instance))
        .split_for_parts();
    (routes, rates::described(document))
}

/// Which part of a series.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Part {
    /// of a position: POINT(longitude latitude)
    coords: Option<String>,
    /// an instant, or an interval as 2014-11-03T00:00:00Z/.. ; of readings two days where absent
    datetime: Option<String>,
    /// names of parameters, by commas; all where absent
    #[serde(rename = "parameter-name")]
    parameter_name: Option<String>,
    /// CRS84
    crs: Option<String>,
    /// CoverageJSON
    f: Option<String>,
}

/// What there is.
#[utoipa::path(get, path = "/", responses((status = 200, description = "links", body = Object)))]
pub(crate) async fn landing(State(site): State<Site>, headers: HeaderMap) -> Json<Value> {
    let base = base(&site, &headers);
    let links = [
        link(&format!("{base}/edr/"), "self", "application/json"),
        link(&format!("{base}/edr/openapi.json"), "service-desc", "application/vnd.oai.openapi+json;version=3.1"),
        link(&format!("{base}/api/v1/asyncapi.json"), "service-desc", "application/asyncapi+json;version=3.1"),
        link(&format!("{base}/edr/conformance"), "conformance", "application/json"),
        link(&format!("{base}/edr/collections"), "data", "application/json"),
    ];
    Json(json!({
        "title": "Nilometer",
        "description": "Forecasts of discharge as they are issued, the odds of thresholds, readings of gauges and droughts. Automatic, not official.",
        "links": links,
    }))
}

/// The classes that are kept.
#[utoipa::path(get, path = "/conformance", responses((status = 200, description = "their identifiers", body = Object)))]
async fn conformance() -> Json<Value> {
    Json(json!({"conformsTo": CLASSES}))
}

/// The collections.
#[utoipa::path(get, path = "/collections", responses((status = 200, description = "all of them", body = Object)))]
async fn collections(State(site): State<Site>, headers: HeaderMap) -> Json<Value> {
    let base = base(&site, &headers);
    let all: Vec<Value> = Collection::offered(&site).into_iter().map(|of| described(&site, &base, of, None)).collect();
    Json(json!({"links": [link(&format!("{base}/edr/collections"), "self", "application/json")], "collections": all}))
}

/// One collection.
#[utoipa::path(get, path = "/collections/{collection}", params(("collection" = String, Path, description = "discharge-forecast, discharge-observation, event or drought")), responses(
    (status = 200, description = "its extent, queries and parameters", body = Object),
    (status = 404, description = "no such collection", body = Problem, content_type = "application/problem+json"),
))]
async fn collection(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    Ok(Json(described(&site, &base(&site, &headers), Collection::of(&site, &id)?, None)))
}

/// The stations.
#[utoipa::path(get, path = "/collections/{collection}/locations", params(("collection" = String, Path, description = "discharge-forecast, discharge-observation, event or drought")), responses(
    (status = 200, description = "GeoJSON", body = Object, content_type = "application/geo+json"),
    (status = 404, description = "no such collection", body = Problem, content_type = "application/problem+json"),
))]
async fn locations(State(site): State<Site>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(places(&site, &base(&site, &headers), Collection::of(&site, &id)?, None))
}

/// The newest forecast of a station, or its readings.
#[utoipa::path(get, path = "/collections/{collection}/locations/{location}", params(
    ("collection" = String, Path, description = "discharge-forecast, discharge-observation, event or drought"),
    ("location" = String, Path, description = "identifier of the station"), Part,
), responses(
    (status = 200, description = "CoverageJSON", body = Object, content_type = "application/prs.coverage+json"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such collection or station", body = Problem, content_type = "application/problem+json"),
))]
async fn location(
    State(site): State<Site>,
    Path((collection, id)): Path<(String, String)>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    answer(&site, Collection::of(&site, &collection)?, None, &id, &part).await
}

/// The same of the station that is nearest to a point, 25 km away at most.
#[utoipa::path(get, path = "/collections/{collection}/position", params(
    ("collection" = String, Path, description = "discharge-forecast, discharge-observation, event or drought"), Part,
), responses(
    (status = 200, description = "CoverageJSON", body = Object, content_type = "application/prs.coverage+json"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such collection, or no station near", body = Problem, content_type = "application/problem+json"),
))]
async fn position(
    State(site): State<Site>,
    Path(collection): Path<String>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    let collection = Collection::of(&site, &collection)?;
    let id = nearest(&site, part.coords.as_deref())?.to_owned();
    answer(&site, collection, None, &id, &part).await
}

/// The issues that are in memory; older ones are answered by their times.
#[utoipa::path(get, path = "/collections/{collection}/instances", params(("collection" = String, Path, description = "discharge-forecast")), responses(
    (status = 200, description = "all of them", body = Object),
    (status = 404, description = "no such collection, or one without instances", body = Problem, content_type = "application/problem+json"),
))]
async fn instances(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    issuing(&site, &id)?;
    let base = base(&site, &headers);
    let all = issues(&site).into_iter().map(|issue| described(&site, &base, Collection::Forecast, Some(issue)));
    let href = format!("{base}/edr/collections/{id}/instances");
    Ok(Json(json!({"links": [link(&href, "self", "application/json")], "instances": all.collect::<Vec<_>>()})))
}

/// One issue.
#[utoipa::path(get, path = "/collections/{collection}/instances/{instance}", params(
    ("collection" = String, Path, description = "discharge-forecast"),
    ("instance" = String, Path, description = "an issue time"),
), responses(
    (status = 200, description = "its extent, queries and parameters", body = Object),
    (status = 404, description = "no such issue in memory", body = Problem, content_type = "application/problem+json"),
))]
async fn instance(
    State(site): State<Site>,
    Path((id, instance)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    issuing(&site, &id)?;
    let issue = issue_of(&instance)?;
    if !issues(&site).contains(&issue) {
        return Err(Problem::not_found(format!(
            "no issue of {issue} is in memory; its stations are answered below locations all the same"
        )));
    }
    Ok(Json(described(&site, &base(&site, &headers), Collection::Forecast, Some(issue))))
}

/// The stations of an issue.
#[utoipa::path(get, path = "/collections/{collection}/instances/{instance}/locations", params(
    ("collection" = String, Path, description = "discharge-forecast"),
    ("instance" = String, Path, description = "an issue time"),
), responses(
    (status = 200, description = "GeoJSON", body = Object, content_type = "application/geo+json"),
    (status = 404, description = "no such issue", body = Problem, content_type = "application/problem+json"),
))]
async fn locations_of_instance(
    State(site): State<Site>,
    Path((id, instance)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    issuing(&site, &id)?;
    Ok(places(&site, &base(&site, &headers), Collection::Forecast, Some(issue_of(&instance)?)))
}

/// A station's forecast of an issue.
#[utoipa::path(get, path = "/collections/{collection}/instances/{instance}/locations/{location}", params(
    ("collection" = String, Path, description = "discharge-forecast"),
    ("instance" = String, Path, description = "an issue time"),
    ("location" = String, Path, description = "identifier of the station"), Part,
), responses(
    (status = 200, description = "CoverageJSON", body = Object, content_type = "application/prs.coverage+json"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such issue or station", body = Problem, content_type = "application/problem+json"),
))]
async fn location_of_instance(
    State(site): State<Site>,
    Path((id, instance, location)): Path<(String, String, String)>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    issuing(&site, &id)?;
    answer(&site, Collection::Forecast, Some(issue_of(&instance)?), &location, &part).await
}

/// The same of the station that is nearest to a point.
#[utoipa::path(get, path = "/collections/{collection}/instances/{instance}/position", params(
    ("collection" = String, Path, description = "discharge-forecast"),
    ("instance" = String, Path, description = "an issue time"), Part,
), responses(
    (status = 200, description = "CoverageJSON", body = Object, content_type = "application/prs.coverage+json"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such issue, or no station near", body = Problem, content_type = "application/problem+json"),
))]
async fn position_of_instance(
    State(site): State<Site>,
    Path((id, instance)): Path<(String, String)>,
    Query(part): Query<Part>,
) -> Result<Response, Problem> {
    issuing(&site, &id)?;
    let issue = issue_of(&instance)?;
    let id = nearest(&site, part.coords.as_deref())?.to_owned();
    answer(&site, Collection::Forecast, Some(issue), &id, &part).await
}

fn issuing(site: &Site, id: &str) -> Result<(), Problem> {
    match Collection::of(site, id)? {
        Collection::Forecast => Ok(()),
        other => Err(Problem::not_found(format!("{} has no instances; discharge-forecast has", other.id()))),
    }
}

fn issue_of(instance: &str) -> Result<Timestamp, Problem> {
    instance.parse().map_err(|_| {
        Problem::not_found(format!("no instance {instance}; one is an issue time, as 2014-11-04T02:00:00Z"))
    })
}

/// The issues in memory, ascending.
fn issues(site: &Site) -> BTreeSet<Timestamp> {
    let of = |number| {
        site.tail(Partition::new(Contract::Forecast, number))
            .map(|tail| tail.newest_first().map(|held| held.time).collect::<Vec<_>>())
    };
    site.numbers().filter_map(of).flatten().collect()
}

/// The series of a station as CoverageJSON.
async fn answer(
    site: &Site,
    collection: Collection,
    issue: Option<Timestamp>,
    id: &str,
    part: &Part,
) -> Result<Response, Problem> {
    let catchment = site.catchment(id)?;
    let Some(place) = catchment.longitude.zip(catchment.latitude) else {
        return Err(Problem::not_found(format!(
            "{id} has no place in the definition, which a coverage needs; /api/v1/stations/{id} has it"
        )));
    };
    if let Some(f) = part.f.as_deref().filter(|f| !["CoverageJSON", "covjson", COVJSON].contains(f)) {
        return Err(Problem::bad_request(format!("f is {f}; accepted is CoverageJSON")));
    }
    if let Some(crs) = part.crs.as_deref().filter(|crs| !["CRS84", "EPSG:4326", CRS84].contains(crs)) {
        return Err(Problem::bad_request(format!("crs is {crs}; accepted is CRS84")));
    }
    let known: BTreeSet<String> = collection.parameters(site).into_iter().map(|parameter| parameter.name).collect();
    let wanted: Option<BTreeSet<String>> =
        part.parameter_name.as_deref().map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
    if let Some(name) = wanted.iter().flatten().find(|name| !known.contains(*name)) {
        let some: Vec<&str> = known.iter().take(3).map(String::as_str).collect();
        return Err(Problem::bad_request(format!("parameter-name has {name}; accepted are {}, …", some.join(", "))));
    }
    let window = part.datetime.as_deref().map(interval).transpose()?;
    let coverages = content::of_station(site, collection, issue, id, wanted.as_ref(), window).await?;
    // A coverage without a time is none.
    if coverages.iter().all(|coverage| coverage.times.is_empty()) {
        return Err(Problem::not_found(format!("{} of {id} has nothing at these times", collection.id())));
    }
    let document = match coverages.as_slice() {
        [one] => one.document(place),
        several => covjson::collection(several, place),
    };
    Ok(typed(COVJSON, document))
}
