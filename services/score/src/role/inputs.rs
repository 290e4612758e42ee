//! Inputs: the forecasts, those of shadows and the observations of a partition, tick by tick.

use std::sync::Arc;

use nilometer_engine::{Input, Log, Partition, Position, Record, Stop};
use nilometer_schemas::{Contract, Timestamp};

use crate::{ScoreError, waiting::Mark};

/// The topics that a partition's scores come from.
pub(super) struct Inputs {
    pub(super) forecasts: ForecastTopic,
    pub(super) shadow_forecasts: ForecastTopic,
    observations: Input,
}

/// A topic of forecasts, and what was received of it.
pub(super) struct ForecastTopic {
    pub(super) input: Input,
    /// rows of the topic before the first that was received
    pub(super) origin: u64,
    pub(super) received: u64,
}

/// What one tick brought.
pub(super) struct Tick {
    pub(super) time: Timestamp,
    pub(super) observations: Vec<Record>,
    pub(super) forecasts: Vec<Record>,
    pub(super) shadow_forecasts: Vec<Record>,
    /// where the forecasts began
    pub(super) mark: Mark,
}

impl Inputs {
    pub(super) fn new(log: Arc<dyn Log>, partition: u32, mark: Mark) -> Self {
        let input = |contract, position| Input::new(log.clone(), Partition::new(contract, partition), position);
        let topic = |contract, position: Position| ForecastTopic {
            input: input(contract, position),
            origin: position.rows,
            received: 0,
        };
        Self {
            forecasts: topic(Contract::Forecast, mark.forecast),
            shadow_forecasts: topic(Contract::ShadowForecast, mark.shadow_forecast),
            observations: input(Contract::Observation, mark.observation),
        }
    }

    /// Reads one tick: of both inputs, all messages up to the earliest watermark that is new. `None` at the end.
    pub(super) async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, ScoreError> {
        let first = self.forecasts.input.next_time(stop).await?;
        let second = self.observations.next_time(stop).await?;
        let Some(time) = first.into_iter().chain(second).min().filter(|_| !stop.is_now()) else { return Ok(None) };
        let mut observations = Vec::new();
        while let Some(record) = self.observations.take(time) {
            observations.push(record);
            self.observations.look().await?;
        }
        let mark = self.here();
        let mut forecasts = Vec::new();
        while let Some(record) = self.forecasts.input.take(time) {
            forecasts.push(record);
            self.forecasts.input.look().await?;
        }
        // A shadow's forecasts are in the log before those in force of their time; its topic has no message where there is no shadow.
        let shadow_forecasts = self.shadow_forecasts.input.take_up_to(time, stop).await?;
        // Damaged forecasts are counted by the rows that the next message says came before it; damaged observations the forecast role reports.
        for input in [&mut self.observations, &mut self.forecasts.input, &mut self.shadow_forecasts.input] {
            input.take_lost();
        }
        Ok(Some(Tick { time, observations, forecasts, shadow_forecasts, mark }))
    }

    /// Where each topic is read on.
    pub(super) fn here(&self) -> Mark {
        Mark {
            forecast: self.forecasts.input.position(),
            shadow_forecast: self.shadow_forecasts.input.position(),
            observation: self.observations.position(),
        }
    }

    pub(super) fn places(&self) -> [(Partition, u64); 3] {
        [&self.forecasts.input, &self.shadow_forecasts.input, &self.observations].map(Input::place)
    }
}
