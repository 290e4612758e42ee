//! Objects of the archive: Parquet under stable keys.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use bytes::Bytes;
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp};
use object_store::{Error, ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
};

use crate::ArchiveError;

/// Where the message of a partition with this time and position lies. Forecasts are found by their issue time, of which there is one message, and by
/// their model; other contracts may have several messages a tick and carry the position.
#[must_use]
pub fn object_key(root: &Path, partition: Partition, time: Timestamp, position: u64, rows: &RecordBatch) -> Path {
    let stem = format!("{}-{}", time.compact(), partition.number);
    let name = match partition.contract {
        Contract::Forecast | Contract::ShadowForecast => format!("{stem}-{}.parquet", model_of(rows)),
        _ => format!("{stem}-{position}.parquet"),
    };
    root.clone().join(partition.contract.topic()).join(format!("date={}", time.date())).join(name)
}

/// The model that a message of forecasts is of.
fn model_of(rows: &RecordBatch) -> &str {
    let models = rows.column_by_name("model").and_then(|column| column.as_string_opt::<i32>());
    models.filter(|models| !models.is_empty()).map_or("", |models| models.value(0))
}

/// What names the message of forecasts that an object is of, also where an earlier build wrote it, whose names have no model.
pub(crate) fn message_of_forecasts(name: &str) -> &str {
    let name = name.strip_suffix(".parquet").unwrap_or(name);
    let end = name.match_indices('-').nth(1).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

/// How every object is written that is compressed in this way.
pub(crate) fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(compression).set_created_by("nilometer".to_owned())
}

/// An object's bytes; none where it is not there.
pub(crate) async fn fetch(store: &dyn ObjectStore, key: &Path) -> Result<Option<Bytes>, ArchiveError> {
    let failed = |source| ArchiveError::Store { what: key.to_string(), source };
    let found = match store.get(key).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

/// The rows of a message as one Parquet file. The same rows give the same bytes.
///
/// # Errors
/// [`ParquetError`] when a column cannot be written.
pub fn to_parquet(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    // A message has a page a column: a context of zstd for each costs more than all else, an index and ranges of pages say no more than those of
    // columns, and a dictionary takes longer, and more room, than the repeated values that LZ4 finds.
    let properties = properties(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use nilometer_schemas::{DeadLetterRow, DeadLettersBuilder, Reason};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    #[test]
    fn the_same_rows_give_the_same_bytes_and_come_back() {
        let mut dead_letters = DeadLettersBuilder::new();
        dead_letters.push(&DeadLetterRow {
            source: "rain".to_owned(),
            locator: "a.tif".to_owned(),
            reason: Reason::Undecodable,
            detail: "cut".to_owned(),
            rows: 1,
            content_type: "image/tiff",
            bytes: vec![0, 1, 2],
            ingest_time: Timestamp(0),
        });
        let batch = dead_letters.finish().unwrap().into_batch();
        let bytes = to_parquet(&batch).unwrap();
        assert_eq!(bytes, to_parquet(&batch).unwrap());
        let mut reader = ParquetRecordBatchReader::try_new(Bytes::from(bytes), 10).unwrap();
        let back = reader.next().unwrap().unwrap();
        assert_eq!(back.columns(), batch.columns());
        assert_eq!(back.schema().fields(), batch.schema().fields(), "units and standard names are kept");
    }

    #[test]
    fn keys_are_stable() {
        let time = "2014-11-04T20:00:00Z".parse().unwrap();
        let models = Arc::new(StringArray::from(vec!["lstm-ar"])) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("model", models)]).unwrap();
        let key = |contract| object_key(&Path::from("out"), Partition::new(contract, 0), time, 7, &rows);
        let forecast = key(Contract::Forecast);
        assert_eq!(forecast.as_ref(), "out/forecast.v1/date=2014-11-04/20141104T200000Z-0-lstm-ar.parquet");
        assert_eq!(key(Contract::Score).as_ref(), "out/score.v1/date=2014-11-04/20141104T200000Z-0-7.parquet");
        for name in [forecast.filename().unwrap(), "20141104T200000Z-0.parquet"] {
            assert_eq!(message_of_forecasts(name), "20141104T200000Z-0");
        }
    }
}
