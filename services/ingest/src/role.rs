//! The role itself: a reader that follows the clock, and a walk from raw batches to the log.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use nilometer_connectors::{Cursor, Look, Source};
use nilometer_definitions::Partitioning;
use nilometer_engine::{
    Appended, Balance, Clock, Columns, DeadLetterLog, Log, Message, Metrics, Outbox, Partition, Position, QueueSender,
    RoleMetrics, SnapshotError, Snapshots, Stop, off_reactor, queue,
};
use nilometer_packages::PackageStore;
use nilometer_schemas::{Contract, Models, Timestamp};
use nilometer_transforms::RawBatch;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    IngestError, Intake, Lines, PRODUCER,
    announcements::Announcements,
    in_full,
    landing::Landing,
    route::route,
    tick::{Rows, dead_letters_batch},
};

/// Ticks that are read ahead of the one that is decoded.
const READ_AHEAD: usize = 4;

/// What the role needs from outside.
pub struct Dependencies {
    /// where it writes
    pub log: Arc<dyn Log>,
    /// the log whose raw.v1 holds what sources give once: its own in operations, and in a replay, which does not have these sources, that of the
    /// operations which it repeats
    pub raw: Arc<dyn Log>,
    /// where its cursors and memory are kept
    pub snapshots: Snapshots,
    /// the models that are announced
    pub packages: PackageStore,
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
    pub parts: Partitioning,
}

/// A tick that was read and may have been appended in part. What was read of it is what a redo reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    look: Look,
    cursors: BTreeMap<String, Cursor>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngestState {
    /// last tick that was appended
    tick: Option<Timestamp>,
    /// where each source is after it
    cursors: BTreeMap<String, Cursor>,
    intake: Intake,
    /// the tick after it, where sources may have grown since
    planned: Option<Planned>,
    /// announcements that the log has rows of
    #[serde(default)]
    announcements: u64,
    /// position of raw.v1 up to which it has taken messages
    #[serde(default)]
    raw: u64,
}

/// A tick as it was read.
struct ReadTick {
    look: Look,
    batches: Vec<RawBatch>,
    cursors: BTreeMap<String, Cursor>,
    /// position of raw.v1 behind it
    raw: u64,
}

