//! Numbered: what people ask of a running pipeline, numbered in the store without a hole; the tick that each is taken at is decided once.
//!
//! ```text
//! FOLDER/announcements/NUMBER.json   what is asked, numbered from 1
//! FOLDER/taken/NUMBER.json           the tick from which on it holds, decided once
//! ```

use std::{marker::PhantomData, sync::Arc};

use futures::TryStreamExt as _;
use nilometer_schemas::Timestamp;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Folder of what is asked.
const ASKED: &str = "announcements";
/// Folder of the ticks.
const TAKEN: &str = "taken";

/// What a pipeline can be asked.
pub trait Asked: Serialize + DeserializeOwned + Send + Sync {
    /// The first tick from which on it may hold; the next one where it is absent.
    fn from(&self) -> Option<Timestamp>;

    /// What of it no row can say.
    fn problem(&self) -> Option<String>;
}

/// Why what is asked cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum NumberedError {
    /// the object store failed
    #[error("{key}: the object store failed")]
    Store {
        /// object key
        key: String,
        /// the store's error
        #[source]
        source: Error,
    },
    /// an object is not what we had written
    #[error("{key}: {detail}; accepted is what `nilometer` writes: restore the object")]
    Damaged {
        /// object key
        key: String,
        /// what is wrong
        detail: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakenAt {
    tick: Timestamp,
}

/// All that was asked below one folder of a store.
#[derive(Debug)]
pub struct Numbered<T> {
    store: Arc<dyn ObjectStore>,
    folder: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), folder: self.folder, of: PhantomData }
    }
}

impl<T: Asked> Numbered<T> {
    /// Below `folder` of a store.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, folder: &'static str) -> Self {
        Self { store, folder, of: PhantomData }
    }

    /// The folder.
    #[must_use]
    pub const fn folder(&self) -> &'static str {
        self.folder
    }

    /// Keeps what is asked under the next number, and gives the number.
    ///
    /// # Errors
    /// What the store says.
    pub async fn ask(&self, asked: &T) -> Result<u64, NumberedError> {
        let folder = Path::from(self.folder).join(ASKED);
        let listed = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await;
        let mut number = 1 + listed.map_err(|source| failed(&folder, source))?.len() as u64;
        while !self.create(&self.key(ASKED, number), asked).await? {
            number += 1;
        }
        Ok(number)
    }

    /// What was asked under a number; none where there is nothing yet.
    ///
    /// # Errors
    /// What the store says, or that the object is damaged.
    pub async fn asked(&self, number: u64) -> Result<Option<T>, NumberedError> {
        let key = self.key(ASKED, number);
        let asked: Option<T> = self.read(&key).await?;
        let problem = asked.as_ref().and_then(Asked::problem);
        problem.map_or(Ok(asked), |detail| Err(NumberedError::Damaged { key: key.to_string(), detail }))
    }

    /// All that was asked, in the order of the numbers.
    ///
    /// # Errors
    /// What the store says, or that an object is damaged.
    pub async fn all(&self) -> Result<Vec<T>, NumberedError> {
        let mut all = Vec::new();
        while let Some(asked) = self.asked(all.len() as u64 + 1).await? {
            all.push(asked);
        }
        Ok(all)
    }

    /// The tick from which on it holds, where that is decided.
    ///
    /// # Errors
    /// What the store says, or that the object is damaged.
    pub async fn taken_at(&self, number: u64) -> Result<Option<Timestamp>, NumberedError> {
        let taken: Option<TakenAt> = self.read(&self.key(TAKEN, number)).await?;
        Ok(taken.map(|taken| taken.tick))
    }

    /// Decides that it holds from a tick on. It is decided once.
    ///
    /// # Errors
    /// What the store says.
    pub async fn take(&self, number: u64, tick: Timestamp) -> Result<(), NumberedError> {
        self.create(&self.key(TAKEN, number), &TakenAt { tick }).await.map(drop)
    }

    fn key(&self, kind: &str, number: u64) -> Path {
        Path::from(self.folder).join(kind).join(format!("{number:08}.json"))
    }

    /// Whether the object was not there.
    async fn create(&self, key: &Path, content: &impl Serialize) -> Result<bool, NumberedError> {
        let json = serde_json::to_vec_pretty(content).map_err(|error| damaged(key, &error))?;
        match self.store.put_opts(key, json.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(source) => Err(failed(key, source)),
        }
    }

    async fn read<R: DeserializeOwned>(&self, key: &Path) -> Result<Option<R>, NumberedError> {
        let found = match self.store.get(key).await {
            Ok(found) => found.bytes().await.map_err(|source| failed(key, source))?,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(key, source)),
        };
        serde_json::from_slice(&found).map(Some).map_err(|error| damaged(key, &error))
    }
}

fn failed(key: &Path, source: Error) -> NumberedError {
    NumberedError::Store { key: key.to_string(), source }
}

fn damaged(key: &Path, error: &serde_json::Error) -> NumberedError {
    NumberedError::Damaged { key: key.to_string(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use object_store::memory::InMemory;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Word(String);

    impl Asked for Word {
        fn from(&self) -> Option<Timestamp> {
            None
        }

        fn problem(&self) -> Option<String> {
            self.0.is_empty().then(|| "is empty".to_owned())
        }
    }

    #[tokio::test]
    async fn what_is_asked_is_numbered_without_a_hole_and_taken_once() {
        let numbered = Numbered::new(Arc::new(InMemory::new()), "words");
        for (number, word) in [(1, "first"), (2, "second")] {
            assert_eq!(numbered.ask(&Word(word.to_owned())).await.unwrap(), number);
        }
        assert_eq!(numbered.all().await.unwrap(), [Word("first".to_owned()), Word("second".to_owned())]);
        assert_eq!(numbered.taken_at(1).await.unwrap(), None);
        for tick in [Timestamp(5), Timestamp(9)] {
            numbered.take(1, tick).await.unwrap();
            assert_eq!(numbered.taken_at(1).await.unwrap(), Some(Timestamp(5)));
        }
    }

    #[tokio::test]
    async fn a_damaged_object_is_named() {
        for (text, why) in [("\"cut", "EOF"), ("\"\"", "is empty")] {
            let store = Arc::new(InMemory::new());
            store.put(&"words/announcements/00000001.json".into(), text.into()).await.unwrap();
            let error = Numbered::<Word>::new(store, "words").asked(1).await.unwrap_err().to_string();
            assert!(error.contains("words/announcements/00000001.json: ") && error.contains(why), "{error}");
            assert!(error.contains("accepted is"), "{error}");
        }
    }
}
