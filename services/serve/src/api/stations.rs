//! Stations: where each is and how it stands, as GeoJSON.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::Array as _;
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use nilometer_definitions::Catchment;
use nilometer_engine::Partition;
use nilometer_notify::Alert;
use nilometer_schemas::{AlertKind, AlertState, Analyses, Contract, Events, Timestamp, Variable};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{forecast, when::When};
use crate::{Site, problem::Problem};

/// A river that would gain or lose this part of it in three hours, at the rate between its last two readings, rises or falls.
const TREND: f64 = 0.1;

/// Stations as GeoJSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stations {
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "FeatureCollection")]
    kind: &'static str,
    /// the newest tick that has been forecast; null before the first
    time: Option<When>,
    /// how far forecasts look ahead
    horizon_s: i64,
    features: Vec<Feature>,
}

/// A station as GeoJSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct Feature {
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "Feature")]
    kind: &'static str,
    id: String,
    /// null where the definition has no place
    geometry: Option<Point>,
    properties: Standing,
}

/// A place.
#[derive(Serialize, ToSchema)]
pub(crate) struct Point {
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "Point")]
    kind: &'static str,
    /// ° east, ° north
    coordinates: [f64; 2],
}

/// How a station stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Standing {
    pub(super) name: String,
    /// null where the definition has none
    pub(super) river: Option<String>,
    timezone: String,
    area_km2: f64,
    /// whose readings these are
    station: String,
    /// identifier of the station that its river comes to next
    downstream: Option<String>,
    #[schema(value_type = String, example = "m3/s")]
    unit: &'static str,
    /// normal, watch or warning
    #[schema(value_type = String, example = "warning")]
    pub(super) state: &'static str,
    /// since when; null of a normal one
    since: Option<When>,
    /// what the gauge delivers, beside the state: ok, late or silent; null of one that has never read
    #[schema(value_type = Option<String>, example = "ok")]
    pub(super) data: Option<&'static str>,
    /// rising or falling where it would gain or lose a tenth in three hours at the rate of its last two readings; else steady
    #[schema(value_type = Option<String>, example = "rising")]
    trend: Option<&'static str>,
    /// the newest reading
    pub(super) observed: Option<Observed>,
    /// the newest forecast
    forecast: Option<Outlook>,
    /// what it says of each threshold
    pub(super) events: Vec<Crossing>,
    /// what the newest reading that was assimilated was held against
    assimilated: Option<Assimilated>,
    /// how dry it is for its season
    pub(super) drought: Option<Drought>,
    /// who has taken note of the most urgent alert
    acknowledged: Option<String>,
    /// that alert, in a sentence
    text: Option<String>,
    /// its identifier
    alert: Option<String>,
}

/// A reading.
#[derive(Serialize, ToSchema)]
pub(crate) struct Observed {
    pub(super) valid_time: When,
    pub(super) value: f64,
    /// the same in stage, where the gauge has a rating; m above its datum
    stage_m: Option<f64>,
    /// seconds before the newest tick
    age_s: Option<i64>,
    rise_per_h: Option<f64>,
}

/// A reading beside what was expected of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Assimilated {
    valid_time: When,
    observed: f64,
    /// mean of the members before the reading moved them
    predicted: f64,
}

/// What a forecast says on the whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outlook {
    issue_time: When,
    /// from trajectories; null where the station has no threshold
    peak: Option<Peak>,
}

/// The highest flow of a horizon.
#[derive(Serialize, ToSchema)]
pub(crate) struct Peak {
    q05: f64,
    q50: f64,
    q95: f64,
    time_q10: When,
    time_q50: When,
    time_q90: When,
}

/// What a forecast says of a threshold.
#[derive(Serialize, ToSchema)]
pub(crate) struct Crossing {
    pub(super) threshold: String,
    name: String,
    /// as a flow, m³ s⁻¹
    pub(super) value: f64,
    /// as it is set, where it is set as a stage; m above the gauge's datum
    stage_m: Option<f64>,
    /// whether it is reached from above, as a low flow is
    below: bool,
    /// that it is reached within the horizon
    pub(super) probability: f64,
    /// the same of the issue before, where it is in memory
    probability_before: Option<f64>,
    /// when, of the trajectories that reach it
    crossing: Option<Window>,
}

/// When something happens.
#[derive(Serialize, ToSchema)]
pub(crate) struct Window {
    q10: When,
    q50: When,
    q90: When,
}

/// How dry it is for its season.
#[derive(Serialize, ToSchema)]
pub(crate) struct Drought {
    /// D0 to D4, or none
    pub(super) class: String,
    pub(super) percentile: Option<f64>,
    valid_time: When,
}

/// Which stations.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// ° west, south, east, north
    #[param(example = "4,45,5,46")]
    bbox: Option<String>,
    /// normal, watch or warning
    state: Option<String>,
}

