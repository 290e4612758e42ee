//! Collections: what each says of itself, and the stations that it has.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use nilometer_definitions::Catchment;
use nilometer_schemas::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Site,
    problem::Problem,
    series::levels,
    standards::covjson::{CRS84, DISCHARGE, Parameter},
};

const GEOJSON: &str = "application/geo+json";

/// The collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    Forecast,
    Observation,
    Event,
    Drought,
}

/// The parameter of members, each a coverage of its own.
pub(super) const MEMBER: &str = "discharge_member";
/// What droughts are judged by each day, with the standard name of what is observed.
const INDICES: [(&str, &str, &str); 4] = [
    ("streamflow", "streamflow", DISCHARGE),
    ("root_zone", "water of the root zone", "http://vocab.nerc.ac.uk/standard_name/mass_content_of_water_in_soil/"),
    ("snow", "snow", "http://vocab.nerc.ac.uk/standard_name/surface_snow_amount/"),
    ("precipitation", "precipitation", "http://vocab.nerc.ac.uk/standard_name/precipitation_amount/"),
];

/// The parameter of a threshold's probability.
pub(super) fn event_parameter(threshold: &str) -> String {
    format!("probability_{threshold}")
}

/// The parameter of an index's percentile.
pub(super) fn drought_parameter(index: &str) -> String {
    format!("percentile_{index}")
}

/// What a member says.
pub(super) fn member() -> Parameter {
    let (name, said) = (MEMBER.to_owned(), "a trajectory of the forecast".to_owned());
    Parameter { name, said, unit: ("cubic metre per second", "m3/s"), observed: (DISCHARGE, "discharge") }
}

impl Collection {
    const ALL: [Self; 4] = [Self::Forecast, Self::Observation, Self::Event, Self::Drought];

    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Forecast => "discharge-forecast",
            Self::Observation => "discharge-observation",
            Self::Event => "event",
            Self::Drought => "drought",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Forecast => "Discharge, forecast: a parameter a quantile",
            Self::Observation => "Discharge, read by gauges",
            Self::Event => "Probability that a threshold is reached within the horizon, by issue time",
            Self::Drought => "Percentile of the season, day by day",
        }
    }

    /// Those that the definition has something for.
    pub(super) fn offered(site: &Site) -> Vec<Self> {
        let has = |of: &Self| site.pipeline().catchments.iter().any(|catchment| of.has(site, catchment));
        Self::ALL.into_iter().filter(has).collect()
    }

    /// Whether there is something to say of a catchment.
    fn has(self, site: &Site, catchment: &Catchment) -> bool {
        match self {
            Self::Forecast | Self::Observation => true,
            Self::Event => !catchment.thresholds.is_empty(),
            Self::Drought => site.pipeline().drought.is_some(),
        }
    }

    pub(super) fn of(site: &Site, id: &str) -> Result<Self, Problem> {
        let offered = Self::offered(site);
        let accepted = || offered.iter().map(|of| of.id()).collect::<Vec<_>>().join(", ");
        let found = offered.iter().find(|collection| collection.id() == id).copied();
        found.ok_or_else(|| Problem::not_found(format!("no collection {id}; accepted are {}", accepted())))
    }

    /// Its parameters.
    pub(super) fn parameters(self, site: &Site) -> Vec<Parameter> {
        match self {
            Self::Forecast => {
                let members = site.pipeline().forecast.member_values.then(member);
                levels().map(|level| Parameter::of_level(Some(&level))).chain(members).collect()
            }
            Self::Observation => vec![Parameter::of_level(None)],
            Self::Event => {
                let thresholds = site.pipeline().catchments.iter().flat_map(|catchment| &catchment.thresholds);
                let named: BTreeMap<&str, String> =
                    thresholds.map(|threshold| (threshold.id.as_str(), threshold.name().to_owned())).collect();
                let parameter = |(id, name): (&str, String)| Parameter {
                    name: event_parameter(id),
                    said: format!("{name} is reached within the horizon"),
                    unit: ("probability", "1"),
                    observed: (DISCHARGE, "discharge"),
                };
                named.into_iter().map(parameter).collect()
            }
            Self::Drought => INDICES
                .map(|(index, name, observed)| Parameter {
                    name: drought_parameter(index),
                    said: format!("{name}, percentile of its season in the years before"),
                    unit: ("percent", "%"),
                    observed: (observed, name),
                })
                .into(),
        }
    }
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
        let title = if name == "position" { "The station nearest to a point" } else { collection.title() };
        json!({"link": {"href": format!("{href}/{name}{templated}"), "rel": "data", "templated": !templated.is_empty(),
            "variables": {"title": title, "description": title, "query_type": name, "output_formats": [kind], "default_output_format": kind, "crs_details": [{"crs": "CRS84", "wkt": CRS84}]}}})
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
        "title": collection.title(),
        "links": [link(&href, "self", "application/json"), link(&whole, "collection", "application/json")],
        "extent": {
            "spatial": {"bbox": [bounds(site)], "crs": CRS84},
            "temporal": {"interval": [[from.to_string(), to.to_string()]], "values": [format!("{from}/{to}")], "trs": "TIMECRS[\"DateTime\",TDATUM[\"Gregorian Calendar\"],CS[TemporalDateTime,1],AXIS[\"Time (T)\",future]]"},
        },
        "data_queries": queries,
        "crs": ["CRS84"],
        "output_formats": ["CoverageJSON", "GeoJSON"],
        "parameter_names": collection.parameters(site).iter().map(|parameter| (parameter.name.clone(), parameter.described())).collect::<Map<_, _>>(),
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
        (Collection::Observation | Collection::Event | Collection::Drought, _) => {
            (site.pipeline().time.from.min(newest), newest)
        }
    }
}

/// The stations that have a place as GeoJSON, as EDR has it.
pub(super) fn places(site: &Site, base: &str, collection: Collection, issue: Option<Timestamp>) -> Response {
    let (from, to) = extent_in_time(site, collection, issue);
    let within = issue.map_or_else(String::new, |issue| format!("/instances/{issue}"));
    let names: Vec<String> = collection.parameters(site).into_iter().map(|parameter| parameter.name).collect();
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
    let catchments = site.pipeline().catchments.iter().filter(|catchment| collection.has(site, catchment));
    let features: Vec<Value> = catchments.filter_map(feature).collect();
    typed(GEOJSON, json!({"type": "FeatureCollection", "features": features}))
}

pub(super) fn typed(kind: &'static str, body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
