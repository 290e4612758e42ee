//! The state of the role, as its snapshots have it. Version 1, of earlier builds, does not say its version; its fields are the same.

use std::collections::BTreeMap;

use nilometer_connectors::{Cursor, Look};
use nilometer_engine::Versioned;
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

/// What a snapshot of this version has; `T` is the state or a reference to it.
pub(crate) type Stored<T = IngestState> = Versioned<T, 2, 1>;

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
    /// actions of operators that the log has rows of
    #[serde(default)]
    pub(crate) actions: u64,
    /// position of raw.v1 up to which it has taken messages
    #[serde(default)]
    pub(crate) raw: u64,
}

/// Frozen snapshots of one pipeline, of every version that there has been.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::{fs, path::Path, sync::Arc};

    use nilometer_engine::Snapshots;
    use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

    use super::*;

    async fn frozen(name: &str) -> Stored {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("frozen/{name}.arrow"));
        store.put(&"snapshots/ingest/00001412769600000001.arrow".into(), fs::read(file).unwrap().into()).await.unwrap();
        Snapshots::new(store, "snapshots", "ingest", 2).newest().await.unwrap().unwrap().content
    }

    #[tokio::test]
    async fn every_version_is_read() {
        for name in ["state-1", "state-1-own-cursors", "state-2"] {
            let state = frozen(name).await.into_current("ingest").unwrap();
            assert_eq!(state.tick.unwrap().to_string(), "2014-10-08T12:00:00Z", "{name}");
            assert_eq!(state.cursors.keys().collect::<Vec<_>>(), ["flow", "pet", "rain"], "{name}");
            assert!(state.cursors.values().all(|cursor| *cursor != Cursor::default()), "{name}");
            let balance = &state.intake.balance;
            assert_eq!((balance.received, balance.used, balance.rejected_rows()), (48, 36, 12), "{name}");
        }
    }

    #[tokio::test]
    async fn a_later_version_is_refused_with_what_to_do() {
        let mut later = serde_json::to_value(frozen("state-2").await).unwrap();
        later["version"] = 3.into();
        let error = serde_json::from_value::<Stored>(later).unwrap().into_current("ingest").unwrap_err().to_string();
        assert!(error.contains("of version 3") && error.contains("use the build that wrote them"), "{error}");
    }
}
