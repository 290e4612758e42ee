//! Writes one partition: a thread that owns its producer and knows its tail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    message::{Sealed, Tail},
    reader::Probe,
    settings::{PATIENCE, Settings, number, will_pass},
};
use crate::{Appended, LogError, Message, Metrics, Partition};

/// Appends that wait at most; whoever comes then waits to be let in.
const WAITING: usize = 16;
/// How often an append is tried before it fails: each time a fresh producer fences the others and reads the tail.
const ATTEMPTS: u32 = 8;
/// Between two tries, growing: another writer may need its turn, a coordinator may be moving.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two looks at whether messages have arrived.
const FLIGHT: Duration = Duration::from_micros(200);

/// Between two looks at whether a commit is visible: whoever asks without a pause keeps the broker from what it is asked for.
const LOOK: Duration = Duration::from_millis(1);

/// A hand on the thread.
#[derive(Clone)]
pub(super) struct Writer {
    partition: Partition,
    max_message_bytes: usize,
    requests: mpsc::Sender<Request>,
}

struct Request {
    message: Sealed,
    answer: oneshot::Sender<Result<Appended, LogError>>,
}

impl Writer {
    pub(super) fn start(settings: Arc<Settings>, partition: Partition, metrics: Metrics) -> Self {
        let (requests, receiver) = mpsc::channel(WAITING);
        let max_message_bytes = settings.max_message_bytes;
        let owner = Owner { settings, partition, metrics, open: None };
        // Producers block, for up to their patience: not on a thread of the runtime.
        let name = format!("write {partition}");
        let started = thread::Builder::new().name(name).spawn(move || owner.serve(receiver));
        if let Err(error) = started {
            // Its requests are answered with the writer having ended.
            tracing::error!(%partition, %error, "no thread for a writer of the log");
        }
        Self { partition, max_message_bytes, requests }
    }

    pub(super) async fn append(&self, message: Message<'_>) -> Result<Appended, LogError> {
        let partition = self.partition;
        let message = Sealed::new(&message).map_err(|source| LogError::Encode { partition, source })?;
        self.enqueue(message).await?.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Hands a message over, behind those that were handed over before; what becomes of it is said later.
    pub(super) async fn enqueue(
        &self,
        message: Sealed,
    ) -> Result<oneshot::Receiver<Result<Appended, LogError>>, LogError> {
        let (partition, bytes) = (self.partition, message.body.len());
        // Headers and framing are small beside the body.
        if bytes + 4_096 > self.max_message_bytes {
            return Err(LogError::TooLarge { partition, bytes, accepted: self.max_message_bytes });
        }
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { message, answer }).await.map_err(|_| self.gone())?;
        Ok(answered)
    }

    pub(super) fn gone(&self) -> LogError {
        LogError::broker(self.partition, "the writer has ended".to_owned(), false)
    }
}

/// The thread's own.
struct Owner {
    settings: Arc<Settings>,
    partition: Partition,
    metrics: Metrics,
    /// none before the first append and after a failure
    open: Option<Open>,
}

/// A producer that has fenced all others, and the tail as it was read after that.
struct Open {
    producer: BaseProducer<Delivered>,
    probe: Probe,
    tail: Tail,
}

/// What the producer hears of its messages.
struct Delivered {
    /// offset of the newest
    newest: AtomicI64,
}

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // What was not delivered fails the transaction.
        if let Ok(message) = result {
            self.newest.fetch_max(message.offset(), Ordering::Relaxed);
        }
    }
}

