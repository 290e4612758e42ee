//! Writes one partition: a thread that owns its producer and knows its tail.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    message::{Sealed, Tail},
    reader::{Cursors, Probe},
    settings::{PATIENCE, Settings, number, will_pass},
};
use crate::{Appended, Appending, Chain, LogError, Metrics, Partition};

/// KiB of messages that wait or are being appended; further ones wait. A larger one has it to itself.
const ROOM_KIB: usize = 16 << 10;
/// KiB of all writers of a process.
pub(super) const WHOLE_ROOM_KIB: usize = 256 << 10;
/// As many of the smallest messages.
const WAITING: usize = ROOM_KIB;
/// How long a transaction takes in more.
const OPEN: Duration = Duration::from_millis(50);
/// How often an append is tried before it fails: each time a fresh producer fences the others and reads the tail.
const ATTEMPTS: u32 = 8;
/// Between two tries, growing: another writer may need its turn, a coordinator may be moving.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the report of a message is waited for when its transaction has ended.
const REPORT: Duration = Duration::from_secs(1);
/// Between two looks at whether messages have arrived.
const FLIGHT: Duration = Duration::from_micros(200);

/// Between two looks at whether a commit is visible: asking without a pause would keep the broker from its work.
const LOOK: Duration = Duration::from_millis(1);

/// None where there could be none.
pub(super) type Thread = Option<JoinHandle<()>>;

/// A hand on the thread.
#[derive(Clone)]
pub(super) struct Writer {
    partition: Partition,
    max_message_bytes: usize,
    room: Arc<Semaphore>,
    whole_room: Arc<Semaphore>,
    requests: mpsc::Sender<Request>,
}

struct Request {
    message: Sealed,
    chain: Chain,
    begun: Instant,
    answer: oneshot::Sender<Result<Appended, LogError>>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Writer {
    /// Begins when the thread that wrote before has ended, which it does when all its senders are dropped and everything is done that was handed to
    /// it: an earlier begin would overtake it.
    pub(super) fn start(owner: Owner, whole_room: Arc<Semaphore>, before: Thread) -> (Self, Thread) {
        let (requests, receiver) = mpsc::channel(WAITING);
        let (partition, max_message_bytes) = (owner.partition, owner.settings.max_message_bytes);
        // Producers block, for up to their patience: not on a thread of the runtime.
        let started = thread::Builder::new().name(format!("write {partition}")).spawn(move || {
            // A thread that panicked has ended as well.
            drop(before.map(JoinHandle::join));
            owner.serve(receiver);
        });
        if let Err(error) = &started {
            // Its requests are answered with the writer having ended.
            tracing::error!(%partition, %error, "no thread for a writer of the log");
        }
        let room = Arc::new(Semaphore::new(ROOM_KIB));
        (Self { partition, max_message_bytes, room, whole_room, requests }, started.ok())
    }

    /// Hands a message over, behind those that were handed over before; what becomes of it is said later.
    pub(super) async fn hand_over(&self, message: Sealed, chain: &Chain) -> Result<Appending, LogError> {
        self.let_in(message, chain).await.inspect_err(|error| chain.tear(error))
    }

    async fn let_in(&self, message: Sealed, chain: &Chain) -> Result<Appending, LogError> {
        let (partition, bytes) = (self.partition, message.body.len());
        // Headers and framing are small beside the body.
        if bytes + 4_096 > self.max_message_bytes {
            return Err(LogError::TooLarge { partition, bytes, accepted: self.max_message_bytes });
        }
        let gone = move || LogError::broker(partition, "the writer has ended".to_owned(), false);
        let kib = u32::try_from((bytes >> 10).clamp(1, ROOM_KIB)).unwrap_or(u32::MAX);
        let begun = Instant::now();
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| gone())?;
        let of_whole = self.whole_room.clone().acquire_many_owned(kib).await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let request = Request { message, chain: chain.clone(), begun, answer, _room: [room, of_whole] };
        self.requests.send(request).await.map_err(|_| gone())?;
        Ok(answered.map(move |answer| answer.unwrap_or_else(|_| Err(gone()))).boxed())
    }
}

impl Request {
    fn answer(self, answer: Result<Appended, LogError>, metrics: &Metrics) {
        metrics.append_seconds.observe(self.begun.elapsed().as_secs_f64());
        // A dropped receiver asks again.
        drop(self.answer.send(answer));
    }
}

/// The thread's own.
pub(super) struct Owner {
    pub(super) settings: Arc<Settings>,
    pub(super) partition: Partition,
    pub(super) metrics: Metrics,
    /// of this process's readers, which learn what is there
    pub(super) cursors: Arc<Cursors>,
    /// none before the first append and after a failure
    pub(super) open: Option<Open>,
}

/// A producer that has fenced all others, and the tail as it was read after that.
pub(super) struct Open {
    producer: BaseProducer<Delivered>,
    probe: Probe,
    tail: Tail,
}

