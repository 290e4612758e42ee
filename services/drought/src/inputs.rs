//! Inputs: states, readings and forcing, tick by tick.

use std::sync::Arc;

use nilometer_engine::{Input, Log, Partition, Position, Record, Stop};
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};

use crate::DroughtError;

/// Where each topic is read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Positions {
    pub(crate) state: Position,
    pub(crate) observation: Position,
    pub(crate) forcing: Position,
    #[serde(default)]
    pub(crate) outlook: Position,
}

/// The topics of a partition. Where droughts are judged the forecast role appends a message of states at each of its ticks, behind its outlook of that
/// tick and what it had read of the other two: so what there is of these up to that tick is in the log.
pub(crate) struct Inputs {
    states: Input,
    observations: Input,
    forcings: Input,
    /// has no message in most ticks
    outlooks: Input,
    /// behind the last tick that was read whole
    read: Positions,
}

/// What one tick brought.
pub(crate) struct Tick {
    pub(crate) time: Timestamp,
    pub(crate) states: Vec<Record>,
    pub(crate) observations: Vec<Record>,
    pub(crate) forcings: Vec<Record>,
    pub(crate) outlooks: Vec<Record>,
    /// rows of states and outlooks that the log has lost
    pub(crate) lost: u64,
}

impl Inputs {
    pub(crate) fn new(log: Arc<dyn Log>, partition: u32, at: Positions) -> Self {
        let input = |contract, position| Input::new(log.clone(), Partition::new(contract, partition), position);
        Self {
            states: input(Contract::State, at.state),
            observations: input(Contract::Observation, at.observation),
            forcings: input(Contract::Forcing, at.forcing),
            outlooks: input(Contract::Outlook, at.outlook),
            read: at,
        }
    }

    /// Reads one tick; `None` at the end.
    pub(crate) async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, DroughtError> {
        let Some(time) = self.states.next_time(stop).await?.filter(|_| !stop.is_now()) else { return Ok(None) };
        let states = self.states.take(time).into_iter().collect();
        let observations = self.observations.take_up_to(time, stop).await?;
        let forcings = self.forcings.take_up_to(time, stop).await?;
        let outlooks = self.outlooks.take_up_to(time, stop).await?;
        // What was asked to end at once may lack a part of the tick, which is read again at the next start.
        if stop.is_now() {
            return Ok(None);
        }
        // Lost readings and forcing the forecast role reports.
        self.observations.take_lost();
        self.forcings.take_lost();
        let lost = [&mut self.states, &mut self.outlooks].into_iter().flat_map(Input::take_lost);
        let lost = lost.map(|lost| lost.rows).sum();
        self.read = Positions {
            state: self.states.position(),
            observation: self.observations.position(),
            forcing: self.forcings.position(),
            outlook: self.outlooks.position(),
        };
        Ok(Some(Tick { time, states, observations, forcings, outlooks, lost }))
    }

    /// Where each topic is read on behind the last tick that was given.
    pub(crate) const fn positions(&self) -> Positions {
        self.read
    }

    pub(crate) fn places(&self) -> [(Partition, u64); 4] {
        [&self.states, &self.observations, &self.forcings, &self.outlooks].map(Input::place)
    }
}
