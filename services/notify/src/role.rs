//! The role of a receiver: message by message from the log to the receiver, which may be down for as long as it likes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nilometer_definitions::{AlertmanagerOptions, FeedOptions, WebhookOptions};
use nilometer_engine::{
    Balance, Columns, Entry, Log, Partition, Position, Record, Registry, RoleMetrics, SnapshotError, Snapshots, Stop,
    Versioned, next_entry, turn,
};
use nilometer_schemas::{Alerts, Contract, Reason, Timestamp};
use object_store::ObjectStore;
use prometheus::{IntCounterVec, Opts};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::{
    NotifyError,
    alert::Alert,
    alertmanager::{Alertmanager, REFRESH},
    feed::Feed,
    http,
    receiver::{Delivery, Failure, Receiver},
    webhook::Webhook,
};

/// The first and the longest pause behind a failure.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Metrics of the receivers.
#[derive(Clone)]
pub struct NotifyMetrics {
    role: RoleMetrics,
    failures: IntCounterVec,
}

impl NotifyMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(role: RoleMetrics, receiver: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("notify_failures_total", "deliveries that a receiver did not take");
        let failures = IntCounterVec::new(opts.namespace("nilometer").const_label("receiver", receiver), &["why"])?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { role, failures })
    }
}

/// What a role needs from outside.
pub struct Dependencies {
    /// where it reads
    pub log: Arc<dyn Log>,
    /// where its place is kept
    pub snapshots: Snapshots,
    /// its metrics
    pub metrics: NotifyMetrics,
    /// the partition whose alerts it passes on
    pub partition: u32,
    /// whether anything is delivered; otherwise messages are only passed over, as those of a replay
    pub delivers: bool,
}

/// Keeps the servers of an Alertmanager cluster up to date.
///
/// # Errors
/// [`NotifyError`] when the role cannot go on.
pub async fn alertmanager(
    options: AlertmanagerOptions,
    dependencies: Dependencies,
    stop: Stop,
) -> Result<Balance, NotifyError> {
    let receiver = Alertmanager { client: http::client()?, options };
    run(receiver, Some(REFRESH), dependencies, stop).await
}

/// Posts changes to an address.
///
/// # Errors
/// [`NotifyError`] when the role cannot go on.
pub async fn webhook(options: WebhookOptions, dependencies: Dependencies, stop: Stop) -> Result<Balance, NotifyError> {
    let secret = match options.secret_variable {
        Some(name) => Some(std::env::var(&name).map_err(|_| NotifyError::Secret { name })?.into_bytes()),
        None => None,
    };
    run(Webhook { client: http::client()?, url: options.url, secret }, None, dependencies, stop).await
}

/// Writes CAP messages and an Atom feed of them below a store; a message holds for `valid_s`.
///
/// # Errors
/// [`NotifyError`] when the role cannot go on.
pub async fn feed(
    options: FeedOptions,
    store: Arc<dyn ObjectStore>,
    valid_s: i64,
    dependencies: Dependencies,
    stop: Stop,
) -> Result<Balance, NotifyError> {
    run(Feed { store, options, valid_s }, None, dependencies, stop).await
}

/// What a snapshot of this version has.
type Stored<T> = Versioned<T, 1>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State<M> {
    next: u64,
    rows: u64,
    time: Timestamp,
    balance: Balance,
    /// every alert that there is, by its identifier
    active: BTreeMap<String, Alert>,
    memory: M,
}

/// The position that a snapshot of a role needs the alerts from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(snapshots: &Snapshots, ordinal: Option<i64>) -> Result<Option<Position>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored<State<IgnoredAny>>>(ordinal).await?;
    let state = snapshot.as_ref().and_then(|snapshot| snapshot.content.current());
    Ok(state.map(|state| Position { next: state.next, rows: state.rows }))
}

/// Passes alerts on until the input is complete or the role is stopped.
async fn run<R: Receiver>(
    receiver: R,
    refresh: Option<Duration>,
    dependencies: Dependencies,
    stop: Stop,
) -> Result<Balance, NotifyError> {
    let partition = Partition::new(Contract::Alert, dependencies.partition);
    let newest = dependencies.snapshots.newest::<Stored<State<R::Memory>>>().await?;
    let state = newest.map(|found| found.content.into_current("notify")).transpose()?;
    let state = match state {
        Some(state) => state,
        None => beginning(&*dependencies.log, partition).await?,
    };
    dependencies.metrics.role.reached(state.time);
    dependencies.metrics.role.at(partition, state.next);
    let mut role = Role { receiver, dependencies, partition, state, failing: None };
    let mut refreshed = Instant::now();
    loop {
        let due = refresh.map(|every| refreshed + every);
        let refreshing = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let entry = tokio::select! {
            biased;
            entry = next_entry(&*role.dependencies.log, partition, role.state.next, &stop) => entry?,
            () = refreshing => {
                refreshed = Instant::now();
                role.refresh().await;
                continue;
            }
        };
        match entry {
            None => break,
            // Its rows are counted when the message behind it says how many there were.
            Some(Entry::Damaged(damage)) => role.state.next = damage.position + 1,
            Some(Entry::Record(record)) => {
                let turn = turn(record.time, Some(record.position));
                if !role.take(record, &stop).instrument(turn).await? {
                    break;
                }
                refreshed = Instant::now();
            }
        }
        if stop.is_now() {
            break;
        }
    }
    Ok(role.state.balance)
}

