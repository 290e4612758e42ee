//! Tick: what the log brings a partition at one time, each row read once.

use arrow::array::RecordBatch;
use nilometer_alignment::{CatchmentIndex, ForcingContent, ObservationContent};
use nilometer_engine::{Input, Lost, Partition, Position, Record, Stop};
use nilometer_schemas::{SchemaError, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ForecastError;

/// Rows of one tick.
pub(crate) struct Tick {
    pub(crate) time: Timestamp,
    pub(crate) forcings: Vec<Received<ForcingContent>>,
    pub(crate) observations: Vec<Received<ObservationContent>>,
    /// messages that cannot be read
    pub(crate) lost: Vec<(Partition, Lost)>,
    /// where the inputs are behind it
    pub(crate) positions: Positions,
}

/// A message: as it came, and what its rows say; or why it breaks its contract.
pub(crate) struct Received<T> {
    pub(crate) partition: Partition,
    pub(crate) position: u64,
    pub(crate) batch: RecordBatch,
    pub(crate) rows: Result<Vec<T>, SchemaError>,
}

/// Where the inputs of a partition are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Positions {
    pub(crate) forcing: Position,
    pub(crate) observation: Position,
}

impl<T> Received<T> {
    /// Position of its message and place in it, and what it says, of each row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = ((u64, usize), &T)> {
        self.rows.iter().flatten().enumerate().map(|(row, content)| ((self.position, row), content))
    }

    /// Where a row stands in the log.
    pub(crate) fn locator(&self, row: usize) -> String {
        format!("{}@{}#{row}", self.partition, self.position)
    }
}

/// The two topics that a partition is forecast from.
pub(crate) struct Inputs {
    pub(crate) forcings: Input,
    pub(crate) observations: Input,
}

impl Inputs {
    /// Reads one tick: of every input, all messages up to the earliest watermark that is new. `None` at the end.
    pub(crate) async fn next_tick(
        &mut self,
        index: &CatchmentIndex,
        stop: &Stop,
    ) -> Result<Option<Tick>, ForecastError> {
        let first = self.forcings.next_time(stop).await?;
        let second = self.observations.next_time(stop).await?;
        let Some(time) = first.into_iter().chain(second).min().filter(|_| !stop.is_now()) else { return Ok(None) };
        let forcings = take(&mut self.forcings, time, |batch| index.forcings(batch)).await?;
        let observations = take(&mut self.observations, time, |batch| index.observations(batch)).await?;
        let mut lost = Vec::new();
        for input in [&mut self.forcings, &mut self.observations] {
            let partition = input.partition();
            lost.extend(input.take_lost().into_iter().map(|lost| (partition, lost)));
        }
        let positions = Positions { forcing: self.forcings.position(), observation: self.observations.position() };
        Ok(Some(Tick { time, forcings, observations, lost, positions }))
    }

    /// Where each topic is read on.
    pub(crate) fn places(&self) -> [(Partition, u64); 2] {
        [&self.forcings, &self.observations].map(Input::place)
    }
}

/// The messages of an input up to `time`.
async fn take<T>(
    input: &mut Input,
    time: Timestamp,
    read: impl Fn(&RecordBatch) -> Result<Vec<T>, SchemaError>,
) -> Result<Vec<Received<T>>, ForecastError> {
    let (partition, mut messages) = (input.partition(), Vec::new());
    while let Some(Record { position, batch, .. }) = input.take(time) {
        messages.push(Received { partition, position, rows: read(&batch), batch });
        input.look().await?;
    }
    Ok(messages)
}
