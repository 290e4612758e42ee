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
    #[serde(default)]
    pub(crate) drought_outlook: Position,
}

/// The topics of a partition. The forecast role appends a message of events at each of its ticks, behind what it had read of the gauges, and ingest those
/// of operators before these: so what there is of the other topics up to an event's tick is in the log.
pub(crate) struct Inputs {
    events: Input,
    observations: Input,
    operators: Input,
    /// there where droughts are judged; it has a message of every tick that the events have
    droughts: Option<Input>,
    /// of a tick in the log before its droughts; mostly there is none
    drought_outlooks: Option<Input>,
    /// behind the last tick that was read whole
    read: Positions,
}

/// What one tick brought.
pub(crate) struct Tick {
    pub(crate) time: Timestamp,
    pub(crate) events: Vec<Record>,
    pub(crate) observations: Vec<Record>,
    pub(crate) operators: Vec<Record>,
    pub(crate) droughts: Vec<Record>,
    pub(crate) drought_outlooks: Vec<Record>,
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
            drought_outlooks: droughts.then(|| input(Contract::DroughtOutlook, at.drought_outlook)),
            read: at,
        }
    }

    /// Reads one tick; `None` at the end.
    pub(crate) async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, AlertError> {
        let Some(time) = self.events.next_time(stop).await?.filter(|_| !stop.is_now()) else { return Ok(None) };
        let mut droughts = Vec::new();
        if let Some(input) = &mut self.droughts {
            // All up to that of this tick, also where the topic began before the events; one that the log has lost is a tick without droughts.
            while let Some(next) = input.next_time(stop).await?.filter(|_| !stop.is_now()) {
                droughts.extend(input.take(time));
                if next >= time {
                    break;
                }
            }
        }
        let mut drought_outlooks = Vec::new();
        if let Some(input) = &mut self.drought_outlooks {
            drought_outlooks = input.take_up_to(time, stop).await?;
        }
        let events = self.events.take(time).into_iter().collect();
        let observations = self.observations.take_up_to(time, stop).await?;
        let operators = self.operators.take_up_to(time, stop).await?;
        // What was asked to end at once may lack a part of the tick, which is read again at the next start.
        if stop.is_now() {
            return Ok(None);
        }
        // Lost readings the forecast role reports.
        self.observations.take_lost();
        let of_droughts = [self.droughts.as_mut(), self.drought_outlooks.as_mut()];
        let counted = [Some(&mut self.events), Some(&mut self.operators)].into_iter().chain(of_droughts);
        let lost = counted.flatten().flat_map(Input::take_lost).map(|lost| lost.rows).sum();
        self.read = Positions {
            event: self.events.position(),
            observation: self.observations.position(),
            operator: self.operators.position(),
            drought: self.droughts.as_ref().map_or(self.read.drought, Input::position),
            drought_outlook: self.drought_outlooks.as_ref().map_or(self.read.drought_outlook, Input::position),
        };
        Ok(Some(Tick { time, events, observations, operators, droughts, drought_outlooks, lost }))
    }

    /// Where each topic is read on behind the last tick that was given.
    pub(crate) const fn positions(&self) -> Positions {
        self.read
    }

    pub(crate) fn places(&self) -> Vec<(Partition, u64)> {
        [&self.events, &self.observations, &self.operators]
            .into_iter()
            .chain(&self.droughts)
            .chain(&self.drought_outlooks)
            .map(Input::place)
            .collect()
    }
}