/// The whole list, made once for all that ask between two messages.
#[derive(Default)]
pub(crate) struct Cached(Mutex<Option<(u64, Bytes)>>);

/// Every station, and how it stands.
#[utoipa::path(get, path = "/stations", tag = "stations", params(Which), responses(
    (status = 200, description = "GeoJSON", body = Stations, content_type = "application/geo+json"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(site): State<Site>,
    axum::Extension(cached): axum::Extension<Arc<Cached>>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    if which.bbox.is_none() && which.state.is_none() {
        return Ok(geojson(cached.body(&site)?));
    }
    let bbox = which.bbox.as_deref().map(corners).transpose()?;
    if let Some(state) = which.state.as_deref().filter(|state| !["normal", "watch", "warning"].contains(state)) {
        return Err(Problem::bad_request(format!("state is {state}; accepted is normal, watch or warning")));
    }
    let within = |feature: &Feature| match (bbox, &feature.geometry) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some([west, south, east, north]), Some(point)) => {
            let [longitude, latitude] = point.coordinates;
            (south..=north).contains(&latitude) && (west..=east).contains(&longitude)
        }
    };
    let as_asked = |feature: &Feature| which.state.as_deref().is_none_or(|state| state == feature.properties.state);
    let features = site.pipeline().catchments.iter().map(|catchment| feature(&site, catchment));
    let features = features.filter(|feature| within(feature) && as_asked(feature)).collect();
    Ok(geojson(written(&Stations {
        kind: "FeatureCollection",
        time: site.time().map(When),
        horizon_s: site.pipeline().forecast.horizon.seconds(),
        features,
    })?))
}

/// One station, and how it stands.
#[utoipa::path(get, path = "/stations/{id}", tag = "stations", params(("id" = String, Path, description = "identifier of the catchment")), responses(
    (status = 200, description = "GeoJSON", body = Feature, content_type = "application/geo+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn one(State(site): State<Site>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(geojson(written(&feature(&site, site.catchment(&id)?))?))
}

impl Cached {
    fn body(&self, site: &Site) -> Result<Bytes, Problem> {
        let version = site.version();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, body)) = known.filter(|(of, _)| *of == version) {
            return Ok(body);
        }
        let features = site.pipeline().catchments.iter().map(|catchment| feature(site, catchment)).collect();
        let body = written(&Stations {
            kind: "FeatureCollection",
            time: site.time().map(When),
            horizon_s: site.pipeline().forecast.horizon.seconds(),
            features,
        })?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, body.clone()));
        Ok(body)
    }
}

fn geojson(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/geo+json")], body).into_response()
}

fn written(value: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Problem::internal(&error))
}

/// A box from words.
pub(crate) fn corners(bbox: &str) -> Result<[f64; 4], Problem> {
    let numbers: Result<Vec<f64>, _> = bbox.split(',').map(|number| number.trim().parse::<f64>()).collect();
    let corners = numbers.ok().and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
    let ordered = corners.filter(|[west, south, east, north]| west <= east && south <= north);
    ordered.ok_or_else(|| Problem::bad_request(format!("bbox is {bbox}; accepted is west,south,east,north in degrees")))
}

fn feature(site: &Site, catchment: &Catchment) -> Feature {
    let place = catchment.longitude.zip(catchment.latitude);
    Feature {
        kind: "Feature",
        id: catchment.id.clone(),
        geometry: place.map(|(longitude, latitude)| Point { kind: "Point", coordinates: [longitude, latitude] }),
        properties: standing(site, catchment),
    }
}

/// How a station stands now.
pub(super) fn standing(site: &Site, catchment: &Catchment) -> Standing {
    let (id, station, number) = (&*catchment.id, catchment.station(), site.number_of(&catchment.id));
    let forecast = forecast::newest(site, id);
    let [events, before] = newest_events(site, number, id);
    let (mut reading, mut data, mut drought, mut urgent) = (None, None, None, None::<Alert>);
    if let Some(newest) = site.newest(number) {
        (reading, data) = (newest.reading(station), newest.data_of(station));
        drought = newest.dryness(id).map(|known| Drought {
            class: known.class.clone().unwrap_or_else(|| "none".to_owned()),
            percentile: known.percentile,
            valid_time: When(known.valid_time),
        });
        let of_river = newest.alerts_of(station).filter(|alert| alert.kind != AlertKind::Gauge);
        let active = of_river.filter(|alert| alert.state.is_active() && alert.kind != AlertKind::Drought);
        urgent = active.max_by_key(|alert| (alert.state, alert.kind == AlertKind::Flood, level(alert))).cloned();
    }
    let time = site.time();
    Standing {
        name: catchment.name.clone().unwrap_or_else(|| id.to_owned()),
        river: catchment.river.clone(),
        timezone: catchment.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
        area_km2: catchment.area_km2,
        station: station.to_owned(),
        downstream: catchment.downstream.as_ref().map(|next| next.id.clone()),
        unit: "m3/s",
        state: urgent.as_ref().map_or(AlertState::Normal, |alert| alert.state).name(),
        since: urgent.as_ref().map(|alert| When(alert.since)),
        data: data.map(nilometer_schemas::GaugeData::name).or_else(|| reading.map(|_| "ok")),
        trend: reading.and_then(|reading| Some(trend(reading.value, reading.rise_per_h()?))),
        observed: reading.map(|reading| Observed {
            valid_time: When(reading.valid_time),
            value: reading.value,
            stage_m: stage_m(site, station, reading.valid_time, reading.value),
            age_s: time.map(|time| time.seconds_since(reading.valid_time)),
            rise_per_h: reading.rise_per_h(),
        }),
        forecast: forecast.map(|forecast| Outlook {
            issue_time: When(Timestamp(forecast.issue_time().value(0))),
            peak: events.as_ref().and_then(peak),
        }),
        events: events.as_ref().map_or_else(Vec::new, |events| crossings(events, before.as_ref())),
        assimilated: assimilated(site, number, id),
        drought,
        acknowledged: urgent.as_ref().and_then(|alert| alert.acknowledged_by.clone()),
        alert: urgent.as_ref().map(|alert| alert.alert.clone()),
        text: urgent.map(|alert| alert.text),
    }
}

