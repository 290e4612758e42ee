//! Recent: the messages that were appended last, as a fetch would give them but for the headers in the metadata of the schema. Roles of one process read what another has just appended, most of it
//! several times.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::{Partition, Record};

/// Bytes of Arrow buffers that are held at most, over all partitions.
const MOST_BYTES: usize = 32 << 20;

/// The newest messages of all partitions, the oldest of which make room.
#[derive(Default)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Default)]
struct Held {
    records: HashMap<(Partition, u64), Record>,
    /// each with its bytes, the oldest first
    order: VecDeque<((Partition, u64), usize)>,
    bytes: usize,
}

impl Recent {
    /// Holds a message that has been appended.
    pub(super) fn keep(&self, partition: Partition, record: Record) {
        let bytes = record.batch.get_array_memory_size();
        if bytes > MOST_BYTES {
            return;
        }
        let key = (partition, record.position);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += bytes;
        held.order.push_back((key, bytes));
        held.records.insert(key, record);
        while held.bytes > MOST_BYTES
            && let Some((oldest, bytes)) = held.order.pop_front()
        {
            held.records.remove(&oldest);
            held.bytes -= bytes;
        }
    }

    /// The message at a position, where it is held.
    pub(super) fn get(&self, partition: Partition, position: u64) -> Option<Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records.get(&(partition, position)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use nilometer_schemas::{Contract, DeadLetterRow, DeadLettersBuilder, Reason, Timestamp};
    use object_store::{ObjectStore, memory::InMemory};

    use super::*;
    use crate::{EmbeddedLog, Entry, Log, Message, Metrics};

    #[tokio::test]
    async fn what_is_held_is_what_another_process_fetches() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let log = || EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
        let (here, partition) = (log(), Partition::new(Contract::DeadLetter, 0));
        // Of few bytes and of many, which are compressed.
        for (sequence, bytes) in [(1, 3), (2, 100_000)] {
            let mut rows = DeadLettersBuilder::new();
            rows.push(&DeadLetterRow {
                source: "rain".to_owned(),
                locator: "a.tif".to_owned(),
                reason: Reason::Undecodable,
                detail: "cut".to_owned(),
                rows: 1,
                content_type: "image/tiff",
                bytes: vec![7; bytes],
                ingest_time: Timestamp(0),
            });
            let batch = rows.finish().unwrap().into_batch();
            here.append(partition, Message { time: Timestamp(sequence), producer: "p", sequence, batch })
                .await
                .unwrap();
        }
        let there = log();
        for position in 0..2 {
            assert!(here.recent.get(partition, position).is_some() && there.recent.get(partition, position).is_none());
            let [held, fetched] = [&here, &there].map(|log| log.read(partition, position));
            let (Some(Entry::Record(held)), Some(Entry::Record(fetched))) =
                (held.await.unwrap(), fetched.await.unwrap())
            else {
                panic!("position {position} is no record");
            };
            let said = |record: &Record| (record.position, record.time, record.rows_before, record.batch.num_rows());
            assert_eq!(said(&held), said(&fetched));
            assert_eq!(held.batch.columns(), fetched.batch.columns());
            assert_eq!(held.batch.schema().fields(), fetched.batch.schema().fields());
        }
    }

    #[test]
    fn the_oldest_make_room_and_what_is_too_large_is_not_held() {
        let (recent, partition) = (Recent::default(), Partition::new(Contract::Score, 0));
        let keep = |position: u64, bytes: usize| {
            let column = Arc::new(Int64Array::from(vec![0; bytes / 8])) as ArrayRef;
            let batch = RecordBatch::try_from_iter([("numbers", column)]).unwrap();
            recent.keep(partition, Record { position, time: Timestamp(0), rows_before: 0, batch });
        };
        (0..3).for_each(|position| keep(position, MOST_BYTES / 2 - 1024));
        let held = |position| recent.get(partition, position).map(|record| record.position);
        assert_eq!([0, 1, 2].map(held), [None, Some(1), Some(2)]);
        keep(3, MOST_BYTES + 8);
        assert_eq!([1, 2, 3].map(held), [Some(1), Some(2), None]);
        assert!(recent.get(Partition::new(Contract::Score, 1), 1).is_none(), "of another partition");
    }
}
