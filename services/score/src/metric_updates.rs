//! What metrics are to show of a tick's scores, once these are in the log.

use std::collections::BTreeMap;

use arrow::array::{Array as _, Float64Array};
use nilometer_schemas::Scores;

use crate::{
    floods::FloodCounts,
    metrics::{ScoreMetrics, class},
    performance::Issuer,
};

/// Of one tick.
#[derive(Default)]
pub(crate) struct MetricUpdates {
    /// by model, and whether it is a shadow
    of_models: Vec<(String, bool, OfModel)>,
    /// models of shadows that have ended
    pub(crate) ended: Vec<String>,
}

/// Of one model, by lead class.
#[derive(Default)]
struct OfModel {
    sums: BTreeMap<&'static str, Sums>,
    floods: BTreeMap<&'static str, FloodCounts>,
    /// of each catchment and lead time
    efficiencies: BTreeMap<&'static str, Vec<f64>>,
}

/// What the metrics of one lead class and model gain.
#[derive(Default)]
struct Sums {
    scored: u64,
    revised: u64,
    covered: u64,
    /// of the forecast and of the baseline beside it: persistence, climatology
    crps: [[f64; 2]; 2],
    brier: f64,
    thresholds: u64,
}

impl MetricUpdates {
    fn of(&mut self, issuer: &Issuer) -> &mut OfModel {
        let (model, shadow) = (&issuer.model, issuer.shadow.is_some());
        let at = self.of_models.iter().position(|(other, is_shadow, _)| other == model && *is_shadow == shadow);
        let at = at.unwrap_or_else(|| {
            self.of_models.push((model.clone(), shadow, OfModel::default()));
            self.of_models.len() - 1
        });
        &mut self.of_models[at].2
    }

    /// Adds what is new of floods, by lead class.
    pub(crate) fn add_floods(&mut self, issuer: &Issuer, floods: BTreeMap<&'static str, FloodCounts>) {
        let of_model = &mut self.of(issuer).floods;
        for (lead, counts) in floods {
            of_model.entry(lead).or_default().add(&counts);
        }
    }

    /// Adds the efficiency of a catchment and lead time, where it has one.
    pub(crate) fn add_efficiency(&mut self, issuer: &Issuer, lead: &'static str, nse: Option<f64>) {
        self.of(issuer).efficiencies.entry(lead).or_default().extend(nse);
    }

    /// Adds a row of scores whose forecast was judged before: sums never take back, so it is only counted.
    pub(crate) fn add_revision(&mut self, issuer: &Issuer, scores: &Scores, row: usize) {
        self.sums_of(issuer, scores, row).revised += 1;
    }

    /// Adds a row of scores; `mean_flow` is what the gauge has read on average, m³/s.
    pub(crate) fn add(&mut self, issuer: &Issuer, scores: &Scores, row: usize, mean_flow: f64) {
        let sums = self.sums_of(issuer, scores, row);
        sums.scored += 1;
        sums.covered += u64::from(scores.covered_90().value(row));
        let baselines = [scores.crps_persistence(), scores.crps_climatology()];
        for (sum, baseline) in sums.crps.iter_mut().zip(baselines) {
            if mean_flow > 0.0 && baseline.is_valid(row) {
                sum[0] += scores.crps().value(row) / mean_flow;
                sum[1] += baseline.value(row) / mean_flow;
            }
        }
        let brier = scores.brier().value(row);
        if let Some(brier) = brier.as_any().downcast_ref::<Float64Array>() {
            sums.brier += brier.values().iter().sum::<f64>();
            sums.thresholds += brier.len() as u64;
        }
    }

    fn sums_of(&mut self, issuer: &Issuer, scores: &Scores, row: usize) -> &mut Sums {
        self.of(issuer).sums.entry(class(scores.lead_time_s().value(row))).or_default()
    }

    /// Shows it.
    pub(crate) fn apply(self, metrics: &ScoreMetrics) {
        for model in &self.ended {
            metrics.forget_shadow(model);
        }
        for (model, shadow, of_model) in self.of_models {
            of_model.apply(metrics, &model, if shadow { "true" } else { "false" });
        }
    }
}

impl OfModel {
    fn apply(self, metrics: &ScoreMetrics, model: &str, shadow: &str) {
        for (lead, sums) in &self.sums {
            let of = [*lead, model, shadow];
            metrics.scored.with_label_values(&of).inc_by(sums.scored);
            if sums.revised > 0 {
                metrics.revised.with_label_values(&of).inc_by(sums.revised);
            }
            metrics.covered.with_label_values(&of).inc_by(sums.covered);
            for (beside, [forecast, baseline]) in ["persistence", "climatology"].into_iter().zip(sums.crps) {
                metrics.crps.with_label_values(&[lead, model, shadow, "forecast", beside]).inc_by(forecast);
                metrics.crps.with_label_values(&[lead, model, shadow, beside, beside]).inc_by(baseline);
            }
            if sums.thresholds > 0 {
                metrics.brier.with_label_values(&of).inc_by(sums.brier);
                metrics.thresholds.with_label_values(&of).inc_by(sums.thresholds);
            }
        }
        for (lead, unreported) in self.floods {
            for (outcome, count) in ["hit", "miss", "false_alarm"].into_iter().zip(unreported.outcomes) {
                metrics.floods.with_label_values(&[lead, model, shadow, outcome]).inc_by(count);
            }
            metrics.peaks.with_label_values(&[lead, model, shadow]).inc_by(unreported.peaks);
            metrics.timing.with_label_values(&[lead, model, shadow]).inc_by(unreported.timing_steps);
        }
        for (lead, mut values) in self.efficiencies.into_iter().filter(|(_, values)| !values.is_empty()) {
            let middle = values.len() / 2;
            let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
            metrics.nse.with_label_values(&[lead, model, shadow]).set(*median);
        }
    }
}
