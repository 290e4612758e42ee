//! Update: what the gauge has just said against the model also moves the forecast, by as much as it has been right to before.
//!
//! Every gauge and lead time has its own regression of the forecast's error on the newest known error; it learns as forecasts come
//! true. State updating moves the stores; this is output updating, for what no store explains.

use nilometer_assimilation::{ErrorRegression, Explanation, carried_error};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;

use crate::outstanding::Outstanding;

/// Numbers of one forecast that waits: its mean before the update, and the explanation of its error.
const FIELDS: usize = 4;

/// The regressions `[C, L]`, what is known of each gauge `[C, 5]`, and the forecasts that wait for their observation.
#[derive(Clone)]
pub(crate) struct OutputUpdating {
    leads: usize,
    regressions: Vec<ErrorRegression>,
    gauges: Vec<Gauge>,
    issued: Outstanding<FIELDS>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Gauge {
    error: f32,
    error_before: f32,
    predicted: f32,
    steps: f32,
    mean_square: f32,
}

impl OutputUpdating {
    /// Nothing is known yet, so nothing is changed.
    pub(crate) fn new(catchments: usize, leads: usize, step_s: i64) -> Self {
        Self {
            leads,
            regressions: vec![ErrorRegression::default(); catchments * leads],
            gauges: vec![Gauge::default(); catchments],
            issued: Outstanding::new(catchments, leads, step_s),
        }
    }

    /// Takes what the model said of each catchment at `valid_time`, `[C]` m³ s⁻¹, before an observation moved it, and what the gauges
    /// read. Where one read nothing, its error fades as forecasts have seen errors fade.
    pub(crate) fn observe(
        &mut self,
        valid_time: Timestamp,
        predicted_m3_s: &[f64],
        observed: impl Iterator<Item = (usize, f64)>,
    ) {
        for (catchment, (gauge, predicted)) in self.gauges.iter_mut().zip(predicted_m3_s).enumerate() {
            let first = &self.regressions[catchment * self.leads];
            gauge.error_before = gauge.error;
            gauge.error *= first.shares()[0].clamp(0.0, 1.0) as f32;
            gauge.predicted = *predicted as f32;
        }
        for (catchment, discharge_m3_s) in observed {
            self.learn(valid_time, catchment, discharge_m3_s);
        }
    }

    /// Takes what a gauge read at `valid_time`, the time of the newest prediction.
    pub(crate) fn learn(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let gauge = &mut self.gauges[catchment];
        gauge.error = (discharge_m3_s - f64::from(gauge.predicted)) as f32;
        gauge.steps += 1.0;
        gauge.mean_square += ((discharge_m3_s * discharge_m3_s) as f32 - gauge.mean_square) / gauge.steps;
        let usual_m3_s = f64::from(gauge.mean_square).sqrt();
        if usual_m3_s > 0.0 {
            for (lead, [mean, carried, change, share]) in self.issued.take(valid_time, catchment) {
                let explanation = [carried, change, share].map(f64::from);
                let error = discharge_m3_s - f64::from(mean);
                self.regressions[catchment * self.leads + lead].learn(explanation, error, usual_m3_s);
            }
        }
    }

    /// The updated mean of a forecast whose mean is `mean_m3_s`, at least 0; the forecast waits for its observation.
    pub(crate) fn issue(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
        lead: usize,
        mean_m3_s: f64,
        epsilon_m3_s: f64,
    ) -> f64 {
        let gauge = &self.gauges[catchment];
        let carried = |error: f32| carried_error(f64::from(error), f64::from(gauge.predicted), mean_m3_s, epsilon_m3_s);
        let explanation: Explanation = [carried(gauge.error), f64::from(gauge.error - gauge.error_before), mean_m3_s];
        let [carried, change, share] = explanation.map(|x| x as f32);
        self.issued.keep(valid_time, catchment, lead, [mean_m3_s as f32, carried, change, share]);
        (mean_m3_s + self.regressions[catchment * self.leads + lead].expected_error(explanation)).max(0.0)
    }

