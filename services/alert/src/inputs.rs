//! Inputs: what forecasts say, what gauges read and what operators do, tick by tick.

use std::sync::Arc;

use nilometer_engine::{Input, Log, Partition, Position, Record, Stop};
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AlertError;

/// Where each topic is read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Positions {
    pub(crate) event: Position,
    pub(crate) observation: Position,
    pub(crate) operator: Position,
    /// where droughts are judged
    #[serde(default)]
    pub(crate) drought: Position,
}

/// The topics of a partition. The forecast role appends a message of events at each of its ticks, behind what it had read of the gauges, and ingest those
/// of operators before these: so what there is of the other topics up to an event's tick is in the log.
pub(crate) struct Inputs {
    events: Input,
    observations: Input,
    operators: Input,
    /// there where droughts are judged; it has a message of every tick that the events have
    droughts: Option<Input>,
}

/// What one tick brought.
pub(crate) struct Tick {
    pub(crate) time: Timestamp,
    pub(crate) events: Vec<Record>,
    pub(crate) observations: Vec<Record>,
    pub(crate) operators: Vec<Record>,
    pub(crate) droughts: Vec<Record>,
    /// rows of events, operators and droughts that the log has lost
    pub(crate) lost: u64,
}

impl Inputs {
    pub(crate) fn new(log: Arc<dyn Log>, partition: u32, at: Positions, droughts: bool) -> Self {
        let input = |contract, position| Input::new(log.clone(), Partition::new(contract, partition), position);
        Self {
            events: input(Contract::Event, at.event),
            observations: input(Contract::Observation, at.observation),
            operators: input(Contract::Operator, at.operator),
            droughts: droughts.then(|| input(Contract::Drought, at.drought)),
        }
    }

    /// Reads one tick; `None` at the end.
    pub(crate) async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, AlertError> {
        let Some(time) = self.events.next_time(stop).await?.filter(|_| !stop.is_now()) else { return Ok(None) };
        let mut droughts = Vec::new();
        if let Some(input) = &mut self.droughts {
            // A tick that the log has lost of them is one without droughts.
            if input.next_time(stop).await?.is_none() || stop.is_now() {
                return Ok(None);
            }
            droughts.extend(std::iter::from_fn(|| input.take(time)));
        }
        let events = self.events.take(time).into_iter().collect();
        let observations = self.observations.take_up_to(time, stop).await?;
        let operators = self.operators.take_up_to(time, stop).await?;
        // Lost readings the forecast role reports.
        self.observations.take_lost();
        let counted = [Some(&mut self.events), Some(&mut self.operators), self.droughts.as_mut()];
        let lost = counted.into_iter().flatten().flat_map(Input::take_lost).map(|lost| lost.rows).sum();
        Ok(Some(Tick { time, events, observations, operators, droughts, lost }))
    }

    /// Where each topic is read on.
    pub(crate) fn positions(&self) -> Positions {
        Positions {
            event: self.events.position(),
            observation: self.observations.position(),
            operator: self.operators.position(),
            drought: self.droughts.as_ref().map_or_else(Position::default, Input::position),
        }
    }

    pub(crate) fn places(&self) -> Vec<(Partition, u64)> {
        [&self.events, &self.observations, &self.operators]
            .into_iter()
            .chain(&self.droughts)
            .map(Input::place)
            .collect()
    }
}
