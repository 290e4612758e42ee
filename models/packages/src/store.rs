//! Package store: the packages that forecasts are made with, by their content, and the announcements that put them in force.
//!
//! ```text
//! models/SHA-256/FILE                the files of a package or a blend, never changed
//! models/announcements/NUMBER.json   that one is to be in force, numbered from 1 without a hole
//! models/taken/NUMBER.json           the tick from which on it is, decided once
//! ```

use std::{collections::BTreeMap, sync::Arc};

use futures::TryStreamExt as _;
use nilometer_schemas::Timestamp;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, path::Path};
use serde::{Deserialize, Serialize};

use crate::Mixture;

/// The folder of a store that holds packages.
pub const MODELS: &str = "models";
const ANNOUNCEMENTS: &str = "announcements";
const TAKEN: &str = "taken";
/// The author of what a definition names.
pub const DEFINITION: &str = "definition";

/// That a package is to be in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// name of the package or the blend
    pub name: String,
    /// its version
    pub version: String,
    /// SHA-256 of all of its files
    pub package_sha256: String,
    /// SHA-256 of its weights
    pub weights_sha256: String,
    /// share of it in what forecasts say, 0 to 1
    pub weight: f64,
    /// why
    pub reason: String,
    /// who says so
    pub author: String,
    /// when
    pub announced_time: Timestamp,
    /// the first tick from which on it may be in force; the next one where it is absent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

impl Announcement {
    /// Of verified models, with weight 1.
    #[must_use]
    pub fn of(models: &Mixture, reason: String, author: String, announced_time: Timestamp) -> Self {
        Self {
            name: models.name().to_owned(),
            version: models.version().to_owned(),
            package_sha256: models.content_sha256().to_owned(),
            weights_sha256: models.weights_sha256().to_owned(),
            weight: 1.0,
            reason,
            author,
            announced_time,
            from: None,
        }
    }

    /// What of it no row of `model.v1` can say.
    fn problem(&self) -> Option<String> {
        let digits = self.package_sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !digits || self.package_sha256.len() != 64 {
            return Some(format!("package_sha256 is {:?}, no 64 hexadecimal digits", self.package_sha256));
        }
        (!(0.0..=1.0).contains(&self.weight)).then(|| format!("weight is {}, not 0 to 1", self.weight))
    }
}

/// Why a package store cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PackageStoreError {
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
    #[error("{key}: {detail}; accepted is what `nilometer models publish` writes: restore the object")]
    Damaged {
        /// object key
        key: String,
        /// what is wrong
        detail: String,
    },
}

/// The tick from which on an announcement is in force.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakenAt {
    tick: Timestamp,
}

/// Packages and announcements of one store.
#[derive(Debug, Clone)]
pub struct PackageStore {
    store: Arc<dyn ObjectStore>,
}

impl PackageStore {
    /// Of the store that `log.store` names.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Puts the files of a package below its content's hash, also where they are, which mends a damaged one. The cards are put last, so that what is
    /// there is whole.
    ///
    /// # Errors
    /// What the store says.
    pub async fn publish(&self, models: &Mixture) -> Result<(), PackageStoreError> {
        let folder = folder(models.content_sha256());
        let (cards, files): (Vec<_>, Vec<_>) = models.files().keys().partition(|name| name.ends_with(".toml"));
        for name in files.into_iter().chain(cards) {
            let key = folder.clone().join_all(name);
            let bytes = bytes::Bytes::from_owner(models.files()[name].clone());
            self.store.put(&key, bytes.into()).await.map_err(|source| failed(&key, source))?;
        }
        Ok(())
    }

    /// The files of a package by their names; none where the store does not have it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn fetch(&self, content_sha256: &str) -> Result<BTreeMap<String, Arc<[u8]>>, PackageStoreError> {
        let folder = folder(content_sha256);
        let mut files = BTreeMap::new();
        for key in self.list(&folder).await? {
            let found = self.store.get(&key).await.map_err(|source| failed(&key, source))?;
            let bytes = found.bytes().await.map_err(|source| failed(&key, source))?;
            let name: Vec<String> =
                key.parts().skip(folder.parts().count()).map(|part| part.as_ref().to_owned()).collect();
            files.insert(name.join("/"), Arc::from(bytes.to_vec()));
        }
        Ok(files)
    }

    /// Announces a package under the next number, and gives the number.
    ///
    /// # Errors
    /// What the store says.
    pub async fn announce(&self, announcement: &Announcement) -> Result<u64, PackageStoreError> {
        let mut number = 1 + self.list(&Path::from(MODELS).join(ANNOUNCEMENTS)).await?.len() as u64;
        loop {
            if self.create(&key(ANNOUNCEMENTS, number), announcement).await? {
                return Ok(number);
            }
            number += 1;
        }
    }

    /// An announcement by its number; none where there is none yet.
    ///
    /// # Errors
    /// What the store says, or that the object is damaged.
    pub async fn announcement(&self, number: u64) -> Result<Option<Announcement>, PackageStoreError> {
        let key = key(ANNOUNCEMENTS, number);
        let announcement: Option<Announcement> = self.read(&key).await?;
        let problem = announcement.as_ref().and_then(Announcement::problem);
        problem.map_or(Ok(announcement), |detail| Err(PackageStoreError::Damaged { key: key.to_string(), detail }))
    }

    /// Every announcement, in the order of their numbers.
    ///
    /// # Errors
    /// What the store says, or that an object is damaged.
    pub async fn announcements(&self) -> Result<Vec<Announcement>, PackageStoreError> {
        let mut all = Vec::new();
        while let Some(announcement) = self.announcement(all.len() as u64 + 1).await? {
            all.push(announcement);
        }
        Ok(all)
    }

    /// The tick from which on an announcement is in force, where that is decided.
    ///
    /// # Errors
    /// What the store says, or that the object is damaged.
    pub async fn taken_at(&self, number: u64) -> Result<Option<Timestamp>, PackageStoreError> {
        let taken: Option<TakenAt> = self.read(&key(TAKEN, number)).await?;
        Ok(taken.map(|taken| taken.tick))
    }

    /// Decides that an announcement is in force from a tick on. It is decided once.
    ///
    /// # Errors
    /// What the store says.
    pub async fn take(&self, number: u64, tick: Timestamp) -> Result<(), PackageStoreError> {
        self.create(&key(TAKEN, number), &TakenAt { tick }).await.map(drop)
    }

    async fn list(&self, folder: &Path) -> Result<Vec<Path>, PackageStoreError> {
        let listed = self.store.list(Some(folder)).map_ok(|object| object.location).try_collect::<Vec<_>>().await;
        let mut keys = listed.map_err(|source| failed(folder, source))?;
        keys.sort();
        Ok(keys)
    }

    /// Whether the object was not there.
    async fn create(&self, key: &Path, content: &impl Serialize) -> Result<bool, PackageStoreError> {
        let json = serde_json::to_vec_pretty(content).map_err(|error| damaged(key, &error))?;
        match self.store.put_opts(key, json.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(source) => Err(failed(key, source)),
        }
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, key: &Path) -> Result<Option<T>, PackageStoreError> {
        let found = match self.store.get(key).await {
            Ok(found) => found.bytes().await.map_err(|source| failed(key, source))?,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(key, source)),
        };
        serde_json::from_slice(&found).map(Some).map_err(|error| damaged(key, &error))
    }
}

