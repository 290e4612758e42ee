//! A lease in an object store: an object that its owner alone writes, each time on the condition that it is as the owner left it.

use std::{sync::Arc, time::Duration};

use futures::{TryStreamExt as _, future::try_join_all};
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion, path::Path};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{LEASE, LIFETIME, LeaseError, Owner, Use};

/// Where those who share a store have theirs.
const SHARED: &str = "lease";
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An object of ours.
#[derive(Debug)]
pub(super) struct ObjectLease {
    store: Arc<dyn ObjectStore>,
    key: Path,
    /// what it said last, and which version that was
    written: Mutex<(Owner, UpdateVersion)>,
}

/// What is known of a lease that may be another's.
enum Standing {
    /// no process has had it
    Absent,
    /// its owner has ended; this is the version that was left
    Ended(UpdateVersion),
    /// its owner renews it
    Living(String),
}

impl ObjectLease {
    /// Takes the lease, or says who has it.
    pub(super) async fn take(
        store: Arc<dyn ObjectStore>,
        place: &str,
        owner: Owner,
        how: Use,
    ) -> Result<Result<Self, String>, LeaseError> {
        let key = match how {
            Use::Alone => Path::from(LEASE),
            Use::Shared => Path::from(SHARED).join(format!("{}.json", owner.id)),
        };
        let version = loop {
            let mode = match standing(&*store, &key, place).await? {
                Standing::Absent => PutMode::Create,
                Standing::Ended(version) => PutMode::Update(version),
                Standing::Living(owner) => return Ok(Err(owner)),
            };
            if let Some(version) = write(&*store, &key, &owner, mode).await? {
                break version;
            }
        };
        let lease = Self { store, key, written: Mutex::new((owner, version)) };
        // Each says first that it is there and looks then, so of two that begin at once at least one sees the other.
        let others = match how {
            Use::Alone => listed(&*lease.store).await?,
            Use::Shared => vec![Path::from(LEASE)],
        };
        let others = try_join_all(others.iter().map(|key| standing(&*lease.store, key, place))).await?;
        for other in others {
            if let Standing::Living(other) = other {
                lease.release().await?;
                return Ok(Err(other));
            }
        }
        Ok(Ok(lease))
    }

    /// Writes it again, unless another has.
    pub(super) async fn renew(&self, place: &str) -> Result<(), LeaseError> {
        let mut written = self.written.lock().await;
        let (owner, version) = &mut *written;
        owner.renewed += 1;
        match write(&*self.store, &self.key, owner, PutMode::Update(version.clone())).await? {
            Some(next) => *version = next,
            None => {
                let detail = format!("{} was written by another process", self.key);
                return Err(LeaseError::Lost { place: place.to_owned(), detail });
            }
        }
        Ok(())
    }

    /// Says that its owner has ended.
    pub(super) async fn release(self) -> Result<(), LeaseError> {
        let (mut owner, version) = self.written.into_inner();
        owner.released = true;
        write(&*self.store, &self.key, &owner, PutMode::Update(version)).await.map(drop)
    }
}

/// The leases of those who share a store.
async fn listed(store: &dyn ObjectStore) -> Result<Vec<Path>, LeaseError> {
    let folder = Path::from(SHARED);
    let keys = store.list(Some(&folder)).map_ok(|object| object.location).try_collect().await;
    keys.map_err(|source| failed(&folder, source))
}

/// Whether the owner of a lease lives: it says that it has ended, or its process has, or for a lifetime it was not renewed.
async fn standing(store: &dyn ObjectStore, key: &Path, place: &str) -> Result<Standing, LeaseError> {
    let Some((owner, first)) = read(store, key).await? else { return Ok(Standing::Absent) };
    if owner.as_ref().is_some_and(Owner::has_ended) {
        return Ok(Standing::Ended(first));
    }
    let named = owner.map_or_else(|| "another process".to_owned(), |owner| owner.to_string());
    tracing::info!(
        place,
        owner = named,
        "the store has a lease: waiting up to {} s for a sign of its owner",
        LIFETIME.as_secs()
    );
    let begun = Instant::now();
    while begun.elapsed() < LIFETIME {
        sleep(LOOK_EVERY).await;
        match read(store, key).await? {
            None => return Ok(Standing::Absent),
            Some((Some(owner), version)) if owner.has_ended() => return Ok(Standing::Ended(version)),
            Some((_, version)) if version != first => return Ok(Standing::Living(named)),
            Some(_) => {}
        }
    }
    Ok(Standing::Ended(first))
}

