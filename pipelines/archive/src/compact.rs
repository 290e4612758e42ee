//! Compaction: the objects of a day become one file.
//!
//! ```text
//! list ▶ read ▶ sort ▶ put compacted-1-<hash>.parquet ▶ create _manifest-1.json ▶ remove what it replaces
//! ```
//!
//! The manifest is the commit point. What a kill leaves before it is a file that no reader counts, behind it objects that no reader counts;
//! the next compaction removes both. Of two compactions at once one creates the manifest, and the other begins again. A file is named by the
//! revision that it was made for, so that one of a revision that exists is never named by a later one, and can be removed.

use std::collections::BTreeSet;

use arrow::{array::RecordBatch, error::ArrowError};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_schemas::Contract;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::EnabledStatistics,
};

use crate::{
    ArchiveError, Day,
    manifest::{CompactedFile, Manifest, Ranges, compacted_name},
    object::properties,
    order::write_in_order,
    visit::batches,
};

/// Rows of a row group at most.
const ROW_GROUP_ROWS: usize = 131_072;
/// How often a compaction begins again that another one was faster than.
const ATTEMPTS: usize = 4;

/// Makes one file of the objects of a day, and removes what a compaction before it has left. Gives the day as it is then. A day that has a single
/// object stays as it is.
///
/// # Errors
/// [`ArchiveError`] where the day cannot be read or written. Each row is there once then, and another call goes on.
pub async fn compact(store: &dyn ObjectStore, day: &Day) -> Result<Day, ArchiveError> {
    let mut attempt = 1;
    loop {
        let listed = day.listed_again(store).await?;
        match compact_listed(store, &listed).await {
            Ok(true) => return day.listed_again(store).await,
            Ok(false) | Err(ArchiveError::Gone { .. }) if attempt < ATTEMPTS => attempt += 1,
            Ok(false) => return Err(ArchiveError::Overtaken { what: listed.folder().to_string() }),
            Err(error) => return Err(error),
        }
    }
}

/// Gives false where another compaction was faster.
async fn compact_listed(store: &dyn ObjectStore, day: &Day) -> Result<bool, ArchiveError> {
    let inventory = day.inventory(store).await?;
    if !inventory.is_scattered() {
        remove(store, day, &inventory.obsolete).await?;
        return Ok(true);
    }
    let rows = decode(day.contract(), day.fetch(store, &inventory).await?)?;
    let revision = inventory.manifest.revision + 1;
    let mut replaces: BTreeSet<String> = inventory.manifest.replaced().map(str::to_owned).collect();
    replaces.extend(inventory.messages.into_iter().chain(inventory.duplicates));
    let name = compacted_name(revision, &replaces);
    let key = day.folder().join(name.as_str());
    let mut file = CompactedFile { name, rows: 0, replaces: replaces.into_iter().collect(), ranges: Ranges::default() };
    for batch in &rows {
        file.rows += batch.num_rows() as u64;
        file.ranges.add(batch);
    }
    let contract = day.contract();
    // Sorting and compressing would keep a thread of the runtime for seconds.
    let encoded = tokio::task::spawn_blocking(move || encode(contract, &rows)).await;
    let encoded = encoded.unwrap_or_else(|error| Err(ParquetError::General(error.to_string())));
    let bytes = encoded.map_err(|source| ArchiveError::Encode { key: key.to_string(), source })?;
    let stored = store.put(&key, bytes.into()).await;
    stored.map_err(|source| ArchiveError::Write { key: key.to_string(), source })?;
    let manifest = Manifest { revision, files: vec![file], ..Manifest::default() };
    if !manifest.commit(store, &day.folder()).await? {
        return Ok(false);
    }
    remove(store, day, &day.inventory_by(Some(manifest)).obsolete).await?;
    Ok(true)
}

/// The rows of objects with this build's columns.
fn decode(contract: Contract, files: Vec<(Path, bytes::Bytes)>) -> Result<Vec<RecordBatch>, ArchiveError> {
    let mut rows = Vec::new();
    for (key, bytes) in files {
        for batch in batches(&key, bytes)? {
            let batch = batch?;
            // A reader may leave out columns that a later build has added, but the file must not lose them.
            if batch.num_columns() > contract.schema().fields().len() {
                return Err(ArchiveError::LaterVersion { key: key.to_string() });
            }
            rows.push(contract.accept(batch)?);
        }
    }
    Ok(rows)
}

fn encode(contract: Contract, batches: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
    let properties = properties(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), contract.schema(), Some(properties))?;
    write_in_order(contract, batches, |rows| {
        writer.write(rows).map_err(|e| ArrowError::from_external_error(Box::new(e)))
    })?;
    writer.into_inner()
}

/// Removes objects of a day; those that are gone another compaction has removed.
async fn remove(store: &dyn ObjectStore, day: &Day, names: &[String]) -> Result<(), ArchiveError> {
    let keys: Vec<_> = names.iter().map(|name| Ok(day.folder().join(name.as_str()))).collect();
    let removed = store.delete_stream(stream::iter(keys).boxed());
    let failed = |source| ArchiveError::Write { key: day.folder().to_string(), source };
    removed
        .map(|result| match result {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed(source)),
        })
        .try_collect()
        .await
}
