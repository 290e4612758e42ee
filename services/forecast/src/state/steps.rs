//! Steps: every step that is due is taken, with its forcing or without; what the gauges read then corrects the ensembles.

use nilometer_definitions::AssimilationMethod;
use nilometer_schemas::{Reason, Timestamp};

use super::PartitionState;
use crate::{ForecastError, ledger::Heading, report::StepReport};

impl PartitionState {
    /// Takes every step that is due by `tick`: with its forcing, or without when it has waited long enough.
    pub(super) fn take_steps(&mut self, tick: Timestamp) -> Result<(), ForecastError> {
        let (step_s, wait_s) =
            (self.setting.pipeline.time.step.seconds(), self.setting.pipeline.forecast.wait.seconds());
        loop {
            let step = self.ensembles.time().plus_s(step_s);
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
        let (forcing, forcing_rows) = self.alignment.take_step(step);
        self.ensembles.advance(&forcing)?;
        let predicted_m3_s = self.ensembles.predicted_m3_s();
        let judged =
            setting.first_guess.judge(&mut self.first_guess, &self.ensembles, &predicted_m3_s, &mut self.alignment)?;
        let mut read = self.alignment.observations_of(step);
        let at_steps = self.step_readings.take(pipeline.time.align, step, pipeline.time.step.seconds(), &read);
        self.postprocessing.observe(step, &predicted_m3_s, &at_steps);
        read.retain(|reading| !judged.downweighted.contains(&reading.subject()));
        self.ensembles.read_gauges(&read);
        let due = step.is_multiple_of_s(pipeline.assimilation.analysis_every_s(pipeline.time.step));
        let observations = if due { self.alignment.take_observations(step) } else { Vec::new() };
        self.ensembles.assimilate(&observations)?;
        let heading = Heading {
            catchments: &pipeline.catchments,
            analysis_time: tick,
            method: pipeline.assimilation.method.name(),
            model: self.models.name(),
            weights_sha256: self.models.weights_sha256(),
        };
        for (method, left_out) in [("ignored", &judged.ignored), ("gauge_shift", &judged.shifted)] {
            let heading = Heading { method, ..heading };
            heading.enter_output(&predicted_m3_s, self.ensembles.operators(), left_out, &mut self.ledger);
            balance.reject(Reason::Suspect, left_out.len() as u64);
        }
        match pipeline.assimilation.method {
            AssimilationMethod::None => {}
            // Output updating moves what the models say together.
            AssimilationMethod::Output => {
                heading.enter_output(&predicted_m3_s, self.ensembles.operators(), &observations, &mut self.ledger);
            }
            _ => {
                for (state, member) in self.ensembles.each().zip(self.models.members()) {
                    heading.of(&member.package).enter(state, &mut self.ledger);
                }
            }
        }
        balance.used += forcing_rows + observations.len() as u64;
        let suspect = judged.ignored.len() + judged.shifted.len() + judged.downweighted.len();
        self.report.steps.push(StepReport {
            step,
            filled: filled.filter(|_| !complete),
            innovations: self.ensembles.innovations().map(|innovation| innovation.normalised()).collect(),
            suspect: suspect as u64,
            changes: judged.changes,
        });
        self.progress.filled_steps += u64::from(!complete);
        self.progress.steps = self.ensembles.steps();
        self.progress.state_time = self.ensembles.time();
        self.weather.forget(step);
        Ok(())
    }
}
