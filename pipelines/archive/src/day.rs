//! A day of a topic: its objects, and those of them that count.
//!
//! Compaction may go on beside a reader. A manifest that is there stays there, a revision holds all names that the one before it replaced, and
//! no object is removed before the manifest that replaces it has been written. So a reader lists the day first and looks for the newest
//! manifest then: what the listing does not show any more is in a file of that manifest. An object that is gone was removed after a newer
//! manifest, and the day is read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use futures::TryStreamExt as _;
use nilometer_schemas::{Contract, Timestamp};
use object_store::{ObjectStore, path::Path};

use crate::{
    ArchiveError,
    manifest::{self, Manifest},
    object::{fetch, message_of_forecasts},
};

/// How often a day is read before an object that is gone is an error.
pub(crate) const READS: usize = 8;
const DAY_S: i64 = 86_400;
const DATE: &str = "date=";

/// The objects of a contract's day, as they were listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    contract: Contract,
    /// as in the name of its folder, `2014-11-04`
    date: String,
    /// size in bytes by name
    objects: BTreeMap<String, u64>,
}

/// The days of a contract whose dates lie in `dates`, or all, in their order.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be listed.
pub async fn days(
    store: &dyn ObjectStore,
    contract: Contract,
    dates: Option<(Timestamp, Timestamp)>,
) -> Result<Vec<Day>, ArchiveError> {
    let dates = dates.map(|(from, to)| (from.date(), to.date()));
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    let mut listed = store.list(Some(&Path::from(contract.topic())));
    let failed = |source| ArchiveError::Store { what: format!("the archive's {contract}"), source };
    while let Some(object) = listed.try_next().await.map_err(failed)? {
        let parts: Vec<_> = object.location.parts().collect();
        let [_, folder, name] = &parts[..] else { continue };
        let Some(date) = folder.as_ref().strip_prefix(DATE) else { continue };
        if dates.as_ref().is_some_and(|(first, last)| date < first.as_str() || date > last.as_str()) {
            continue;
        }
        let day = days.entry(date.to_owned()).or_insert_with(|| Day::empty(contract, date));
        day.objects.insert(name.as_ref().to_owned(), object.size);
    }
    Ok(days.into_values().collect())
}

/// The days of a contract by their folders, in their order. Their objects are not listed: [`Day::content`] does that, day by day.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be listed.
pub async fn dated(store: &dyn ObjectStore, contract: Contract) -> Result<Vec<Day>, ArchiveError> {
    let failed = |source| ArchiveError::Store { what: format!("the archive's {contract}"), source };
    let listed = store.list_with_delimiter(Some(&Path::from(contract.topic()))).await.map_err(failed)?;
    let folders = listed.common_prefixes.iter().filter_map(|folder| folder.filename()?.strip_prefix(DATE));
    let days: BTreeMap<String, Day> = folders.map(|date| (date.to_owned(), Day::empty(contract, date))).collect();
    Ok(days.into_values().collect())
}

impl Day {
    fn empty(contract: Contract, date: &str) -> Self {
        Self { contract, date: date.to_owned(), objects: BTreeMap::new() }
    }

