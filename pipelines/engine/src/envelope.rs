//! How a batch lies in an object: one Arrow IPC stream (LZ4) and a seal behind it.
//!
//! Readers of the Arrow stream stop at its end marker, so `pyarrow.ipc.open_stream` opens a sealed object as it is. The
//! seal is 16 bytes: `NILO`, CRC-32 of all before it (little endian), length of all before it (u64, little endian). A
//! torn write has no seal, a flipped bit breaks the checksum.

use std::{collections::HashMap, fmt::Display, str::FromStr};

use arrow::{array::RecordBatch, error::ArrowError};
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use crate::{from_ipc, to_ipc};

const MAGIC: &[u8; 4] = b"NILO";
const SEAL_BYTES: usize = 16;

/// Why an object cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// the seal is absent, cut or of another length
    #[error(
        "torn: {bytes} bytes without a seal that fits; accepted is an Arrow IPC stream followed by its 16-byte seal"
    )]
    Torn {
        /// length of the object
        bytes: usize,
    },
    /// the bytes are not those that were sealed
    #[error("damaged: checksum {found:08x}, sealed with {expected:08x}")]
    Checksum {
        /// CRC-32 of the bytes
        found: u32,
        /// CRC-32 in the seal
        expected: u32,
    },
    /// the stream does not decode although the seal fits
    #[error("the Arrow stream does not decode")]
    Arrow(#[from] ArrowError),
    /// a length in the stream is more than its bytes can hold
    #[error("cut or damaged: the Arrow stream promises {promised} of {of}, its bytes can hold at most {most}")]
    Length {
        /// what has the length
        of: &'static str,
        /// the length
        promised: i64,
        /// what would have been accepted
        most: usize,
    },
    /// the stream says what no writer of Arrow writes
    #[error("damaged: Arrow's reader does not expect what the stream says: {0}")]
    Unexpected(String),
    /// a header that every message has is absent or unreadable
    #[error("header {key} is {found:?}, accepted is {accepted}")]
    Header {
        /// metadata key
        key: &'static str,
        /// its value, if any
        found: Option<String>,
        /// what would have been accepted
        accepted: &'static str,
    },
}

/// [`to_ipc`] and the seal.
pub(crate) fn seal(batch: &RecordBatch, headers: &[(&str, String)]) -> Result<Vec<u8>, EnvelopeError> {
    let mut bytes = to_ipc(batch, headers)?;
    let (crc, length) = (crc32fast::hash(&bytes), bytes.len() as u64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The batch of a sealed object and its headers.
pub(crate) fn open(bytes: &[u8]) -> Result<(RecordBatch, HashMap<String, String>), EnvelopeError> {
    let torn = || EnvelopeError::Torn { bytes: bytes.len() };
    let (body, seal) = bytes.split_at_checked(bytes.len().saturating_sub(SEAL_BYTES)).ok_or_else(torn)?;
    let word = |from: usize, to: usize| seal.get(from..to).ok_or_else(torn);
    let length = u64::from_le_bytes(word(8, 16)?.try_into().map_err(|_| torn())?);
    if word(0, 4)? != MAGIC || length != body.len() as u64 {
        return Err(torn());
    }
    let expected = u32::from_le_bytes(word(4, 8)?.try_into().map_err(|_| torn())?);
    let found = crc32fast::hash(body);
    if found != expected {
        return Err(EnvelopeError::Checksum { found, expected });
    }
    from_ipc(body)
}

/// A header that must be there, parsed.
pub(crate) fn header<T: FromStr>(
    headers: &HashMap<String, String>,
    key: &'static str,
    accepted: &'static str,
) -> Result<T, EnvelopeError> {
    let found = headers.get(key);
    found.and_then(|v| v.parse().ok()).ok_or_else(|| EnvelopeError::Header { key, found: found.cloned(), accepted })
}

/// The name of object number `n` in a folder of numbered objects. Names of numbers from 0 on sort as their numbers do.
pub(crate) fn numbered(n: impl Display) -> String {
    format!("{n:020}.arrow")
}

/// The numbers of the objects in a folder, ascending.
pub(crate) async fn numbers_in<N: FromStr + Ord>(
    store: &dyn ObjectStore,
    folder: &Path,
) -> Result<Vec<N>, object_store::Error> {
    let number = |name: &str| name.strip_suffix(".arrow").and_then(|n| n.parse::<N>().ok());
    let objects: Vec<_> = store.list(Some(folder)).try_collect().await?;
    let mut numbers: Vec<N> = objects.iter().filter_map(|o| o.location.filename().and_then(number)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Observations;
    use proptest::prelude::*;

    use super::*;

    fn sealed() -> Vec<u8> {
        seal(&Observations::empty().into_batch(), &[("nilometer.time", "7".to_owned())]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_headers() {
        let (batch, headers) = open(&sealed()).unwrap();
        assert_eq!(batch.num_rows(), 0);
        assert_eq!(header::<i64>(&headers, "nilometer.time", "a number").unwrap(), 7);
        assert!(header::<i64>(&headers, "nilometer.absent", "a number").is_err());
    }

    proptest! {
        #[test]
        fn every_cut_and_every_flipped_bit_is_noticed(at in 0_usize..4096, bit in 0_u8..8, cut in any::<bool>()) {
            let mut bytes = sealed();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            prop_assert!(open(&bytes).is_err());
        }
    }
}
