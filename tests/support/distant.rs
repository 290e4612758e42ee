//! A log whose messages take their time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use nilometer_engine::{Appended, Appending, Bounds, Chain, Entry, Log, LogError, Message, Partition};
use nilometer_schemas::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::support::Arbitrary;

/// The log of one process as a cluster keeps it: what is handed over is appended later, partition by partition in its order, and what waits when the
/// process is killed is not appended at all.
pub struct Distant {
    log: Arc<dyn Log>,
    arbitrary: Mutex<Arbitrary>,
    ways: Mutex<BTreeMap<Partition, (mpsc::Sender<Waiting>, AbortHandle)>>,
}

struct Waiting {
    time: Timestamp,
    producer: String,
    sequence: i64,
    batch: RecordBatch,
    chain: Chain,
    answer: oneshot::Sender<Result<Appended, LogError>>,
}

impl Distant {
    pub fn new(log: Arc<dyn Log>, arbitrary: Arbitrary) -> Self {
        Self { log, arbitrary: Mutex::new(arbitrary), ways: Mutex::default() }
    }

    fn way(&self, partition: Partition) -> mpsc::Sender<Waiting> {
        let mut ways = self.ways.lock().unwrap();
        let (way, _) = ways.entry(partition).or_insert_with(|| {
            let (way, receiver) = mpsc::channel(8);
            let arbitrary = Arbitrary(self.arbitrary.lock().unwrap().below(u64::MAX));
            let task = tokio::spawn(append_later(self.log.clone(), partition, receiver, arbitrary));
            (way, task.abort_handle())
        });
        way.clone()
    }
}

async fn append_later(
    log: Arc<dyn Log>,
    partition: Partition,
    mut waiting: mpsc::Receiver<Waiting>,
    mut arbitrary: Arbitrary,
) {
    while let Some(next) = waiting.recv().await {
        // Now and then for a while, so that what waits goes in one.
        let pause = if arbitrary.below(6) == 0 { arbitrary.below(300) } else { 0 };
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        let Waiting { time, producer, sequence, batch, chain, answer } = next;
        let message = Message { time, producer: &producer, sequence, batch };
        let appended = match log.hand_over(partition, message, &chain).await {
            Ok(appending) => appending.await,
            Err(error) => Err(error),
        };
        drop(answer.send(appended));
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        self.ways.lock().unwrap().values().for_each(|(_, task)| task.abort());
    }
}

#[async_trait]
impl Log for Distant {
    async fn append(&self, partition: Partition, message: Message<'_>) -> Result<Appended, LogError> {
        self.hand_over(partition, message, &Chain::default()).await?.await
    }

    async fn hand_over(
        &self,
        partition: Partition,
        message: Message<'_>,
        chain: &Chain,
    ) -> Result<Appending, LogError> {
        let Message { time, producer, sequence, batch } = message;
        let (answer, answered) = oneshot::channel();
        let (producer, chain) = (producer.to_owned(), chain.clone());
        let waiting = Waiting { time, producer, sequence, batch, chain, answer };
        assert!(self.way(partition).send(waiting).await.is_ok(), "it ends with the log");
        Ok(Box::pin(async move { answered.await.unwrap() }))
    }

    async fn read(&self, partition: Partition, position: u64) -> Result<Option<Entry>, LogError> {
        self.log.read(partition, position).await
    }

    async fn wait(&self, partition: Partition, position: u64) -> Result<(), LogError> {
        self.log.wait(partition, position).await
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        self.log.bounds(partition).await
    }

    async fn last_sequence(&self, partition: Partition, producer: &str) -> Result<Option<i64>, LogError> {
        self.log.last_sequence(partition, producer).await
    }

    async fn trim(&self, partition: Partition, before: u64) -> Result<u64, LogError> {
        self.log.trim(partition, before).await
    }
}
