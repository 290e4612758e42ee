//! Snapshots: a role's state and its positions in one object, created once.
//!
//! `<root>/<role>/<partition>/<ordinal, 20 digits>.arrow` holds numbers as [`Columns`], a row a catchment, and everything else as JSON in the
//! header, sealed like a log segment. An ordinal is an instant's microseconds, negative before 1970, when a minus stands before its digits.
//! Ordinals only grow; the same ordinal may be saved again with the same content (a
//! replay), never with another (a second owner).
//!
//! A snapshot that is [`recording`](Snapshots::recording) also says what partitions of the log held when it was made. As it is made behind everything
//! that led to it, a log that holds less has lost messages, and a role that goes on from it appends none of those before again. So a role whose
//! messages are lost goes on from an older one ([`resuming_at`](Snapshots::resuming_at)).

mod columns;
mod versioned;

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    EnvelopeError, Extent, Log, LogError, Partition,
    envelope::{header, numbered, numbers_in, open, seal},
};

pub use columns::{Columns, ColumnsBuilder, KeyedColumns};
pub use versioned::{VersionError, Versioned};

const CONTENT: &str = "nilometer.snapshot";
/// What the log held; earlier versions did not say.
const RECORDED: &str = "nilometer.log";

/// How many snapshots a reach is divided by: going back costs at most so much more than it must.
const STRIDES: i64 = 16;

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot<T> {
    /// grows with every snapshot of the role
    pub ordinal: i64,
    /// positions, balance and whatever else the role needs to go on
    pub content: T,
    /// the numerical state, by catchment
    pub columns: Columns,
}

/// What a partition held when a snapshot was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// topic of the partition
    pub topic: String,
    /// its number
    pub number: u32,
    /// what it held
    pub extent: Extent,
}

/// Why a snapshot cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// the object store refused or failed
    #[error("snapshot {key}: the object store failed")]
    Store {
        /// object key
        key: String,
        /// the store's error
        #[source]
        source: object_store::Error,
    },
    /// the snapshot cannot be encoded
    #[error("snapshot {key} cannot be encoded")]
    Encode {
        /// object key
        key: String,
        /// why not
        #[source]
        source: EnvelopeError,
    },
    /// the content is not JSON-able
    #[error("snapshot {key}: its content cannot be written as JSON")]
    Content {
        /// object key
        key: String,
        /// why not
        #[source]
        source: serde_json::Error,
    },
    /// the log does not say what it holds
    #[error("the log failed")]
    Log(#[from] LogError),
    /// another owner has written the same ordinal with another content
    #[error("snapshot {key} exists with another content: a second process owns this state; stop one of them")]
    Fenced {
        /// object key
        key: String,
    },
    /// snapshots exist but none can be read
    #[error(
        "none of the {count} snapshots below {folder} can be read (newest: {newest}); move the folder away to start from the beginning of the log"
    )]
    NoneReadable {
        /// where they are
        folder: String,
        /// how many there are
        count: usize,
        /// what is wrong with the newest
        newest: String,
    },
}

/// The snapshots of one role.
#[derive(Clone)]
pub struct Snapshots {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    keep: usize,
    reach: i64,
    /// of which it is recorded what they hold
    log: Option<(Arc<dyn Log>, Vec<Partition>)>,
    /// the first serves, and those behind it up to the second are made again
    again: Option<(i64, i64)>,
}

