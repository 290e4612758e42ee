//! The writer: what was read becomes rows, and a tick's rows go to the log, partition by partition.

use std::sync::Arc;

use arrow::array::RecordBatch;
use nilometer_definitions::Partitioning;
use nilometer_engine::{
    Appended, Columns, DeadLetterLog, Log, Message, Outbox, Partition, RoleMetrics, Snapshots, off_reactor,
};
use nilometer_schemas::{Contract, Timestamp};
use nilometer_transforms::RawBatch;

use crate::{
    IngestError, Lines, PRODUCER,
    asked::AskedRows,
    route::route,
    state::{IngestState, Stored},
    tick::{Rows, dead_letters_batch},
};

/// Decodes what was read and writes it to the log.
pub(crate) struct Writer {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) outbox: Outbox,
    pub(crate) snapshots: Snapshots,
    pub(crate) lines: Option<Lines>,
    pub(crate) role_metrics: RoleMetrics,
    pub(crate) parts: Partitioning,
    pub(crate) dead_letters: DeadLetterLog,
}

impl Writer {
    pub(crate) async fn decode(
        &mut self,
        state: &mut IngestState,
        batches: Vec<RawBatch>,
    ) -> Result<Rows, IngestError> {
        let timer = self.role_metrics.seconds.start_timer();
        let Some(mut lines) = self.lines.take() else { unreachable!("decode gives the lines back") };
        let mut intake = std::mem::take(&mut state.intake);
        let (lines, intake, rows) = off_reactor(move || {
            let rows = intake.take(&batches, &mut lines);
            (lines, intake, rows)
        })
        .await?;
        (self.lines, state.intake) = (Some(lines), intake);
        timer.observe_duration();
        rows
    }

    /// Hands a tick over to the log: what was asked and the dead letters first, and they are waited for. So a reader that has the tick's rows finds the
    /// models that are in force for it, and nothing is used before what was refused beside it is known.
    pub(crate) async fn append(&mut self, tick: Timestamp, asked: AskedRows, rows: Rows) -> Result<(), IngestError> {
        let AskedRows { models, actions } = asked;
        if !models.is_empty() {
            for number in self.parts.numbers() {
                let message = message(tick, models.batch().clone());
                self.outbox.meanwhile(self.log.append(Partition::new(Contract::Model, number), message)).await??;
            }
        }
        if !actions.is_empty() {
            let numbers: Vec<u32> = self.parts.numbers().collect();
            let of_station = |station: &str| self.parts.of_station(station);
            let parted = route(actions.batch(), actions.station(), &numbers, of_station)?;
            for (number, rows) in numbers.into_iter().zip(parted).filter(|(_, rows)| rows.num_rows() > 0) {
                let message = message(tick, rows);
                self.outbox.meanwhile(self.log.append(Partition::new(Contract::Operator, number), message)).await??;
            }
        }
        if !rows.dead_letters.is_empty() {
            let dead_letters = Partition::new(Contract::DeadLetter, self.parts.first());
            let message = message(tick, dead_letters_batch(&rows.dead_letters)?.into_batch());
            if self.outbox.meanwhile(self.log.append(dead_letters, message)).await?? != Appended::Already {
                for dead_letter in &rows.dead_letters {
                    self.role_metrics.dead_letter(dead_letter.reason);
                }
                self.dead_letters.count(&rows.dead_letters);
            }
        }
        self.dead_letters.tick();
        let numbers: Vec<u32> = self.parts.numbers().collect();
        let Rows { forcings, observations, .. } = rows;
        let forcings =
            route(forcings.batch(), forcings.catchment(), &numbers, |catchment| self.parts.of_catchment(catchment))?;
        let observations =
            route(observations.batch(), observations.station(), &numbers, |station| self.parts.of_station(station))?;
        let of_partitions = numbers.iter().zip(forcings.into_iter().zip(observations));
        let messages = of_partitions.flat_map(|(&number, (forcings, observations))| {
            [(Contract::Forcing, forcings), (Contract::Observation, observations)]
                .map(|(contract, rows)| (Partition::new(contract, number), message(tick, rows)))
        });
        let role_metrics = self.role_metrics.clone();
        Ok(self.outbox.hand_over(messages, move |_| role_metrics.done(tick, [])).await?)
    }

    pub(crate) async fn save(&mut self, state: &IngestState) -> Result<(), IngestError> {
        self.outbox.settle().await?;
        state.intake.balance.check(&self.role_metrics)?;
        // A plan comes before the state that follows from it.
        let time = state.planned.as_ref().map(|p| p.look.tick).or(state.tick.map(|t| Timestamp(t.0 + 1)));
        let Some(time) = time else { return Ok(()) };
        self.snapshots.save(time.0, &Stored::Current(state), &Columns::default()).await?;
        self.role_metrics.snapshots.inc();
        Ok(())
    }
}

fn message(tick: Timestamp, batch: RecordBatch) -> Message<'static> {
    Message { time: tick, producer: PRODUCER, sequence: tick.0, batch }
}
