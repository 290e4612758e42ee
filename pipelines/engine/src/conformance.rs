//! The suite that every implementation of [`Log`] passes. `make` gives a log over the same storage each time it is
//! called, so that the suite can close and reopen it.

use std::future::Future;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use nilometer_schemas::{Contract, DeadLetterRow, DeadLetters, DeadLettersBuilder, Reason, Timestamp};

use crate::{Appended, Bounds, Chain, Entry, Log, LogError, Message, Partition};

/// How an object of a store can come to harm.
#[derive(Debug, Clone, Copy)]
pub enum Corruption {
    /// its second half is gone
    Cut,
    /// it has no bytes
    Emptied,
    /// it is gone
    Deleted,
    /// one bit is another
    BitFlipped,
}

impl Corruption {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Cut, Self::Emptied, Self::Deleted, Self::BitFlipped];

    /// What is left of an object's bytes; none where it is gone.
    #[must_use]
    pub fn of(self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let half = bytes.len() / 2;
        match self {
            Self::Deleted => return None,
            Self::Emptied => bytes.clear(),
            Self::Cut => bytes.truncate(half),
            Self::BitFlipped => bytes[half] ^= 1,
        }
        Some(bytes)
    }
}

/// `rows` dead letters about `what`.
#[must_use]
pub fn dead_letters(what: &str, rows: usize) -> RecordBatch {
    let mut builder = DeadLettersBuilder::new();
    for row in 0..rows {
        builder.push(&DeadLetterRow {
            source: what.to_owned(),
            locator: row.to_string(),
            reason: Reason::Undecodable,
            detail: String::new(),
            rows: 1,
            content_type: "text/plain",
            bytes: what.as_bytes().to_vec(),
            ingest_time: Timestamp(0),
        });
    }
    builder.finish().map(DeadLetters::into_batch).expect("dead letters keep their contract")
}

fn message<'a>(producer: &'a str, sequence: i64, rows: usize) -> Message<'a> {
    let time = Timestamp(sequence);
    Message { time, producer, sequence, batch: dead_letters(producer, rows) }
}

/// Runs the whole suite.
///
/// # Panics
/// When the implementation breaks the contract; the message says where.
///
/// # Errors
/// [`LogError`] when the implementation fails outright.
pub async fn run<L, F, Fut>(make: F) -> Result<(), LogError>
where
    L: Log + 'static,
    F: Fn() -> Fut,
    Fut: Future<Output = L>,
{
    let here = Partition::new(Contract::DeadLetter, 0);
    let beside = Partition::new(Contract::DeadLetter, 1);
    let log = make().await;

    assert_eq!(log.bounds(here).await?, Bounds { start: 0, end: 0 }, "a new partition is empty");
    assert!(log.read(here, 0).await?.is_none(), "reading at the end gives nothing");

    assert_eq!(log.append(here, message("a", 10, 2)).await?, Appended::At(0));
    assert_eq!(log.append(here, message("a", 10, 2)).await?, Appended::Already, "a retry changes nothing");
    assert_eq!(log.append(here, message("a", 9, 2)).await?, Appended::Already, "an older sequence changes nothing");
    assert_eq!(
        log.append(here, message("b", 1, 0)).await?,
        Appended::At(1),
        "producers do not mix; no rows is a message"
    );
    assert_eq!(log.append(here, message("a", 11, 3)).await?, Appended::At(2));
    assert_eq!(log.bounds(beside).await?.end, 0, "partitions do not mix");
    let earlier = Partition::new(Contract::Forcing, here.number);
    assert_eq!(log.append(earlier, message("a", -10, 1)).await?, Appended::At(0), "a sequence before 1970");
    assert_eq!(log.append(earlier, message("a", -10, 1)).await?, Appended::Already);
    assert_eq!(log.append(earlier, message("a", -9, 1)).await?, Appended::At(1));

    let log = {
        drop(log);
        make().await
    };
    assert_eq!(log.bounds(here).await?, Bounds { start: 0, end: 3 }, "messages survive a restart");
    assert_eq!(log.last_sequence(here, "a").await?, Some(11), "sequences survive a restart");
    assert_eq!(log.last_sequence(here, "b").await?, Some(1));
    assert_eq!(log.last_sequence(here, "another").await?, None);
    assert_eq!(
        log.append(here, message("a", 11, 3)).await?,
        Appended::Already,
        "a retry after a restart changes nothing"
    );

    let (mut rows_before, mut times) = (0, Vec::new());
    for position in 0..3 {
        let Some(Entry::Record(record)) = log.read(here, position).await? else {
            unreachable!("position {position} was appended")
        };
        assert_eq!((record.position, record.rows_before), (position, rows_before), "positions and rows have no holes");
        rows_before += record.batch.num_rows() as u64;
        times.push(record.time.0);
        DeadLetters::try_from(record.batch).expect("the batch keeps its contract");
    }
    assert_eq!(times, [10, 1, 11], "each message keeps its time");

    tokio::join!(async { log.wait(here, 3).await.expect("the wait ends") }, async {
        log.append(here, message("a", 12, 1)).await.expect("the append succeeds")
    });

    concurrent_writers(&log, beside).await?;
    handed_over(&log, Partition::new(Contract::Analysis, here.number)).await?;

    let aged = Partition::new(Contract::Score, here.number);
    assert_eq!(log.younger_than(aged, 0).await?, 0, "nothing is old where nothing is");
    for sequence in 1..=9 {
        let time = Timestamp(0).plus_s(sequence * 60);
        log.append(aged, Message { time, ..message("a", sequence, 1) }).await?;
    }
    for (age_s, oldest) in [(0, 8), (59, 8), (60, 7), (200, 5), (480, 0), (100_000, 0)] {
        assert_eq!(log.younger_than(aged, age_s).await?, oldest, "{age_s} s");
    }

    assert_eq!(log.trim(here, 2).await?, 2);
    assert!(
        matches!(log.read(here, 1).await, Err(LogError::Expired { start: 2, .. })),
        "what is gone is an error, not a gap"
    );
    assert_eq!(log.trim(here, 100).await?, 1, "the newest message stays");
    let log = {
        drop(log);
        make().await
    };
    assert_eq!(log.bounds(here).await?, Bounds { start: 3, end: 4 });
    assert_eq!(log.last_sequence(here, "b").await?, Some(1), "a trimmed producer is remembered");
    assert_eq!(log.append(here, message("b", 1, 0)).await?, Appended::Already);
    Ok(())
}

