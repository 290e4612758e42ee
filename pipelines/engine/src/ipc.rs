//! One batch as an Arrow IPC stream, compressed with LZ4 where it holds more than a few values.
//!
//! Arrow's reader allocates what a stream promises before it looks for it, and panics on metadata that no writer writes. So the lengths are
//! held to the bytes that are there first, and a panic is an error.

use std::{
    any::Any,
    collections::HashMap,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{Array as _, ArrayRef, RecordBatch},
    datatypes::Schema,
    error::ArrowError,
    ipc::{CompressionType, reader::StreamReader, root_as_message, writer::IpcWriteOptions, writer::StreamWriter},
};

use crate::EnvelopeError;

/// Stands before the length of a message's metadata.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Stands in place of a length where a buffer is not compressed.
const NOT_COMPRESSED: i64 = -1;
/// LZ4 gives at most so many bytes for one (LZ4 block format: a match is lengthened by 255 a byte).
const MAX_COMPRESSION: usize = 256;
/// A row has at least a bit, and a few rows of a column without values have none.
const MAX_ROWS_A_BYTE: usize = 8 * MAX_COMPRESSION;

/// Bytes of values from which on a batch is compressed: each of its buffers is a frame of its own, which costs more than it saves where they hold little.
const COMPRESSED_BYTES: usize = 16 << 10;

/// A batch as one Arrow IPC stream with `headers` added to the schema's metadata, without a seal.
///
/// # Errors
/// [`ArrowError`] when the batch cannot be encoded.
pub fn to_ipc(batch: &RecordBatch, headers: &[(&str, String)]) -> Result<Vec<u8>, ArrowError> {
    let mut metadata: HashMap<String, String> = batch.schema().metadata().clone();
    metadata.extend(headers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    let schema = Arc::new(Schema::new_with_metadata(batch.schema().fields().clone(), metadata));
    let bytes_of = |column: &ArrayRef| column.to_data().get_slice_memory_size();
    let bytes = batch.columns().iter().map(bytes_of).sum::<Result<usize, ArrowError>>()?;
    let compression = (bytes >= COMPRESSED_BYTES).then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::with_capacity(4096), &schema, options)?;
    writer.write(&batch.clone().with_schema(schema)?)?;
    writer.into_inner()
}

