//! The role itself: tick after tick from the log to the log, with a snapshot now and then.

use std::sync::Arc;

use nilometer_definitions::Pipeline;
use nilometer_engine::{
    Appended, Balance, Columns, DeadLetterLog, Log, Message, Outbox, Partition, Snapshots, Stop, off_reactor, turn,
};
use nilometer_schemas::{Contract, DeadLettersBuilder, Timestamp};
use tracing::Instrument;

use crate::{
    AlertError, AlertMetrics, PRODUCER,
    inputs::{Inputs, Tick},
    stored::{Stored, first_positions},
    watch::{Outputs, Watch},
};

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its state is kept
    pub snapshots: Snapshots,
    /// its metrics
    pub metrics: AlertMetrics,
    /// the partition that it watches
    pub partition: u32,
}

/// Watches one partition until its inputs are complete or the role is stopped.
///
/// # Errors
/// [`AlertError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, AlertError> {
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
    Ok(role.watch.balance)
}

struct Role {
    dependencies: Dependencies,
    inputs: Inputs,
    watch: Watch,
    dead_letters: DeadLetterLog,
    snapshot_every: u32,
    saved: Timestamp,
    ticks_since_save: u32,
}

impl Role {
    /// Everything of one tick. Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
    async fn turn(mut self: Box<Self>, tick: Tick, outbox: &mut Outbox) -> Result<Box<Self>, AlertError> {
        let timer = self.dependencies.metrics.role.seconds.start_timer();
        let time = tick.time;
        let (mut role, outputs) = off_reactor(move || {
            let outputs = self.watch.take(&tick);
            (self, outputs)
        })
        .await?;
        role.commit(time, outputs?, outbox).await?;
        timer.observe_duration();
        Ok(role)
    }

    async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<Self, AlertError> {
        let newest = dependencies.snapshots.newest::<Stored>().await?;
        let stored = newest.map(|found| found.content.into_current(PRODUCER)).transpose()?;
        let first = first_positions(&*dependencies.log, dependencies.partition).await?;
        let mut positions = stored.as_ref().map_or(first, |stored| stored.positions);
        // Of droughts nothing was read while the definition did not ask for them, and old messages may have gone.
        if positions.drought.next < first.drought.next {
            positions.drought = first.drought;
        }
        if positions.drought_outlook.next < first.drought_outlook.next {
            positions.drought_outlook = first.drought_outlook;
        }
        let snapshot_every = pipeline.log.snapshot_every;
        let droughts = pipeline.drought.is_some();
        let watch = Watch::new(pipeline, stored.unwrap_or_default())?;
        let role = Self {
            inputs: Inputs::new(dependencies.log.clone(), dependencies.partition, positions, droughts),
            dead_letters: DeadLetterLog::new(PRODUCER),
            snapshot_every,
            saved: watch.tick,
            ticks_since_save: 0,
            watch,
            dependencies,
        };
        if role.saved > Timestamp::default() {
            tracing::info!(tick = %role.saved, "alerts resume");
            role.dependencies.metrics.role.reached(role.saved);
        }
        for (partition, position) in role.inputs.places() {
            role.dependencies.metrics.role.at(partition, position);
        }
        Ok(role)
    }

    async fn commit(&mut self, time: Timestamp, outputs: Outputs, outbox: &mut Outbox) -> Result<(), AlertError> {
        let Outputs { alerts, dead_letters } = outputs;
        let message = |contract, batch| {
            let message = Message { time, producer: PRODUCER, sequence: time.0, batch };
            (Partition::new(contract, self.dependencies.partition), message)
        };
        if !dead_letters.is_empty() {
            let mut rows = DeadLettersBuilder::new();
            dead_letters.iter().for_each(|row| rows.push(row));
            let (partition, message) = message(Contract::DeadLetter, rows.finish()?.into_batch());
            if let Appended::At(_) = outbox.meanwhile(self.dependencies.log.append(partition, message)).await?? {
                dead_letters.iter().for_each(|row| self.dependencies.metrics.role.dead_letter(row.reason));
                self.dead_letters.count(&dead_letters);
            }
        }
        self.dead_letters.tick();
        for change in alerts.change().iter().flatten() {
            self.dependencies.metrics.changes.with_label_values(&[change]).inc();
        }
        self.watch.show(&self.dependencies.metrics);
        let rows = (!alerts.is_empty()).then(|| message(Contract::Alert, alerts.into_batch()));
        let (metrics, places) = (self.dependencies.metrics.role.clone(), self.inputs.places());
        outbox.hand_over(rows, move |_| metrics.done(time, places)).await?;
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.snapshot_every { self.save(outbox).await } else { Ok(()) }
    }

    async fn save(&mut self, outbox: &mut Outbox) -> Result<(), AlertError> {
        self.ticks_since_save = 0;
        if self.saved == self.watch.tick {
            return Ok(());
        }
        self.watch.balance.check(&self.dependencies.metrics.role)?;
        let state = self.watch.store(self.inputs.positions());
        outbox.settle().await?;
        let tick = self.watch.tick;
        self.dependencies.snapshots.save(tick.0, &Stored::Current(&state), &Columns::default()).await?;
        self.dependencies.metrics.role.snapshots.inc();
        self.saved = tick;
        Ok(())
    }
}
