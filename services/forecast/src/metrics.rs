//! What a forecaster's dashboard needs to know of the role, besides every role's baseline.

use nilometer_engine::{Registry, RoleMetrics};
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector,
};

/// Metrics of the role. None but that of shifted gauges carries a station as a label.
#[derive(Clone)]
pub struct ForecastMetrics {
    /// the baseline
    pub role: RoleMetrics,
    /// steps since the state began whose forcing was filled in
    pub(crate) filled_steps: IntGauge,
    /// how far the state is behind the tick, because forcing has not arrived
    pub(crate) state_lag_s: Gauge,
    /// largest residual of the water budget over the catchments
    pub(crate) budget_residual_mm: Gauge,
    /// innovations over their expected standard deviation: mean 0 and variance 1 when the ensemble is honest
    pub(crate) innovation: Histogram,
    /// how often the state went back because of rows that came late
    pub(crate) rewinds: IntCounter,
    /// rows that came late and were given their place
    pub(crate) late_rows: IntCounter,
    /// how far it went back, event time
    pub(crate) rewound_s: Histogram,
    /// forecasts that met no rain because the weather that they ask for was not there
    pub(crate) without_weather: IntCounter,
    /// readings that are suspect in the light of the forecast, or whose gauge is shifted
    pub(crate) suspect_readings: IntCounter,
    /// by station: 1 while its gauge is shifted, else 0
    readings_shifted: IntGaugeVec,
    /// shadows that failed and ended
    pub(crate) failed_shadows: IntCounter,
    /// outlooks that were due and failed
    pub(crate) failed_outlooks: IntCounter,
    /// weights that the log put in force, by what became of them: `taken` or `refused`
    pub(crate) weight_swaps: IntCounterVec,
}

impl ForecastMetrics {
    /// Registers the role's metrics.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(role: RoleMetrics, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer").subsystem("forecast");
        let innovation = HistogramOpts::from(opts(
            "innovation_normalised",
            "observed minus predicted log discharge over its expected standard deviation",
        ))
        .buckets(vec![-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0]);
        let rewound = HistogramOpts::from(opts("rewound_seconds", "event time that a rewind went back"))
            .buckets([1.0, 6.0, 24.0, 72.0, 240.0, 720.0].map(|hours| hours * 3_600.0).to_vec());
        let metrics = Self {
            role,
            filled_steps: IntGauge::with_opts(opts(
                "filled_steps",
                "steps whose forcing was filled in, since the state began",
            ))?,
            state_lag_s: Gauge::with_opts(opts(
                "state_lag_seconds",
                "event time between the state and the newest tick",
            ))?,
            budget_residual_mm: Gauge::with_opts(opts(
                "water_budget_residual_mm",
                "largest unexplained storage change over the catchments, mm",
            ))?,
            innovation: Histogram::with_opts(innovation)?,
            rewinds: IntCounter::with_opts(opts(
                "rewinds_total",
                "times that the state went back because of late rows",
            ))?,
            late_rows: IntCounter::with_opts(opts(
                "late_rows_placed_total",
                "rows that came late and were given their place",
            ))?,
            rewound_s: Histogram::with_opts(rewound)?,
            without_weather: IntCounter::with_opts(opts(
                "without_weather_total",
                "forecasts that went out without rain because the weather of their scenario was not there",
            ))?,
            suspect_readings: IntCounter::with_opts(opts(
                "suspect_readings_total",
                "readings that are suspect in the light of the forecast, or whose gauge is shifted",
            ))?,
            readings_shifted: IntGaugeVec::new(
                Opts::new(
                    "readings_shifted",
                    "1 while a gauge's readings are in a steady ratio to the forecast and not assimilated, else 0",
                )
                .namespace("nilometer"),
                &["station"],
            )?,
            failed_shadows: IntCounter::with_opts(opts(
                "failed_shadows_total",
                "models that ran beside those in force, failed and ended",
            ))?,
            failed_outlooks: IntCounter::with_opts(opts(
                "failed_outlooks_total",
                "outlooks of the weeks ahead that were due and failed",
            ))?,
            weight_swaps: IntCounterVec::new(
                opts("weight_swaps_total", "weights that the log put in force, taken or refused"),
                &["outcome"],
            )?,
        };
        // Both are there before the first of either, so that an alert on a refusal has a beginning.
        for outcome in ["taken", "refused"] {
            metrics.weight_swaps.with_label_values(&[outcome]);
        }
        let all: [Box<dyn Collector>; 13] = [
            Box::new(metrics.filled_steps.clone()),
            Box::new(metrics.state_lag_s.clone()),
            Box::new(metrics.budget_residual_mm.clone()),
            Box::new(metrics.innovation.clone()),
            Box::new(metrics.rewinds.clone()),
            Box::new(metrics.late_rows.clone()),
            Box::new(metrics.rewound_s.clone()),
            Box::new(metrics.without_weather.clone()),
            Box::new(metrics.suspect_readings.clone()),
            Box::new(metrics.readings_shifted.clone()),
            Box::new(metrics.failed_shadows.clone()),
            Box::new(metrics.failed_outlooks.clone()),
            Box::new(metrics.weight_swaps.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Shows whether a gauge is shifted.
    pub(crate) fn show_shift(&self, station: &str, shifted: bool) {
        self.readings_shifted.with_label_values(&[station]).set(i64::from(shifted));
    }
}

#[cfg(test)]
mod tests {
    use nilometer_engine::Metrics;

    use super::*;

    #[test]
    fn the_inventory_is_what_dashboards_rely_on() {
        let registry = Registry::default();
        ForecastMetrics::new(Metrics::unregistered().role("forecast"), &registry).unwrap();
        let names: Vec<String> = registry.gather().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(
            names,
            [
                "nilometer_forecast_failed_outlooks_total",
                "nilometer_forecast_failed_shadows_total",
                "nilometer_forecast_filled_steps",
                "nilometer_forecast_innovation_normalised",
                "nilometer_forecast_late_rows_placed_total",
                "nilometer_forecast_rewinds_total",
                "nilometer_forecast_rewound_seconds",
                "nilometer_forecast_state_lag_seconds",
                "nilometer_forecast_suspect_readings_total",
                "nilometer_forecast_water_budget_residual_mm",
                "nilometer_forecast_weight_swaps_total",
                "nilometer_forecast_without_weather_total",
            ]
        );
    }
}