/// A flow as the stage that the rating of its station gives it at a time.
fn stage_m(site: &Site, station: &str, time: Timestamp, discharge_m3_s: f64) -> Option<f64> {
    Some(site.pipeline().ratings.get(station)?.at(time)?.stage_m(discharge_m3_s))
}

/// What is higher comes first, of a low flow what is lower.
fn level(alert: &Alert) -> i64 {
    let level = (alert.level_m3_s.unwrap_or(0.0) * 1e3) as i64;
    if alert.kind == AlertKind::LowFlow { -level } else { level }
}

/// What the newest issue says of each threshold of a catchment, and what the one before it said.
fn newest_events(site: &Site, number: u32, catchment: &str) -> [Option<Events>; 2] {
    let Some(tail) = site.tail(Partition::new(Contract::Event, number)) else { return [None, None] };
    let mut found = tail.newest_first().filter_map(|held| Events::try_from(held.of(catchment)?).ok());
    [found.next(), found.next()]
}

/// The newest reading of discharge that was held against the state.
fn assimilated(site: &Site, number: u32, catchment: &str) -> Option<Assimilated> {
    let tail = site.tail(Partition::new(Contract::Analysis, number))?;
    let rows = tail.newest_first().find_map(|held| held.of(catchment))?;
    drop(tail);
    let rows = Analyses::try_from(rows).ok()?;
    let row = (0..rows.len()).rev().find(|row| rows.variable().value(*row) == Variable::Discharge.name())?;
    Some(Assimilated {
        valid_time: When(Timestamp(rows.valid_time().value(row))),
        observed: rows.observed().value(row),
        predicted: rows.predicted().value(row),
    })
}

fn peak(events: &Events) -> Option<Peak> {
    let row = (0..events.len()).find(|row| !events.below().value(*row))?;
    Some(Peak {
        q05: events.peak_q05().value(row),
        q50: events.peak_q50().value(row),
        q95: events.peak_q95().value(row),
        time_q10: When(Timestamp(events.peak_time_q10().value(row))),
        time_q50: When(Timestamp(events.peak_time_q50().value(row))),
        time_q90: When(Timestamp(events.peak_time_q90().value(row))),
    })
}

fn crossings(events: &Events, before: Option<&Events>) -> Vec<Crossing> {
    let of_before = |threshold: &str| {
        let before = before?;
        let row = (0..before.len()).find(|row| before.threshold().value(*row) == threshold)?;
        Some(before.probability().value(row))
    };
    let crossing = |row: usize| {
        let times = [events.crossing_q10(), events.crossing_q50(), events.crossing_q90()];
        let [q10, q50, q90] = times.map(|column| column.is_valid(row).then(|| When(Timestamp(column.value(row)))));
        Some(Window { q10: q10?, q50: q50?, q90: q90? })
    };
    let of_row = |row: usize| Crossing {
        threshold: events.threshold().value(row).to_owned(),
        name: events.threshold_name().value(row).to_owned(),
        value: events.level_m3_s().value(row),
        stage_m: (events.variable().value(row) == Variable::Stage.name()).then(|| events.level().value(row)),
        below: events.below().value(row),
        probability: events.probability().value(row),
        probability_before: of_before(events.threshold().value(row)),
        crossing: crossing(row),
    };
    (0..events.len()).map(of_row).collect()
}

fn trend(value: f64, rise_per_h: f64) -> &'static str {
    match 3.0 * rise_per_h {
        gain if gain >= TREND * value && gain > 0.0 => "rising",
        gain if gain <= -TREND * value && gain < 0.0 => "falling",
        _ => "steady",
    }
}
