//! Skill while it happens, by lead class, model and whether it is a shadow; never by station.

use nilometer_engine::{Registry, RoleMetrics};
use prometheus::{CounterVec, GaugeVec, IntCounterVec, Opts, core::Collector};

/// Lead classes: the last hour of each, and its name.
const CLASSES: [(i64, &str); 6] =
    [(1, "1h"), (6, "6h"), (24, "1d"), (72, "3d"), (240, "10d"), (i64::MAX / 3_600, "longer")];

/// Metrics of the role. Shares and ratios are made by queries, over the time that they choose:
/// `rate(covered) / rate(scored)`, `rate(crps{of="forecast"}) / rate(crps{of="persistence"})` with one `beside`.
#[derive(Clone)]
pub struct ScoreMetrics {
    /// the baseline
    pub role: RoleMetrics,
    /// forecasts that were judged
    pub(crate) scored: IntCounterVec,
    /// of these, the ones whose 90 % interval held the observation
    pub(crate) covered: IntCounterVec,
    /// forecasts that were judged again, by a reading that had been corrected
    pub(crate) revised: IntCounterVec,
    /// sums of CRPS over the catchment's mean flow, of the forecast and of the baseline that it stands beside, on the same pairs
    pub(crate) crps: CounterVec,
    /// sum of the Brier scores at the catchments' flood thresholds
    pub(crate) brier: CounterVec,
    /// how many these were
    pub(crate) thresholds: IntCounterVec,
    /// floods that were forecast to two steps (hit), that were not (miss), and that did not come (false_alarm), over all thresholds
    pub(crate) floods: IntCounterVec,
    /// flood peaks that forecasts were compared with
    pub(crate) peaks: IntCounterVec,
    /// sum of the steps between these and those of the forecasts
    pub(crate) timing: IntCounterVec,
    /// median over catchments and lead times of the efficiency of the means so far
    pub(crate) nse: GaugeVec,
}

impl ScoreMetrics {
    /// Registers the role's metrics.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(role: RoleMetrics, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer").subsystem("score");
        let labels = ["lead", "model", "shadow"];
        let metrics = Self {
            role,
            scored: IntCounterVec::new(opts("forecasts_total", "forecasts that met an observation"), &labels)?,
            revised: IntCounterVec::new(
                opts("revised_total", "forecasts judged again by a corrected reading"),
                &labels,
            )?,
            covered: IntCounterVec::new(
                opts("covered_total", "forecasts whose 90 % interval held the observation"),
                &labels,
            )?,
            crps: CounterVec::new(
                opts(
                    "crps_total",
                    "sum of CRPS over the mean flow: of the forecast and of the baseline beside it, on the same pairs",
                ),
                &["lead", "model", "shadow", "of", "beside"],
            )?,
            brier: CounterVec::new(opts("brier_total", "sum of Brier scores at flood thresholds"), &labels)?,
            thresholds: IntCounterVec::new(opts("thresholds_total", "Brier scores in that sum"), &labels)?,
            floods: IntCounterVec::new(
                opts("floods_total", "floods at thresholds: hit (to two steps), miss, false_alarm"),
                &["lead", "model", "shadow", "outcome"],
            )?,
            peaks: IntCounterVec::new(opts("peaks_total", "flood peaks that forecasts were compared with"), &labels)?,
            timing: IntCounterVec::new(
                opts("peak_timing_steps_total", "sum of the steps between these peaks and those of the forecasts"),
                &labels,
            )?,
            nse: GaugeVec::new(
                opts("nse_median", "median over catchments and lead times of the efficiency so far"),
                &labels,
            )?,
        };
        let all: [Box<dyn Collector>; 10] = [
            Box::new(metrics.scored.clone()),
            Box::new(metrics.revised.clone()),
            Box::new(metrics.covered.clone()),
            Box::new(metrics.crps.clone()),
            Box::new(metrics.brier.clone()),
            Box::new(metrics.thresholds.clone()),
            Box::new(metrics.floods.clone()),
            Box::new(metrics.peaks.clone()),
            Box::new(metrics.timing.clone()),
            Box::new(metrics.nse.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Shows no efficiency any more of a shadow that has ended.
    pub(crate) fn forget_shadow(&self, model: &str) {
        for (_, lead) in CLASSES {
            // There is none of a lead class that had no forecast.
            let _ = self.nse.remove_label_values(&[lead, model, "true"]);
        }
    }
}

/// The class of a lead time: the shortest that it fits into.
pub(crate) fn class(lead_time_s: i64) -> &'static str {
    CLASSES.iter().find(|(hours, _)| lead_time_s <= hours * 3_600).map_or("longer", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use nilometer_engine::Metrics;

    use super::*;

    #[test]
    fn the_inventory_is_what_dashboards_rely_on() {
        let registry = Registry::default();
        let metrics = ScoreMetrics::new(Metrics::unregistered().role("score"), &registry).unwrap();
        let of = ["1h", "hybrid", "false"];
        metrics.scored.with_label_values(&of).inc();
        metrics.revised.with_label_values(&of).inc();
        metrics.covered.with_label_values(&of).inc();
        metrics.crps.with_label_values(&["1h", "hybrid", "false", "forecast", "persistence"]).inc_by(0.1);
        metrics.brier.with_label_values(&of).inc_by(0.1);
        metrics.thresholds.with_label_values(&of).inc();
        metrics.floods.with_label_values(&["1h", "hybrid", "false", "hit"]).inc();
        metrics.peaks.with_label_values(&of).inc();
        metrics.timing.with_label_values(&of).inc();
        metrics.nse.with_label_values(&of).set(0.9);
        let names: Vec<String> = registry.gather().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(
            names,
            [
                "nilometer_score_brier_total",
                "nilometer_score_covered_total",
                "nilometer_score_crps_total",
                "nilometer_score_floods_total",
                "nilometer_score_forecasts_total",
                "nilometer_score_nse_median",
                "nilometer_score_peak_timing_steps_total",
                "nilometer_score_peaks_total",
                "nilometer_score_revised_total",
                "nilometer_score_thresholds_total",
            ]
        );
    }

    #[test]
    fn a_lead_time_is_of_the_shortest_class_that_it_fits_into() {
        let hours = |hours: i64| class(hours * 3_600);
        assert_eq!(
            [hours(1), hours(2), hours(6), hours(24), hours(240), hours(2_000)],
            ["1h", "6h", "6h", "1d", "10d", "longer"]
        );
    }
}
