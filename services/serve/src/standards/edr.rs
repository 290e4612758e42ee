//! OGC API - Environmental Data Retrieval 1.2: two collections, forecasts and readings. An instance is an issue time.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use nilometer_definitions::Catchment;
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Forecasts, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, OpenApi, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    covjson::{CRS84, DISCHARGE, coverage, parameter_name, said},
    series::{Series, levels, of_forecast, of_readings},
};
use crate::{
    Site,
    api::{forecast, rows},
    problem::Problem,
};

const COVJSON: &str = "application/prs.coverage+json";
const GEOJSON: &str = "application/geo+json";
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
/// How far from a station a position may lie, km.
const REACH_KM: f64 = 25.0;

#[derive(OpenApi)]
#[openapi(
    info(title = "Nilometer, OGC API - EDR", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/edr")),
)]
struct Api;

/// The collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collection {
    Forecast,
    Observation,
}

impl Collection {
    const ALL: [Self; 2] = [Self::Forecast, Self::Observation];

    const fn id(self) -> &'static str {
        match self {
            Self::Forecast => "discharge-forecast",
            Self::Observation => "discharge-observation",
        }
    }

    fn of(id: &str) -> Result<Self, Problem> {
        let accepted = || Self::ALL.map(Self::id).join(" or ");
        Self::ALL
            .into_iter()
            .find(|collection| collection.id() == id)
            .ok_or_else(|| Problem::not_found(format!("no collection {id}; accepted is {}", accepted())))
    }

    /// Its parameters, by the level that each is of.
    fn levels(self) -> Vec<Option<String>> {
        match self {
            Self::Forecast => levels().map(Some).collect(),
            Self::Observation => vec![None],
        }
    }
}

/// The routes, below `/edr`.
pub(crate) fn router() -> Router<Site> {
    let (routes, document) = routes_and_document();
    routes.route("/openapi.json", get(move || async move { Json(document) }))
}

fn routes_and_document() -> (Router<Site>, Document) {
    OpenApiRouter::with_openapi(Api::openapi())
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
        .split_for_parts()
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

/// Where each request is answered, as the client has named us.
fn base(site: &Site, headers: &HeaderMap) -> String {
    let word = |name: &str| headers.get(name).and_then(|word| word.to_str().ok());
    let host = word("host").unwrap_or("127.0.0.1");
    // A proxy in front may speak TLS where we do not.
    let is_secure = site.pipeline().serve.tls().is_some() || word("x-forwarded-proto") == Some("https");
    format!("{}://{host}", if is_secure { "https" } else { "http" })
}

fn link(href: &str, rel: &str, kind: &str) -> Value {
    json!({"href": href, "rel": rel, "type": kind})
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
        "description": "Forecasts of discharge as they are issued, and readings of gauges. Automatic, not official.",
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
    let all = Collection::ALL.map(|of| described(&site, &base, of, None));
    Json(json!({"links": [link(&format!("{base}/edr/collections"), "self", "application/json")], "collections": all}))
}

/// One collection.
#[utoipa::path(get, path = "/collections/{collection}", params(("collection" = String, Path, description = "discharge-forecast or discharge-observation")), responses(
    (status = 200, description = "its extent, queries and parameters", body = Object),
    (status = 404, description = "no such collection", body = Problem, content_type = "application/problem+json"),
))]
async fn collection(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    Ok(Json(described(&site, &base(&site, &headers), Collection::of(&id)?, None)))
}

/// The stations.
#[utoipa::path(get, path = "/collections/{collection}/locations", params(("collection" = String, Path, description = "discharge-forecast or discharge-observation")), responses(
    (status = 200, description = "GeoJSON", body = Object, content_type = "application/geo+json"),
    (status = 404, description = "no such collection", body = Problem, content_type = "application/problem+json"),
))]
async fn locations(State(site): State<Site>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(places(&site, &base(&site, &headers), Collection::of(&id)?, None))
}

/// The newest forecast of a station, or its readings.
#[utoipa::path(get, path = "/collections/{collection}/locations/{location}", params(
    ("collection" = String, Path, description = "discharge-forecast or discharge-observation"),
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
    answer(&site, Collection::of(&collection)?, None, &id, &part).await
}

/// The same of the station that is nearest to a point, 25 km away at most.
#[utoipa::path(get, path = "/collections/{collection}/position", params(
    ("collection" = String, Path, description = "discharge-forecast or discharge-observation"), Part,
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
    let collection = Collection::of(&collection)?;
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
    issuing(&id)?;
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
    issuing(&id)?;
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
    issuing(&id)?;
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
    issuing(&id)?;
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
    issuing(&id)?;
    let issue = issue_of(&instance)?;
    let id = nearest(&site, part.coords.as_deref())?.to_owned();
    answer(&site, Collection::Forecast, Some(issue), &id, &part).await
}

