//! The manifest of a compacted day: which files hold the rows of which messages.
//!
//! A revision is an object that is created once and stays: `_manifest-<revision>.json`. Readers and compactions go by the newest. A name that
//! begins with an underscore is none of a data set to the usual readers of Parquet folders.

use std::ops::RangeInclusive;

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::{max, max_string, min, min_string},
    datatypes::TimestampMicrosecondType,
};
use nilometer_schemas::Timestamp;
use object_store::{Error, ObjectStore, PutMode, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{ArchiveError, object::fetch};

/// The version that this build reads and writes.
const VERSION: u32 = 1;
/// Revisions that are looked for behind a listing, before the day is listed again.
const NEWER: u32 = 8;
/// Bytes of the hash in a file's name.
const HASH_BYTES: usize = 8;

/// A revision of a day's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// of its form
    pub(crate) version: u32,
    /// 1, then one more with each compaction
    pub(crate) revision: u32,
    /// the compacted files that count; no other does
    pub(crate) files: Vec<CompactedFile>,
}

/// A file that holds the rows of several messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactedFile {
    /// of the object beside the manifest
    pub(crate) name: String,
    /// how many it has
    pub(crate) rows: u64,
    /// names of the objects whose rows it has, sorted; these count no more
    pub(crate) replaces: Vec<String>,
    /// smallest and largest values of its rows
    pub(crate) ranges: Ranges,
}

/// Smallest and largest values of columns; none where a contract has no such column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// of `issue_time`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_time: Option<(Timestamp, Timestamp)>,
    /// of `valid_time`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_time: Option<(Timestamp, Timestamp)>,
    /// of `catchment`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catchment: Option<(String, String)>,
    /// of `station`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<(String, String)>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { version: VERSION, revision: 0, files: Vec::new() }
    }
}

impl Manifest {
    /// The names of all objects that do not count any more.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.replaces.iter().map(String::as_str))
    }

    /// The newest one of a folder, of which a listing showed `listed`, or none where that is 0. [`ArchiveError::Gone`] where the folder is no longer
    /// as it was listed.
    pub(crate) async fn newest(
        store: &dyn ObjectStore,
        folder: &Path,
        listed: u32,
    ) -> Result<Option<Self>, ArchiveError> {
        let first = listed.max(1);
        let mut newest = None;
        for revision in first..first.saturating_add(NEWER) {
            match read(store, &key(folder, revision)).await? {
                Some(manifest) => newest = Some(manifest),
                None if revision == listed => break,
                None => return Ok(newest),
            }
        }
        Err(ArchiveError::Gone { key: key(folder, first).to_string() })
    }

    /// Writes this revision, unless another process has written one: then gives false.
    pub(crate) async fn commit(&self, store: &dyn ObjectStore, folder: &Path) -> Result<bool, ArchiveError> {
        let key = key(folder, self.revision);
        let json = |source| ArchiveError::Manifest { key: key.to_string(), source };
        let text = serde_json::to_vec_pretty(self).map_err(json)?;
        match store.put_opts(&key, text.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            // A request that the client has sent twice meets what it wrote itself.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(read(store, &key).await?.as_ref() == Some(self))
            }
            Err(source) => Err(ArchiveError::Write { key: key.to_string(), source }),
        }
    }
}

impl Ranges {
    /// Widens the ranges by the rows of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for (range, column) in [(&mut self.issue_time, "issue_time"), (&mut self.valid_time, "valid_time")] {
            let times = batch.column_by_name(column).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            let found = times.and_then(|times| min(times).zip(max(times)));
            widen(range, found.map(|(first, last)| Timestamp(first)..=Timestamp(last)));
        }
        for (range, column) in [(&mut self.catchment, "catchment"), (&mut self.station, "station")] {
            let names = batch.column_by_name(column).and_then(|c| c.as_string_opt::<i32>());
            let found = names.and_then(|names| min_string(names).zip(max_string(names)));
            widen(range, found.map(|(first, last)| first.to_owned()..=last.to_owned()));
        }
    }
}

fn widen<T: Ord>(range: &mut Option<(T, T)>, found: Option<RangeInclusive<T>>) {
    let Some(found) = found else { return };
    let (first, last) = found.into_inner();
    *range = Some(match range.take() {
        Some((begin, end)) => (begin.min(first), end.max(last)),
        None => (first, last),
    });
}

async fn read(store: &dyn ObjectStore, key: &Path) -> Result<Option<Manifest>, ArchiveError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }

    let Some(bytes) = fetch(store, key).await? else { return Ok(None) };
    let json = |source| ArchiveError::Manifest { key: key.to_string(), source };
    let Version { version } = serde_json::from_slice(&bytes).map_err(json)?;
    if version != VERSION {
        return Err(ArchiveError::ManifestVersion { key: key.to_string(), version });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(json)
}

fn key(folder: &Path, revision: u32) -> Path {
    folder.clone().join(format!("_manifest-{revision}.json"))
}

/// The revision of a manifest of this name; none where it is of another object.
pub(crate) fn revision(name: &str) -> Option<u32> {
    name.strip_prefix("_manifest-")?.strip_suffix(".json")?.parse().ok()
}

/// The name of the file that a revision names and that takes the place of these objects.
pub(crate) fn compacted_name<'a>(revision: u32, replaces: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for name in replaces {
        hash.update(name);
        hash.update("\n");
    }
    let digits: String = hash.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("compacted-{revision}-{digits}.parquet")
}

/// The revision that a compacted file was made for; none where a name is of another object.
pub(crate) fn compacted_revision(name: &str) -> Option<u32> {
    let (revision, _) = name.strip_prefix("compacted-")?.strip_suffix(".parquet")?.split_once('-')?;
    revision.parse().ok()
}
