//! The notify roles: alerts reach those who are to hear of them, each by a role of its own.
//!
//! ```text
//!                    ┌─▶ notify_alertmanager ─▶ POST /api/v2/alerts, every minute; silences for what operators have taken note of
//! log(alert.v1) ─────┼─▶ notify_webhook ──────▶ POST, signed, a request a river and message
//!                    └─▶ notify_feed ─────────▶ feed/cap/….xml (CAP 1.2), feed/alerts.atom
//! ```
//!
//! Invariants:
//! - each receiver has its own place in the log, which is saved behind what it has taken: one that is down loses nothing, and slows no other;
//! - what a receiver has taken may be given to it again after a crash, with the same identifier;
//! - rows received = used + rejected, where rejected is what a receiver will never take.

mod alert;
mod alertmanager;
mod cap;
mod feed;
mod http;
mod receiver;
mod role;
mod webhook;

use nilometer_engine::{BalanceError, LogError, SnapshotError, VersionError};

pub use alert::{Alert, River, watch_list};
pub use feed::FEED;
pub use role::{Dependencies, NotifyMetrics, alertmanager, feed, needed_from, webhook};

/// Why a role cannot go on. A receiver that is down is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// the log failed
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// a snapshot failed
    #[error("the snapshot cannot go on")]
    Snapshot(#[from] SnapshotError),
    /// the snapshots are of another version
    #[error(transparent)]
    Version(#[from] VersionError),
    /// the balance does not close
    #[error("a row is unaccounted for")]
    Balance(#[from] BalanceError),
    /// no client can be made
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
    /// the secret is not there
    #[error(
        "alerts.webhook.secret_variable names {name}, which the environment does not have; accepted is a secret in it, or no such key"
    )]
    Secret {
        /// name of the variable
        name: String,
    },
}
