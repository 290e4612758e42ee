//! Steps: every step that is due is taken, with its forcing or without; what the gauges read then corrects the ensembles.

use nilometer_definitions::AssimilationMethod;
use nilometer_schemas::{Reason, Timestamp};

use super::PartitionState;
use crate::{
    ForecastError,
    forecaster::{Forecaster, Read},
    ledger::Heading,
    report::StepReport,
    storage,
};

impl PartitionState {
    /// Takes every step that is due by `tick`: with its forcing, or without when it has waited long enough.
    pub(super) fn take_steps(&mut self, tick: Timestamp) -> Result<(), ForecastError> {
        let (step_s, wait_s) =
            (self.setting.pipeline.time.step.seconds(), self.setting.pipeline.forecast.wait.seconds());
        loop {
            let step = self.progress.state_time.plus_s(step_s);
            let complete = self.alignment.is_complete(step);
            if step > tick || !(complete || step.plus_s(wait_s) <= tick) {
                break;
            }
            self.take_step(step, complete, tick)?;
        }
        self.accounts.balance.pending = self.alignment.pending_forcings() + self.alignment.pending_observations();
        self.report.filled_steps = self.progress.filled_steps;
        self.report.state_lag_s = tick.seconds_since(self.progress.state_time) as f64;
        self.report.shifted =
            self.first_guess.iter().map(nilometer_assimilation::FirstGuessCheck::is_shifted).collect();
        Ok(())
    }

    fn take_step(&mut self, step: Timestamp, complete: bool, tick: Timestamp) -> Result<(), ForecastError> {
        let setting = self.setting.clone();
        let (pipeline, balance) = (&setting.pipeline, &mut self.accounts.balance);
        let mut unknown = self.alignment.unknown(step);
        let filled = unknown.next().map(|(variable, catchment)| (variable, catchment, unknown.count()));
        if let Some(history) = &mut self.history {
            // What is filled in is no weather that was.
            let catchments = setting.index.len();
            history.remember(step, |row| self.alignment.known(step, row / catchments, row % catchments));
        }
        let (mut forcing, forcing_rows) = self.alignment.take_step(step);
        if let Some(change) = &self.trial.change {
            change.apply(self.alignment.variables(), step, &mut forcing);
        }
        let predicted_m3_s = self.in_force.advance(&forcing)?;
        let ensembles = &self.in_force.ensembles;
        let judged =
            setting.first_guess.judge(&mut self.first_guess, ensembles, &predicted_m3_s, &mut self.alignment)?;
        let mut counting = self.alignment.observations_of(step);
        let at_steps = self.step_readings.take(pipeline.time.align, step, pipeline.time.step.seconds(), &counting);
        counting.retain(|reading| !judged.downweighted.contains(&reading.subject()));
        let is_due = step.is_multiple_of_s(pipeline.assimilation.analysis_every_s(pipeline.time.step));
        let due = if is_due { self.alignment.take_observations(step) } else { Vec::new() };
        let read = Read { at_steps, counting, due, teaches: !self.trial.holds_calibration };
        self.in_force.observe(step, &predicted_m3_s, &read)?;
        let Forecaster { models, ensembles, .. } = &self.in_force;
        let heading = Heading {
            catchments: &pipeline.catchments,
            analysis_time: tick,
            method: pipeline.assimilation.method.name(),
            model: models.name(),
            weights_sha256: models.weights_sha256(),
        };
        for (method, left_out) in [("ignored", &judged.ignored), ("gauge_shift", &judged.shifted)] {
            let heading = Heading { method, ..heading };
            heading.enter_output(&predicted_m3_s, ensembles.operators(), left_out, &mut self.ledger);
            balance.reject(Reason::Suspect, left_out.len() as u64);
        }
        match pipeline.assimilation.method {
            AssimilationMethod::None => {}
            // Output updating moves what the models say together.
            AssimilationMethod::Output => {
                heading.enter_output(&predicted_m3_s, ensembles.operators(), &read.due, &mut self.ledger);
            }
            _ => {
                for (state, member) in ensembles.each().zip(models.members()) {
                    heading.of(&member.package).enter(state, &mut self.ledger);
                }
            }
        }
        if step > setting.leads.from && step.is_multiple_of_s(pipeline.forecast.state_every.seconds()) {
            for (state, member) in ensembles.each().zip(models.members()) {
                storage::enter(state, &member.package, &heading, &mut self.storage)?;
            }
        }
        balance.used += forcing_rows + read.due.len() as u64;
        let suspect = judged.ignored.len() + judged.shifted.len() + judged.downweighted.len();
        self.report.steps.push(StepReport {
            step,
            filled: filled.filter(|_| !complete),
            innovations: ensembles.innovations().map(|innovation| innovation.normalised()).collect(),
            suspect: suspect as u64,
            changes: judged.changes,
        });
        self.progress.filled_steps += u64::from(!complete);
        self.progress.steps = ensembles.steps();
        self.progress.state_time = ensembles.time();
        let of_shadow = self.shadow.as_mut().map(|shadow| {
            let predicted_m3_s = shadow.advance(&forcing)?;
            shadow.observe(step, &predicted_m3_s, &read)
        });
        self.or_without_shadow(of_shadow.transpose());
        self.weather.forget(step);
        Ok(())
    }
}
