//! What metrics are to show of a tick's scores, once these are in the log.

use std::collections::BTreeMap;

use arrow::array::{Array as _, Float64Array};
use nilometer_schemas::Scores;

use crate::{
    floods::FloodCounts,
    metrics::{ScoreMetrics, class},
};

/// Of one tick.
#[derive(Default)]
pub(crate) struct MetricUpdates {
    /// by model and lead class
    sums: BTreeMap<String, BTreeMap<&'static str, Sums>>,
    /// by lead class
    floods: BTreeMap<&'static str, FloodCounts>,
    /// by lead class, of each catchment and lead time
    efficiencies: BTreeMap<&'static str, Vec<f64>>,
    /// that of the last score
    model: String,
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
    /// What is new of floods, by lead class, as `model` forecast them; nothing yet of scores.
    pub(crate) fn of(model: &str, floods: BTreeMap<&'static str, FloodCounts>) -> Self {
        Self { floods, model: model.to_owned(), ..Self::default() }
    }

    /// Adds the efficiency of a catchment and lead time, where it has one.
    pub(crate) fn add_efficiency(&mut self, lead: &'static str, nse: Option<f64>) {
        self.efficiencies.entry(lead).or_default().extend(nse);
    }

    /// Adds a row of scores whose forecast was judged before: sums never take back, so it is only counted.
    pub(crate) fn add_revision(&mut self, scores: &Scores, row: usize) {
        if let Some(sums) = self.sums_of(scores, row) {
            sums.revised += 1;
        }
    }

    /// Adds a row of scores; `mean_flow` is what the gauge has read on average, m³/s.
    pub(crate) fn add(&mut self, scores: &Scores, row: usize, mean_flow: f64) {
        let Some(sums) = self.sums_of(scores, row) else { return };
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

    fn sums_of(&mut self, scores: &Scores, row: usize) -> Option<&mut Sums> {
        let model = scores.model().value(row);
        if !self.sums.contains_key(model) {
            self.sums.insert(model.to_owned(), BTreeMap::new());
        }
        Some(self.sums.get_mut(model)?.entry(class(scores.lead_time_s().value(row))).or_default())
    }

    /// Shows it.
    pub(crate) fn apply(self, metrics: &ScoreMetrics) {
        let all =
            self.sums.iter().flat_map(|(model, of_model)| of_model.iter().map(move |(lead, sums)| (lead, model, sums)));
        for (lead, model, sums) in all {
            let of @ [lead, model] = [*lead, model.as_str()];
            metrics.scored.with_label_values(&of).inc_by(sums.scored);
            if sums.revised > 0 {
                metrics.revised.with_label_values(&of).inc_by(sums.revised);
            }
            metrics.covered.with_label_values(&of).inc_by(sums.covered);
            for (beside, [forecast, baseline]) in ["persistence", "climatology"].into_iter().zip(sums.crps) {
                metrics.crps.with_label_values(&[lead, model, "forecast", beside]).inc_by(forecast);
                metrics.crps.with_label_values(&[lead, model, beside, beside]).inc_by(baseline);
            }
            if sums.thresholds > 0 {
                metrics.brier.with_label_values(&of).inc_by(sums.brier);
                metrics.thresholds.with_label_values(&of).inc_by(sums.thresholds);
            }
        }
        let model = self.model.as_str();
        for (lead, unreported) in self.floods {
            for (outcome, count) in ["hit", "miss", "false_alarm"].into_iter().zip(unreported.outcomes) {
                metrics.floods.with_label_values(&[lead, model, outcome]).inc_by(count);
            }
            metrics.peaks.with_label_values(&[lead, model]).inc_by(unreported.peaks);
            metrics.timing.with_label_values(&[lead, model]).inc_by(unreported.timing_steps);
        }
        for (lead, mut values) in self.efficiencies.into_iter().filter(|(_, values)| !values.is_empty()) {
            let middle = values.len() / 2;
            let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
            metrics.nse.with_label_values(&[lead, model]).set(*median);
        }
    }
}