    /// Adds the columns of the regressions `[L, number]`, of what is known of the gauge, and of the forecasts that wait.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        columns.f32("output_updating.regressions", |catchment| {
            let own = &self.regressions[catchment * self.leads..][..self.leads];
            own.iter().flat_map(ErrorRegression::numbers).collect::<Vec<_>>()
        });
        columns.f32("output_updating.gauge", |catchment| {
            let Gauge { error, error_before, predicted, steps, mean_square } = self.gauges[catchment];
            [error, error_before, predicted, steps, mean_square]
        });
        self.issued.store("output_updating.issued", columns);
    }

    /// Takes up what [`OutputUpdating::store`] gave of the catchments that were there, as many lead times as both have.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        for (catchment, gauge) in self.gauges.iter_mut().enumerate() {
            let learned = rows.f32("output_updating.regressions", catchment).unwrap_or_default();
            let own = &mut self.regressions[catchment * self.leads..][..self.leads];
            for (regression, numbers) in own.iter_mut().zip(learned.as_chunks().0) {
                *regression = ErrorRegression::from_numbers(*numbers);
            }
            if let Some([error, error_before, predicted, steps, mean_square]) =
                rows.f32("output_updating.gauge", catchment)
            {
                let [error, error_before, predicted] = [*error, *error_before, *predicted];
                *gauge = Gauge { error, error_before, predicted, steps: *steps, mean_square: *mean_square };
            }
        }
        self.issued.restore("output_updating.issued", rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn day(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * DAY)
    }

    /// A model that is 20 % too low in turns of five days and right in others, for a gauge that is read every day.
    fn live(updating: &mut OutputUpdating, days: std::ops::Range<i64>) -> (f64, f64) {
        let (mut plain, mut updated) = (0.0, 0.0);
        for n in days {
            let model = |n: i64| 10.0 + 5.0 * (n as f64 * 0.3).sin();
            let truth = |n: i64| model(n) * if n.rem_euclid(10) < 5 { 1.0 } else { 1.25 };
            updating.observe(day(n), &[model(n)], std::iter::once((0, truth(n))));
            let mean = updating.issue(day(n + 1), 0, 0, model(n + 1), 0.01);
            plain += (model(n + 1) - truth(n + 1)).powi(2);
            updated += (mean - truth(n + 1)).powi(2);
        }
        (plain, updated)
    }

    #[test]
    fn errors_that_last_are_learnt_and_taken_away() {
        let mut updating = OutputUpdating::new(1, 1, DAY);
        live(&mut updating, 0..300);
        let (plain, updated) = live(&mut updating, 300..600);
        assert!(updated < 0.7 * plain, "squared errors {updated} of {plain}");
    }

    #[test]
    fn nothing_is_changed_before_anything_was_learnt_and_errors_fade_where_no_gauge_reads() {
        let mut updating = OutputUpdating::new(2, 3, DAY);
        updating.observe(day(0), &[10.0, 10.0], std::iter::once((0, 20.0)));
        assert!((updating.issue(day(2), 0, 1, 12.0, 0.01) - 12.0).abs() < 1e-12);
        live(&mut updating, 1..200);
        let error = updating.gauges[0].error;
        assert!(error != 0.0);
        updating.observe(day(200), &[10.0, 10.0], std::iter::empty());
        assert!(updating.gauges[0].error.abs() < error.abs());
        assert_eq!(updating.gauges[1], Gauge { predicted: 10.0, ..Gauge::default() });
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken() {
        let mut updating = OutputUpdating::new(1, 2, DAY);
        live(&mut updating, 0..50);
        let mut columns = ColumnsBuilder::new(["gauge"]);
        updating.store(&mut columns);
        let columns = columns.finish().unwrap();
        let mut again = OutputUpdating::new(1, 2, DAY);
        again.restore(&columns.keyed(["gauge"]));
        assert_eq!(live(&mut updating, 50..60), live(&mut again, 50..60));
        let mut other = OutputUpdating::new(1, 2, DAY);
        other.restore(&columns.keyed(["other"]));
        assert_eq!(other.gauges[0], Gauge::default());
    }
}
