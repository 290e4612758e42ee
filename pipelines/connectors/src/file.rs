//! Files as they are found: anything may lie at a path, of any size, and change while it is read.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use nilometer_schemas::Timestamp;

use crate::delivered::hash_behind;

/// A larger file is not loaded; its first bytes become a dead letter.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;
/// Bytes of a file that is too large that go into its dead letter.
const SHOWN_BYTES: u64 = 1 << 20;
/// `O_NONBLOCK`: opening a pipe must not wait for its writer.
const NO_WAITING: i32 = 0o4000;

/// What tells a file from the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) modified: Timestamp,
    inode: u64,
}

/// A file, read.
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    /// all of it, or its beginning
    pub(crate) bytes: Bytes,
    /// why it is its beginning only
    pub(crate) too_large: Option<String>,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let modified = Timestamp(metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1_000);
        Self { size_bytes: metadata.len(), modified, inode: metadata.ino() }
    }

    /// The same for a file of this size and time of modification, also when it was moved.
    pub(crate) fn hash(&self) -> u64 {
        hash_behind(self.size_bytes, &self.modified.0.to_le_bytes())
    }
}

/// What lies at a path now.
///
/// # Errors
/// That of the system, or that it is no file.
pub(crate) fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    regular(&metadata)?;
    Ok(Stamp::of(&metadata))
}

/// Reads a file, or the beginning of one that is too large.
///
/// # Errors
/// That of the system, or that it is no file.
pub(crate) fn read(path: &Path) -> io::Result<Found> {
    let file = fs::File::options().read(true).custom_flags(NO_WAITING).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    let stamp = Stamp::of(&metadata);
    let size = stamp.size_bytes;
    let too_large = (size > MAX_FILE_BYTES).then(|| {
        format!("file has {size} bytes; accepted are at most {MAX_FILE_BYTES}; its first bytes are kept here")
    });
    let limit = if too_large.is_some() { SHOWN_BYTES } else { MAX_FILE_BYTES };
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Found { stamp, bytes: bytes.into(), too_large })
}

fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let found = if kind.is_dir() { "a folder" } else { "no regular file (a pipe, a socket or a device)" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}; accepted is a file")))
}

#[cfg(test)]
mod tests {
    use std::{os::unix, process::Command};

    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        unix::fs::symlink(at("loop"), at("loop")).unwrap();
        unix::fs::symlink("/dev/zero", at("device")).unwrap();
        for (name, said) in [("folder", "a folder"), ("pipe", "pipe"), ("device", "device"), ("loop", "symbolic")] {
            let error = read(&at(name)).err().unwrap();
            assert!(error.to_string().contains(said), "{name}: {error}");
            assert!(stamp(&at(name)).is_err(), "{name}");
        }
        fs::write(at("file"), b"x").unwrap();
        unix::fs::symlink(at("file"), at("link")).unwrap();
        assert_eq!(&read(&at("link")).unwrap().bytes[..], b"x", "a link to a file is one");
    }

    #[test]
    fn of_a_file_that_is_too_large_the_beginning_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("large");
        fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.bytes.len() as u64, SHOWN_BYTES);
        assert!(found.too_large.unwrap().contains("accepted are at most"));
    }
}