/// Runs until the clock's history has ended or the role is stopped; then its memory is saved.
///
/// # Errors
/// [`IngestError`] when the role cannot go on.
pub async fn run(dependencies: Dependencies, stop: Stop) -> Result<Balance, IngestError> {
    let Dependencies { log, raw, snapshots, packages, sources, lines, clock, snapshot_every, growing, metrics, parts } =
        dependencies;
    let mut state = snapshots.newest::<IngestState>().await?.map(|s| s.content).unwrap_or_default();
    let role_metrics = metrics.role(PRODUCER);
    if let Some(tick) = state.tick {
        tracing::info!(%tick, "resuming from a snapshot");
        role_metrics.reached(tick);
    }
    let names: Vec<String> = lines.decoders.keys().cloned().collect();
    let (sender, mut receiver) = queue::<Result<ReadTick, IngestError>>("raw", READ_AHEAD, &metrics);
    let (once, sources): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.gives_once());
    let landing = Landing::new(raw, parts.first(), state.raw);
    let reader =
        Reader { sources, once, landing, clock, growing, failing: BTreeMap::new(), role_metrics: role_metrics.clone() };
    // It ends with the role: what it reads no other would take.
    let mut reading = JoinSet::new();
    reading.spawn(reader.run(state.clone(), sender, stop.clone()));
    let planned = state.planned.as_ref().map(|planned| planned.look.tick);
    let next = state.announcements + 1;
    let mut announcements =
        Announcements::new(packages, next, &*log, parts.numbers(), planned, growing, role_metrics.clone()).await?;
    let outbox = Outbox::new(log.clone());
    let mut writer = Writer {
        log,
        outbox,
        snapshots,
        lines: Some(lines),
        role_metrics,
        parts,
        dead_letters: DeadLetterLog::new(PRODUCER),
    };
    state.intake.sources.show(&metrics);
    let mut since_save = 0;
    while let Some(read) = writer.outbox.meanwhile(receiver.receive()).await? {
        let ReadTick { look, batches, cursors, raw } = read?;
        if growing {
            state.planned = Some(Planned { look, cursors: cursors.clone() });
            writer.save(&state).await?;
        }
        let rows = writer.decode(&mut state, batches).await?;
        writer.append(look.tick, announcements.rows(look.tick).await?, rows).await?;
        state.intake.sources.show(&metrics);
        state.tick = Some(look.tick);
        state.cursors = cursors;
        state.raw = raw;
        state.planned = None;
        state.announcements = announcements.next() - 1;
        since_save += 1;
        if since_save >= snapshot_every && !growing {
            writer.save(&state).await?;
            since_save = 0;
        }
    }
    // The receiver is empty and closed: what was read has been handed over.
    drop(receiver);
    let mut sources = reading.join_next().await.transpose()?.unwrap_or_default();
    if !growing {
        // Operations may go on from here: they have to know what has been delivered.
        for source in &mut sources {
            if let Some(cursor) = state.cursors.get_mut(source.name()) {
                let handed_over = source.handed_over(cursor);
                let name = source.name().to_owned();
                *cursor = handed_over.map_err(|source| IngestError::Source { name, source })?;
            }
        }
    }
    if since_save > 0 {
        writer.save(&state).await?;
    }
    for source in names.iter().filter(|source| !state.intake.sources.has_used(source)) {
        tracing::warn!(source, "the source gave no row that could be used");
    }
    Ok(state.intake.balance)
}

/// Reads the sources tick by tick.
struct Reader {
    sources: Vec<Box<dyn Source>>,
    /// those that give a message once
    once: Vec<Box<dyn Source>>,
    landing: Landing,
    clock: Clock,
    growing: bool,
    /// sources that could not be read at the last look, and why: each cause is said once
    failing: BTreeMap<String, String>,
    role_metrics: RoleMetrics,
}

