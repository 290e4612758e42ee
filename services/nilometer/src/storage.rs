//! Opens what `log.store` names: a folder, `file://…` or `s3://…`.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use object_store::{ObjectStore, aws::AmazonS3Builder, local::LocalFileSystem, prefix::PrefixStore};

/// Parts of a store.
pub const LOG: &str = "log";
/// Snapshots of the roles.
pub const SNAPSHOTS: &str = "snapshots";
/// Parquet.
pub const ARCHIVE: &str = "archive";

/// The store at `address`. A folder is made when it does not exist. S3 credentials, region and endpoint come from the
/// environment variables that AWS tools use.
///
/// # Errors
/// When the address is of another kind, or the folder cannot be made.
pub fn open(address: &str) -> Result<Arc<dyn ObjectStore>> {
    if let Some(bucket_and_prefix) = address.strip_prefix("s3://") {
        let (bucket, prefix) = bucket_and_prefix.split_once('/').unwrap_or((bucket_and_prefix, ""));
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .build()
            .with_context(|| format!("{address} cannot be opened"))?;
        return Ok(Arc::new(PrefixStore::new(store, prefix)));
    }
    if address.contains("://") && !address.starts_with("file://") {
        bail!("{address} is not a store; accepted is a folder, file:///folder or s3://bucket/prefix");
    }
    let folder = Path::new(address.strip_prefix("file://").unwrap_or(address));
    fs::create_dir_all(folder).with_context(|| format!("folder {} cannot be made", folder.display()))?;
    let store =
        LocalFileSystem::new_with_prefix(folder).with_context(|| format!("{} cannot be opened", folder.display()))?;
    Ok(Arc::new(store))
}

/// Removes what a kill left of objects that were being written: `NAME#N`, which no listing of ours shows, but readers of the
/// folder would meet. For the one process that writes here, before it begins.
///
/// # Errors
/// When a folder cannot be read or a file not be removed.
pub fn sweep(address: &str) -> Result<()> {
    if address.starts_with("s3://") {
        return Ok(());
    }
    let mut folders = vec![Path::new(address.strip_prefix("file://").unwrap_or(address)).to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let half_written = [".parquet#", ".arrow#"]
                .iter()
                .any(|mark| name.rsplit_once(mark).is_some_and(|(_, n)| n.parse::<u32>().is_ok()));
            if path.is_dir() {
                folders.push(path);
            } else if half_written {
                fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
            }
        }
    }
    Ok(())
}

/// A part of a store, as a store of its own.
pub fn below(store: &Arc<dyn ObjectStore>, prefix: &str) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(store.clone(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_objects_are_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("archive/a");
        fs::create_dir_all(&deep).unwrap();
        for name in ["1.parquet", "1.parquet#1", "2.arrow#12", "notes#1", "3.parquet#x"] {
            fs::write(deep.join(name), b"x").unwrap();
        }
        sweep(folder.path().to_str().unwrap()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&deep).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["1.parquet", "3.parquet#x", "notes#1"]);
    }

    #[test]
    fn folders_are_made_and_other_addresses_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a b/c");
        open(inner.to_str().unwrap()).unwrap();
        open(&format!("file://{}", inner.display())).unwrap();
        assert!(inner.is_dir());
        let error = open("ftp://somewhere").unwrap_err().to_string();
        assert!(error.contains("ftp://somewhere") && error.contains("accepted is"), "{error}");
    }
}
