//! Progress of a replay: where each role is, so that a wait is never a mystery.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use nilometer_schemas::Timestamp;
use prometheus::proto::MetricFamily;

use crate::exposition::Exposition;

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

/// Writes a line every now and then until it is dropped: in place on a terminal, a line at a time elsewhere.
pub async fn show(shown: Exposition, from: Timestamp, to: Timestamp) {
    let terminal = std::io::stderr().is_terminal();
    let begin = Instant::now();
    let mut every = tokio::time::interval(Duration::from_millis(if terminal { 250 } else { 2_000 }));
    every.tick().await;
    loop {
        every.tick().await;
        let families = shown.gather();
        let Some(at) = reached(&families, "forecast") else { continue };
        let share = at.seconds_since(from) as f64 / to.seconds_since(from).max(1) as f64;
        let line = format!(
            "forecast at {at}  {:3.0} %  ingest at {}  published to {}  {:.0} dead letters  {:.0} s",
            100.0 * share.clamp(0.0, 1.0),
            reached(&families, "ingest").unwrap_or(from),
            reached(&families, "publish_forecast").unwrap_or(from),
            total(&families, "nilometer_dead_letters_total"),
            begin.elapsed().as_secs_f64()
        );
        let mut stderr = std::io::stderr();
        // Progress that cannot be shown is no reason to stop.
        let _ = if terminal { write!(stderr, "\r{line}\x1b[K") } else { writeln!(stderr, "{line}") };
        let _ = stderr.flush();
    }
}
