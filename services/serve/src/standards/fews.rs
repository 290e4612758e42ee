//! FEWS PI-REST, to be read: five endpoints in PI_JSON. A parameter a quantile, `Q.fcst.q50`, as clients drop the member of an ensemble.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use nilometer_definitions::Catchment;
use nilometer_schemas::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Site,
    api::{forecast, rows},
    problem::Problem,
    series::{Series, levels, of_forecast, of_readings},
};

/// Version of PI that is spoken.
const VERSION: &str = "1.34";
/// The one filter.
const FILTER: &str = "nilometer";
/// Name of the parameter of readings.
const OBSERVED: &str = "Q.obs";
/// What stands for no value.
const MISSING: &str = "-999.0";
/// Stations of which series are given at once.
const AT_ONCE: usize = 200;

/// The routes, below `/FewsWebServices/rest/fewspiservice/v1`.
pub(crate) fn router() -> Router<Site> {
    Router::new()
        .route("/timezoneid", get(time_zone))
        .route("/filters", get(filters))
        .route("/locations", get(locations))
        .route("/parameters", get(parameters))
        .route("/timeseries", get(time_series))
}

/// What clients ask; what means nothing here is passed over, as FEWS does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    document_format: Option<String>,
    filter_id: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    start_forecast_time: Option<String>,
    end_forecast_time: Option<String>,
    only_headers: Option<String>,
    show_thresholds: Option<String>,
    omit_missing: Option<String>,
}

impl Asked {
    fn checked(&self, formats: &[&str]) -> Result<(), Problem> {
        if let Some(format) = self.document_format.as_deref().filter(|format| !formats.contains(format)) {
            return Err(Problem::bad_request(format!(
                "documentFormat is {format}; accepted is {}",
                formats.join(" or ")
            )));
        }
        if let Some(filter) = self.filter_id.as_deref().filter(|filter| *filter != FILTER) {
            return Err(Problem::bad_request(format!("filterId is {filter}; accepted is {FILTER}")));
        }
        Ok(())
    }
}

/// Values of a key that may come several times.
fn all<'a>(pairs: &'a [(String, String)], key: &'a str) -> impl Iterator<Item = &'a str> {
    pairs.iter().filter(move |(name, _)| name == key).flat_map(|(_, value)| value.split(',')).map(str::trim)
}

async fn time_zone() -> String {
    "UTC".to_owned()
}

async fn filters(Query(asked): Query<Asked>) -> Result<Json<Value>, Problem> {
    asked.checked(&["PI_JSON"])?;
    Ok(Json(json!({"version": VERSION, "filters": [{"id": FILTER, "name": "Nilometer", "child": []}]})))
}

async fn locations(State(site): State<Site>, Query(asked): Query<Asked>) -> Result<Json<Value>, Problem> {
    asked.checked(&["PI_JSON", "GEO_JSON"])?;
    let name = |catchment: &Catchment| catchment.name.clone().unwrap_or_else(|| catchment.id.clone());
    if asked.document_format.as_deref() == Some("GEO_JSON") {
        let feature = |catchment: &Catchment| {
            let place = catchment.longitude.zip(catchment.latitude);
            json!({
                "type": "Feature",
                "geometry": place.map(|(x, y)| json!({"type": "Point", "coordinates": [x, y]})),
                "properties": {"locationId": catchment.id, "locationName": name(catchment), "shortName": name(catchment), "attributes": []},
            })
        };
        let features: Vec<Value> = site.pipeline().catchments.iter().map(feature).collect();
        return Ok(Json(json!({"type": "FeatureCollection", "features": features})));
    }
    let location = |catchment: &Catchment| {
        let mut location = json!({"locationId": catchment.id, "locationName": name(catchment), "shortName": name(catchment), "attributes": []});
        if let Some((x, y)) = catchment.longitude.zip(catchment.latitude) {
            let [x, y] = [x, y].map(|degrees| json!(degrees.to_string()));
            for (key, value) in [("lat", &y), ("lon", &x), ("x", &x), ("y", &y)] {
                location[key] = value.clone();
            }
        }
        location
    };
    let all: Vec<Value> = site.pipeline().catchments.iter().map(location).collect();
    Ok(Json(json!({"version": VERSION, "geoDatum": "WGS 1984", "locations": all})))
}

/// Every parameter: of readings, then of each quantile.
fn names() -> Vec<(String, String)> {
    let of_level = |level: String| (format!("Q.fcst.{level}"), format!("discharge, forecast, {level}"));
    let observed = (OBSERVED.to_owned(), "discharge, observed".to_owned());
    std::iter::once(observed).chain(levels().map(of_level)).collect()
}

async fn parameters(Query(asked): Query<Asked>) -> Result<Json<Value>, Problem> {
    asked.checked(&["PI_JSON"])?;
    let parameter = |(id, name): (String, String)| {
        json!({"id": id, "name": name, "parameterType": "instantaneous", "unit": "m3/s", "displayUnit": "m3/s",
            "usesDatum": "false", "parameterGroup": "discharge"})
    };
    let all: Vec<Value> = names().into_iter().map(parameter).collect();
    Ok(Json(json!({"version": VERSION, "timeSeriesParameters": all})))
}

