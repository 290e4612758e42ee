//! The role itself: what a reader hands over, tick by tick, is decoded and written.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_connectors::Source;
use nilometer_definitions::Partitioning;
use nilometer_engine::{
    Balance, Clock, DeadLetterLog, Log, Metrics, Numbered, Outbox, Position, SnapshotError, Snapshots, Stop, in_role,
    queue, turn,
};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Action, Announcement, IngestError, Lines, PRODUCER,
    asked::Asked,
    due::{Due, reached},
    landing::Landing,
    reader::{ReadTick, Reader},
    state::{Planned, Stored},
    writer::Writer,
};

/// Ticks that are read ahead of the one that is decoded.
const READ_AHEAD: usize = 4;

/// What the role needs from outside.
pub struct Dependencies {
    /// where it writes
    pub log: Arc<dyn Log>,
    /// the log whose raw.v1 a replay reads: it has what sources gave once. Where none is named, a role whose sources give once has its own
    pub raw: Option<Arc<dyn Log>>,
    /// where its cursors and memory are kept
    pub snapshots: Snapshots,
    /// the models that are announced
    pub announcements: Numbered<Announcement>,
    /// what operators do
    pub actions: Numbered<Action>,
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

/// Runs until the clock's history has ended or the role is stopped; then its memory is saved.
///
/// # Errors
/// [`IngestError`] when the role cannot go on.
pub async fn run(dependencies: Dependencies, stop: Stop) -> Result<Balance, IngestError> {
    let Dependencies {
        log,
        raw,
        snapshots,
        announcements,
        actions,
        sources,
        lines,
        clock,
        snapshot_every,
        growing,
        metrics,
        parts,
    } = dependencies;
    let newest = snapshots.newest::<Stored>().await?;
    let mut state = newest.map(|found| found.content.into_current(PRODUCER)).transpose()?.unwrap_or_default();
    let role_metrics = metrics.role(PRODUCER);
    if let Some(tick) = state.tick {
        tracing::info!(%tick, "resuming from a snapshot");
        role_metrics.reached(tick);
    }
    let names: Vec<String> = lines.decoders.keys().cloned().collect();
    let (sender, mut receiver) = queue::<Result<ReadTick, IngestError>>("raw", READ_AHEAD, &metrics);
    let (once, sources): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.gives_once());
    let raw = raw.or_else(|| (!once.is_empty()).then(|| log.clone()));
    let landing = raw.map(|log| Landing::new(once, log, parts.first(), state.raw));
    let reader = Reader {
        sources,
        landing,
        raw: state.raw,
        clock,
        growing,
        failing: BTreeMap::new(),
        role_metrics: role_metrics.clone(),
    };
    // It ends with the role: what it reads no other would take.
    let mut reading = JoinSet::new();
    reading.spawn(in_role(PRODUCER, parts.first(), reader.run(state.clone(), sender, stop.clone())));
    let planned = state.planned.as_ref().map(|planned| planned.look.tick);
    let reached = reached(&*log, parts.numbers(), planned).await?;
    let mut asked = Asked {
        models: Due::new(announcements, state.announcements + 1, reached, growing, role_metrics.clone()),
        actions: Due::new(actions, state.actions + 1, reached, growing, role_metrics.clone()),
    };
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
        let turn = turn(look.tick, None);
        let rows = writer.decode(&mut state, batches).instrument(turn.clone()).await?;
        writer.append(look.tick, asked.rows(look.tick).await?, rows).instrument(turn).await?;
        state.intake.sources.show(&metrics);
        state.tick = Some(look.tick);
        state.cursors = cursors;
        state.raw = raw;
        state.planned = None;
        state.announcements = asked.models.next() - 1;
        state.actions = asked.actions.next() - 1;
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

/// The position of raw.v1 that a snapshot of the role needs, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(snapshots: &Snapshots, ordinal: Option<i64>) -> Result<Option<Position>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let state = snapshot.as_ref().and_then(|snapshot| snapshot.content.current());
    Ok(state.map(|state| Position { next: state.raw, ..Position::default() }))
}
