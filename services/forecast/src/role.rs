//! The role: tick after tick from the log to the log, with a snapshot now and then.

use std::sync::Arc;

use nilometer_definitions::Pipeline;
use nilometer_engine::{Appended, Balance, DeadLetterLog, Log, Message, Outbox, Partition, Snapshots, Stop, turn};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{Contract, DeadLetterRow, DeadLettersBuilder, Timestamp};
use tracing::Instrument;

use crate::{
    ForecastError, ForecastMetrics, PRODUCER, Packages,
    publication::{Pending, Publication},
    replay::{Known, Replay, ReplayDependencies, Rewound, Taken},
    report::Reporter,
    setting::Setting,
    state::Stored,
    tick::Tick,
};

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its state is kept
    pub snapshots: Snapshots,
    /// ONNX Runtime
    pub runtime: Runtime,
    /// the definition's, which are in force until the log names others
    pub models: Mixture,
    /// those that the log names
    pub packages: Packages,
    /// its metrics
    pub metrics: ForecastMetrics,
    /// the partition that it owns
    pub partition: u32,
    /// parts of the state that may begin anew where it does not fit the definition
    pub accept_state_loss: Vec<String>,
}

/// Runs until the inputs are complete or the role is stopped; then the state is saved.
///
/// # Errors
/// [`ForecastError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, ForecastError> {
    let (mut role, mut replay) = Role::resume(pipeline, dependencies).await?;
    let mut pending = Pending::default();
    while let Some(tick) = role.outbox.meanwhile(replay.next_tick(&stop)).await?? {
        let [_, _, (_, next), _] = replay.places();
        let turn = turn(tick.time, next.checked_sub(1));
        role.turn(tick, &mut replay, &mut pending).instrument(turn).await?;
        if stop.is_now() {
            break;
        }
    }
    // Stopped on the way back to where it was, the state is not one to go on from.
    if replay.is_rewinding() {
        role.outbox.settle().await?;
    } else {
        role.save(&mut replay).await?;
    }
    Ok(replay.state().balance().clone())
}

struct Role {
    setting: Arc<Setting>,
    log: Arc<dyn Log>,
    snapshots: Snapshots,
    metrics: ForecastMetrics,
    reporter: Reporter,
    outbox: Outbox,
    saved: Timestamp,
    ticks_since_save: u32,
    dead_letters: DeadLetterLog,
}

impl Role {
    /// Everything of one tick, which is a new one, or one that is taken again on the way back to where the role was.
    async fn turn(&mut self, tick: Tick, replay: &mut Replay, pending: &mut Pending) -> Result<(), ForecastError> {
        match self.outbox.meanwhile(replay.take(tick)).await?? {
            Taken::WentBack => *pending = Pending::default(),
            Taken::Again { outputs, to, unplaced, snapshot } => {
                let ordinal = outputs.tick.0;
                pending.keep(outputs, to, &unplaced, &self.setting, replay.state().late_rows())?;
                if snapshot {
                    let (state, columns) = replay.compute(|state| state.store()).await?;
                    pending.keep_snapshot(ordinal, state, columns);
                }
            }
            Taken::New { outputs, rewound } => {
                let time = outputs.tick;
                self.reporter.show(time, &outputs.report);
                self.publish(time, pending.publish(outputs)?, replay.places()).await?;
                self.show_rewind(rewound);
                self.save_when_due(replay).await?;
            }
        }
        Ok(())
    }

    async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<(Self, Replay), ForecastError> {
        let Dependencies { log, snapshots, runtime, models, packages, metrics, partition, accept_state_loss } =
            dependencies;
        let setting = Arc::new(Setting::new(pipeline, partition)?);
        let newest = snapshots.newest::<Stored>().await?;
        let from = ReplayDependencies { log: log.clone(), snapshots: snapshots.clone(), runtime, models, packages };
        let replay = Replay::resume(setting.clone(), from, newest, &accept_state_loss, Known::All).await?;
        let saved = replay.state().progress.tick;
        if saved > Timestamp::MIN {
            metrics.role.reached(saved);
        }
        for (partition, position) in replay.places() {
            metrics.role.at(partition, position);
        }
        let role = Self {
            reporter: Reporter::new(setting.clone(), metrics.clone()),
            outbox: Outbox::new(log.clone()),
            saved,
            ticks_since_save: 0,
            dead_letters: DeadLetterLog::new(PRODUCER),
            setting,
            log,
            snapshots,
            metrics,
        };
        Ok((role, replay))
    }

