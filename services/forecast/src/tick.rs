//! Tick: what the log brings a partition at one time, each row read once.

use arrow::array::RecordBatch;
use nilometer_alignment::{CatchmentIndex, ForcingContent, ObservationContent};
use nilometer_engine::{Input, Lost, Partition, Position, Record, Stop};
use nilometer_packages::Mixture;
use nilometer_schemas::{Actions, LevelChange, Models, SchemaError, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ForecastError;

/// Rows of one tick.
pub(crate) struct Tick {
    pub(crate) time: Timestamp,
    /// what is in force from it on
    pub(crate) models: Vec<Received<ModelContent>>,
    /// levels that operators give thresholds from it on; none of rows that do something else
    pub(crate) levels: Vec<Received<Option<LevelChange>>>,
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

/// What a row of model.v1 says.
#[derive(Debug, Clone)]
pub(crate) struct ModelContent {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) package_sha256: String,
    pub(crate) weights_sha256: String,
    pub(crate) weight: f64,
    pub(crate) reason: String,
    pub(crate) author: String,
    /// the models, once they are loaded; or why they are of no use
    pub(crate) models: Result<Mixture, String>,
}

/// Where the inputs of a partition are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Positions {
    #[serde(default)]
    pub(crate) model: Position,
    pub(crate) forcing: Position,
    pub(crate) observation: Position,
    #[serde(default)]
    pub(crate) operator: Position,
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

/// The topics that a partition is forecast from.
pub(crate) struct Inputs {
    /// has no message in most ticks
    pub(crate) models: Input,
    /// has no message in most ticks
    pub(crate) operators: Input,
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
        // Those of a tick are in the log before its other rows.
        let end = self.models.end().await?;
        let models = take(&mut self.models, time, Some((end, stop)), read_models).await?;
        let end = self.operators.end().await?;
        let levels = take(&mut self.operators, time, Some((end, stop)), read_levels).await?;
        let forcings = take(&mut self.forcings, time, None, |batch| index.forcings(batch)).await?;
        let observations = take(&mut self.observations, time, None, |batch| index.observations(batch)).await?;
        let mut lost = Vec::new();
        for input in [&mut self.models, &mut self.operators, &mut self.forcings, &mut self.observations] {
            let partition = input.partition();
            lost.extend(input.take_lost().into_iter().map(|lost| (partition, lost)));
        }
        let positions = Positions {
            model: self.models.position(),
            forcing: self.forcings.position(),
            observation: self.observations.position(),
            operator: self.operators.position(),
        };
        Ok(Some(Tick { time, models, levels, forcings, observations, lost, positions }))
    }

    /// Where each topic is read on.
    pub(crate) fn places(&self) -> [(Partition, u64); 4] {
        [&self.models, &self.operators, &self.forcings, &self.observations].map(Input::place)
    }
}

/// The rows of a message of model.v1. Nothing is loaded yet.
fn read_models(batch: &RecordBatch) -> Result<Vec<ModelContent>, SchemaError> {
    let rows = Models::try_from(batch.clone())?;
    let content = |row: usize| ModelContent {
        name: rows.name().value(row).to_owned(),
        version: rows.version().value(row).to_owned(),
        package_sha256: rows.package_sha256().value(row).to_owned(),
        weights_sha256: rows.weights_sha256().value(row).to_owned(),
        weight: rows.weight().value(row),
        reason: rows.reason().value(row).to_owned(),
        author: rows.author().value(row).to_owned(),
        models: Err("it is not loaded".to_owned()),
    };
    Ok((0..rows.len()).map(content).collect())
}

/// What the rows of a message of operator.v1 do to levels.
fn read_levels(batch: &RecordBatch) -> Result<Vec<Option<LevelChange>>, SchemaError> {
    let rows = Actions::try_from(batch.clone())?;
    Ok((0..rows.len()).map(|row| rows.level_change(row)).collect())
}

/// The messages of an input up to `time`; those before the position of `until` are waited for where it is named.
async fn take<T>(
    input: &mut Input,
    time: Timestamp,
    until: Option<(u64, &Stop)>,
    read: impl Fn(&RecordBatch) -> Result<Vec<T>, SchemaError>,
) -> Result<Vec<Received<T>>, ForecastError> {
    let (partition, mut messages) = (input.partition(), Vec::new());
    if let Some((end, stop)) = until {
        input.look_until(end, stop).await?;
    }
    while let Some(Record { position, batch, .. }) = input.take(time) {
        messages.push(Received { partition, position, rows: read(&batch), batch });
        match until {
            Some((end, stop)) => input.look_until(end, stop).await?,
            None => input.look().await?,
        }
    }
    Ok(messages)
}