impl Owner {
    /// Answers until nobody asks any more. What waits together goes in one transaction.
    fn serve(mut self, mut receiver: mpsc::Receiver<Request>) {
        let mut together = Vec::new();
        while let Some(first) = receiver.blocking_recv() {
            together.push(first);
            while let Ok(next) = receiver.try_recv() {
                together.push(next);
            }
            let (messages, answers): (Vec<Sealed>, Vec<_>) =
                together.drain(..).map(|request| (request.message, request.answer)).unzip();
            match self.append(&messages) {
                // Whoever does not listen any more asks again.
                Ok(appended) => {
                    answers.into_iter().zip(appended).for_each(|(answer, appended)| drop(answer.send(Ok(appended))))
                }
                Err((detail, retryable)) => {
                    for answer in answers {
                        drop(answer.send(Err(LogError::broker(self.partition, detail.clone(), retryable))));
                    }
                }
            }
        }
    }

    fn append(&mut self, messages: &[Sealed]) -> Result<Vec<Appended>, (String, bool)> {
        let mut last = (String::new(), false);
        for attempt in 1..=ATTEMPTS {
            match self.try_append(messages) {
                Ok(appended) => return Ok(appended),
                Err(error) => {
                    let (outcome, retryable) =
                        if is_fenced(&error) { ("fenced", true) } else { ("failed", will_pass(&error)) };
                    self.metrics.transactions.with_label_values(&[outcome]).inc();
                    // Whether it was committed is not known: the next producer waits for the outcome and reads the tail.
                    self.open = None;
                    last = (format!("a transaction failed: {error}"), retryable);
                    if !retryable {
                        return Err(last);
                    }
                    tracing::warn!(partition = %self.partition, attempt, %error, "a transaction is tried again");
                    thread::sleep(PAUSE * attempt);
                }
            }
        }
        Err(last)
    }

    /// One transaction, or none where everything had been appended.
    fn try_append(&mut self, messages: &[Sealed]) -> Result<Vec<Appended>, KafkaError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let topic = self.settings.topic(self.partition.contract);
        let mut tail = open.tail.clone();
        let (mut appended, mut begun) = (Vec::with_capacity(messages.len()), false);
        for message in messages {
            if tail.has(message) {
                appended.push(Appended::Already);
                continue;
            }
            if !begun {
                open.producer.begin_transaction()?;
                begun = true;
            }
            appended.push(Appended::At(tail.end));
            let (behind, headers) = tail.with(self.partition, message);
            tail = behind;
            let record = BaseRecord::<(), [u8]>::to(&topic)
                .partition(number(self.partition))
                .timestamp(message.time.0.div_euclid(1_000).max(0))
                .headers(headers)
                .payload(&message.body);
            open.producer.send(record).map_err(|(error, _)| error)?;
        }
        if begun {
            // Whoever commits while messages are on their way waits a tenth of a second for them.
            let sent = Instant::now();
            while open.producer.in_flight_count() > 0 && sent.elapsed() < PATIENCE {
                // With a timeout it would spin until that has passed, whatever came.
                open.producer.poll(Duration::ZERO);
                thread::sleep(FLIGHT);
            }
            open.producer.commit_transaction(PATIENCE)?;
            // Committed is not yet visible: whoever is told of an append, in whatever process, is to find it.
            let newest = open.producer.context().newest.load(Ordering::Relaxed);
            let committed = Instant::now();
            while open.probe.end()? <= newest {
                if committed.elapsed() > PATIENCE {
                    return Err(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut));
                }
                thread::sleep(LOOK);
            }
            self.metrics.transactions.with_label_values(&["committed"]).inc();
        }
        open.tail = tail;
        self.open = Some(open);
        Ok(appended)
    }

    fn open(&self) -> Result<Open, KafkaError> {
        let delivered = Delivered { newest: AtomicI64::new(-1) };
        let producer: BaseProducer<Delivered> =
            self.settings.producer(self.partition).create_with_context(delivered)?;
        producer.init_transactions(PATIENCE)?;
        let mut probe = Probe::connect(&self.settings, self.partition)?;
        let tail = probe.newest()?.unwrap_or_default();
        probe.rest();
        Ok(Open { producer, probe, tail })
    }
}

fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(error.rdkafka_error_code(), Some(Fenced | ProducerFenced | InvalidProducerEpoch))
}