impl Reader {
    /// Reads every source at every tick and hands over what came; gives the sources back. A full queue holds it back.
    async fn run(
        mut self,
        state: IngestState,
        sender: QueueSender<Result<ReadTick, IngestError>>,
        stop: Stop,
    ) -> Vec<Box<dyn Source>> {
        let IngestState { tick: mut last, mut cursors, mut planned, .. } = state;
        let mut behind = None;
        loop {
            let redo = planned.take();
            let next = match &redo {
                Some(planned) => Some(planned.look.tick),
                None => stop.or(self.clock.tick(last)).await.flatten(),
            };
            let Some(tick) = next else { return self.sources };
            let look = redo.as_ref().map_or_else(|| self.look(tick), |planned| planned.look);
            self.say_missed(last, look, &mut behind);
            let reading = off_reactor(move || {
                let read = self.read(&mut cursors, redo.as_ref(), look);
                (self, cursors, redo.is_some(), read)
            });
            let (redo, read);
            (self, cursors, redo, read) = match reading.await {
                Ok(back) => back,
                // The thread has taken the sources with it. Where the receiver is gone, the role has failed already.
                Err(died) => {
                    drop(sender.send(Err(died.into())).await);
                    return Vec::new();
                }
            };
            let read = match read {
                Ok(batches) => self.with_landed(batches, look, redo).await,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            let raw = self.landing.next();
            let read = read.map(|batches| ReadTick { look, batches, cursors: cursors.clone(), raw });
            if sender.send(read).await.is_err() || failed {
                return self.sources;
            }
            last = Some(tick);
        }
    }

    /// The batches of a tick with those that come from raw.v1, where the sources that give a message once are read first.
    async fn with_landed(
        &mut self,
        mut batches: Vec<RawBatch>,
        look: Look,
        redo: bool,
    ) -> Result<Vec<RawBatch>, IngestError> {
        if !redo && !self.once.is_empty() && self.landing.is_due(look).await? {
            let mut given = Vec::new();
            for source in &mut self.once {
                match source.read(&Cursor::default(), look) {
                    Ok((batches, _)) => given.extend(batches),
                    Err(error) => {
                        self.role_metrics.source_failed(source.name());
                        let why = in_full(&error);
                        if self.failing.insert(source.name().to_owned(), why.clone()).as_ref() != Some(&why) {
                            tracing::warn!(
                                source = source.name(),
                                why,
                                "the source cannot be read; it is tried again at every tick"
                            );
                        }
                    }
                }
            }
            self.landing.land(look, &given, &mut self.once).await?;
        }
        batches.extend(self.landing.take(look.tick).await?);
        Ok(batches)
    }

    fn look(&self, tick: Timestamp) -> Look {
        let (now, catching_up) = self.clock.look(tick);
        Look { tick, now, catching_up }
    }

    /// Says when ticks that were missed are made, and when all have been; in `latest`, which are not made.
    fn say_missed(&self, last: Option<Timestamp>, look: Look, behind: &mut Option<Timestamp>) {
        let every_s = self.clock.every_s();
        if let Some(first) = last.map(|last| last.plus_s(every_s)).filter(|first| *first < look.tick) {
            let ticks = look.tick.seconds_since(first) / every_s;
            tracing::warn!(from = %first, until = %look.tick.plus_s(-every_s), ticks, "ticks that were missed are not made (operations.catch_up = \"latest\"); the next has everything that came meanwhile");
        }
        match (*behind, look.catching_up) {
            (None, true) => {
                tracing::warn!(from = %look.tick, now = %look.now, "ticks were missed: they are made one by one with what would have come by then");
                *behind = Some(look.tick);
            }
            (Some(from), false) => {
                tracing::info!(%from, until = %look.tick, "all ticks that were missed are made");
                *behind = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Reads every source. In operations one that cannot be read holds up no other: it is tried again at the next tick.
    fn read(
        &mut self,
        cursors: &mut BTreeMap<String, Cursor>,
        redo: Option<&Planned>,
        look: Look,
    ) -> Result<Vec<RawBatch>, IngestError> {
        let mut all = Vec::new();
        for source in &mut self.sources {
            let name = source.name().to_owned();
            let cursor = cursors.get(&name).cloned().unwrap_or_default();
            let read = match redo.map(|planned| planned.cursors.get(&name)) {
                None => source.read(&cursor, look),
                Some(Some(planned)) => source.read_again(&cursor, planned, look),
                // It gave nothing to the tick that is done again, and what it gives now may not find a place in it.
                Some(None) => continue,
            };
            match read {
                Ok((batches, after)) => {
                    if self.failing.remove(&name).is_some() {
                        tracing::info!(source = name, "the source can be read again");
                    }
                    cursors.insert(name, after);
                    all.extend(batches);
                }
                Err(error) if self.growing && error.is_retryable() => {
                    self.role_metrics.source_failed(&name);
                    let why = in_full(&error);
                    if self.failing.insert(name.clone(), why.clone()).as_ref() != Some(&why) {
                        tracing::warn!(
                            source = name,
                            why,
                            "the source cannot be read; it is tried again at every tick, and the others go on"
                        );
                    }
                }
                Err(source) => return Err(IngestError::Source { name, source }),
            }
        }
        Ok(all)
    }
}

struct Writer {
    log: Arc<dyn Log>,
    outbox: Outbox,
    snapshots: Snapshots,
    lines: Option<Lines>,
    role_metrics: RoleMetrics,
    parts: Partitioning,
    dead_letters: DeadLetterLog,
}

impl Writer {
    async fn decode(&mut self, state: &mut IngestState, batches: Vec<RawBatch>) -> Result<Rows, IngestError> {
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

    /// Hands a tick over to the log: the models and the dead letters first, and they are waited for. So a reader that has the tick's rows finds the models
    /// that are in force for it, and nothing is used before what was refused beside it is known.
    async fn append(&mut self, tick: Timestamp, models: Models, rows: Rows) -> Result<(), IngestError> {
        if !models.is_empty() {
            for number in self.parts.numbers() {
                let message = message(tick, models.batch().clone());
                self.outbox.meanwhile(self.log.append(Partition::new(Contract::Model, number), message)).await??;
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

    async fn save(&mut self, state: &IngestState) -> Result<(), IngestError> {
        self.outbox.settle().await?;
        state.intake.balance.check(&self.role_metrics)?;
        // A plan comes before the state that follows from it.
        let time = state.planned.as_ref().map(|p| p.look.tick).or(state.tick.map(|t| Timestamp(t.0 + 1)));
        let Some(time) = time else { return Ok(()) };
        self.snapshots.save(time.0, state, &Columns::default()).await?;
        self.role_metrics.snapshots.inc();
        Ok(())
    }
}

fn message(tick: Timestamp, batch: RecordBatch) -> Message<'static> {
    Message { time: tick, producer: PRODUCER, sequence: tick.0, batch }
}

/// The position of raw.v1 that a snapshot of the role needs, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(snapshots: &Snapshots, ordinal: Option<i64>) -> Result<Option<Position>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<IngestState>(ordinal).await?;
    Ok(snapshot.map(|snapshot| Position { next: snapshot.content.raw, ..Position::default() }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

    use nilometer_connectors::SourceError;
    use nilometer_engine::CatchUp;

    use super::*;

    type Answer = Result<(Vec<RawBatch>, Cursor), SourceError>;

    /// A source whose every reading ends as given.
    struct Scripted(fn() -> Answer);

    impl Source for Scripted {
        fn name(&self) -> &str {
            "gauge"
        }

        fn read(&mut self, _: &Cursor, _: Look) -> Answer {
            (self.0)()
        }

        fn last_arrival(&self) -> Option<Timestamp> {
            None
        }
    }

    fn reader(read: fn() -> Answer) -> Reader {
        let log = Arc::new(nilometer_engine::EmbeddedLog::new(
            Arc::new(object_store::memory::InMemory::new()),
            "log",
            &Metrics::unregistered(),
        ));
        Reader {
            sources: vec![Box::new(Scripted(read))],
            once: Vec::new(),
            landing: Landing::new(log, 0, 0),
            clock: Clock::wall(3_600, CatchUp::All),
            growing: true,
            failing: BTreeMap::new(),
            role_metrics: Metrics::unregistered().role(PRODUCER),
        }
    }

    fn unreadable() -> Answer {
        let source = std::io::Error::other("no permission");
        Err(SourceError::Io { name: "gauge".to_owned(), path: "flow.csv".into(), source })
    }

    #[test]
    fn a_source_that_could_not_be_read_gives_nothing_to_a_tick_that_is_done_again() {
        let look = Look::at(Timestamp(0));
        let mut cursors = BTreeMap::new();
        let mut first = reader(unreadable);
        assert!(first.read(&mut cursors, None, look).unwrap().is_empty());
        assert!(first.failing.contains_key("gauge") && cursors.is_empty());
        let planned = Planned { look, cursors: cursors.clone() };
        let mut again = reader(|| panic!("it is not asked"));
        assert!(again.read(&mut cursors, Some(&planned), look).unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_thread_that_dies_ends_the_role_with_an_error() {
        let (sender, mut receiver) = queue("raw", 1, &Metrics::unregistered());
        let reading = reader(|| panic!("a defect")).run(IngestState::default(), sender, Stop::default());
        let (sources, read) = tokio::join!(reading, receiver.receive());
        assert!(sources.is_empty());
        assert!(matches!(read, Some(Err(IngestError::Thread(_)))));
    }
}
