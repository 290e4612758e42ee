//! View: what one query sees of memory and of the archive.
//!
//! A message is an object of the archive, or rows of a file of compaction, or both: in memory and in the archive. It is counted once by its name,
//! which follows from the message alone (`object_key`), and a manifest keeps the names of all messages that its files have. So, exactly:
//! - what a file of compaction has is read from that file, and not from memory;
//! - what is an object of its own is read from memory where memory has it, and from the object elsewhere.
//!
//! Memory is taken first. A message that leaves it later, or is published or compacted meanwhile, is found by its name all the same; one that was
//! written behind the newest in memory is not of this view, though the archive may have it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::RecordBatch;
use datafusion::{common::Result, error::DataFusionError, physical_optimizer::pruning::PruningPredicate};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_archive::{ArchiveError, Content, ContentObject, Day, dated, message_name, object_key};
use nilometer_schemas::{Contract, Timestamp};
use nilometer_serve::{HeldMessage, Memory};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use tokio::sync::OnceCell;

use crate::{
    bounds::{Bounds, may_match},
    tables::RowTable,
};

/// Days that are listed at once.
const LISTED_AT_ONCE: usize = 16;

/// What is read once, by whichever scan comes first.
type Once<K, T> = Mutex<HashMap<K, Arc<OnceCell<T>>>>;

/// What one query sees. Days are listed when a table is scanned, each once.
#[derive(Debug)]
pub(crate) struct View {
    memory: Memory,
    archive: Arc<dyn ObjectStore>,
    days: Once<Contract, Vec<Day>>,
    /// by date
    contents: Once<(Contract, String), Arc<Content>>,
}

/// What a scan reads.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// messages in memory
    pub(crate) messages: Vec<RecordBatch>,
    /// objects of the archive
    pub(crate) objects: Vec<ContentObject>,
}

impl View {
    pub(crate) fn new(memory: Memory, archive: Arc<dyn ObjectStore>) -> Self {
        Self { memory, archive, days: Mutex::default(), contents: Mutex::default() }
    }

    /// The newest forecast of each catchment.
    pub(crate) fn newest_forecasts(&self) -> Vec<RecordBatch> {
        self.memory.newest_forecasts()
    }

    /// What a table has that may match a predicate.
    pub(crate) async fn scan(&self, table: &RowTable, predicate: Option<&PruningPredicate>) -> Result<Scanned> {
        let held: Vec<HeldMessage<'_>> = self.memory.messages(table.contract).collect();
        let held = may_match(predicate, held, |message| Bounds::of_message(table, message.time))?;
        let begin = |day: &Day| day.date().parse::<Timestamp>().ok();
        let days: Vec<Day> =
            self.days(table.contract).await?.iter().filter(|day| begin(day).is_some()).cloned().collect();
        let days = may_match(predicate, days, |day| Bounds::of_day(table, begin(day).unwrap_or_default()))?;
        let contents: Vec<Arc<Content>> = stream::iter(days)
            .map(|day| async move { self.content(&day).await })
            .buffered(LISTED_AT_ONCE)
            .try_collect()
            .await?;
        let mut scanned = Scanned::default();
        let mut in_memory: HashSet<String> = HashSet::new();
        // Messages of a partition come in the order of their times, the newest last.
        let mut newest: HashMap<u32, Timestamp> =
            self.memory.messages(table.contract).map(|message| (message.partition.number, message.time)).collect();
        // While the log is still being read the archive is ahead of memory, and right.
        if !self.memory.has_caught_up(table.contract) {
            newest.clear();
        }
        let is_of_view = |object: &ContentObject| {
            let newest = partition_of(&object.key).and_then(|number| newest.get(&number));
            newest.is_none_or(|newest| time_of(&object.key).is_none_or(|time| time <= *newest))
        };
        for message in held {
            let key = object_key(&Path::from(""), message.partition, message.time, message.position, message.rows);
            let Some(name) = message_name(table.contract, &key) else { continue };
            // The day of a message that may match may match too, so its content is here.
            if !contents.iter().any(|content| content.has_compacted(name)) {
                scanned.messages.push(message.rows.clone());
                in_memory.insert(name.to_owned());
            }
        }
        for object in contents.iter().flat_map(|content| &content.objects) {
            let held = message_name(table.contract, &object.key).is_some_and(|name| in_memory.contains(name));
            if object.ranges.is_some() || (!held && is_of_view(object)) {
                scanned.objects.push(object.clone());
            }
        }
        let of_object = |object: &ContentObject| match &object.ranges {
            Some(ranges) => Bounds::of_file(ranges),
            None => time_of(&object.key).map_or_else(Bounds::default, |time| Bounds::of_message(table, time)),
        };
        scanned.objects = may_match(predicate, scanned.objects, of_object)?;
        Ok(scanned)
    }

    /// Whether an object that was there is there no more: compaction has put its rows into a file.
    pub(crate) async fn is_outdated(&self) -> bool {
        let keys: Vec<Path> = {
            let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = contents.values().filter_map(|content| content.get());
            seen.flat_map(|content| content.objects.iter().map(|object| object.key.clone())).collect()
        };
        for key in keys {
            if matches!(self.archive.head(&key).await, Err(object_store::Error::NotFound { .. })) {
                return true;
            }
        }
        false
    }

    async fn days(&self, contract: Contract) -> Result<Vec<Day>> {
        let cell = self.days.lock().unwrap_or_else(PoisonError::into_inner).entry(contract).or_default().clone();
        Ok(cell.get_or_try_init(|| async { dated(&*self.archive, contract).await.map_err(failed) }).await?.clone())
    }

    async fn content(&self, day: &Day) -> Result<Arc<Content>> {
        let key = (day.contract(), day.date().to_owned());
        let cell = self.contents.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let read = || async { day.content(&*self.archive).await.map(Arc::new).map_err(failed) };
        Ok(cell.get_or_try_init(read).await?.clone())
    }
}

fn failed(error: ArchiveError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The partition of the message of an object.
fn partition_of(key: &Path) -> Option<u32> {
    key.filename()?.split(['-', '.']).nth(1)?.parse().ok()
}

/// The time of the message of an object.
fn time_of(key: &Path) -> Option<Timestamp> {
    key.filename()?.split('-').next()?.parse().ok()
}
