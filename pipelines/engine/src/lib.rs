//! What every role stands on: the log, snapshots, the row balance, queues, the clock, metrics and an orderly end.
//!
//! ```text
//!            append (producer, sequence)            read (position)
//!  ingest ───────────────────────────▶  log  ───────────────────────▶ forecast ──▶ log ──▶ publish
//!                                        │                               │
//!                                 segments, sealed               state + positions, one object
//! ```
//!
//! Invariants:
//! - an append is one sealed object, created or not at all; the same (producer, sequence) is appended once;
//! - positions of a partition have no holes and no overlaps; what cannot be read any more is reported as
//!   [`Entry::Damaged`], never skipped;
//! - rows received = used + rejected + late + pending, checked at every snapshot ([`Balance`]);
//! - nothing is unbounded and everything ends when asked to ([`Lifecycle`]).
//!
//! ```
//! use std::sync::Arc;
//! use nilometer_engine::{EmbeddedLog, Entry, Log, Message, Metrics, Partition};
//! use nilometer_schemas::{Contract, Observations, Timestamp};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Arc::new(object_store::memory::InMemory::new());
//! let log = EmbeddedLog::new(store, "log", &Metrics::unregistered());
//! let gauges = Partition::new(Contract::Observation, 0);
//! let message = Message { time: Timestamp(0), producer: "ingest", sequence: 1, batch: Observations::empty().into_batch() };
//! log.append(gauges, message.clone()).await?;
//! log.append(gauges, message).await?; // a retry changes nothing
//! assert_eq!(log.bounds(gauges).await?.end, 1);
//! assert!(matches!(log.read(gauges, 0).await?, Some(Entry::Record(_))));
//! # Ok::<(), nilometer_engine::LogError>(()) }).unwrap();
//! ```

mod balance;
mod clock;
mod dead_letter_log;
mod embedded;
mod envelope;
mod input;
mod ipc;
#[cfg(feature = "kafka")]
mod kafka;
mod kafka_options;
mod lease;
mod lifecycle;
mod log;
mod metrics;
mod numbered;
mod outbox;
mod progress;
mod queue;
mod registry;
mod shares;
mod snapshot;
mod thread;
mod turn;

#[cfg(feature = "conformance")]
mod broker;
#[cfg(feature = "conformance")]
mod bucket;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
mod tethered;

pub use balance::{Balance, BalanceError};
#[cfg(feature = "conformance")]
pub use broker::Broker;
#[cfg(feature = "conformance")]
pub use bucket::Bucket;
pub use clock::{CatchUp, Clock, Exercise, WallTime, now};
pub use dead_letter_log::DeadLetterLog;
pub use embedded::{EmbeddedLog, Hole, Survey};
pub use envelope::EnvelopeError;
pub use input::{Input, Lost, Position};
pub use ipc::{from_ipc, to_ipc};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaLog, TopicProblem};
pub use kafka_options::KafkaOptions;
pub use lease::{LIFETIME, Lease, LeaseError, Owner, Use};
pub use lifecycle::{Lifecycle, Stop};
pub use log::{
    Appended, Appending, Bounds, Chain, Damage, Entry, Extent, Log, LogError, Message, Partition, Record, next_entry,
    retain,
};
pub use metrics::{Metrics, RoleMetrics};
pub use numbered::{Asked, Numbered, NumberedError};
pub use outbox::Outbox;
pub use progress::{PROGRESS, Progress, progress};
pub use queue::{QueueReceiver, QueueSender, queue};
pub use registry::{Described, Registry};
pub use shares::{Share, SharedLog, Shares};
pub use snapshot::{
    Columns, ColumnsBuilder, KeyedColumns, Recorded, Snapshot, SnapshotError, Snapshots, VersionError, Versioned,
};
pub use thread::off_reactor;
pub use turn::{in_role, turn};
