//! The state of the role, as its snapshots have it.

use std::collections::BTreeMap;

use nilometer_connectors::{Cursor, Look};
use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Intake;

/// A tick that was read and may have been appended in part. What was read of it is what a redo reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Planned {
    pub(crate) look: Look,
    pub(crate) cursors: BTreeMap<String, Cursor>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngestState {
    /// last tick that was appended
    pub(crate) tick: Option<Timestamp>,
    /// where each source is after it
    pub(crate) cursors: BTreeMap<String, Cursor>,
    pub(crate) intake: Intake,
    /// the tick after it, where sources may have grown since
    pub(crate) planned: Option<Planned>,
    /// announcements that the log has rows of
    #[serde(default)]
    pub(crate) announcements: u64,
    /// position of raw.v1 up to which it has taken messages
    #[serde(default)]
    pub(crate) raw: u64,
}
