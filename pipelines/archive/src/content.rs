//! Content: the objects of a day that have rows, for readers that open them themselves.

use std::collections::BTreeSet;

use nilometer_schemas::Contract;
use object_store::{ObjectStore, path::Path};

use crate::{
    ArchiveError, Day,
    day::{READS, identity},
    manifest::Ranges,
};

/// The objects of a day whose rows count. Each row is in one of them, once.
#[derive(Debug, Clone)]
pub struct Content {
    /// files of compaction, then objects of messages in the order of their keys
    pub objects: Vec<ContentObject>,
    /// what names the messages whose rows a file of compaction has
    compacted: BTreeSet<String>,
}

/// An object with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentObject {
    /// its key
    pub key: Path,
    /// its size in bytes
    pub size: u64,
    /// smallest and largest values of its rows; none of a message's object
    pub ranges: Option<Ranges>,
}

/// What names the message of an object: no two messages of a contract have the same, and an object that is written again keeps it.
#[must_use]
pub fn message_name(contract: Contract, key: &Path) -> Option<&str> {
    let (_, name) = key.as_ref().rsplit_once('/')?;
    Some(identity(contract, name))
}

impl Content {
    /// Whether a file of compaction has the rows of the message of this name.
    #[must_use]
    pub fn has_compacted(&self, message_name: &str) -> bool {
        self.compacted.contains(message_name)
    }
}

impl Day {
    /// What the day has now. Its objects are listed for it.
    ///
    /// # Errors
    /// [`ArchiveError`] where the archive cannot be read.
    pub async fn content(&self, store: &dyn ObjectStore) -> Result<Content, ArchiveError> {
        for _ in 1..READS {
            match self.listed_content(store).await {
                // The day was compacted between the listing and the manifest.
                Err(ArchiveError::Gone { .. }) => {}
                content => return content,
            }
        }
        self.listed_content(store).await
    }

    async fn listed_content(&self, store: &dyn ObjectStore) -> Result<Content, ArchiveError> {
        let day = self.listed_again(store).await?;
        let inventory = day.inventory(store).await?;
        let compacted = inventory.manifest.replaced().map(|name| identity(day.contract(), name).to_owned()).collect();
        let files = inventory.manifest.files.into_iter().map(|file| (file.name, Some(file.ranges)));
        let messages = inventory.messages.into_iter().map(|name| (name, None));
        let object = |(name, ranges): (String, Option<Ranges>)| {
            let key = day.folder().join(name.as_str());
            let size = day.size(&name).ok_or_else(|| ArchiveError::Gone { key: key.to_string() })?;
            Ok(ContentObject { key, size, ranges })
        };
        let objects = files.chain(messages).map(object).collect::<Result<_, ArchiveError>>()?;
        Ok(Content { objects, compacted })
    }
}
