//! What forecasts that have come true have taught about those to come: first where the river will be, then how sure that is.

use nilometer_alignment::StepReading;
use nilometer_definitions::{AssimilationMethod, Catchment, Pipeline};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::Distribution;

use crate::{ForecastError, calibrate::Calibration, update::OutputUpdating};

/// Output updating, where the definition asks for it, and the calibration of intervals.
#[derive(Clone)]
pub(crate) struct Postprocessing {
    epsilon_m3_s: Vec<f64>,
    updating: Option<OutputUpdating>,
    calibration: Calibration,
}

/// What a flow's logarithm begins at, `[C]` m³ s⁻¹.
pub(crate) fn epsilon_m3_s(pipeline: &Pipeline) -> Vec<f64> {
    let of = |c: &Catchment| pipeline.assimilation.discharge_epsilon_mm * c.m3_s_per_mm(pipeline.time.step.seconds());
    pipeline.catchments.iter().map(of).collect()
}

impl Postprocessing {
    /// Nothing is known yet: forecasts pass as they are.
    pub(crate) fn new(pipeline: &Pipeline, leads: usize) -> Self {
        let (catchments, step_s) = (pipeline.catchments.len(), pipeline.time.step.seconds());
        let options = &pipeline.assimilation;
        let epsilon_m3_s = epsilon_m3_s(pipeline);
        let updates = match options.method {
            AssimilationMethod::None => false,
            AssimilationMethod::Output => true,
            _ => options.output_updating,
        };
        Self {
            updating: updates.then(|| OutputUpdating::new(catchments, leads, step_s)),
            calibration: Calibration::new(
                epsilon_m3_s.clone(),
                leads,
                step_s,
                pipeline.forecast.calibration_rate,
                pipeline.alerts.ages_s(pipeline)[0],
            ),
            epsilon_m3_s,
        }
    }

    /// Learns from what the gauges say of the ends of steps up to `step`, the one that was taken last; of it the model had `predicted_m3_s` `[C]`
    /// before they moved it. Calibration learns from them only where it `calibrates`.
    pub(crate) fn observe(&mut self, step: Timestamp, predicted_m3_s: &[f64], read: &[StepReading], calibrates: bool) {
        // Judged before it is used: what was forecast for this step, in the light of what the gauge read.
        for reading in read {
            if calibrates {
                self.calibration.observe(reading.step, reading.catchment, reading.discharge_m3_s);
            } else {
                self.calibration.hear(reading.step, reading.catchment);
            }
        }
        if let Some(updating) = &mut self.updating {
            let (before, now) = read.split_at(read.partition_point(|reading| reading.step < step));
            for reading in before {
                updating.learn(reading.step, reading.catchment, reading.discharge_m3_s);
            }
            updating.observe(step, predicted_m3_s, now.iter().map(|r| (r.catchment, r.discharge_m3_s)));
        }
    }

    /// Moves a forecast's mean, and its quantiles and members with it, where the definition asks for it.
    pub(crate) fn update<'a>(
        &mut self,
        valid_time: Timestamp,
        (catchment, lead): (usize, usize),
        mean_m3_s: &mut f64,
        others_m3_s: impl Iterator<Item = &'a mut f64>,
    ) {
        let Some(updating) = &mut self.updating else { return };
        let epsilon_m3_s = self.epsilon_m3_s[catchment];
        let updated = updating.issue(valid_time, catchment, lead, *mean_m3_s, epsilon_m3_s);
        let factor = (updated + epsilon_m3_s) / (*mean_m3_s + epsilon_m3_s);
        for other in others_m3_s {
            *other = ((*other + epsilon_m3_s) * factor - epsilon_m3_s).max(0.0);
        }
        *mean_m3_s = updated;
    }

    /// The distribution whose quantiles are passed as often as they should, of those that the models say.
    pub(crate) fn calibrate(
        &mut self,
        valid_time: Timestamp,
        (catchment, lead): (usize, usize),
        quantiles_m3_s: &[f64; QUANTILE_LEVELS.len()],
    ) -> Result<Distribution, ForecastError> {
        self.calibration.issue(valid_time, catchment, lead, quantiles_m3_s)
    }

    /// The correlation of a forecast's normal scores at a lead time with those at the one before it.
    pub(crate) fn correlation(&self, catchment: usize, lead: usize) -> f64 {
        self.calibration.correlation(catchment, lead)
    }

    /// Adds the columns of all that was learned, and of the forecasts that wait.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        self.calibration.store(columns);
        if let Some(updating) = &self.updating {
            updating.store(columns);
        }
    }

    /// Takes up what [`Postprocessing::store`] gave of the catchments that were there.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        self.calibration.restore(rows);
        if let Some(updating) = &mut self.updating {
            updating.restore(rows);
        }
    }
}
