//! Sandboxes: where forecasts are made again, one at a time. Nothing of it goes to the log or the store.

use std::{collections::BTreeMap, time::Duration};

use nilometer_forecast::{SandboxDependencies, SandboxError};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::problem::Problem;

/// How long making forecasts again may take: a state that is far back is reached tick by tick.
const LONGEST: Duration = Duration::from_secs(120);

/// What the forecasts of each partition are made again from; none where this process cannot run models.
pub type Partitions = BTreeMap<u32, SandboxDependencies>;

/// The place for it.
pub(crate) struct Sandboxes {
    partitions: Partitions,
    place: Semaphore,
}

impl Sandboxes {
    pub(crate) fn new(partitions: Partitions) -> Self {
        Self { partitions, place: Semaphore::new(1) }
    }

    /// What a partition's forecasts are made again from, and the place to do so.
    fn enter(&self, partition: u32) -> Result<(SandboxDependencies, SemaphorePermit<'_>), Problem> {
        let Some(dependencies) = self.partitions.get(&partition) else {
            return Err(Problem::not_ready(
                "this process runs no models; accepted is one with ONNX Runtime, whose log says what is missing",
            ));
        };
        let place = self.place.try_acquire().map_err(|_| {
            Problem::too_many("another forecast is being made again; accepted is one at a time: try again")
        })?;
        Ok((dependencies.clone(), place))
    }

    /// Does `work` with what a partition's forecasts are made again from, within a time.
    pub(crate) async fn run<T, F: Future<Output = Result<T, SandboxError>>>(
        &self,
        partition: u32,
        work: impl FnOnce(SandboxDependencies) -> F,
    ) -> Result<T, Problem> {
        let (dependencies, _place) = self.enter(partition)?;
        let done = timeout(LONGEST, work(dependencies)).await;
        let seconds = LONGEST.as_secs();
        done.map_err(|_| {
            Problem::not_ready(format!(
                "the state of that time is not reached within {seconds} s; accepted is a time nearer to a snapshot, or the command on the store"
            ))
        })?
        .map_err(Problem::from)
    }
}

impl From<SandboxError> for Problem {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Question(_) => Self::bad_request(error.to_string()),
            SandboxError::NotIssued { .. } | SandboxError::StateGone { .. } => Self::not_found(error.to_string()),
            SandboxError::Differs { .. } => Self::conflict(error.to_string()),
            SandboxError::Forecast(error) => Self::internal(&error),
        }
    }
}
