//! Setting: what does not change while a partition is forecast.

use std::sync::Arc;

use nilometer_alignment::CatchmentIndex;
use nilometer_definitions::Pipeline;
use nilometer_schemas::Timestamp;

use crate::{ForecastError, first_guess::FirstGuessChecks, issue::Leads};

/// A definition, in the form that the role needs.
pub(crate) struct Setting {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) index: CatchmentIndex,
    pub(crate) partition: u32,
    pub(crate) leads: Leads,
    pub(crate) first_guess: FirstGuessChecks,
}

impl Setting {
    /// Of a checked definition.
    pub(crate) fn new(pipeline: Arc<Pipeline>, partition: u32) -> Result<Self, ForecastError> {
        Ok(Self {
            index: CatchmentIndex::new(&pipeline)?,
            partition,
            leads: Leads::new(&pipeline),
            first_guess: FirstGuessChecks::new(&pipeline),
            pipeline,
        })
    }

    /// For how long late rows are remembered: the state goes back no further.
    pub(crate) fn memory_of_late_rows_s(&self) -> i64 {
        let forecast = &self.pipeline.forecast;
        let apart_s = i64::from(self.pipeline.log.snapshot_every) * self.pipeline.time.tick_s();
        3 * forecast.lateness.seconds() + apart_s
    }

    /// Longest rollout that a forecast asks for, in steps.
    pub(crate) fn horizon(&self) -> usize {
        let wait_s = self.pipeline.forecast.wait.seconds();
        self.leads.steps + usize::try_from(wait_s / self.pipeline.time.step.seconds()).unwrap_or(0)
    }

    /// The state begins before the definition's first step, also in operations: history that is there warms it up.
    pub(crate) fn begin(&self) -> Timestamp {
        let step_s = self.pipeline.time.step.seconds();
        self.pipeline.time.from.ceil_s(step_s).plus_s(-step_s)
    }
}
