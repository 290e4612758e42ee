//! The role itself: tick after tick from the log to the log, with a snapshot now and then.

use std::sync::Arc;

use nilometer_definitions::Pipeline;
use nilometer_engine::{Appended, Balance, Log, Message, Outbox, Partition, Snapshots, Stop, off_reactor, turn};
use nilometer_schemas::{Contract, Timestamp};
use tracing::Instrument;

use crate::{
    DroughtError, DroughtMetrics, PRODUCER,
    inputs::{Inputs, Tick},
    judge::{Judge, Outputs},
    stored::{Stored, first_positions},
};

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its state is kept
    pub snapshots: Snapshots,
    /// its metrics
    pub metrics: DroughtMetrics,
    /// the partition that it judges
    pub partition: u32,
}

/// Judges one partition until its inputs are complete or the role is stopped.
///
/// # Errors
/// [`DroughtError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, DroughtError> {
    let mut outbox = Outbox::new(dependencies.log.clone());
    let mut role = Box::new(Role::resume(pipeline, dependencies).await?);
    while let Some(tick) = outbox.meanwhile(role.inputs.next_tick(&stop)).await?? {
        let turn = turn(tick.time, role.inputs.places()[0].1.checked_sub(1));
        role = role.turn(tick, &mut outbox).instrument(turn).await?;
        if stop.is_now() {
            break;
        }
    }
    role.save(&mut outbox).await?;
    Ok(role.judge.balance)
}

struct Role {
    dependencies: Dependencies,
    inputs: Inputs,
    judge: Judge,
    snapshot_every: u32,
    saved: Timestamp,
    ticks_since_save: u32,
}

impl Role {
    /// Everything of one tick. Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
    async fn turn(mut self: Box<Self>, tick: Tick, outbox: &mut Outbox) -> Result<Box<Self>, DroughtError> {
        let timer = self.dependencies.metrics.role.seconds.start_timer();
        let time = tick.time;
        let (mut role, outputs) = off_reactor(move || {
            let outputs = self.judge.take(&tick);
            (self, outputs)
        })
        .await?;
        role.commit(time, outputs?, outbox).await?;
        timer.observe_duration();
        Ok(role)
    }

    async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<Self, DroughtError> {
        let (mut stored, mut columns) = (None, None);
        if let Some(found) = dependencies.snapshots.newest::<Stored>().await? {
            stored = Some(found.content.into_current(PRODUCER)?);
            columns = Some(found.columns);
        }
        let positions = match &stored {
            Some(stored) => stored.positions,
            None => first_positions(&*dependencies.log, dependencies.partition).await?,
        };
        let snapshot_every = pipeline.log.snapshot_every;
        let judge = Judge::new(pipeline, stored.unwrap_or_default(), columns.as_ref())?;
        let role = Self {
            inputs: Inputs::new(dependencies.log.clone(), dependencies.partition, positions),
            snapshot_every,
            saved: judge.tick,
            ticks_since_save: 0,
            judge,
            dependencies,
        };
        if role.saved > Timestamp::default() {
            tracing::info!(tick = %role.saved, "droughts resume");
            role.dependencies.metrics.role.reached(role.saved);
        }
        for (partition, position) in role.inputs.places() {
            role.dependencies.metrics.role.at(partition, position);
        }
        Ok(role)
    }

    async fn commit(&mut self, time: Timestamp, outputs: Outputs, outbox: &mut Outbox) -> Result<(), DroughtError> {
        let number = self.dependencies.partition;
        let message = |contract, batch| {
            let message = Message { time, producer: PRODUCER, sequence: time.0, batch };
            (Partition::new(contract, number), message)
        };
        // Those of a tick are in the log before its droughts, with which the role alert reads them.
        if let Some(rows) = outputs.outlooks {
            let (partition, message) = message(Contract::DroughtOutlook, rows.into_batch());
            outbox.meanwhile(self.dependencies.log.append(partition, message)).await??;
        }
        let scores = outputs.scores;
        let of_scores = scores.as_ref().map(|rows| message(Contract::OutlookScore, rows.batch().clone()));
        // Also where there are none: the role alert knows by it that nothing earlier is still to come.
        let droughts = message(Contract::Drought, outputs.droughts.into_batch());
        let (metrics, places) = (self.dependencies.metrics.clone(), self.inputs.places());
        let shown = move |appended: &[Appended]| {
            // What had been appended before a restart is counted already.
            let new = scores.iter().filter(|_| matches!(appended.first(), Some(Appended::At(_))));
            new.for_each(|scores| metrics.show(scores));
            metrics.role.done(time, places);
        };
        outbox.hand_over(of_scores.into_iter().chain([droughts]), shown).await?;
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.snapshot_every { self.save(outbox).await } else { Ok(()) }
    }

    async fn save(&mut self, outbox: &mut Outbox) -> Result<(), DroughtError> {
        self.ticks_since_save = 0;
        let tick = self.judge.tick;
        if self.saved == tick {
            return Ok(());
        }
        self.judge.balance.check(&self.dependencies.metrics.role)?;
        let (state, columns) = self.judge.store(self.inputs.positions())?;
        outbox.settle().await?;
        self.dependencies.snapshots.save(tick.0, &Stored::Current(&state), &columns).await?;
        self.dependencies.metrics.role.snapshots.inc();
        self.saved = tick;
        Ok(())
    }
}
