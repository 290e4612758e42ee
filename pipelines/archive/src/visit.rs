//! Visit: every batch of a contract, object by object.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use nilometer_schemas::{Contract, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{ArchiveError, object::message_of_forecasts};

/// Visits every batch of a contract, in key order; of the objects whose date lies in `dates` where there are any. Gives how many objects there
/// were.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be read, or what `visitor` says.
pub async fn visit<E: From<ArchiveError>>(
    store: &dyn ObjectStore,
    contract: Contract,
    dates: Option<(Timestamp, Timestamp)>,
    mut visitor: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<usize, E> {
    let folder = Path::from(contract.topic());
    let failed = |what: &str, source| ArchiveError::Store { what: what.to_owned(), source };
    let wanted = dates.map(|(from, to)| (format!("date={}", from.date()), format!("date={}", to.date())));
    let listed = store.list(Some(&folder)).map_ok(|object| object.location).try_filter(|key| {
        let date = key.parts().nth(1).map(|p| p.as_ref().to_owned()).unwrap_or_default();
        std::future::ready(wanted.as_ref().is_none_or(|(first, last)| date >= *first && date <= *last))
    });
    let mut keys: Vec<Path> =
        listed.try_collect().await.map_err(|source| failed(&format!("the archive's {contract}"), source))?;
    keys.sort();
    // An earlier build may have published a message under a key without the model before a crash, and this one again.
    if contract == Contract::Forecast {
        keys.dedup_by(|later, earlier| message_of_forecasts(later) == message_of_forecasts(earlier));
    }
    for key in &keys {
        let found = store.get(key).await.map_err(|source| failed(key.as_ref(), source))?;
        let bytes = found.bytes().await.map_err(|source| failed(key.as_ref(), source))?;
        let parquet = |source| ArchiveError::Parquet { key: key.to_string(), source };
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build());
        for batch in reader.map_err(parquet)? {
            visitor(batch.map_err(|source| ArchiveError::Damaged { key: key.to_string(), source })?)?;
        }
    }
    Ok(keys.len())
}
