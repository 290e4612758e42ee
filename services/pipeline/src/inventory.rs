//! Inventory: every metric that a process may show, whatever roles it has.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use nilometer_alert::AlertMetrics;
use nilometer_drought::DroughtMetrics;
use nilometer_engine::{Described, Metrics, Registry};
use nilometer_forecast::ForecastMetrics;
use nilometer_notify::NotifyMetrics;
use nilometer_score::ScoreMetrics;
use nilometer_serve::{ServeMetrics, station_metrics};

use crate::exposition::Exposition;

/// Metrics by name.
pub type Inventory = BTreeMap<String, Described>;

/// What `/metrics` shows, and what `/metrics/stations` does.
///
/// # Errors
/// None that a caller could cause.
pub fn inventory() -> Result<[Inventory; 2]> {
    let exposition = Exposition::of_process(Some(PathBuf::from(".")))?;
    let process: &Registry = exposition.process();
    let metrics = Metrics::new(process)?;
    ServeMetrics::new(process)?;
    let part = metrics.of_partition(0)?;
    let of_part = part.registry();
    ForecastMetrics::new(part.role("forecast"), of_part)?;
    ScoreMetrics::new(part.role("score"), of_part)?;
    AlertMetrics::new(part.role("alert"), of_part)?;
    DroughtMetrics::new(part.role("drought"), of_part)?;
    NotifyMetrics::new(part.role("notify_webhook"), "webhook", of_part)?;
    let mut all = process.described();
    all.extend(of_part.described());
    Ok([all, station_metrics()?.described()])
}
