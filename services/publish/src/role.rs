//! The role itself: message by message from the log to the archive, each topic on its own.

use std::sync::Arc;

use nilometer_archive::{object_key, to_parquet};
use nilometer_engine::{
    Appended, Balance, Columns, Entry, Log, Message, Partition, Position, Record, RoleMetrics, SnapshotError,
    Snapshots, Stop, Versioned, next_entry, to_ipc, turn,
};
use nilometer_schemas::{Contract, DeadLetterRow, DeadLettersBuilder, Reason, SchemaError, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::PublishError;

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads
    pub log: Arc<dyn Log>,
    /// where its positions are kept, one set a topic
    pub snapshots: Snapshots,
    /// where the archive lies
    pub archive: Arc<dyn ObjectStore>,
    /// its metrics
    pub metrics: RoleMetrics,
    /// what it publishes
    pub partition: Partition,
    /// the producer of dead letters of messages that do not keep their contract; none where their readers refuse them
    pub refuses_as: Option<&'static str>,
    /// messages between snapshots
    pub snapshot_every: u32,
}

/// What a snapshot of this version has; `T` is the state or a reference to it. Version 1, of earlier builds, does not say its version; its fields are
/// the same.
type Stored<T = PublishState> = Versioned<T, 2, 1>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishState {
    next: u64,
    rows: u64,
    time: Timestamp,
    balance: Balance,
}

/// Publishes one partition until its input is complete.
///
/// # Errors
/// [`PublishError`] when the role cannot go on.
pub async fn run(dependencies: Dependencies, stop: Stop) -> Result<Balance, PublishError> {
    let newest = dependencies.snapshots.newest::<Stored>().await?;
    let mut state = match newest {
        Some(snapshot) => snapshot.content.into_current("publish")?,
        None => beginning(&dependencies).await?,
    };
    dependencies.metrics.reached(state.time);
    dependencies.metrics.at(dependencies.partition, state.next);
    let mut since_save = 0;
    while let Some(entry) = next_entry(&*dependencies.log, dependencies.partition, state.next, &stop).await? {
        let timer = dependencies.metrics.seconds.start_timer();
        match entry {
            Entry::Record(record) => {
                let turn = turn(record.time, Some(record.position));
                publish(&dependencies, &mut state, record).instrument(turn).await?;
            }
            // Its rows are counted when the message behind it tells how many there were.
            Entry::Damaged(damage) => state.next = damage.position + 1,
        }
        timer.observe_duration();
        dependencies.metrics.messages.inc();
        dependencies.metrics.at(dependencies.partition, state.next);
        since_save += 1;
        if since_save >= dependencies.snapshot_every {
            save(&dependencies, &state).await?;
            since_save = 0;
        }
        if stop.is_now() {
            break;
        }
    }
    if since_save > 0 {
        save(&dependencies, &state).await?;
    }
    Ok(state.balance)
}

/// Where a role without a snapshot begins: with the oldest message that the log still has.
async fn beginning(dependencies: &Dependencies) -> Result<PublishState, PublishError> {
    let next = dependencies.log.bounds(dependencies.partition).await?.start;
    let rows = match dependencies.log.read(dependencies.partition, next).await? {
        Some(Entry::Record(record)) if next > 0 => record.rows_before,
        _ => 0,
    };
    if next > 0 {
        let partition = dependencies.partition;
        tracing::warn!(%partition, from = next, "older messages have left the log and are not published");
    }
    Ok(PublishState { next, rows, ..PublishState::default() })
}

async fn publish(dependencies: &Dependencies, state: &mut PublishState, record: Record) -> Result<(), PublishError> {
    let lost = record.rows_before.saturating_sub(state.rows);
    let rows = record.batch.num_rows() as u64;
    state.balance.received += lost + rows;
    state.balance.reject(Reason::DamagedSegment, lost);
    let (time, position) = (record.time, record.position);
    let batch = dependencies.partition.contract.accept(record.batch.clone());
    match batch {
        Err(error) => {
            tracing::error!(%error, position, "a message does not keep its contract and is not published; it stays in the log");
            state.balance.reject(Reason::BrokenContract, rows);
            refuse(dependencies, &record, &error).await?;
        }
        Ok(batch) if rows > 0 => {
            let key = object_key(&Path::from(""), dependencies.partition, time, position, &batch);
            let bytes = to_parquet(&batch).map_err(|source| PublishError::Parquet { key: key.to_string(), source })?;
            let stored = dependencies.archive.put(&key, bytes.into()).await;
            stored.map_err(|source| PublishError::Store { key: key.to_string(), source })?;
            state.balance.used += rows;
        }
        Ok(_) => {}
    }
    *state = PublishState {
        next: position + 1,
        rows: record.rows_before + rows,
        time,
        balance: std::mem::take(&mut state.balance),
    };
    dependencies.metrics.reached(time);
    Ok(())
}

/// A message of another contract becomes a dead letter with its bytes.
async fn refuse(dependencies: &Dependencies, record: &Record, error: &SchemaError) -> Result<(), PublishError> {
    let partition = dependencies.partition;
    let Some(producer) = dependencies.refuses_as else { return Ok(()) };
    let mut dead_letters = DeadLettersBuilder::new();
    dead_letters.push(&DeadLetterRow {
        source: producer.to_owned(),
        locator: format!("{partition}@{}", record.position),
        reason: Reason::BrokenContract,
        detail: error.to_string(),
        rows: record.batch.num_rows() as u64,
        content_type: "application/vnd.apache.arrow.stream",
        bytes: to_ipc(&record.batch, &[])?,
        ingest_time: record.time,
    });
    let batch = dead_letters.finish()?.into_batch();
    let message = Message { time: record.time, producer, sequence: record.position.cast_signed() + 1, batch };
    let dead_letters = Partition::new(Contract::DeadLetter, partition.number);
    if dependencies.log.append(dead_letters, message).await? != Appended::Already {
        dependencies.metrics.dead_letter(Reason::BrokenContract);
    }
    Ok(())
}

async fn save(dependencies: &Dependencies, state: &PublishState) -> Result<(), PublishError> {
    state.balance.check(&dependencies.metrics)?;
    dependencies.snapshots.save(state.next.cast_signed(), &Stored::Current(state), &Columns::default()).await?;
    dependencies.metrics.snapshots.inc();
    Ok(())
}

/// The position that a snapshot of the role needs the partition from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(snapshots: &Snapshots, ordinal: Option<i64>) -> Result<Option<Position>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let state = snapshot.as_ref().and_then(|snapshot| snapshot.content.current());
    Ok(state.map(|state| Position { next: state.next, rows: state.rows }))
}

/// Frozen snapshots of one topic, of every version that there has been.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::fs;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn every_version_is_read() {
        for name in ["state-1", "state-2"] {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("frozen/{name}.arrow"));
            store
                .put(&"snapshots/publish/00000000000000000012.arrow".into(), fs::read(file).unwrap().into())
                .await
                .unwrap();
            let snapshots = Snapshots::new(store, "snapshots", "publish", 2);
            let state = snapshots.newest::<Stored>().await.unwrap().unwrap().content.into_current("publish").unwrap();
            assert_eq!((state.next, state.rows, state.balance.used), (12, 36, 36), "{name}");
            assert_eq!(state.time.to_string(), "2014-10-08T12:00:00Z", "{name}");
            let needed = needed_from(&snapshots, None).await.unwrap();
            assert_eq!(needed, Some(Position { next: 12, rows: 36 }), "{name}");
        }
    }
}
