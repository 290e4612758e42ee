//! Reading a Parquet file whose size in memory is bounded, whatever its compression makes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::{array::RecordBatch, compute::concat_batches};
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    basic::{Compression, Encoding, Type},
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, ParquetMetaData},
};

/// What a file may hold at most.
#[derive(Clone, Copy)]
struct Limits {
    rows: u64,
    /// in memory, as its header says and as they come
    bytes: u64,
}

const LIMITS: Limits = Limits { rows: 1 << 24, bytes: 1 << 30 };
/// Rows that are decoded at once at most.
const DECODED_ROWS: u64 = 1 << 13;

/// All rows of a file.
///
/// # Errors
/// That it is no Parquet file, is damaged, is compressed with LZO, or is larger than allowed.
pub(crate) fn read(bytes: &Bytes) -> Result<RecordBatch, ParquetError> {
    caught(|| read_within(bytes, LIMITS))?
}

/// The result of reading a Parquet file: the library panics on some that are damaged.
///
/// # Errors
/// That it panicked.
pub(crate) fn caught<T>(read: impl FnOnce() -> T) -> Result<T, ParquetError> {
    let damaged = "the file is damaged: its pages are not what Parquet's reader expects; restore it";
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| ParquetError::General(damaged.to_owned()))
}

fn read_within(bytes: &Bytes, limits: Limits) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let of_row = promised(builder.metadata(), limits)?;
    let schema = builder.schema().clone();
    let rows = usize::try_from((limits.bytes / of_row.max(1)).clamp(1, DECODED_ROWS)).unwrap_or(1);
    let (mut batches, mut held) = (Vec::new(), 0_u64);
    for batch in builder.with_batch_size(rows).build()? {
        let batch = batch?;
        held += batch.get_array_memory_size() as u64;
        if held > limits.bytes {
            return Err(limits.exceeded(&format!("at least {held} bytes of rows")));
        }
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// Holds what the header promises to the limits. Gives the bytes that one row can take where columns repeat a value that the file has once.
fn promised(metadata: &ParquetMetaData, limits: Limits) -> Result<u64, ParquetError> {
    let size = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    let rows = size(metadata.file_metadata().num_rows());
    if rows > limits.rows {
        return Err(limits.exceeded(&format!("{rows} rows")));
    }
    let (mut bytes, mut of_row) = (0_u64, 0_u64);
    for group in metadata.row_groups() {
        let chunks = group.columns();
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.compression() == Compression::LZO) {
            let column = chunk.column_path().string();
            let found = format!("column {column:?} is compressed with LZO; accepted is every other codec");
            return Err(ParquetError::General(found));
        }
        let total = |sum: u64, chunk: &ColumnChunkMetaData| sum.saturating_add(size(chunk.uncompressed_size()));
        bytes = chunks.iter().fold(bytes, total);
        of_row = of_row.max(chunks.iter().filter(|chunk| repeats(chunk)).fold(0, total));
    }
    if bytes > limits.bytes {
        return Err(limits.exceeded(&format!("{bytes} bytes uncompressed")));
    }
    Ok(of_row)
}

/// Whether rows of a column can be longer in memory than in the file: text by its number in a dictionary, or by a common beginning.
fn repeats(chunk: &ColumnChunkMetaData) -> bool {
    let text = matches!(chunk.column_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY);
    let short = |encoding| {
        matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY | Encoding::DELTA_BYTE_ARRAY)
    };
    text && chunk.encodings().any(short)
}

impl Limits {
    fn exceeded(self, found: &str) -> ParquetError {
        let Self { rows, bytes } = self;
        ParquetError::General(format!(
            "the file has {found}; accepted are at most {rows} rows and {bytes} bytes: write several files"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use parquet::{arrow::ArrowWriter, basic::ZstdLevel, file::properties::WriterProperties};

    use super::*;

    /// A file of one column that says the same in every row.
    fn repeated(word: &str, rows: usize) -> Bytes {
        let column = Arc::new(StringArray::from(vec![word; rows])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("site", column)]).unwrap();
        let codec = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(codec).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    #[test]
    fn what_the_header_promises_is_held_to_the_limits() {
        let file = repeated("a", 1_001);
        let refused = |limits: Limits| read_within(&file, limits).unwrap_err().to_string();
        let few = refused(Limits { rows: 1_000, ..LIMITS });
        assert!(few.contains("1001 rows") && few.contains("at most 1000 rows"), "{few}");
        assert!(refused(Limits { bytes: 10, ..LIMITS }).contains("bytes uncompressed"));
        assert_eq!(read_within(&file, Limits { rows: 1_001, ..LIMITS }).unwrap().num_rows(), 1_001);
    }

    #[test]
    fn a_damaged_byte_is_an_error_or_another_value() {
        let file = repeated("abc", 3);
        for at in 0..file.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut bytes = file.to_vec();
                bytes[at] = byte;
                drop(read(&bytes.into()));
            }
        }
        let panicked = caught(|| unreachable!("as Parquet's reader does"));
        assert!(panicked.unwrap_err().to_string().contains("restore"));
    }

    #[test]
    fn a_long_value_that_every_row_repeats_does_not_fill_the_memory() {
        let file = repeated(&"x".repeat(10_000), 1_000);
        assert!(file.len() < 10_000, "10 MB of rows are in {} bytes", file.len());
        let limits = Limits { bytes: 1 << 20, ..LIMITS };
        let refused = read_within(&file, limits).unwrap_err().to_string();
        assert!(refused.contains("bytes of rows"), "{refused}");
        assert_eq!(read(&file).unwrap().num_rows(), 1_000);
    }
}