/// The first batch of an Arrow IPC stream without a seal, and the metadata of its schema, which holds the headers.
///
/// # Errors
/// [`EnvelopeError`] when the bytes are no such stream, or one without a batch.
pub fn from_ipc(bytes: &[u8]) -> Result<(RecordBatch, HashMap<String, String>), EnvelopeError> {
    check_lengths(bytes)?;
    let read = || {
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let headers = reader.schema().metadata().clone();
        let batch = reader.next().ok_or(EnvelopeError::Torn { bytes: bytes.len() })??;
        Ok((batch, headers))
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(EnvelopeError::Unexpected(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a reason").to_owned()
}

/// Holds every length that a stream promises, up to its first batch, to the bytes that are there.
fn check_lengths(bytes: &[u8]) -> Result<(), EnvelopeError> {
    let mut rest = bytes;
    while let Some(length) = metadata_length(&mut rest) {
        let metadata = take(&mut rest, "a message's metadata", i64::from(length))?;
        let message = root_as_message(metadata).map_err(|error| ArrowError::ParseError(error.to_string()))?;
        let body = take(&mut rest, "a message's body", message.bodyLength())?;
        let whole = message.header_as_record_batch();
        let Some(batch) = whole.or_else(|| message.header_as_dictionary_batch()?.data()) else { continue };
        let nodes = batch.nodes().into_iter().flatten();
        for rows in nodes.flat_map(|node| [node.length(), node.null_count()]).chain([batch.length()]) {
            within("rows", rows, bytes.len().saturating_mul(MAX_ROWS_A_BYTE))?;
        }
        for buffer in batch.buffers().into_iter().flatten() {
            let mut from =
                body.get(within("what precedes a buffer", buffer.offset(), body.len())?..).unwrap_or_default();
            let content = take(&mut from, "a buffer", buffer.length())?;
            if batch.compression().is_some()
                && let Some(length) = content.first_chunk()
                && i64::from_le_bytes(*length) != NOT_COMPRESSED
            {
                let most = content.len().saturating_mul(MAX_COMPRESSION);
                within("a buffer that is decompressed", i64::from_le_bytes(*length), most)?;
            }
        }
        if whole.is_some() {
            break;
        }
    }
    Ok(())
}

/// The length of the next message's metadata; none at the end of the stream.
fn metadata_length(rest: &mut &[u8]) -> Option<i32> {
    if rest.first_chunk() == Some(&CONTINUATION) {
        *rest = &rest[CONTINUATION.len()..];
    }
    let (length, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i32::from_le_bytes(*length)).filter(|length| *length != 0)
}

fn take<'a>(rest: &mut &'a [u8], of: &'static str, length: i64) -> Result<&'a [u8], EnvelopeError> {
    let (taken, behind) = rest.split_at(within(of, length, rest.len())?);
    *rest = behind;
    Ok(taken)
}

fn within(of: &'static str, promised: i64, most: usize) -> Result<usize, EnvelopeError> {
    let length = usize::try_from(promised).ok().filter(|length| *length <= most);
    length.ok_or(EnvelopeError::Length { of, promised, most })
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Observations;

    use super::*;

    /// A stream of so many numbers, and where in it its body begins.
    fn stream(count: usize) -> (Vec<u8>, usize) {
        let numbers = Arc::new(arrow::array::Int64Array::from(vec![7; count])) as ArrayRef;
        let bytes = to_ipc(&RecordBatch::try_from_iter([("numbers", numbers)]).unwrap(), &[]).unwrap();
        let mut rest = &bytes[..];
        for _ in 0..2 {
            let length = metadata_length(&mut rest).unwrap();
            take(&mut rest, "metadata", i64::from(length)).unwrap();
        }
        let body = bytes.len() - rest.len();
        (bytes, body)
    }

    #[test]
    fn what_is_written_is_read_with_its_headers() {
        let batch = Observations::empty().into_batch();
        let (read, headers) = from_ipc(&to_ipc(&batch, &[("key", "value".to_owned())]).unwrap()).unwrap();
        assert_eq!((read.columns(), headers["key"].as_str()), (batch.columns(), "value"));
    }

    #[test]
    fn rows_without_values_are_read_and_too_many_of_them_refused() {
        let read = |rows| {
            let column = Arc::new(arrow::array::NullArray::new(rows)) as ArrayRef;
            let bytes = to_ipc(&RecordBatch::try_from_iter([("nothing", column)]).unwrap(), &[]).unwrap();
            from_ipc(&bytes).map(|(batch, _)| batch.num_rows()).map_err(|error| error.to_string())
        };
        assert_eq!(read(1_000), Ok(1_000));
        assert!(read(usize::MAX >> 1).unwrap_err().contains("of rows"));
    }

    #[test]
    fn a_length_that_the_bytes_cannot_hold_is_refused_before_it_is_allocated() {
        let (bytes, body) = stream(COMPRESSED_BYTES / 8);
        let promising = |at: usize, length: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + length.len()].copy_from_slice(length);
            from_ipc(&bytes).unwrap_err().to_string()
        };
        let metadata = promising(4, &i32::MAX.to_le_bytes());
        assert!(metadata.contains("2147483647") && metadata.contains("metadata"), "{metadata}");
        assert!(promising(4, &(-8_i32).to_le_bytes()).contains("-8"));
        // The first buffer of the body, of validity, is absent; the numbers begin with their length.
        let buffer = promising(body, &(1_i64 << 52).to_le_bytes());
        assert!(buffer.contains("4503599627370496") && buffer.contains("decompressed"), "{buffer}");
    }

    #[test]
    fn no_cut_and_no_byte_ends_the_process() {
        for (bytes, _) in [stream(3), stream(COMPRESSED_BYTES / 8)] {
            no_cut_and_no_byte_of(&bytes);
        }
    }

    fn no_cut_and_no_byte_of(bytes: &[u8]) {
        for at in 0..bytes.len() {
            drop(from_ipc(&bytes[..at]));
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.to_vec();
                bytes[at] = byte;
                drop(from_ipc(&bytes));
            }
        }
    }
}
