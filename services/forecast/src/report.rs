//! Report: what a tick shows in metrics and log lines. A tick that is taken again has shown it before.

use std::sync::Arc;

use nilometer_definitions::Scenario;
use nilometer_schemas::{Timestamp, Variable};

use crate::{ForecastMetrics, first_guess::Change, setting::Setting, tick::ModelContent};

/// What happened in a tick.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) swaps: Vec<Swap>,
    /// weights of each shadow that took the place of another, none where there is no shadow now
    pub(crate) shadows: Vec<Option<String>>,
    /// a shadow that has failed, and why
    pub(crate) failed_shadow: Option<String>,
    /// why there is no outlook where one was due
    pub(crate) failed_outlook: Option<String>,
    pub(crate) steps: Vec<StepReport>,
    pub(crate) filled_steps: u64,
    pub(crate) state_lag_s: f64,
    /// of each catchment whether its gauge is shifted
    pub(crate) shifted: Vec<bool>,
    /// weather that a forecast met
    pub(crate) scenario: Option<Scenario>,
}

/// Weights that took the place of others, or did not.
pub(crate) struct Swap {
    /// SHA-256 of the weights before
    pub(crate) from: String,
    pub(crate) to: ModelContent,
    pub(crate) refused: Option<String>,
}

/// What happened in a step.
pub(crate) struct StepReport {
    pub(crate) step: Timestamp,
    /// forcing that it was taken without: the first variable and catchment, and how many others
    pub(crate) filled: Option<(Variable, usize, usize)>,
    /// how far observations lay from the forecast, over the expected standard deviation
    pub(crate) innovations: Vec<f64>,
    /// readings that are suspect
    pub(crate) suspect: u64,
    pub(crate) changes: Vec<Change>,
}

/// Shows reports, and says when a condition begins and ends.
pub(crate) struct Reporter {
    setting: Arc<Setting>,
    metrics: ForecastMetrics,
    /// whether the last step was taken without all of its forcing
    filling: bool,
    /// whether the last forecast missed the weather that it asks for
    without_weather: bool,
}

impl Reporter {
    pub(crate) const fn new(setting: Arc<Setting>, metrics: ForecastMetrics) -> Self {
        Self { setting, metrics, filling: false, without_weather: false }
    }

    pub(crate) fn show(&mut self, tick: Timestamp, report: &Report) {
        report.swaps.iter().for_each(|swap| self.show_swap(tick, swap));
        for weights_sha256 in &report.shadows {
            let weights_sha256 = weights_sha256.as_deref().unwrap_or("none");
            tracing::info!(weights_sha256, %tick, "another shadow runs beside the models in force");
        }
        if let Some(shadow) = &report.failed_shadow {
            tracing::error!(shadow, %tick, "a shadow failed and ends; the models in force go on");
            self.metrics.failed_shadows.inc();
        }
        if let Some(why) = &report.failed_outlook {
            tracing::error!(why, %tick, "an outlook failed; forecasts go on");
            self.metrics.failed_outlooks.inc();
        }
        report.steps.iter().for_each(|step| self.show_step(step, report.filled_steps));
        self.metrics.filled_steps.set(i64::try_from(report.filled_steps).unwrap_or(i64::MAX));
        self.metrics.state_lag_s.set(report.state_lag_s);
        for (catchment, shifted) in report.shifted.iter().enumerate() {
            self.metrics.show_shift(self.setting.index.station(catchment), *shifted);
        }
        if let Some(scenario) = report.scenario {
            self.show_weather(tick, scenario);
        }
    }

    fn show_swap(&self, tick: Timestamp, Swap { from, to, refused }: &Swap) {
        let ModelContent { name, version, weights_sha256, reason, author, .. } = to;
        let outcome = match refused {
            None => {
                tracing::info!(model = name, version, from, to = weights_sha256, reason, author, %tick, "weights swapped");
                "taken"
            }
            Some(why) => {
                tracing::error!(model = name, version, why, reason, author, %tick, "the weights stay as they were");
                "refused"
            }
        };
        self.metrics.weight_swaps.with_label_values(&[outcome]).inc();
    }

    fn show_step(&mut self, report: &StepReport, filled_steps: u64) {
        let step = report.step;
        match report.filled {
            Some((variable, catchment, others)) if !self.filling => {
                let catchment = self.setting.index.catchment(catchment);
                tracing::warn!(%step, %variable, catchment, others, "forcing did not arrive in time: steps are filled without rain and with the last value of the rest until it does");
            }
            None if self.filling => tracing::info!(%step, filled_steps, "forcing arrives again"),
            _ => {}
        }
        self.filling = report.filled.is_some();
        report.innovations.iter().for_each(|innovation| self.metrics.innovation.observe(*innovation));
        report.changes.iter().for_each(|change| change.report(self.setting.index.station(change.catchment)));
        self.metrics.suspect_readings.inc_by(report.suspect);
    }

    /// Counts a forecast that went out without the weather that it asks for, and says when that begins and ends.
    fn show_weather(&mut self, tick: Timestamp, scenario: Scenario) {
        let asked = self.setting.pipeline.forecast.scenario;
        let without = scenario != asked;
        if without {
            self.metrics.without_weather.inc();
        }
        if std::mem::replace(&mut self.without_weather, without) != without {
            let asked = asked.name();
            if without {
                tracing::warn!(%tick, asked, "the weather that forecasts ask for is not there: no more rain is assumed");
            } else {
                tracing::info!(%tick, asked, "the weather that forecasts ask for is there");
            }
        }
    }
}