async fn read(store: &dyn ObjectStore, key: &Path) -> Result<Option<(Option<Owner>, UpdateVersion)>, LeaseError> {
    let object: GetResult = match store.get(key).await {
        Ok(object) => object,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(failed(key, source)),
    };
    let version = UpdateVersion { e_tag: object.meta.e_tag.clone(), version: object.meta.version.clone() };
    let bytes = object.bytes().await.map_err(|source| failed(key, source))?;
    Ok(Some((serde_json::from_slice(&bytes).ok(), version)))
}

/// The version that was written; `None` when the condition does not hold.
async fn write(
    store: &dyn ObjectStore,
    key: &Path,
    owner: &Owner,
    mode: PutMode,
) -> Result<Option<UpdateVersion>, LeaseError> {
    let text = serde_json::to_vec_pretty(owner).unwrap_or_default();
    let creates = mode == PutMode::Create;
    match store.put_opts(key, text.into(), mode.into()).await {
        Ok(written) => Ok(Some(written.into())),
        // What is created is not found where there is no bucket.
        Err(source @ Error::NotFound { .. }) if creates => Err(failed(key, source)),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {
            // A request that was repeated by the client meets what it wrote itself.
            Ok(read(store, key).await?.filter(|(there, _)| there.as_ref() == Some(owner)).map(|(_, version)| version))
        }
        Err(source) => Err(failed(key, source)),
    }
}

fn failed(key: &Path, source: Error) -> LeaseError {
    LeaseError::Store { key: key.to_string(), source }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    /// An owner that lives elsewhere, so that only its renewals tell.
    fn elsewhere(command: &str) -> Owner {
        Owner::elsewhere(command)
    }

    async fn take(store: &Arc<InMemory>, command: &str, how: Use) -> Result<ObjectLease, String> {
        ObjectLease::take(store.clone(), "there", elsewhere(command), how).await.unwrap()
    }

    /// Waits for `work` while the owner of `lease` renews it.
    async fn beside<T>(lease: &ObjectLease, work: impl Future<Output = T>) -> T {
        let renewing = async {
            loop {
                sleep(Duration::from_secs(5)).await;
                lease.renew("there").await.unwrap();
            }
        };
        tokio::select! { done = work => done, () = renewing => unreachable!("it renews for ever") }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_owner_is_refused_while_the_first_renews_and_takes_over_when_it_does_not() {
        let store = Arc::new(InMemory::new());
        let first = take(&store, "run", Use::Alone).await.unwrap();
        let refused = beside(&first, take(&store, "hindcast", Use::Alone)).await.unwrap_err();
        assert!(refused.contains("`nilometer run`"), "{refused}");
        let begun = Instant::now();
        let second = take(&store, "replay", Use::Alone).await.unwrap();
        assert!(begun.elapsed() >= LIFETIME, "{:?}", begun.elapsed());
        let lost = first.renew("there").await.unwrap_err();
        assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
        second.release().await.unwrap();
        let begun = Instant::now();
        take(&store, "replay", Use::Alone).await.unwrap();
        assert!(begun.elapsed() < LOOK_EVERY, "what was let go of is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_begin_at_once_one_has_it() {
        let store = Arc::new(InMemory::new());
        drop(take(&store, "run", Use::Alone).await.unwrap());
        let takes = (0..8).map(|_| async {
            let lease = take(&store, "run", Use::Alone).await;
            if let Ok(lease) = &lease {
                for _ in 0..10 {
                    sleep(Duration::from_secs(5)).await;
                    lease.renew("there").await.unwrap();
                }
            }
            lease.is_ok()
        });
        let taken = futures::future::join_all(takes).await;
        assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn several_share_a_store_and_none_empties_it() {
        let store = Arc::new(InMemory::new());
        let one = take(&store, "run", Use::Shared).await.unwrap();
        let other = beside(&one, take(&store, "run", Use::Shared)).await.unwrap();
        other.release().await.unwrap();
        let refused = beside(&one, take(&store, "hindcast", Use::Alone)).await.unwrap_err();
        assert!(refused.contains("`nilometer run`"), "{refused}");
        one.release().await.unwrap();
        let alone = take(&store, "hindcast", Use::Alone).await.unwrap();
        let refused = beside(&alone, take(&store, "run", Use::Shared)).await.unwrap_err();
        assert!(refused.contains("`nilometer hindcast`"), "{refused}");
    }
}
