//! Receiver: who hears of alerts.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use nilometer_schemas::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::alert::Alert;

/// What one message of alert.v1 brings.
pub(crate) struct Delivery<'a> {
    /// watermark of the message
    pub(crate) time: Timestamp,
    /// where the message lies, as `alert.v1/0@17`
    pub(crate) locator: &'a str,
    /// its rows
    pub(crate) changed: &'a [Alert],
    /// every alert that there is behind it, by its identifier
    pub(crate) active: &'a BTreeMap<String, Alert>,
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// what the receiver says
    pub(crate) why: String,
    /// whether it may take it later; otherwise it never will
    pub(crate) later: bool,
}

impl Failure {
    /// The receiver cannot be reached, or cannot now.
    pub(crate) fn down(why: &dyn std::error::Error) -> Self {
        Self { why: in_full(why), later: true }
    }

    /// It will not take this.
    pub(crate) fn refused(why: &dyn std::error::Error) -> Self {
        Self { why: in_full(why), later: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// An error with what led to it; addresses of requests are left out, which may hold secrets.
fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Hears of alerts. What it is given it may be given again.
#[async_trait]
pub(crate) trait Receiver: Send + Sync + 'static {
    /// What it remembers from one delivery to the next.
    type Memory: Clone + Default + Serialize + DeserializeOwned + Send + Sync + PartialEq;

    /// Its name in metrics and messages.
    fn name(&self) -> &'static str;

    /// Takes in what a message brings.
    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut Self::Memory) -> Result<(), Failure>;

    /// Says again what there is, where nothing has changed for a while.
    async fn refresh(&self, _active: &BTreeMap<String, Alert>, _memory: &mut Self::Memory) -> Result<(), Failure> {
        Ok(())
    }
}
