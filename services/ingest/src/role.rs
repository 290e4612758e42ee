//! The role itself: a reader that follows the clock, and a walk from raw batches to the log.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use nilometer_connectors::{Cursor, Source};
use nilometer_definitions::Parts;
use nilometer_engine::{
    Appended, Balance, Clock, Log, Message, Metrics, Outbox, Partition, QueueSender, Snapshots, StageMetrics, Stop,
    off_reactor, queue,
};
use nilometer_schemas::{Contract, Timestamp};
use nilometer_transforms::RawBatch;
use serde::{Deserialize, Serialize};

use crate::{
    IngestError, Intake, Lines,
    route::route,
    tick::{Rows, letters_batch},
};

const PRODUCER: &str = "ingest";
/// Ticks that are read ahead of the one that is decoded.
const READ_AHEAD: usize = 4;

/// What the role needs from outside.
pub struct Dependencies {
    /// where it writes
    pub log: Arc<dyn Log>,
    /// where its cursors and memory are kept
    pub snapshots: Snapshots,
    /// what is read, in the order in which a tick takes them
    pub sources: Vec<Box<dyn Source>>,
    /// how it is decoded
    pub lines: Lines,
    /// what makes ticks
    pub clock: Clock,
    /// ticks between snapshots
    pub snapshot_every: u32,
    /// whether sources may give more at a second reading, as in operations; then every tick is planned before it is
    /// appended
    pub growing: bool,
    /// the process's metrics
    pub metrics: Metrics,
    /// the partitions that it feeds
    pub parts: Parts,
}

/// A tick that was read and may have been appended in part. What was read of it is what a redo reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    tick: Timestamp,
    cursors: BTreeMap<String, Cursor>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// last tick that was appended
    tick: Option<Timestamp>,
    /// where each source is after it
    cursors: BTreeMap<String, Cursor>,
    intake: Intake,
    /// the tick after it, where sources may have grown since
    planned: Option<Planned>,
}

/// A tick as it was read.
struct ReadTick {
    tick: Timestamp,
    batches: Vec<RawBatch>,
    cursors: BTreeMap<String, Cursor>,
}

/// Runs until the clock's history has ended or the role is stopped; then its memory is saved.
///
/// # Errors
/// [`IngestError`] when the role cannot go on.
pub async fn run(dependencies: Dependencies, stop: Stop) -> Result<Balance, IngestError> {
    let Dependencies { log, snapshots, sources, lines, clock, snapshot_every, growing, metrics, parts } = dependencies;
    let mut kept = snapshots.newest::<Kept>().await?.map(|s| s.content).unwrap_or_default();
    let stage = metrics.stage(PRODUCER);
    if let Some(tick) = kept.tick {
        tracing::info!(%tick, "resuming from a snapshot");
        stage.reached(tick);
    }
    let (sender, mut receiver) = queue::<Result<ReadTick, IngestError>>("raw", READ_AHEAD, &metrics);
    let reader = tokio::spawn(read_ticks(sources, clock, kept.clone(), sender, stop.clone()));
    let outbox = Outbox::new(log.clone());
    let mut writer = Writer { log, outbox, snapshots, lines: Some(lines), stage, parts };
    let mut since_save = 0;
    while let Some(read) = writer.outbox.meanwhile(receiver.receive()).await? {
        let ReadTick { tick, batches, cursors } = read?;
        if growing {
            kept.planned = Some(Planned { tick, cursors: cursors.clone() });
            writer.save(&kept).await?;
        }
        let rows = writer.decode(&mut kept, batches).await?;
        writer.append(tick, rows).await?;
        kept.tick = Some(tick);
        kept.cursors = cursors;
        kept.planned = None;
        since_save += 1;
        if since_save >= snapshot_every && !growing {
            writer.save(&kept).await?;
            since_save = 0;
        }
    }
    // The receiver is empty and closed: what was read has been handed over.
    drop(receiver);
    reader.await?;
    if since_save > 0 {
        writer.save(&kept).await?;
    }
    Ok(kept.intake.balance)
}