impl Snapshots {
    /// Snapshots below `root/role`, of which the newest `keep` (at least 2) are kept.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, root: &str, role: &str, keep: usize) -> Self {
        Self { store, folder: Path::from(root).join(role), keep: keep.max(2), reach: 0, log: None, again: None }
    }

    /// Those of a role that owns one partition of several.
    #[must_use]
    pub fn of_partition(self, number: u32) -> Self {
        Self { folder: self.folder.join(number.to_string()), ..self }
    }

    /// Keeps besides those enough of the older ones to go back by `reach` ordinals.
    #[must_use]
    pub fn reaching(self, reach: i64) -> Self {
        Self { reach, ..self }
    }

    /// Each says what these partitions of the log held when it was made.
    #[must_use]
    pub fn recording(self, log: Arc<dyn Log>, partitions: Vec<Partition>) -> Self {
        Self { log: Some((log, partitions)), ..self }
    }

    /// The role goes on from `ordinal` or an older one, and does again what led to those behind it, of which `newest` is the last; where there is
    /// none it begins anew.
    #[must_use]
    pub fn resuming_at(self, ordinal: i64, newest: i64) -> Self {
        Self { again: Some((ordinal, newest)), ..self }
    }

    fn key(&self, ordinal: i64) -> Path {
        self.folder.clone().join(numbered(ordinal))
    }

    /// Saves a snapshot and removes those that are no longer kept.
    ///
    /// # Errors
    /// [`SnapshotError::Fenced`] when another owner saved this ordinal; otherwise the store's or the encoder's error.
    pub async fn save<T: Serialize + Sync>(
        &self,
        ordinal: i64,
        content: &T,
        columns: &Columns,
    ) -> Result<(), SnapshotError> {
        let path = self.key(ordinal);
        let key = path.to_string();
        if self.again.is_some_and(|(from, newest)| ordinal > from && ordinal <= newest) {
            // The state is that of the first time, and so is what had been appended then. Others are not made: a newer one is there.
            let Some(recorded) = self.recorded_at(ordinal).await? else { return Ok(()) };
            let bytes = encode(&key, content, columns, &recorded.unwrap_or_default())?;
            self.store.put(&path, bytes.into()).await.map_err(|source| SnapshotError::Store { key, source })?;
            return self.forget(ordinal).await;
        }
        let bytes = encode(&key, content, columns, &self.recorded().await?)?;
        match self.store.put_opts(&path, bytes.clone().into(), PutMode::Create.into()).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.fetch(&path).await?;
                // A torn one is ours to replace; a readable one with another content is another owner's.
                if open(&there).is_err() {
                    self.store.put(&path, bytes.into()).await.map_err(|source| SnapshotError::Store { key, source })?;
                } else if !same(&there, &bytes) {
                    return Err(SnapshotError::Fenced { key });
                }
            }
            Err(source) => return Err(SnapshotError::Store { key, source }),
        }
        self.forget(ordinal).await
    }

    /// Puts another state in the place of a snapshot that exists: what it was made of has been corrected.
    ///
    /// # Errors
    /// The store's or the encoder's error.
    pub async fn replace<T: Serialize + Sync>(
        &self,
        ordinal: i64,
        content: &T,
        columns: &Columns,
    ) -> Result<(), SnapshotError> {
        let path = self.key(ordinal);
        let key = path.to_string();
        let bytes = encode(&key, content, columns, &self.recorded().await?)?;
        self.store.put(&path, bytes.into()).await.map_err(|source| SnapshotError::Store { key, source })?;
        Ok(())
    }

    /// The newest snapshot that can be read, `None` when there is none at all.
    ///
    /// # Errors
    /// [`SnapshotError::NoneReadable`] when snapshots exist and every one is damaged or of another kind.
    pub async fn newest<T: DeserializeOwned>(&self) -> Result<Option<Snapshot<T>>, SnapshotError> {
        let mut ordinals = self.ordinals().await?;
        ordinals.retain(|ordinal| self.again.is_none_or(|(from, _)| *ordinal <= from));
        let mut newest_problem = None;
        for ordinal in ordinals.iter().rev() {
            let path = self.key(*ordinal);
            match parse(&self.fetch(&path).await?) {
                Ok((content, columns)) => return Ok(Some(Snapshot { ordinal: *ordinal, content, columns })),
                Err(problem) => {
                    tracing::warn!(snapshot = %path, problem, "a snapshot cannot be read; the one before it serves");
                    newest_problem.get_or_insert(problem);
                }
            }
        }
        match newest_problem {
            None => Ok(None),
            Some(newest) => {
                Err(SnapshotError::NoneReadable { folder: self.folder.to_string(), count: ordinals.len(), newest })
            }
        }
    }

    /// The newest snapshot before `ordinal` that can be read and is accepted.
    ///
    /// # Errors
    /// The store's error. A damaged one counts as absent.
    pub async fn newest_before<T: DeserializeOwned>(
        &self,
        ordinal: i64,
        accept: impl Fn(&Snapshot<T>) -> bool,
    ) -> Result<Option<Snapshot<T>>, SnapshotError> {
        for ordinal in self.ordinals().await?.into_iter().rev().filter(|o| *o < ordinal) {
            if let Some(snapshot) = self.readable(ordinal).await?.filter(&accept) {
                return Ok(Some(snapshot));
            }
        }
        Ok(None)
    }

    /// The oldest snapshot kept, for retention: the log before its positions is no longer needed.
    ///
    /// # Errors
    /// The store's error. A damaged one counts as absent.
    pub async fn oldest<T: DeserializeOwned>(&self) -> Result<Option<Snapshot<T>>, SnapshotError> {
        for ordinal in self.ordinals().await? {
            if let Some(snapshot) = self.readable(ordinal).await? {
                return Ok(Some(snapshot));
            }
        }
        Ok(None)
    }

    /// A snapshot, or the oldest where none is named.
    ///
    /// # Errors
    /// The store's error. A damaged one counts as absent.
    pub async fn readable_or_oldest<T: DeserializeOwned>(
        &self,
        ordinal: Option<i64>,
    ) -> Result<Option<Snapshot<T>>, SnapshotError> {
        match ordinal {
            Some(ordinal) => self.readable(ordinal).await,
            None => self.oldest().await,
        }
    }

    /// What partitions held when a snapshot was made: nothing where the log has a record of its own. `None` when the snapshot is damaged or absent, and
    /// within when it is of an earlier version, which did not say.
    ///
    /// # Errors
    /// The store's error.
    pub async fn recorded_at(&self, ordinal: i64) -> Result<Option<Option<Vec<Recorded>>>, SnapshotError> {
        let bytes = match self.fetch(&self.key(ordinal)).await {
            Ok(bytes) => bytes,
            Err(SnapshotError::Store { source: object_store::Error::NotFound { .. }, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok((_, headers)) = open(&bytes) else { return Ok(None) };
        Ok(Some(headers.get(RECORDED).and_then(|text| serde_json::from_str(text).ok())))
    }

    /// What the log holds now.
    async fn recorded(&self) -> Result<Vec<Recorded>, SnapshotError> {
        let mut recorded = Vec::new();
        let Some((log, partitions)) = &self.log else { return Ok(recorded) };
        for partition in partitions {
            if let Some(extent) = log.extent(*partition).await?.filter(|extent| extent.end > 0) {
                recorded.push(Recorded {
                    topic: partition.contract.topic().to_owned(),
                    number: partition.number,
                    extent,
                });
            }
        }
        Ok(recorded)
    }

    /// A snapshot unless it is damaged, or was removed since it was listed.
    ///
    /// # Errors
    /// The store's error.
    pub async fn readable<T: DeserializeOwned>(&self, ordinal: i64) -> Result<Option<Snapshot<T>>, SnapshotError> {
        match self.fetch(&self.key(ordinal)).await {
            Ok(bytes) => Ok(parse(&bytes).ok().map(|(content, columns)| Snapshot { ordinal, content, columns })),
            Err(SnapshotError::Store { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self, path: &Path) -> Result<Vec<u8>, SnapshotError> {
        let fail = |source| SnapshotError::Store { key: path.to_string(), source };
        Ok(self.store.get(path).await.map_err(fail)?.bytes().await.map_err(fail)?.to_vec())
    }

    /// Every snapshot that there is, ascending.
    ///
    /// # Errors
    /// The store's error.
    pub async fn ordinals(&self) -> Result<Vec<i64>, SnapshotError> {
        numbers_in(&*self.store, &self.folder)
            .await
            .map_err(|source| SnapshotError::Store { key: self.folder.to_string(), source })
    }

    async fn forget(&self, newest: i64) -> Result<(), SnapshotError> {
        let ordinals: Vec<i64> = self.ordinals().await?.into_iter().filter(|o| *o <= newest).collect();
        let older = &ordinals[..ordinals.len().saturating_sub(self.keep)];
        // The last one beyond the reach is needed, and from there on one a stride.
        let beyond = older.partition_point(|o| *o <= newest.saturating_sub(self.reach)).saturating_sub(1);
        let (mut surplus, within) = (older[..beyond].to_vec(), &older[beyond..]);
        let mut kept: Option<i64> = None;
        for ordinal in within {
            if self.reach > 0 && kept.is_none_or(|kept| ordinal - kept >= self.reach / STRIDES) {
                kept = Some(*ordinal);
            } else {
                surplus.push(*ordinal);
            }
        }
        for ordinal in surplus {
            let path = self.key(ordinal);
            self.store.delete(&path).await.map_err(|source| SnapshotError::Store { key: path.to_string(), source })?;
        }
        Ok(())
    }
}

fn encode<T: Serialize>(
    key: &str,
    content: &T,
    columns: &Columns,
    recorded: &[Recorded],
) -> Result<Vec<u8>, SnapshotError> {
    let json = |source| SnapshotError::Content { key: key.to_owned(), source };
    let content = serde_json::to_string(content).map_err(json)?;
    let recorded = serde_json::to_string(recorded).map_err(json)?;
    let fail = |source| SnapshotError::Encode { key: key.to_owned(), source };
    seal(columns.batch(), &[(CONTENT, content), (RECORDED, recorded)]).map_err(fail)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Columns), String> {
    let (batch, headers) = open(bytes).map_err(|e| e.to_string())?;
    let content: String = header(&headers, CONTENT, "JSON").map_err(|e| e.to_string())?;
    let content = serde_json::from_str(&content).map_err(|e| e.to_string())?;
    Ok((content, Columns::of(&batch).map_err(|e| e.to_string())?))
}

/// Compares content, not bytes: the order of Arrow's metadata is not fixed, and others may have appended more or less.
fn same(a: &[u8], b: &[u8]) -> bool {
    let content = |bytes: &[u8]| {
        let (batch, headers) = open(bytes).ok()?;
        Some((batch.columns().to_vec(), headers.get(CONTENT)?.clone()))
    };
    content(a).is_some() && content(a) == content(b)
}

#[cfg(test)]
mod tests;