/// Where a role without a snapshot begins: with the oldest message that the log still has.
async fn beginning<M: Default>(log: &dyn Log, partition: Partition) -> Result<State<M>, NotifyError> {
    let next = log.bounds(partition).await?.start;
    let rows = match log.read(partition, next).await? {
        Some(Entry::Record(record)) if next > 0 => record.rows_before,
        _ => 0,
    };
    Ok(State { next, rows, ..State::default() })
}

struct Role<R: Receiver> {
    receiver: R,
    dependencies: Dependencies,
    partition: Partition,
    state: State<R::Memory>,
    /// what the receiver said last, where it does not take what it is given
    failing: Option<Failure>,
}

impl<R: Receiver> Role<R> {
    /// Passes a message on, however long that takes; whether it was: not where the role is asked to stop before.
    async fn take(&mut self, record: Record, stop: &Stop) -> Result<bool, NotifyError> {
        let mut next = self.state.clone();
        let rows = record.batch.num_rows() as u64;
        let lost = record.rows_before.saturating_sub(next.rows);
        next.balance.received += lost + rows;
        next.balance.reject(Reason::DamagedSegment, lost);
        let changed = match Alerts::try_from(record.batch.clone()) {
            Ok(alerts) => Alert::of_rows(&alerts).collect::<Vec<_>>(),
            Err(error) => {
                tracing::error!(%error, position = record.position, "alerts that break their contract are not passed on");
                next.balance.reject(Reason::BrokenContract, rows);
                Vec::new()
            }
        };
        for alert in &changed {
            if alert.is_active() {
                next.active.insert(key(alert), alert.clone());
            } else {
                next.active.remove(&key(alert));
            }
        }
        let locator = format!("{}@{}", self.partition, record.position);
        let delivery = Delivery { time: record.time, locator: &locator, changed: &changed, active: &next.active };
        let mut taken = true;
        if self.dependencies.delivers && !changed.is_empty() {
            match self.deliver(&delivery, &mut next.memory, stop).await {
                Delivered::Taken => {}
                Delivered::Refused => taken = false,
                Delivered::Stopped => return Ok(false),
            }
        }
        match taken {
            true => next.balance.used += changed.len() as u64,
            false => next.balance.reject(Reason::BrokenContract, changed.len() as u64),
        }
        (next.next, next.rows, next.time) = (record.position + 1, record.rows_before + rows, record.time);
        self.state = next;
        let metrics = &self.dependencies.metrics.role;
        self.state.balance.check(metrics)?;
        let ordinal = self.state.next.cast_signed();
        self.dependencies.snapshots.save(ordinal, &Stored::Current(&self.state), &Columns::default()).await?;
        metrics.snapshots.inc();
        metrics.messages.inc();
        metrics.reached(record.time);
        metrics.at(self.partition, self.state.next);
        Ok(true)
    }

    /// Until the receiver takes it, refuses it for good, or the role is asked to stop.
    async fn deliver(&mut self, delivery: &Delivery<'_>, memory: &mut R::Memory, stop: &Stop) -> Delivered {
        let [mut pause, longest] = PAUSES;
        loop {
            match self.receiver.deliver(delivery, memory).await {
                Ok(()) => {
                    self.works();
                    return Delivered::Taken;
                }
                Err(failure) if !failure.later => {
                    let name = self.receiver.name();
                    tracing::error!(receiver = name, %failure, message = delivery.locator, "alerts were refused for good; alert.v1 keeps them");
                    self.dependencies.metrics.failures.with_label_values(&["refused"]).inc();
                    return Delivered::Refused;
                }
                Err(failure) => self.fails(failure),
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                // What was not delivered is at the next start.
                () = stop.requested() => return Delivered::Stopped,
            }
        }
    }

    /// Says again what there is; one that fails is made up for by the next.
    async fn refresh(&mut self) {
        if !self.dependencies.delivers || self.state.active.is_empty() {
            return;
        }
        match self.receiver.refresh(&self.state.active, &mut self.state.memory).await {
            Ok(()) => self.works(),
            Err(failure) => self.fails(failure),
        }
    }

    fn works(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(receiver = self.receiver.name(), "alerts are taken again");
        }
    }

    fn fails(&mut self, failure: Failure) {
        self.dependencies.metrics.failures.with_label_values(&["down"]).inc();
        if self.failing.as_ref() != Some(&failure) {
            tracing::error!(receiver = self.receiver.name(), %failure, "alerts are not taken; tried again until they are");
        }
        self.failing = Some(failure);
    }
}

/// What became of a message.
enum Delivered {
    Taken,
    Refused,
    Stopped,
}

/// What an alert is known by: that of a gauge is one as long as the gauge does not read, whatever it is called since.
fn key(alert: &Alert) -> String {
    match alert.kind {
        nilometer_schemas::AlertKind::Gauge => format!("{}/gauge", alert.station),
        _ => alert.alert.clone(),
    }
}
