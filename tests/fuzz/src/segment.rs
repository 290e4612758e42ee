use std::{collections::BTreeMap, sync::Arc};

use nilometer_engine::{EmbeddedLog, Entry, Extent, Log as _, LogError, Message, Metrics, Partition};
use nilometer_schemas::{Contract, Observations, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path};

use crate::{assert_described, sealed, wait};

/// A segment of the embedded log between two that are whole.
pub(crate) fn segment(bytes: &[u8]) {
    for object in sealed::both(bytes) {
        wait(read(object)).map_err(|error| assert_described(&error)).ok();
    }
}

async fn read(object: Vec<u8>) -> Result<(), LogError> {
    let store = Arc::new(InMemory::new());
    let log = |store: Arc<dyn ObjectStore>| EmbeddedLog::new(store, "log", &Metrics::unregistered());
    let partition = Partition::new(Contract::Observation, 0);
    let batch = Observations::empty().into_batch();
    let message = |sequence| Message { time: Timestamp(sequence), producer: "fuzz", sequence, batch: batch.clone() };
    let writer = log(store.clone());
    for sequence in 1..=2 {
        writer.append(partition, message(sequence)).await?;
    }
    let key = |position: u64| Path::from(format!("log/observation.v1/0/{position:020}.arrow"));
    for position in [0, 1] {
        store.put(&key(position), object.clone().into()).await.expect("a store in memory takes every object");
        let reader = log(store.clone());
        let bounds = reader.bounds(partition).await?;
        for position in bounds.start..bounds.end {
            match reader.read(partition, position).await? {
                Some(Entry::Record(record)) => assert_eq!(record.position, position),
                Some(Entry::Damaged(damage)) => assert!(!damage.detail.is_empty()),
                None => unreachable!("each position below the end has an entry"),
            }
        }
        let known = Extent { start: 0, end: 2, rows: 0, producers: BTreeMap::new() };
        let survey = reader.survey(partition, &known).await?;
        reader.go_on(partition, survey).await?;
        reader.append(partition, message(3)).await?;
    }
    Ok(())
}
