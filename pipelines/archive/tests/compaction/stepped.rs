//! A store in memory of which a test sees every step: before and after each call, and between the pages of a listing.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// Names of a page of a listing.
const PAGE: usize = 2;

/// What is done at a step, by its number.
pub type AtStep = Arc<dyn Fn(usize) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// The order in which a listing comes upon names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    Ascending,
    Descending,
}

#[derive(Clone)]
pub struct Stepped {
    store: Arc<InMemory>,
    listing: Listing,
    at_step: AtStep,
    steps: Arc<AtomicUsize>,
}

impl Stepped {
    pub fn new(store: &Arc<InMemory>, listing: Listing, at_step: AtStep) -> Self {
        Self { store: store.clone(), listing, at_step, steps: Arc::default() }
    }

    /// Whose `n`-th step fails; before or after a call has done what it was asked.
    pub fn failing(store: &Arc<InMemory>, n: usize) -> Self {
        let fail = move |step| match step == n {
            true => Err(Error::Generic { store: "stepped", source: "this step fails".into() }),
            false => Ok(()),
        };
        Self::new(store, Listing::Ascending, Arc::new(move |step| Box::pin(async move { fail(step) })))
    }

    pub fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    async fn step(&self) -> Result<()> {
        (self.at_step)(self.steps.fetch_add(1, Ordering::Relaxed)).await
    }

    async fn stepped<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.step().await?;
        let done = call.await?;
        self.step().await?;
        Ok(done)
    }

    /// The page of a listing behind `last`.
    async fn page(&self, prefix: Option<&Path>, last: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        self.step().await?;
        let mut all: Vec<ObjectMeta> = self.store.list(prefix).try_collect().await?;
        all.sort_by(|one, other| one.location.cmp(&other.location));
        if self.listing == Listing::Descending {
            all.reverse();
        }
        let behind = |object: &ObjectMeta| match (last, self.listing) {
            (None, _) => true,
            (Some(last), Listing::Ascending) => object.location > *last,
            (Some(last), Listing::Descending) => object.location < *last,
        };
        Ok(all.into_iter().filter(behind).take(PAGE).collect())
    }
}

impl fmt::Debug for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stepped")
    }
}

impl fmt::Display for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stepped")
    }
}

#[async_trait]
impl ObjectStore for Stepped {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.stepped(self.store.put_opts(key, payload, options)).await
    }

    async fn put_multipart_opts(&self, key: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.stepped(self.store.put_multipart_opts(key, options)).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.stepped(self.store.get_opts(key, options)).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let stepped = self.clone();
        let removed = keys.then(move |key| {
            let stepped = stepped.clone();
            async move {
                let key = key?;
                stepped.stepped(stepped.store.delete(&key)).await?;
                Ok(key)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (stepped, prefix) = (self.clone(), prefix.cloned());
        let pages = stream::try_unfold(None::<Path>, move |last| {
            let (stepped, prefix) = (stepped.clone(), prefix.clone());
            async move {
                let page = stepped.page(prefix.as_ref(), last.as_ref()).await?;
                let last = page.last().map(|object| object.location.clone());
                Ok::<_, Error>(last.map(|last| (stream::iter(page.into_iter().map(Ok)), Some(last))))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.stepped(self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.stepped(self.store.copy_opts(from, to, options)).await
    }
}
