//! A store in memory that shakes.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory, path::Path as Key,
};

use crate::support::Arbitrary;

/// Of 1 000 calls of the store so many fail.
const FAILING: u64 = 4;

/// A store that lets others go on before and after every call, and now and then fails: before it did what it was asked, or after.
#[derive(Debug, Clone)]
pub struct Shaken {
    pub store: Arc<InMemory>,
    /// none in a quiet run
    arbitrary: Option<Arc<Mutex<Arbitrary>>>,
    pub failed: Arc<AtomicU64>,
}

impl Shaken {
    pub fn new(seed: Option<u64>) -> Self {
        let arbitrary = seed.map(|seed| Arc::new(Mutex::new(Arbitrary(seed))));
        Self { store: Arc::new(InMemory::new()), arbitrary, failed: Arc::default() }
    }

    async fn shaken<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        self.shake().await?;
        let done = call.await;
        self.shake().await?;
        done
    }

    async fn shake(&self) -> StoreResult<()> {
        tokio::task::yield_now().await;
        let draw = || self.arbitrary.as_ref().map(|arbitrary| arbitrary.lock().unwrap().below(1_000));
        if draw().is_some_and(|drawn| drawn < FAILING) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(object_store::Error::Generic { store: "shaken", source: "it was drawn".into() });
        }
        Ok(())
    }
}

impl fmt::Display for Shaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shaken")
    }
}

#[async_trait]
impl ObjectStore for Shaken {
    async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.shaken(self.store.put_opts(key, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> StoreResult<GetResult> {
        self.shaken(self.store.get_opts(key, options)).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, StoreResult<Key>>) -> BoxStream<'static, StoreResult<Key>> {
        let shaken = self.clone();
        keys.then(move |key| {
            let shaken = shaken.clone();
            async move {
                let key = key?;
                shaken.shaken(shaken.store.delete(&key)).await?;
                Ok(key)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> StoreResult<ListResult> {
        self.shaken(self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> StoreResult<()> {
        self.shaken(self.store.copy_opts(from, to, options)).await
    }
}
