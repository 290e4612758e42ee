//! Package store: the packages that forecasts are made with, by their content: `models/SHA-256/FILE`, the files of a package or a blend, never changed.

use std::{collections::BTreeMap, sync::Arc};

use futures::TryStreamExt as _;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, path::Path};

use crate::Mixture;

/// The folder of a store that holds packages.
pub const MODELS: &str = "models";
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
}

/// Packages of one store.
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

    async fn list(&self, folder: &Path) -> Result<Vec<Path>, PackageStoreError> {
        let listed = self.store.list(Some(folder)).map_ok(|object| object.location).try_collect::<Vec<_>>().await;
        let mut keys = listed.map_err(|source| failed(folder, source))?;
        keys.sort();
        Ok(keys)
    }
}

/// The folder of a package.
fn folder(content_sha256: &str) -> Path {
    Path::from(MODELS).join(content_sha256)
}

fn failed(key: &Path, source: Error) -> PackageStoreError {
    PackageStoreError::Store { key: key.to_string(), source }
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
}
