//! Station metrics: where each river stands now, for `/metrics/stations`. Prometheus refuses what lies ahead, so a forecast is its values at a few lead
//! times, each a gauge of its own, and no curve.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use nilometer_engine::Registry;
use nilometer_schemas::quantile_column;
use prometheus::{GaugeVec, Opts, TextEncoder};

use super::{forecast::newest, stations::standing};
use crate::{Site, problem::Problem};

/// Lead times that are shown where a forecast has them, h.
const LEADS_H: [i64; 10] = [1, 3, 6, 12, 24, 48, 72, 120, 168, 240];
/// Levels of their quantiles.
const LEVELS: [f64; 3] = [0.05, 0.50, 0.95];

/// One gauge family a fact; the labels of each begin with the station.
struct Families {
    registry: Registry,
    info: GaugeVec,
    observed: GaugeVec,
    observed_time: GaugeVec,
    data: GaugeVec,
    forecast: GaugeVec,
    issue_time: GaugeVec,
    probability: GaugeVec,
    level: GaugeVec,
    alert: GaugeVec,
    drought_class: GaugeVec,
    drought_percentile: GaugeVec,
    left_out: GaugeVec,
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::default();
        let family = |name: &str, help: &str, more: &[&str]| {
            let opts = Opts::new(name, help).namespace("nilometer").subsystem("station");
            let labels: Vec<&str> = ["station"].iter().chain(more).copied().collect();
            let family = GaugeVec::new(opts, &labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let left_out = Opts::new("stations_left_out", "stations beyond serve.station_metrics, which are not shown");
        let left_out = GaugeVec::new(left_out.namespace("nilometer"), &[])?;
        registry.register(Box::new(left_out.clone()))?;
        Ok(Self {
            info: family("info", "1; what a station is called, and its river", &["name", "river"])?,
            observed: family("observed_cubic_meters_per_second", "newest reading of discharge", &[])?,
            observed_time: family("observed_time_seconds", "valid time of the newest reading, Unix time", &[])?,
            data: family("data_state", "what the gauge delivers: 0 readings in time, 1 late, 2 silent", &[])?,
            forecast: family(
                "forecast_cubic_meters_per_second",
                "newest forecast, by lead time and level",
                &["lead", "level"],
            )?,
            issue_time: family("issue_time_seconds", "issue time of the newest forecast, Unix time", &[])?,
            probability: family(
                "threshold_probability_ratio",
                "that a threshold is reached within the horizon, 0 to 1",
                &["threshold"],
            )?,
            level: family("threshold_cubic_meters_per_second", "a threshold as a flow", &["threshold"])?,
            alert: family("alert_state", "0 normal, 1 watch, 2 warning", &[])?,
            drought_class: family("drought_class", "-1 none, 0 to 4 for D0 to D4", &[])?,
            drought_percentile: family("drought_percentile", "percentile of the index that the class follows", &[])?,
            left_out,
            registry,
        })
    }
}

/// What is shown of stations, without values.
///
/// # Errors
/// None that a caller could cause.
pub fn station_metrics() -> Result<Registry, prometheus::Error> {
    Families::new().map(|families| families.registry)
}

/// Answers a scrape.
pub(crate) async fn scraped(State(site): State<Site>) -> Result<Response, Problem> {
    let text = exposition(&site).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

fn exposition(site: &Site) -> Result<String, prometheus::Error> {
    let families = Families::new()?;
    let (all, most) = (&site.pipeline().catchments, site.pipeline().serve.station_metrics);
    families.left_out.with_label_values::<&str>(&[]).set(all.len().saturating_sub(most) as f64);
    for catchment in all.iter().take(most) {
        let id = &*catchment.id;
        let stands = standing(site, catchment);
        let river = stands.river.as_deref().unwrap_or_default();
        families.info.with_label_values(&[id, &stands.name, river]).set(1.0);
        if let Some(observed) = &stands.observed {
            families.observed.with_label_values(&[id]).set(observed.value);
            families.observed_time.with_label_values(&[id]).set(observed.valid_time.0.0 as f64 / 1e6);
        }
        if let Some(data) = stands.data {
            families.data.with_label_values(&[id]).set(place(["ok", "late", "silent"], data));
        }
        families.alert.with_label_values(&[id]).set(place(["normal", "watch", "warning"], stands.state));
        for event in &stands.events {
            families.probability.with_label_values(&[id, &event.threshold]).set(event.probability);
            families.level.with_label_values(&[id, &event.threshold]).set(event.value);
        }
        if let Some(drought) = &stands.drought {
            let class = drought.class.strip_prefix('D').and_then(|class| class.parse().ok());
            families.drought_class.with_label_values(&[id]).set(class.unwrap_or(-1.0));
            if let Some(percentile) = drought.percentile {
                families.drought_percentile.with_label_values(&[id]).set(percentile);
            }
        }
        let Some(forecast) = newest(site, id) else { continue };
        families.issue_time.with_label_values(&[id]).set(forecast.issue_time().value(0) as f64 / 1e6);
        for (row, lead_s) in forecast.lead_time_s().values().iter().enumerate() {
            let Some(lead_h) = LEADS_H.into_iter().find(|lead_h| lead_h * 3_600 == *lead_s) else { continue };
            for level in LEVELS {
                let labels = [id, &format!("{lead_h}h"), &quantile_column(level)];
                families.forecast.with_label_values(&labels).set(forecast.quantile(level).value(row));
            }
        }
    }
    TextEncoder::new().encode_to_string(&families.registry.gather())
}

/// The number of a state, in the order of its kind.
fn place<const N: usize>(states: [&str; N], state: &str) -> f64 {
    states.iter().position(|of| *of == state).unwrap_or_default() as f64
}