    /// The same day as it is now.
    pub(crate) async fn listed_again(&self, store: &dyn ObjectStore) -> Result<Self, ArchiveError> {
        let mut day = Self::empty(self.contract, &self.date);
        let folder = day.folder();
        let mut listed = store.list(Some(&folder));
        let failed = |source| ArchiveError::Store { what: folder.to_string(), source };
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            let Some(name) = object.location.filename() else { continue };
            day.objects.insert(name.to_owned(), object.size);
        }
        Ok(day)
    }

    /// The contract whose day it is.
    #[must_use]
    pub const fn contract(&self) -> Contract {
        self.contract
    }

    /// Its date, as in the name of its folder: `2014-11-04`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Bytes of one of its objects; none where the listing did not show it.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.objects.get(name).copied()
    }

    /// When it ends; none where no calendar has its date.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.date.parse::<Timestamp>().ok().map(|begin| begin.plus_s(DAY_S))
    }

    /// The time of its newest message that is an object of its own, else its begin; none where no calendar has its date.
    #[must_use]
    pub fn newest_message(&self) -> Option<Timestamp> {
        let time = |name: &String| name.split('-').next().and_then(|time| time.parse::<Timestamp>().ok());
        let newest = self.objects.keys().filter(|name| is_message(name)).filter_map(time).max();
        newest.or_else(|| self.date.parse().ok())
    }

    /// How many objects it has.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects.len() as u64
    }

    /// How many bytes these have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.values().sum()
    }

    /// Whether the listing alone says that compaction has nothing to do.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        let count = |of: &dyn Fn(&str) -> bool| self.objects.keys().filter(|name| of(name)).count();
        let messages = count(&is_message);
        let compacted = count(&|name| manifest::compacted_revision(name).is_some());
        match self.listed_revision() {
            0 => messages <= 1 && compacted == 0,
            _ => messages == 0 && compacted == 1,
        }
    }

    pub(crate) fn folder(&self) -> Path {
        Path::from(self.contract.topic()).join(format!("{DATE}{}", self.date))
    }

    /// Of the newest manifest that the listing shows, 0 where it shows none.
    fn listed_revision(&self) -> u32 {
        self.objects.keys().filter_map(|name| manifest::revision(name)).max().unwrap_or(0)
    }

    /// What counts and what does not. The newest manifest is looked for now, behind the listing.
    pub(crate) async fn inventory(&self, store: &dyn ObjectStore) -> Result<Inventory, ArchiveError> {
        let manifest = Manifest::newest(store, &self.folder(), self.listed_revision()).await?;
        Ok(self.inventory_by(manifest))
    }

    /// What counts and what does not, where this is the newest manifest.
    pub(crate) fn inventory_by(&self, manifest: Option<Manifest>) -> Inventory {
        let manifest = manifest.unwrap_or_default();
        let identity = |name| identity(self.contract, name);
        let replaced: BTreeSet<&str> = manifest.replaced().map(identity).collect();
        let (mut messages, mut duplicates, mut obsolete) = (Vec::new(), Vec::new(), Vec::new());
        let mut known = BTreeSet::new();
        for name in self.objects.keys() {
            if let Some(revision) = manifest::compacted_revision(name) {
                // One of a revision that is still to come may be another process's, which is about to write the manifest.
                if revision <= manifest.revision && !manifest.files.iter().any(|file| file.name == *name) {
                    obsolete.push(name.clone());
                }
            } else if is_message(name) {
                let list = if replaced.contains(identity(name)) {
                    &mut obsolete
                } else if known.insert(identity(name)) {
                    &mut messages
                } else {
                    &mut duplicates
                };
                list.push(name.clone());
            }
        }
        Inventory { manifest, messages, duplicates, obsolete }
    }

    /// The bytes of the objects that count: files of the manifest, then messages in the order of their keys.
    pub(crate) async fn fetch(
        &self,
        store: &dyn ObjectStore,
        inventory: &Inventory,
    ) -> Result<Vec<(Path, Bytes)>, ArchiveError> {
        let mut fetched = Vec::new();
        let files = inventory.manifest.files.iter().map(|file| &file.name);
        for name in files.chain(&inventory.messages) {
            let key = self.folder().join(name.as_str());
            let bytes = fetch(store, &key).await?.ok_or_else(|| ArchiveError::Gone { key: key.to_string() })?;
            fetched.push((key, bytes));
        }
        Ok(fetched)
    }

    /// The bytes of the objects that count, also where compaction goes on beside.
    pub(crate) async fn read(mut self, store: &dyn ObjectStore) -> Result<Vec<(Path, Bytes)>, ArchiveError> {
        for _ in 1..READS {
            match self.read_listed(store).await {
                Err(ArchiveError::Gone { .. }) => self = self.listed_again(store).await?,
                read => return read,
            }
        }
        self.read_listed(store).await
    }

    async fn read_listed(&self, store: &dyn ObjectStore) -> Result<Vec<(Path, Bytes)>, ArchiveError> {
        let inventory = self.inventory(store).await?;
        self.fetch(store, &inventory).await
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder())
    }
}

/// The objects of a day by what they are.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// of revision 0 and without files where the day was never compacted
    pub(crate) manifest: Manifest,
    /// messages that no file of the manifest has, in the order of their keys
    pub(crate) messages: Vec<String>,
    /// of these the same messages once more
    pub(crate) duplicates: Vec<String>,
    /// what does not count and never will
    pub(crate) obsolete: Vec<String>,
}

impl Inventory {
    /// Whether there is more than one object to read.
    pub(crate) fn is_scattered(&self) -> bool {
        self.manifest.files.len() + self.messages.len() + self.duplicates.len() > 1
    }
}

/// Whether an object is one of a message.
fn is_message(name: &str) -> bool {
    name.ends_with(".parquet") && manifest::compacted_revision(name).is_none()
}

/// What names the message of an object. An earlier build may have published one of forecasts under a name without the model before a crash, and this
/// one again.
pub(crate) fn identity(contract: Contract, name: &str) -> &str {
    match contract {
        Contract::Forecast => message_of_forecasts(name),
        _ => name,
    }
}
