//! Site: everything that is served, in memory, and where the rest lies.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use futures::TryStreamExt as _;
use nilometer_definitions::{Catchment, Partitioning, Pipeline};
use nilometer_engine::{Partition, Record};
use nilometer_schemas::{Alerts, Contract, SchemaError, Timestamp};
use object_store::{ObjectStore, path::Path};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast};

use crate::{
    map::Map,
    metrics::ServeMetrics,
    newest::Newest,
    problem::Problem,
    sandboxes::{Partitions, Sandboxes},
    tail::Tail,
};

/// The topics that are followed.
pub(crate) const FOLLOWED: [Contract; 12] = [
    Contract::Observation,
    Contract::Forcing,
    Contract::Model,
    Contract::Forecast,
    Contract::Event,
    Contract::Alert,
    Contract::Operator,
    Contract::Drought,
    Contract::DroughtOutlook,
    Contract::State,
    Contract::Analysis,
    Contract::Score,
];

/// Messages that a stream client may be behind before it is cut.
const BEHIND: usize = 1_024;

/// How often the stores are asked whether they answer, at most.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Requests that read the archive at once.
const READING: usize = 2;

/// Clients that listen at once.
pub(crate) const CLIENTS: usize = 4_096;

/// A message that stream clients may want. It says where the message is, and keeps nothing in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) partition: Partition,
    pub(crate) position: u64,
}

/// Everything that is served. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    pipeline: Pipeline,
    parts: Partitioning,
    by_id: HashMap<String, usize>,
    partitions: BTreeMap<u32, Part>,
    store: Arc<dyn ObjectStore>,
    archive: Arc<dyn ObjectStore>,
    arrivals: broadcast::Sender<Arrival>,
    /// of those that listen
    places: Arc<Semaphore>,
    /// of requests that read the archive
    reading: Semaphore,
    /// rises with every message
    version: AtomicU64,
    /// where forecasts are made again
    sandboxes: OnceLock<Sandboxes>,
    metrics: OnceLock<ServeMetrics>,
    map: OnceLock<Map>,
    /// when archive and snapshots were asked last, and whether they answered
    answered: Mutex<Option<(Instant, [bool; 2])>>,
}

/// One partition in memory.
struct Part {
    tails: BTreeMap<Contract, RwLock<Tail>>,
    newest: RwLock<Newest>,
    /// topics that have not been read to where they ended at the start
    behind: RwLock<BTreeSet<Contract>>,
}

