//! Files: the bytes of a package by file name, read from a folder or from memory.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// A file of a package, protocol buffers' own limit.
const LARGEST_FILE_BYTES: u64 = 2 << 30;

/// Where the files of a package are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Files<'a> {
    /// a folder of the file system
    Folder(&'a Path),
    /// what a store held, by the names that [`name_in_store`] gives
    Memory(&'a Path, &'a BTreeMap<String, Arc<[u8]>>),
}

impl Files<'_> {
    /// The name of a file for messages.
    pub(crate) fn path(self, file: &Path) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(file),
            Self::Memory(origin, _) => origin.join(name_in_store(file)),
        }
    }

    /// The bytes of a regular file of at most [`LARGEST_FILE_BYTES`]: a device or a pipe would never end.
    pub(crate) fn read(self, file: &Path) -> io::Result<Arc<[u8]>> {
        match self {
            Self::Folder(folder) => read_regular(&folder.join(file)).map(Arc::from),
            Self::Memory(_, files) => {
                let found = files.get(&name_in_store(file)).cloned();
                found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the store has no such file"))
            }
        }
    }
}

/// The name of a file in a store: that in the package, and for a package of a blend behind the name of its folder.
pub(crate) fn name_in_store(file: &Path) -> String {
    let names = file.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::metadata(path)?;
    let refused = match file.len() {
        _ if !file.is_file() => "not a regular file".to_owned(),
        bytes if bytes > LARGEST_FILE_BYTES => format!("{bytes} bytes, accepted are at most {LARGEST_FILE_BYTES}"),
        _ => return fs::read(path),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_blend_lie_beside_its_card_in_a_store() {
        assert_eq!(name_in_store(Path::new("card.toml")), "card.toml");
        assert_eq!(name_in_store(Path::new("../lstm/card.toml")), "lstm/card.toml");
    }
}