/// The folder of a package.
fn folder(content_sha256: &str) -> Path {
    Path::from(MODELS).join(content_sha256)
}

fn key(kind: &str, number: u64) -> Path {
    Path::from(MODELS).join(kind).join(format!("{number:08}.json"))
}

fn failed(key: &Path, source: Error) -> PackageStoreError {
    PackageStoreError::Store { key: key.to_string(), source }
}

fn damaged(key: &Path, error: &serde_json::Error) -> PackageStoreError {
    PackageStoreError::Damaged { key: key.to_string(), detail: error.to_string() }
}

/// A file name with folders, below a key.
trait JoinAll {
    fn join_all(self, name: &str) -> Self;
}

impl JoinAll for Path {
    fn join_all(self, name: &str) -> Self {
        name.split('/').fold(self, |path, part| path.join(part))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use object_store::memory::InMemory;

    use super::*;

    fn zoo(name: &str) -> Mixture {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../zoo").join(name);
        Mixture::load(&folder).unwrap()
    }

    #[tokio::test]
    async fn a_package_and_a_blend_are_the_same_out_of_the_store() {
        let packages = PackageStore::new(Arc::new(InMemory::new()));
        for name in ["exphydro-cance", "blend"] {
            let models = zoo(name);
            packages.publish(&models).await.unwrap();
            let damaged = folder(models.content_sha256()).join_all(models.files().keys().next().unwrap());
            packages.store.put(&damaged, "damaged".into()).await.unwrap();
            packages.publish(&models).await.unwrap();
            let files = packages.fetch(models.content_sha256()).await.unwrap();
            let read = Mixture::of_files("models".as_ref(), &files).unwrap();
            assert_eq!(read.content_sha256(), models.content_sha256());
            assert_eq!(read.members().len(), models.members().len());
        }
        assert!(packages.fetch("00").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn announcements_are_numbered_without_a_hole_and_taken_once() {
        let packages = PackageStore::new(Arc::new(InMemory::new()));
        let models = zoo("exphydro-cance");
        let announce = |reason: &str| Announcement::of(&models, reason.to_owned(), "test".to_owned(), Timestamp(0));
        for (number, reason) in [(1, "first"), (2, "second")] {
            assert_eq!(packages.announce(&announce(reason)).await.unwrap(), number);
        }
        assert_eq!(packages.announcements().await.unwrap(), [announce("first"), announce("second")]);
        assert_eq!(packages.taken_at(1).await.unwrap(), None);
        for tick in [Timestamp(5), Timestamp(9)] {
            packages.take(1, tick).await.unwrap();
            assert_eq!(packages.taken_at(1).await.unwrap(), Some(Timestamp(5)));
        }
    }

    #[tokio::test]
    async fn a_damaged_announcement_is_named() {
        let whole = Announcement::of(&zoo("exphydro-cance"), "a test".to_owned(), "test".to_owned(), Timestamp(0));
        let heavy = serde_json::to_string(&Announcement { weight: 2.0, ..whole.clone() }).unwrap();
        let nowhere = serde_json::to_string(&Announcement { package_sha256: "../log".to_owned(), ..whole }).unwrap();
        for (text, why) in [("{".to_owned(), "EOF"), (heavy, "weight is 2"), (nowhere, "package_sha256 is")] {
            let store = Arc::new(InMemory::new());
            store.put(&key(ANNOUNCEMENTS, 1), text.into()).await.unwrap();
            let error = PackageStore::new(store).announcement(1).await.unwrap_err().to_string();
            assert!(error.contains("models/announcements/00000001.json: ") && error.contains(why), "{error}");
            assert!(error.contains("accepted is"), "{error}");
        }
    }
}