/// One behind the other, waited for together or not at all; behind one that failed, none.
async fn handed_over<L: Log>(log: &L, partition: Partition) -> Result<(), LogError> {
    const MESSAGES: i64 = 40;
    let (chain, mut appending) = (Chain::default(), Vec::new());
    for sequence in 1..=MESSAGES {
        appending.push(log.hand_over(partition, message("a", sequence, 1), &chain).await?);
    }
    let appended = futures::future::try_join_all(appending).await?;
    assert_eq!(
        appended,
        (0..MESSAGES.unsigned_abs()).map(Appended::At).collect::<Vec<_>>(),
        "in the order in which they came"
    );
    drop(log.hand_over(partition, message("a", MESSAGES + 1, 1), &chain).await?);
    log.wait(partition, MESSAGES.unsigned_abs()).await?;
    chain.tear(&LogError::broker(partition, "refused".to_owned(), false));
    let behind = match log.hand_over(partition, message("a", MESSAGES + 3, 1), &chain).await {
        Ok(appending) => appending.await,
        refused => refused.map(|_| Appended::Already),
    };
    assert!(
        matches!(&behind, Err(LogError::Torn { cause, .. }) if cause.ends_with("refused")),
        "nothing comes behind what failed, {behind:?}"
    );
    let again = log.append(partition, message("a", MESSAGES + 2, 1)).await?;
    assert_eq!(again, Appended::At(MESSAGES.unsigned_abs() + 1), "what failed has its place still");
    Ok(())
}

/// Several writers at once: every message exactly once, each producer's in its order.
async fn concurrent_writers<L: Log>(log: &L, partition: Partition) -> Result<(), LogError> {
    const NAMES: [&str; 3] = ["x", "y", "z"];
    const EACH: i64 = 20;
    futures::future::try_join_all(NAMES.map(|name| async move {
        for sequence in 1..=EACH {
            log.append(partition, message(name, sequence, 1)).await?;
        }
        Ok::<_, LogError>(())
    }))
    .await?;
    let end = log.bounds(partition).await?.end;
    assert_eq!(end, EACH.unsigned_abs() * NAMES.len() as u64);
    let mut seen: Vec<(String, i64)> = Vec::new();
    for position in 0..end {
        let Some(Entry::Record(record)) = log.read(partition, position).await? else {
            unreachable!("position {position} was appended")
        };
        let source = record.batch.column(0).as_any().downcast_ref::<StringArray>().expect("source is text");
        assert!(record.batch.column(4).as_any().downcast_ref::<Int64Array>().is_none(), "types are kept");
        seen.push((source.value(0).to_owned(), record.time.0));
    }
    for name in NAMES {
        let sequences: Vec<i64> = seen.iter().filter(|(n, _)| n == name).map(|(_, s)| *s).collect();
        let expected: Vec<i64> = (1..).take(sequences.len().max(20)).collect();
        assert_eq!(sequences, expected, "producer {name} keeps its order");
    }
    Ok(())
}