/// Reads every source at every tick and hands over what came. A full queue holds it back.
async fn read_ticks(
    mut sources: Vec<Box<dyn Source>>,
    clock: Clock,
    kept: Kept,
    sender: QueueSender<Result<ReadTick, IngestError>>,
    stop: Stop,
) {
    let Kept { tick: mut last, mut cursors, mut planned, .. } = kept;
    loop {
        let redo = planned.take();
        let next = match &redo {
            Some(planned) => Some(planned.tick),
            None => stop.or(clock.tick(last)).await.flatten(),
        };
        let Some(tick) = next else { return };
        let reading = off_reactor(move || {
            let read = read_sources(&mut sources, &mut cursors, redo.as_ref(), tick);
            (sources, cursors, read)
        });
        let Ok((back, after, read)) = reading.await else { return };
        (sources, cursors) = (back, after);
        let failed = read.is_err();
        let read = read.map(|batches| ReadTick { tick, batches, cursors: cursors.clone() });
        if sender.send(read).await.is_err() || failed {
            return;
        }
        last = Some(tick);
    }
}

fn read_sources(
    sources: &mut [Box<dyn Source>],
    cursors: &mut BTreeMap<String, Cursor>,
    redo: Option<&Planned>,
    until: Timestamp,
) -> Result<Vec<RawBatch>, IngestError> {
    let mut all = Vec::new();
    for source in sources {
        let name = source.name().to_owned();
        let cursor = cursors.get(&name).cloned().unwrap_or_default();
        let read = match redo.and_then(|planned| planned.cursors.get(&name)) {
            Some(planned) => source.read_again(&cursor, planned, until),
            None => source.read(&cursor, until),
        };
        let (batches, after) = read.map_err(|source| IngestError::Source { name: name.clone(), source })?;
        cursors.insert(name, after);
        all.extend(batches);
    }
    Ok(all)
}

struct Writer {
    log: Arc<dyn Log>,
    outbox: Outbox,
    snapshots: Snapshots,
    lines: Option<Lines>,
    stage: StageMetrics,
    parts: Parts,
}

impl Writer {
    async fn decode(&mut self, kept: &mut Kept, batches: Vec<RawBatch>) -> Result<Rows, IngestError> {
        let timer = self.stage.seconds.start_timer();
        let Some(mut lines) = self.lines.take() else { unreachable!("decode gives the lines back") };
        let mut intake = std::mem::take(&mut kept.intake);
        let (lines, intake, rows) = off_reactor(move || {
            let rows = intake.take(&batches, &mut lines);
            (lines, intake, rows)
        })
        .await?;
        (self.lines, kept.intake) = (Some(lines), intake);
        timer.observe_duration();
        rows
    }

    /// Hands a tick over to the log: the letters first, and they are waited for, so that nothing is used before what was refused beside it is
    /// known.
    async fn append(&mut self, tick: Timestamp, rows: Rows) -> Result<(), IngestError> {
        if !rows.letters.is_empty() {
            let letters = Partition::new(Contract::DeadLetter, self.parts.first());
            let message = message(tick, letters_batch(&rows.letters)?.into_batch());
            if self.outbox.meanwhile(self.log.append(letters, message)).await?? != Appended::Already {
                for letter in &rows.letters {
                    self.stage.dead_letter(letter.reason);
                    tracing::warn!(source = letter.source, locator = letter.locator, reason = %letter.reason, detail = letter.detail, "dead letter");
                }
            }
        }
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
        let stage = self.stage.clone();
        Ok(self.outbox.hand_over(messages, move |_| stage.done(tick, [])).await?)
    }

    async fn save(&mut self, kept: &Kept) -> Result<(), IngestError> {
        self.outbox.settle().await?;
        kept.intake.balance.check(&self.stage)?;
        // A plan comes before the state that follows from it.
        let time = kept.planned.as_ref().map(|p| p.tick).or(kept.tick.map(|t| Timestamp(t.0 + 1)));
        let Some(time) = time else { return Ok(()) };
        self.snapshots.save(time.0, kept, &[]).await?;
        self.stage.snapshots.inc();
        Ok(())
    }
}

fn message(tick: Timestamp, batch: RecordBatch) -> Message<'static> {
    Message { time: tick, producer: PRODUCER, sequence: tick.0, batch }
}
