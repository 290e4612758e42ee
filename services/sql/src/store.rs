//! The one store that queries read: the archive, under an address that no statement can name a file below.

use std::sync::Arc;

use datafusion::{
    common::{DataFusionError, Result},
    execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl},
};
use object_store::ObjectStore;
use url::Url;

/// Where the archive is found.
pub(crate) fn archive_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("archive://nilometer")
}

/// Knows the archive and nothing else: neither files of this machine nor buckets.
#[derive(Debug)]
pub(crate) struct ArchiveOnly {
    archive: Arc<dyn ObjectStore>,
}

impl ArchiveOnly {
    pub(crate) const fn new(archive: Arc<dyn ObjectStore>) -> Self {
        Self { archive }
    }
}

impl ObjectStoreRegistry for ArchiveOnly {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "archive" {
            return Ok(self.archive.clone());
        }
        Err(DataFusionError::Plan(format!(
            "{} cannot be read; accepted are the tables that SHOW TABLES names",
            url.scheme()
        )))
    }
}
