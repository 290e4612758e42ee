//! Collections: what each says of itself, and the stations that it has.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use nilometer_definitions::Catchment;
use nilometer_schemas::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Site,
    problem::Problem,
    series::levels,
    standards::covjson::{CRS84, DISCHARGE, parameter_name, said},
};

const GEOJSON: &str = "application/geo+json";

/// The collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    Forecast,
    Observation,
}

impl Collection {
    pub(super) const ALL: [Self; 2] = [Self::Forecast, Self::Observation];

    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Forecast => "discharge-forecast",
            Self::Observation => "discharge-observation",
        }
    }

    pub(super) fn of(id: &str) -> Result<Self, Problem> {
        let accepted = || Self::ALL.map(Self::id).join(" or ");
        Self::ALL
            .into_iter()
            .find(|collection| collection.id() == id)
            .ok_or_else(|| Problem::not_found(format!("no collection {id}; accepted is {}", accepted())))
    }

    /// Its parameters, by the level that each is of.
    pub(super) fn levels(self) -> Vec<Option<String>> {
        match self {
            Self::Forecast => levels().map(Some).collect(),
            Self::Observation => vec![None],
        }
    }
}

/// Where each request is answered, as the client has named us.
pub(super) fn base(site: &Site, headers: &HeaderMap) -> String {
    let word = |name: &str| headers.get(name).and_then(|word| word.to_str().ok());
    let host = word("host").unwrap_or("127.0.0.1");
    // A proxy in front may speak TLS where we do not.
    let is_secure = site.pipeline().serve.tls().is_some() || word("x-forwarded-proto") == Some("https");
    format!("{}://{host}", if is_secure { "https" } else { "http" })
}

pub(super) fn link(href: &str, rel: &str, kind: &str) -> Value {
    json!({"href": href, "rel": rel, "type": kind})
}

/// A collection, or an instance of it.
pub(super) fn described(site: &Site, base: &str, collection: Collection, issue: Option<Timestamp>) -> Value {
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

pub(super) fn extent_in_time(site: &Site, collection: Collection, issue: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let newest = site.time().unwrap_or_default();
    let horizon_s = site.pipeline().forecast.horizon.seconds();
    match (collection, issue) {
        (Collection::Forecast, Some(issue)) => (issue, issue.plus_s(horizon_s)),
        (Collection::Forecast, None) => (site.pipeline().time.from, newest.plus_s(horizon_s)),
        (Collection::Observation, _) => (site.pipeline().time.from.min(newest), newest),
    }
}

/// The stations that have a place as GeoJSON, as EDR has it.
pub(super) fn places(site: &Site, base: &str, collection: Collection, issue: Option<Timestamp>) -> Response {
    let (from, to) = extent_in_time(site, collection, issue);
    let within = issue.map_or_else(String::new, |issue| format!("/instances/{issue}"));
    let names: Vec<String> = collection.levels().iter().map(|level| parameter_name(level.as_deref())).collect();
    let feature = |catchment: &Catchment| {
        let (x, y) = catchment.longitude.zip(catchment.latitude)?;
        Some(json!({
            "type": "Feature",
            "id": catchment.id,
            "geometry": {"type": "Point", "coordinates": [x, y]},
            "properties": {
                "label": catchment.name.as_deref().unwrap_or(&catchment.id),
                "datetime": format!("{from}/{to}"),
                "parameter-name": names,
                "edrqueryendpoint": format!("{base}/edr/collections/{}{within}/locations/{}", collection.id(), catchment.id),
            },
        }))
    };
    let features: Vec<Value> = site.pipeline().catchments.iter().filter_map(feature).collect();
    typed(GEOJSON, json!({"type": "FeatureCollection", "features": features}))
}

pub(super) fn typed(kind: &'static str, body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