    /// Hands over what goes out of a tick. Dead letters and a shadow's forecasts come first and are waited for, so that nothing is used before what
    /// was refused beside it is known, and the score role finds a shadow's forecasts of a time when it reads the others.
    async fn publish(
        &mut self,
        tick: Timestamp,
        publication: Publication,
        inputs: [(Partition, u64); 4],
    ) -> Result<(), ForecastError> {
        let Publication { forecasts, events, states, outlooks, shadow_forecasts, analyses, dead_letters, snapshots } =
            publication;
        self.publish_dead_letters(tick, &dead_letters).await?;
        let analyses = analyses.map(|rows| self.message(tick, Contract::Analysis, rows.into_batch()));
        let forecasts = forecasts.map(|rows| self.message(tick, Contract::Forecast, rows.into_batch()));
        if let Some(rows) = shadow_forecasts {
            let (partition, message) = self.message(tick, Contract::ShadowForecast, rows.into_batch());
            self.outbox.meanwhile(self.log.append(partition, message)).await??;
        }
        // Those of a tick are in the log before its states, with which the role drought reads them.
        if let Some(rows) = outlooks {
            let (partition, message) = self.message(tick, Contract::Outlook, rows.into_batch());
            self.outbox.meanwhile(self.log.append(partition, message)).await??;
        }
        let events = self.message(tick, Contract::Event, events.into_batch());
        let states = states.map(|rows| self.message(tick, Contract::State, rows.into_batch()));
        let messages = analyses.into_iter().chain(states).chain([events]).chain(forecasts);
        let metrics = self.metrics.role.clone();
        self.outbox.hand_over(messages, move |_| metrics.done(tick, inputs)).await?;
        if !snapshots.is_empty() {
            self.outbox.settle().await?;
            for (ordinal, state, columns) in snapshots {
                self.snapshots.replace(ordinal, &state, &columns).await?;
            }
        }
        Ok(())
    }

    async fn publish_dead_letters(&mut self, tick: Timestamp, rows: &[DeadLetterRow]) -> Result<(), ForecastError> {
        if !rows.is_empty() {
            let mut builder = DeadLettersBuilder::new();
            rows.iter().for_each(|row| builder.push(row));
            let (partition, message) = self.message(tick, Contract::DeadLetter, builder.finish()?.into_batch());
            if let Appended::At(_) = self.outbox.meanwhile(self.log.append(partition, message)).await?? {
                rows.iter().for_each(|row| self.metrics.role.dead_letter(row.reason));
                self.dead_letters.count(rows);
            }
        }
        self.dead_letters.tick();
        Ok(())
    }

    fn message(
        &self,
        tick: Timestamp,
        contract: Contract,
        batch: arrow::array::RecordBatch,
    ) -> (Partition, Message<'static>) {
        let message = Message { time: tick, producer: PRODUCER, sequence: tick.0, batch };
        (Partition::new(contract, self.setting.partition), message)
    }

    fn show_rewind(&self, rewound: Option<Rewound>) {
        let Some(Rewound { rows, back_s }) = rewound else { return };
        self.metrics.rewinds.inc();
        self.metrics.late_rows.inc_by(rows as u64);
        self.metrics.rewound_s.observe(back_s as f64);
    }

    async fn save_when_due(&mut self, replay: &mut Replay) -> Result<(), ForecastError> {
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.setting.pipeline.log.snapshot_every { self.save(replay).await } else { Ok(()) }
    }

    /// Saves state and positions in one object, after the balances were held to their laws.
    async fn save(&mut self, replay: &mut Replay) -> Result<(), ForecastError> {
        self.ticks_since_save = 0;
        let tick = replay.state().progress.tick;
        if self.saved == tick {
            return Ok(());
        }
        replay.state().balance().check(&self.metrics.role)?;
        let (residual_mm, tolerance_mm) = replay.state().budget_residual_mm();
        self.metrics.budget_residual_mm.set(residual_mm);
        if residual_mm > tolerance_mm {
            tracing::error!(residual_mm, tolerance_mm, "the water budget does not close");
        }
        let (state, columns) = replay.compute(|state| state.store()).await?;
        self.outbox.settle().await?;
        self.snapshots.save(tick.0, &state, &columns).await?;
        self.metrics.role.snapshots.inc();
        self.saved = tick;
        Ok(())
    }
}