impl Site {
    /// Nothing read yet. `store` is what the pipeline runs on, `archive` its archive.
    #[must_use]
    pub fn new(pipeline: &Pipeline, store: Arc<dyn ObjectStore>, archive: Arc<dyn ObjectStore>) -> Self {
        let parts = Partitioning::new(pipeline);
        let keep_s = pipeline.serve.memory.seconds();
        let numbers: Vec<u32> = parts.numbers().collect();
        // Half for forecasts, which are most of it, the other half for all else.
        let whole = (pipeline.serve.memory_mib << 20) / numbers.len().max(1);
        let tail = |contract| {
            let bytes = if contract == Contract::Forecast { whole / 2 } else { whole / 2 / (FOLLOWED.len() - 1) };
            (contract, RwLock::new(Tail::new(contract, keep_s, bytes)))
        };
        let part = |number| {
            let part = Part {
                tails: FOLLOWED.into_iter().map(tail).collect(),
                newest: RwLock::default(),
                behind: RwLock::new(FOLLOWED.into()),
            };
            (number, part)
        };
        let by_id = pipeline.catchments.iter().enumerate().map(|(at, catchment)| (catchment.id.clone(), at)).collect();
        let inner = Inner {
            by_id,
            partitions: numbers.into_iter().map(part).collect(),
            parts,
            pipeline: pipeline.clone(),
            store,
            archive,
            arrivals: broadcast::channel(BEHIND).0,
            places: Arc::new(Semaphore::new(CLIENTS)),
            reading: Semaphore::new(READING),
            version: AtomicU64::new(0),
            sandboxes: OnceLock::new(),
            metrics: OnceLock::new(),
            map: OnceLock::new(),
            answered: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Lets forecasts be made again. What is given first stays.
    pub fn equip(&self, partitions: Partitions) {
        self.inner.sandboxes.get_or_init(|| Sandboxes::new(partitions));
    }

    /// Counts from now on. What is given first stays.
    pub fn measure(&self, metrics: ServeMetrics) {
        self.inner.metrics.get_or_init(|| metrics);
    }

    /// Shows catchments and rivers. What is given first stays.
    pub fn draw(&self, map: Map) {
        self.inner.map.get_or_init(|| map);
    }

    /// Catchments and rivers, where they are known.
    pub(crate) fn map(&self) -> Option<&Map> {
        self.inner.map.get()
    }

    /// Where it is counted.
    pub(crate) fn metrics(&self) -> Option<&ServeMetrics> {
        self.inner.metrics.get()
    }

    /// Counts a query of SQL, whatever became of it.
    pub fn count_sql(&self, outcome: &'static str) {
        if let Some(metrics) = self.metrics() {
            metrics.sql.with_label_values(&[outcome]).inc();
        }
    }

    /// Where forecasts are made again.
    pub(crate) fn sandboxes(&self) -> Result<&Sandboxes, Problem> {
        self.inner.sandboxes.get().ok_or_else(|| Problem::not_ready("this process runs no models"))
    }

    /// The pipeline that it is of.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.inner.pipeline
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner.store
    }

    /// Where the pipeline's archive lies.
    #[must_use]
    pub fn archive(&self) -> &Arc<dyn ObjectStore> {
        &self.inner.archive
    }

    /// Rises with every message that is taken.
    pub(crate) fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire)
    }

    /// The catchment of an identifier.
    pub(crate) fn catchment(&self, id: &str) -> Result<&Catchment, Problem> {
        let at = self.inner.by_id.get(id).ok_or_else(|| {
            let some: Vec<&str> = self.inner.pipeline.catchments.iter().take(5).map(|c| c.id.as_str()).collect();
            Problem::not_found(format!("no station {id}; there are {}, …: GET /api/v1/stations", some.join(", ")))
        })?;
        Ok(&self.inner.pipeline.catchments[*at])
    }

    /// Numbers of the partitions.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.inner.partitions.keys().copied()
    }

    /// The partition of a catchment.
    pub(crate) fn number_of(&self, catchment: &str) -> u32 {
        self.inner.parts.of_catchment(catchment)
    }

    /// The newest messages of a topic's partition; none where it is not followed.
    pub(crate) fn tail(&self, partition: Partition) -> Option<RwLockReadGuard<'_, Tail>> {
        let tail = self.inner.partitions.get(&partition.number)?.tails.get(&partition.contract)?;
        Some(tail.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known last of the stations of a partition.
    pub(crate) fn newest(&self, number: u32) -> Option<RwLockReadGuard<'_, Newest>> {
        Some(self.inner.partitions.get(&number)?.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest tick that has been forecast anywhere.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.numbers().filter_map(|number| self.newest(number)?.time()).max()
    }

    /// Places of those that listen.
    pub(crate) fn places(&self) -> &Arc<Semaphore> {
        &self.inner.places
    }

    /// Whether the archive answers, and the store of the snapshots; asked anew once in a while.
    pub(crate) async fn stores_answer(&self) -> [bool; 2] {
        let known = *self.inner.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answered)) = known.filter(|(at, _)| at.elapsed() < ASKED_EVERY) {
            return answered;
        }
        // The first listed object is enough of an answer.
        let snapshots = Path::from("snapshots");
        let answered = [
            self.archive().list(None).try_next().await.is_ok(),
            self.store().list(Some(&snapshots)).try_next().await.is_ok(),
        ];
        *self.inner.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answered));
        answered
    }

    /// A place among those that read the archive, waited for.
    pub(crate) async fn archive_place(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.reading.acquire().await.ok()
    }

    /// Messages from now on.
    pub(crate) fn arrivals(&self) -> broadcast::Receiver<Arrival> {
        self.inner.arrivals.subscribe()
    }

    /// The topics that have not been read to where they ended at the start.
    pub(crate) fn behind(&self) -> BTreeSet<Contract> {
        let of = |part: &Part| part.behind.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.inner.partitions.values().flat_map(of).collect()
    }

    /// Bytes of what is in memory.
    pub(crate) fn bytes(&self) -> usize {
        let of = |part: &Part| -> usize {
            part.tails.values().map(|tail| tail.read().unwrap_or_else(PoisonError::into_inner).bytes()).sum()
        };
        self.inner.partitions.values().map(of).sum()
    }

    /// Says that a topic has been read to where it ended at the start.
    pub(crate) fn caught_up(&self, partition: Partition) {
        if let Some(part) = self.inner.partitions.get(&partition.number) {
            part.behind.write().unwrap_or_else(PoisonError::into_inner).remove(&partition.contract);
        }
    }

    /// Takes the next message of a topic.
    pub(crate) fn take(&self, partition: Partition, record: Record) -> Result<(), SchemaError> {
        let Some(part) = self.inner.partitions.get(&partition.number) else { return Ok(()) };
        let Some(tail) = part.tails.get(&partition.contract) else { return Ok(()) };
        let time = record.time;
        let held = tail.write().unwrap_or_else(PoisonError::into_inner).take(record)?;
        {
            let mut newest = part.newest.write().unwrap_or_else(PoisonError::into_inner);
            if partition.contract == Contract::Forecast {
                newest.reach(time);
            }
            if let Some(held) = &held {
                newest.take(partition.contract, time, &held.batch);
            }
        }
        self.inner.version.fetch_add(1, Ordering::AcqRel);
        if let Some(held) = held {
            // There may be no listener.
            let _ = self.inner.arrivals.send(Arrival { partition, position: held.position });
        }
        Ok(())
    }

    /// Says that what lies before a position of a topic is lost or gone.
    pub(crate) fn skip(&self, partition: Partition, position: u64) {
        if let Some(tail) =
            self.inner.partitions.get(&partition.number).and_then(|part| part.tails.get(&partition.contract))
        {
            tail.write().unwrap_or_else(PoisonError::into_inner).skip(position);
        }
    }

    /// Takes alerts of the archive: one that stands may be older than what the log has kept. A batch may be of several partitions.
    pub(crate) fn take_archived(&self, rows: &RecordBatch) -> Result<(), SchemaError> {
        let rows = Alerts::try_from(rows.clone())?;
        for (number, part) in &self.inner.partitions {
            let mine = BooleanArray::from_iter(
                rows.catchment().iter().map(|of| Some(self.number_of(of.unwrap_or_default()) == *number)),
            );
            // The mask is as long as the batch.
            if let Ok(mine) = filter_record_batch(rows.batch(), &mine) {
                part.newest.write().unwrap_or_else(PoisonError::into_inner).take(Contract::Alert, Timestamp(0), &mine);
            }
        }
        Ok(())
    }
}
