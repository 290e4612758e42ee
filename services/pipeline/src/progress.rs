//! Progress of a replay: where each role is, so that a wait is never a mystery.

use std::time::Duration;

use nilometer_engine::progress;
use nilometer_schemas::Timestamp;
use prometheus::proto::MetricFamily;

use crate::exposition::Exposition;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Event time that all partitions of a kind of role have reached, as their metrics tell it.
fn reached(families: &[MetricFamily], kind: &str) -> Option<Timestamp> {
    let family = families.iter().find(|f| f.name() == "nilometer_event_time_seconds")?;
    let of_kind = family.get_metric().iter().filter(|m| m.get_label().iter().any(|l| l.value() == kind));
    // A kind of role that has reached nothing yet stands at 0.
    let times = of_kind.map(|metric| Timestamp((metric.get_gauge().get_value() * 1e6) as i64));
    times.min().filter(|at| *at != Timestamp(0))
}

fn total(families: &[MetricFamily], name: &str) -> f64 {
    let family = families.iter().find(|f| f.name() == name);
    family.map_or(0.0, |f| f.get_metric().iter().map(|m| m.get_counter().get_value()).sum())
}

/// Says again and again how far a replay has come, until it is dropped.
pub async fn say(shown: Exposition, from: Timestamp, to: Timestamp) {
    let hours = |to: Timestamp| to.seconds_since(from).max(0).unsigned_abs() / 3_600;
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let families = shown.gather();
        let Some(at) = reached(&families, "forecast") else { continue };
        let detail = format!(
            "forecast at {at}, ingest at {}, published to {}, {:.0} dead letters",
            reached(&families, "ingest").unwrap_or(from),
            reached(&families, "publish_forecast").unwrap_or(from),
            total(&families, "nilometer_dead_letters_total")
        );
        progress("replay", hours(at).min(hours(to)), hours(to), "h", &detail);
    }
}
