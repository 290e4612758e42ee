//! Visit: every batch of a contract, day by day.

use arrow::array::RecordBatch;
use bytes::Bytes;
use nilometer_engine::progress;
use nilometer_schemas::{Contract, Timestamp};
use object_store::{ObjectStore, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{ArchiveError, days};

/// Visits every batch of a contract, day by day; of the days whose date lies in `dates` where there are any. Each row is visited once, also where
/// compaction goes on beside or was cut off. Of a day that was not compacted objects are visited in key order, of one that was as its file
/// has its rows ([`compact`](crate::compact)). Gives how many objects there were.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be read, or what `visitor` says.
pub async fn visit<E: From<ArchiveError>>(
    store: &dyn ObjectStore,
    contract: Contract,
    dates: Option<(Timestamp, Timestamp)>,
    mut visitor: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<usize, E> {
    let mut objects = 0;
    let days = days(store, contract, dates).await?;
    let (work, total) = (format!("reading {contract}"), days.len() as u64);
    for (done, day) in days.into_iter().enumerate() {
        progress(&work, done as u64, total, "days", "");
        // All objects of a day are there before the first batch of it is visited.
        for (key, bytes) in day.read(store).await? {
            objects += 1;
            for batch in batches(&key, bytes)? {
                visitor(batch?)?;
            }
        }
    }
    progress(&work, total, total, "days", "");
    Ok(objects)
}

/// The batches of an object.
pub(crate) fn batches(
    key: &Path,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArchiveError>>, ArchiveError> {
    let parquet = |source| ArchiveError::Parquet { key: key.to_string(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(parquet)?;
    // Batches of the reader lack the metadata, which name the version of the contract.
    let schema = builder.schema().clone();
    let batches = builder.build().map_err(parquet)?.map(move |batch| batch?.with_schema(schema.clone()));
    Ok(batches.map(|batch| batch.map_err(|source| ArchiveError::Damaged { key: key.to_string(), source })))
}