/// What the producer hears of its messages.
struct Delivered {
    /// offset of the newest
    newest: AtomicI64,
    /// why one was not delivered, of the first
    refusal: OnceLock<KafkaError>,
}

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // What was not delivered fails the transaction.
        match result {
            Ok(message) => drop(self.newest.fetch_max(message.offset(), Ordering::Relaxed)),
            Err((error, _)) => drop(self.refusal.set(error.clone())),
        }
    }
}

impl Open {
    /// Whether messages are on their way that may still arrive.
    fn is_waited_for(&self, begun: Instant) -> bool {
        self.refusal().is_none() && self.producer.in_flight_count() > 0 && begun.elapsed() < PATIENCE
    }

    /// Why a message was not delivered: none behind it will be, and the transaction can only be given up.
    fn refusal(&self) -> Option<&KafkaError> {
        self.producer.context().refusal.get()
    }

    /// What ended the transaction, where a producer says no more than that it has ended.
    fn cause(&self, error: KafkaError) -> KafkaError {
        let begun = Instant::now();
        let says_little = matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::State | RDKafkaErrorCode::Fatal));
        while says_little && self.refusal().is_none() && begun.elapsed() < REPORT {
            self.producer.poll(FLIGHT);
        }
        self.refusal().cloned().unwrap_or(error)
    }
}

impl Owner {
    /// Runs until all senders are dropped. What comes while a transaction is open goes with it.
    fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut together = Vec::new();
        while let Some(first) = requests.blocking_recv() {
            together.extend(self.unless_torn(first));
            if together.is_empty() {
                continue;
            }
            match self.append(&mut together, &mut requests) {
                Ok(appended) => {
                    if let Some(newest) = self.open.as_ref().and_then(|open| open.tail.end.checked_sub(1)) {
                        self.metrics.appended(self.partition, newest);
                        self.cursors.ends_behind(newest);
                    }
                    for (request, appended) in together.drain(..).zip(appended) {
                        request.answer(Ok(appended), &self.metrics);
                    }
                }
                Err((detail, retryable)) => {
                    tracing::error!(partition = %self.partition, detail, messages = together.len(), "messages cannot be appended");
                    for request in together.drain(..) {
                        let error = LogError::broker(self.partition, detail.clone(), retryable);
                        request.chain.tear(&error);
                        request.answer(Err(error), &self.metrics);
                    }
                }
            }
        }
    }

    /// A request, answered where nothing is to be appended behind what failed.
    fn unless_torn(&self, request: Request) -> Option<Request> {
        match request.chain.torn() {
            None => Some(request),
            Some(torn) => {
                request.answer(Err(torn), &self.metrics);
                None
            }
        }
    }

    fn append(
        &mut self,
        together: &mut Vec<Request>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<Vec<Appended>, (String, bool)> {
        let mut last = (String::new(), false);
        for attempt in 1..=ATTEMPTS {
            match self.try_append(together, requests) {
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

    /// One transaction, or none where everything had been appended. While messages are on their way it takes in those that come.
    fn try_append(
        &mut self,
        together: &mut Vec<Request>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<Vec<Appended>, KafkaError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let topic = self.settings.topic(self.partition.contract);
        let mut tail = open.tail.clone();
        let (mut appended, mut begun) = (Vec::with_capacity(together.len()), None);
        loop {
            for Request { message, .. } in &together[appended.len()..] {
                if tail.has(message) {
                    appended.push(Appended::Already);
                    continue;
                }
                if begun.is_none() {
                    open.producer.begin_transaction()?;
                    begun = Some(Instant::now());
                }
                appended.push(Appended::At(tail.end));
                let (behind, headers) = tail.with(self.partition, message);
                tail = behind;
                let record = BaseRecord::<(), [u8]>::to(&topic)
                    .partition(number(self.partition))
                    .timestamp(message.time.0.div_euclid(1_000).max(0))
                    .headers(headers)
                    .payload(&message.body);
                open.producer.send(record).map_err(|(error, _)| open.cause(error))?;
            }
            // A commit while messages are on their way waits a tenth of a second for them.
            let Some(begun) = begun.filter(|begun| open.is_waited_for(*begun)) else { break };
            // With a timeout it would spin until that has passed, whatever came.
            open.producer.poll(Duration::ZERO);
            let next = if begun.elapsed() < OPEN { requests.try_recv().ok() } else { None };
            match next {
                Some(next) => together.extend(self.unless_torn(next)),
                None => thread::sleep(FLIGHT),
            }
        }
        if let Some(refusal) = open.refusal() {
            return Err(refusal.clone());
        }
        if begun.is_some() {
            open.producer.commit_transaction(PATIENCE)?;
            // Committed is not yet visible: an append that is reported is to be found by every process.
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
        let delivered = Delivered { newest: AtomicI64::new(-1), refusal: OnceLock::new() };
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
