//! Objects of the archive: Parquet under stable keys.

use arrow::array::RecordBatch;
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp};
use object_store::path::Path;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

/// Where the message of a partition with this time and position lies. A forecast is found by its issue time, of which
/// there is one message; other contracts may have several a tick and carry the position too.
#[must_use]
pub fn object_key(root: &Path, partition: Partition, time: Timestamp, position: u64) -> Path {
    let name = match partition.contract {
        Contract::Forecast => format!("{}-{}.parquet", time.compact(), partition.number),
        _ => format!("{}-{}-{position}.parquet", time.compact(), partition.number),
    };
    root.clone().join(partition.contract.topic()).join(format!("date={}", time.date())).join(name)
}

/// The rows as one Parquet file. The same rows give the same bytes.
///
/// # Errors
/// [`ParquetError`] when a column cannot be written.
pub fn to_parquet(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by("nilometer".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
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
        let mut reader = ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 10).unwrap();
        let back = reader.next().unwrap().unwrap();
        assert_eq!(back.columns(), batch.columns());
        assert_eq!(back.schema().fields(), batch.schema().fields(), "units and standard names are kept");
    }

    #[test]
    fn keys_are_stable() {
        let time = "2014-11-04T20:00:00Z".parse().unwrap();
        let key = object_key(&Path::from("out"), Partition::new(Contract::Forecast, 0), time, 7);
        assert_eq!(key.as_ref(), "out/forecast.v1/date=2014-11-04/20141104T200000Z-0.parquet");
    }
}
