//! The lease of a store: who uses it. One process may change a store, or several that share it where their log lies elsewhere; a process that
//! empties it must be alone.
//!
//! In a folder it is the operating system's lock on `lease.json`, which ends with the process, however that ends. In an object store it is an
//! object that its owner writes again every few seconds, each time on the condition that no other process has; one that finds it unchanged for
//! [`LIFETIME`] may take it. No clock is compared with another machine's.

mod object;
mod owner;

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::ObjectStore;
use tokio::time::{Instant, sleep};

use self::object::ObjectLease;
pub use self::owner::Owner;

/// Name of the lease below its store.
const LEASE: &str = "lease.json";
/// How long a lease in an object store lives that its owner does not renew.
pub const LIFETIME: Duration = Duration::from_secs(20);
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// What a process does with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// alone
    Alone,
    /// beside others, none of which is alone
    Shared,
}

/// Why a lease cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// another process has it
    #[error("{place} is in use by {owner}; accepted is another log.store, or to stop that process first")]
    InUse {
        /// the store
        place: String,
        /// who has it
        owner: String,
    },
    /// another process has taken it
    #[error("the lease of {place} is lost ({detail}): this process ends, as another one may use the store")]
    Lost {
        /// the store
        place: String,
        /// how that was noticed
        detail: String,
    },
    /// the lease's file cannot be written, or the file system has no locks
    #[error(
        "{path} cannot be written and locked; accepted is a folder of ours on a file system with locks, or s3://bucket/prefix"
    )]
    File {
        /// the lease's file
        path: String,
        /// what the system said
        #[source]
        source: io::Error,
    },
    /// the object store refused or failed
    #[error("lease {key}: the object store failed")]
    Store {
        /// object key
        key: String,
        /// the store's error
        #[source]
        source: object_store::Error,
    },
}

/// A store of ours, until this is released or the process ends.
#[derive(Debug)]
pub struct Lease {
    place: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Folder { path: PathBuf, file: File },
    Object(Box<ObjectLease>),
}

impl Lease {
    /// The lease of a folder.
    ///
    /// # Errors
    /// [`LeaseError::InUse`] when another process has it.
    pub fn of_folder(folder: &Path, owner: &Owner, how: Use) -> Result<Self, LeaseError> {
        let (path, place) = (folder.join(LEASE), folder.display().to_string());
        let fail = |source| LeaseError::File { path: path.display().to_string(), source };
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let locked = match how {
            Use::Alone => file.try_lock(),
            Use::Shared => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LeaseError::InUse { place, owner: holder(&path) }),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let text = serde_json::to_vec_pretty(owner).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text)).map_err(fail)?;
        Ok(Self { place, held: Held::Folder { path, file } })
    }

    /// The lease of an object store, which others know as `place`. Waits for [`LIFETIME`] when it cannot be known whether its owner lives.
    ///
    /// # Errors
    /// [`LeaseError::InUse`] when another process has it.
    pub async fn of_store(
        store: Arc<dyn ObjectStore>,
        place: &str,
        owner: Owner,
        how: Use,
    ) -> Result<Self, LeaseError> {
        let in_use = |owner: String| LeaseError::InUse { place: place.to_owned(), owner };
        match ObjectLease::take(store, place, owner, how).await? {
            Ok(lease) => Ok(Self { place: place.to_owned(), held: Held::Object(Box::new(lease)) }),
            Err(owner) => Err(in_use(owner)),
        }
    }

    /// Does `work` while the lease is renewed; it is given up when the lease is lost.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] then, or what the store said for too long.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, LeaseError> {
        tokio::select! {
            biased;
            lost = self.keep() => Err(lost),
            done = work => Ok(done),
        }
    }

    /// Renews the lease for as long as it is ours; gives why it is not any more.
    async fn keep(&self) -> LeaseError {
        let mut renewed = Instant::now();
        loop {
            sleep(RENEW_EVERY).await;
            match self.renew().await {
                Ok(()) => renewed = Instant::now(),
                Err(error @ LeaseError::Store { .. }) if renewed.elapsed() + RENEW_EVERY < LIFETIME => {
                    tracing::warn!(%error, "the lease could not be renewed; tried again");
                }
                Err(error) => return error,
            }
        }
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        match &self.held {
            Held::Object(lease) => lease.renew(&self.place).await,
            Held::Folder { path, file } => {
                let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
                let same = match (file.metadata(), fs::metadata(path)) {
                    (Ok(ours), Ok(there)) => identity(ours) == identity(there),
                    _ => false,
                };
                let detail = || format!("{} was removed or replaced", path.display());
                if same { Ok(()) } else { Err(LeaseError::Lost { place: self.place.clone(), detail: detail() }) }
            }
        }
    }

    /// Lets go of it, so that the next process need not wait.
    ///
    /// # Errors
    /// What the store says; then the lease expires by itself.
    pub async fn release(self) -> Result<(), LeaseError> {
        match self.held {
            Held::Object(lease) => lease.release().await,
            Held::Folder { path, file } => {
                let fail = |source| LeaseError::File { path: path.display().to_string(), source };
                file.set_len(0).map_err(fail)
            }
        }
    }
}

/// Who has the lock of a file, as far as the file says.
fn holder(path: &Path) -> String {
    let owner = fs::read(path).ok().and_then(|text| serde_json::from_slice::<Owner>(&text).ok());
    owner.map_or_else(|| "another process".to_owned(), |owner| owner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_or_several_that_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let take = |how| Lease::of_folder(folder.path(), &Owner::here("run"), how);
        let first = take(Use::Alone).unwrap();
        for how in [Use::Alone, Use::Shared] {
            let refused = take(how).unwrap_err().to_string();
            assert!(
                refused.contains("in use by `nilometer run`, process") && refused.contains("accepted is"),
                "{refused}"
            );
        }
        drop(first);
        let (one, other) = (take(Use::Shared).unwrap(), take(Use::Shared).unwrap());
        assert!(take(Use::Alone).is_err());
        drop((one, other));
        take(Use::Alone).unwrap();
    }

    #[tokio::test]
    async fn a_lease_whose_file_was_removed_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::of_folder(folder.path(), &Owner::here("run"), Use::Alone).unwrap();
        lease.renew().await.unwrap();
        fs::remove_file(folder.path().join(LEASE)).unwrap();
        let lost = lease.renew().await.unwrap_err().to_string();
        assert!(lost.contains("is lost") && lost.contains("was removed or replaced"), "{lost}");
    }
}