async fn time_series(
    State(site): State<Site>,
    Query(asked): Query<Asked>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Problem> {
    asked.checked(&["PI_JSON"])?;
    let ids: Vec<&str> = match all(&pairs, "locationIds").collect::<Vec<_>>() {
        none if none.is_empty() => site.pipeline().catchments.iter().map(|catchment| &*catchment.id).collect(),
        some => some,
    };
    if ids.len() > AT_ONCE {
        return Err(Problem::bad_request(format!(
            "{} locations; accepted are at most {AT_ONCE} locationIds",
            ids.len()
        )));
    }
    let known = names();
    let wanted: Vec<&str> = all(&pairs, "parameterIds").collect();
    if let Some(name) = wanted.iter().find(|name| known.iter().all(|(id, _)| id != *name)) {
        return Err(Problem::bad_request(format!("parameterIds has {name}; accepted are {OBSERVED}, Q.fcst.q50, …")));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    let time = |name: &str, text: &Option<String>| text.as_deref().map(|text| rows::instant(name, text)).transpose();
    let newest = site.time().unwrap_or_default();
    let to = time("endTime", &asked.end_time)?.unwrap_or(newest.plus_s(site.pipeline().forecast.horizon.seconds()));
    let from = time("startTime", &asked.start_time)?.unwrap_or(newest.plus_s(-2 * 86_400).min(to));
    rows::ordered(from, to)?;
    let first_issue = time("startForecastTime", &asked.start_forecast_time)?;
    let last_issue = time("endForecastTime", &asked.end_forecast_time)?;
    let issues = (first_issue.is_some() || last_issue.is_some())
        .then(|| (first_issue.unwrap_or(Timestamp::MIN), last_issue.unwrap_or(newest)));
    let how = rows::Look::of(ids.len());
    let mut series = Vec::new();
    for id in ids {
        let catchment = site.catchment(id)?;
        let mut of_station = Vec::new();
        if is_wanted(OBSERVED) {
            of_station.push(of_readings(&site, id, (from, to), how).await?);
        }
        let forecasts = match issues {
            // A station that has none of that range is without its series.
            Some((first, last)) => forecast::last_between(&site, id, first, last).await?,
            None => forecast::newest(&site, id),
        };
        if let Some(forecasts) = forecasts {
            of_station.extend(of_forecast(&forecasts, |level| is_wanted(&format!("Q.fcst.{level}")), (from, to)));
        }
        series.extend(of_station.iter().map(|of| written(catchment, of, &asked)));
    }
    Ok(Json(json!({"version": VERSION, "timeZone": "0.0", "timeSeries": series})))
}

fn written(catchment: &Catchment, series: &Series, asked: &Asked) -> Value {
    let is = |text: &Option<String>, usual| text.as_deref().map_or(usual, |text| text.eq_ignore_ascii_case("true"));
    let step_s = match series.times.as_slice() {
        [first, second, ..] => second.seconds_since(*first),
        _ => 3_600,
    };
    let mut header = json!({
        "type": "instantaneous",
        "moduleInstanceId": FILTER,
        "locationId": catchment.id,
        "parameterId": series.level.as_ref().map_or_else(|| OBSERVED.to_owned(), |level| format!("Q.fcst.{level}")),
        "qualifierId": [],
        "timeStep": {"unit": "second", "multiplier": step_s.to_string()},
        "missVal": MISSING,
        "stationName": catchment.name.as_deref().unwrap_or(&catchment.id),
        "units": "m3/s",
    });
    if let (Some(first), Some(last)) = (series.times.first(), series.times.last()) {
        header["startDate"] = date(*first);
        header["endDate"] = date(*last);
    }
    if let Some(issue) = series.issue_time {
        header["forecastDate"] = date(issue);
        header["ensembleId"] = json!(FILTER);
        header["ensembleMemberId"] = json!(series.level);
    }
    if let Some((x, y)) = catchment.longitude.zip(catchment.latitude) {
        header["lat"] = json!(y.to_string());
        header["lon"] = json!(x.to_string());
    }
    if is(&asked.show_thresholds, false) {
        let threshold = |of: &nilometer_definitions::Threshold| json!({"id": of.id, "name": of.name, "label": of.name, "value": of.value.to_string(), "unit": of.unit.to_string()});
        header["thresholds"] = catchment.thresholds.iter().map(threshold).collect();
    }
    if is(&asked.only_headers, false) {
        return json!({"header": header});
    }
    let events = series.times.iter().zip(&series.values).zip(&series.flags);
    let events = events.filter(|((_, value), _)| value.is_some() || !is(&asked.omit_missing, false)).map(
        |((time, value), flag)| {
            let mut event = date(*time);
            event["value"] = json!(value.map_or_else(|| MISSING.to_owned(), |value| value.to_string()));
            event["flag"] = json!(pi_flag(*flag));
            event
        },
    );
    json!({"header": header, "events": events.collect::<Vec<_>>()})
}

fn date(time: Timestamp) -> Value {
    let text = time.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, "00:00:00Z"));
    json!({"date": date, "time": clock.get(..8).unwrap_or("00:00:00")})
}

/// QARTOD's flag as FEWS has it: 0 reliable, 3 doubtful, 6 unreliable, 9 missing.
const fn pi_flag(flag: u8) -> &'static str {
    match flag {
        3 => "3",
        4 => "6",
        9 => "9",
        _ => "0",
    }
}