fn issuing(id: &str) -> Result<(), Problem> {
    match Collection::of(id)? {
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

/// A collection, or an instance of it.
fn described(site: &Site, base: &str, collection: Collection, issue: Option<Timestamp>) -> Value {
    let id = collection.id();
    let whole = format!("{base}/edr/collections/{id}");
    let href = issue.map_or_else(|| whole.clone(), |issue| format!("{whole}/instances/{issue}"));
    let query = |name: &str, kind: &str| {
        let templated = if name == "position" { "?coords={coords}" } else { "" };
        json!({"link": {"href": format!("{href}/{name}{templated}"), "rel": "data", "templated": !templated.is_empty(),
            "variables": {"query_type": name, "output_formats": [kind], "default_output_format": kind, "crs_details": [{"crs": "CRS84", "wkt": CRS84}]}}})
    };
    let mut queries = Map::from_iter([
        ("position".to_owned(), query("position", "CoverageJSON")),
        ("locations".to_owned(), query("locations", "CoverageJSON")),
    ]);
    if collection == Collection::Forecast && issue.is_none() {
        queries.insert("instances".to_owned(), query("instances", "CoverageJSON"));
    }
    let (from, to) = extent_in_time(site, collection, issue);
    json!({
        "id": issue.map_or_else(|| id.to_owned(), |issue| issue.to_string()),
        "title": match collection {
            Collection::Forecast => "Discharge, forecast: a parameter a quantile",
            Collection::Observation => "Discharge, read by gauges",
        },
        "links": [link(&href, "self", "application/json"), link(&whole, "collection", "application/json")],
        "extent": {
            "spatial": {"bbox": [bounds(site)], "crs": CRS84},
            "temporal": {"interval": [[from.to_string(), to.to_string()]], "values": [format!("{from}/{to}")], "trs": "TIMECRS[\"DateTime\",TDATUM[\"Gregorian Calendar\"],CS[TemporalDateTime,1],AXIS[\"Time (T)\",future]]"},
        },
        "data_queries": queries,
        "crs": ["CRS84"],
        "output_formats": ["CoverageJSON", "GeoJSON"],
        "parameter_names": collection.levels().into_iter().map(|level| (parameter_name(level.as_deref()), json!({
            "type": "Parameter", "id": parameter_name(level.as_deref()), "description": said(level.as_deref()), "data-type": "float",
            "unit": {"label": "cubic metre per second", "symbol": {"value": "m3/s", "type": "http://www.opengis.net/def/uom/UCUM/"}},
            "observedProperty": {"id": DISCHARGE, "label": "discharge"},
        }))).collect::<Map<_, _>>(),
    })
}

fn bounds(site: &Site) -> [f64; 4] {
    let placed = site.pipeline().catchments.iter().filter_map(|catchment| catchment.longitude.zip(catchment.latitude));
    placed
        .fold(None, |bounds: Option<[f64; 4]>, (x, y)| {
            let [west, south, east, north] = bounds.unwrap_or([x, y, x, y]);
            Some([west.min(x), south.min(y), east.max(x), north.max(y)])
        })
        .unwrap_or([-180.0, -90.0, 180.0, 90.0])
}

fn extent_in_time(site: &Site, collection: Collection, issue: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let newest = site.time().unwrap_or_default();
    let horizon_s = site.pipeline().forecast.horizon.seconds();
    match (collection, issue) {
        (Collection::Forecast, Some(issue)) => (issue, issue.plus_s(horizon_s)),
        (Collection::Forecast, None) => (site.pipeline().time.from, newest.plus_s(horizon_s)),
        (Collection::Observation, _) => (site.pipeline().time.from.min(newest), newest),
    }
}

/// The stations as GeoJSON, as EDR has it.
fn places(site: &Site, base: &str, collection: Collection, issue: Option<Timestamp>) -> Response {
    let (from, to) = extent_in_time(site, collection, issue);
    let within = issue.map_or_else(String::new, |issue| format!("/instances/{issue}"));
    let names: Vec<String> = collection.levels().iter().map(|level| parameter_name(level.as_deref())).collect();
    let feature = |catchment: &Catchment| {
        let place = catchment.longitude.zip(catchment.latitude);
        json!({
            "type": "Feature",
            "id": catchment.id,
            "geometry": place.map(|(x, y)| json!({"type": "Point", "coordinates": [x, y]})),
            "properties": {
                "label": catchment.name.as_deref().unwrap_or(&catchment.id),
                "datetime": format!("{from}/{to}"),
                "parameter-name": names,
                "edrqueryendpoint": format!("{base}/edr/collections/{}{within}/locations/{}", collection.id(), catchment.id),
            },
        })
    };
    let features: Vec<Value> = site.pipeline().catchments.iter().map(feature).collect();
    typed(GEOJSON, json!({"type": "FeatureCollection", "features": features}))
}

fn typed(kind: &'static str, body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
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
    if let Some(f) = part.f.as_deref().filter(|f| !["CoverageJSON", "covjson", COVJSON].contains(f)) {
        return Err(Problem::bad_request(format!("f is {f}; accepted is CoverageJSON")));
    }
    if let Some(crs) = part.crs.as_deref().filter(|crs| !["CRS84", "EPSG:4326", CRS84].contains(crs)) {
        return Err(Problem::bad_request(format!("crs is {crs}; accepted is CRS84")));
    }
    let known: BTreeSet<String> = collection.levels().iter().map(|level| parameter_name(level.as_deref())).collect();
    let wanted: Option<BTreeSet<String>> =
        part.parameter_name.as_deref().map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
    if let Some(name) = wanted.iter().flatten().find(|name| !known.contains(*name)) {
        let some: Vec<&str> = known.iter().take(3).map(String::as_str).collect();
        return Err(Problem::bad_request(format!("parameter-name has {name}; accepted are {}, …", some.join(", "))));
    }
    let is_wanted = |level: Option<&str>| wanted.as_ref().is_none_or(|wanted| wanted.contains(&parameter_name(level)));
    let window = part.datetime.as_deref().map(interval).transpose()?;
    let (name, series): (String, Vec<Series>) = match collection {
        Collection::Forecast => {
            let forecasts: Forecasts = match issue {
                Some(issue) => forecast::issued(site, id, issue).await?,
                None => {
                    forecast::newest(site, id).ok_or_else(|| Problem::not_found(format!("no forecast of {id} yet")))?
                }
            };
            let all = (Timestamp::MIN, Timestamp(i64::MAX));
            let series = of_forecast(&forecasts, |level| is_wanted(Some(level)), window.unwrap_or(all));
            (format!("forecast/{id}/{}", Timestamp(forecasts.issue_time().value(0))), series)
        }
        Collection::Observation => {
            let newest = site.time().unwrap_or_default();
            let (from, to) = window.unwrap_or((newest.plus_s(-2 * 86_400), newest));
            let (from, to) = (from.max(site.pipeline().time.from.min(to)), to.min(newest.plus_s(366 * 86_400)));
            rows::ordered(from, to)?;
            (format!("observation/{id}"), vec![of_readings(site, id, (from, to)).await?])
        }
    };
    Ok(typed(COVJSON, coverage(&name, catchment, &series)))
}

/// An instant, or an interval whose ends may be open.
fn interval(text: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let Some((from, to)) = text.split_once('/') else {
        let at = rows::instant("datetime", text)?;
        return Ok((at, at));
    };
    let end =
        |text: &str, open| if text == ".." || text.is_empty() { Ok(open) } else { rows::instant("datetime", text) };
    let (from, to) = (end(from, Timestamp::MIN)?, end(to, Timestamp(i64::MAX))?);
    if from > to {
        return Err(Problem::bad_request(format!("datetime is {text}; accepted is begin/end, in this order")));
    }
    Ok((from, to))
}

/// The station nearest to a point.
fn nearest<'a>(site: &'a Site, coords: Option<&str>) -> Result<&'a str, Problem> {
    let refused =
        || Problem::bad_request("coords is missing or no point; accepted is POINT(longitude latitude) in degrees");
    let inside =
        coords.map(str::trim).and_then(|text| text.strip_prefix("POINT")?.trim().strip_prefix('(')?.strip_suffix(')'));
    let numbers: Vec<f64> = inside
        .ok_or_else(refused)?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| refused())?;
    let [x, y] = <[f64; 2]>::try_from(numbers).map_err(|_| refused())?;
    if !(-180.0..=180.0).contains(&x) || !(-90.0..=90.0).contains(&y) {
        return Err(refused());
    }
    let distance_km = |catchment: &Catchment| {
        let (east, north) = catchment.longitude.zip(catchment.latitude)?;
        let across = (east - x) * y.to_radians().cos();
        Some(111.2 * across.hypot(north - y))
    };
    let near = site.pipeline().catchments.iter().filter_map(|catchment| Some((distance_km(catchment)?, catchment)));
    match near.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((distance_km, catchment)) if distance_km <= REACH_KM => Ok(&catchment.id),
        _ => Err(Problem::not_found(format!("no station lies within {REACH_KM} km of {x} {y}; locations has all"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn intervals_may_be_open_at_either_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(interval("2014-11-04").unwrap(), (at("2014-11-04"), at("2014-11-04")));
        assert_eq!(interval("2014-11-04/..").unwrap(), (at("2014-11-04"), Timestamp(i64::MAX)));
        assert_eq!(interval("/2014-11-04").unwrap(), (Timestamp::MIN, at("2014-11-04")));
        assert!(interval("2014-11-05/2014-11-04").is_err() && interval("x/..").is_err());
    }
}
