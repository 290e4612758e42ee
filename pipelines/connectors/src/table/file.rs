//! The file of a table, of bounded size.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use nilometer_schemas::Reason;
use nilometer_transforms::Payload;

/// Bytes of a table at most.
const MAX_BYTES: u64 = 1 << 30;
/// Bytes of a larger one that go into its dead letter.
const SHOWN_BYTES: u64 = 1 << 20;

/// What a file holds.
pub(super) enum Content {
    /// all of it
    Whole(Bytes),
    /// what stands for a file that is larger than allowed
    TooLarge(Payload),
}

/// Reads a file as it is now.
///
/// # Errors
/// That of the file system.
pub(super) fn load(path: &Path) -> io::Result<Content> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    let limit = if size > MAX_BYTES { SHOWN_BYTES } else { MAX_BYTES };
    file.by_ref().take(limit).read_to_end(&mut bytes)?;
    let bytes = Bytes::from(bytes);
    if size <= MAX_BYTES {
        return Ok(Content::Whole(bytes));
    }
    let detail = format!("file has {size} bytes; accepted are at most {MAX_BYTES}; its first bytes are kept here");
    Ok(Content::TooLarge(Payload::Unreadable { reason: Reason::Undecodable, detail, bytes, rows: 1 }))
}
