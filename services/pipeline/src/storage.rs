//! Opens what `log.store` names: a folder, `file://…` or `s3://…`.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use nilometer_engine::{Lease, Owner, Use};
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, prefix::PrefixStore};

/// Partitioning of a store.
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
    if let Some(folder) = folder(address)? {
        fs::create_dir_all(folder).with_context(|| format!("folder {} cannot be made", folder.display()))?;
    }
    attach(address)
}

/// The store at `address` for reading, which must have one of `parts`. Nothing is made.
///
/// # Errors
/// When it is not there or has none; says where it was looked for and what is there.
pub async fn look(address: &str, parts: &[&str]) -> Result<Arc<dyn ObjectStore>> {
    let mut place = address.to_owned();
    if let Some(folder) = folder(address)? {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        place = absolute.display().to_string();
        if !folder.is_dir() {
            bail!("{place} is no folder; accepted is a store, as log.store or hindcast --out names it");
        }
    }
    let store = attach(address)?;
    let listed = store.list_with_delimiter(None).await.with_context(|| format!("{place} cannot be listed"))?;
    let names = listed.common_prefixes.iter().chain(listed.objects.iter().map(|object| &object.location));
    let names: Vec<String> = names.map(ToString::to_string).collect();
    if !names.iter().any(|name| parts.contains(&name.as_str())) {
        let there = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        bail!(
            "{place} has no {}: it holds {there}; accepted is a store that a run or a hindcast has written to",
            parts.join(" or ")
        );
    }
    Ok(store)
}

/// The folder of an address; none where it is elsewhere.
///
/// # Errors
/// When it is no address of a store.
pub fn folder(address: &str) -> Result<Option<&Path>> {
    if address.starts_with("s3://") {
        return Ok(None);
    }
    if address.contains("://") && !address.starts_with("file://") {
        bail!("{address} is not a store; accepted is a folder, file:///folder or s3://bucket/prefix");
    }
    Ok(Some(Path::new(address.strip_prefix("file://").unwrap_or(address))))
}

/// The lease of the store at `address`, whose folder is made when it does not exist.
///
/// # Errors
/// When another process has it.
pub async fn lease(address: &str, command: &str, how: Use) -> Result<Lease> {
    let store = open(address)?;
    let owner = Owner::here(command);
    Ok(match folder(address)? {
        Some(folder) => Lease::of_folder(folder, &owner, how)?,
        None => Lease::of_store(store, address, owner, how).await?,
    })
}

/// Who uses the store at `address`, as far as its lease says.
pub async fn user(store: &dyn ObjectStore) -> Option<String> {
    let bytes = store.get(&"lease.json".into()).await.ok()?.bytes().await.ok()?;
    let owner: Owner = serde_json::from_slice(&bytes).ok()?;
    (!owner.has_ended()).then(|| owner.to_string())
}

fn attach(address: &str) -> Result<Arc<dyn ObjectStore>> {
    if let Some(bucket_and_prefix) = address.strip_prefix("s3://") {
        let (bucket, prefix) = bucket_and_prefix.split_once('/').unwrap_or((bucket_and_prefix, ""));
        return bucket_store(address, bucket, prefix);
    }
    let folder = folder(address)?.unwrap_or_else(|| Path::new(""));
    let store =
        LocalFileSystem::new_with_prefix(folder).with_context(|| format!("{} cannot be opened", folder.display()))?;
    Ok(Arc::new(store))
}

#[cfg(feature = "s3")]
fn bucket_store(address: &str, bucket: &str, prefix: &str) -> Result<Arc<dyn ObjectStore>> {
    let builder = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
    let store = builder.build().with_context(|| format!("{address} cannot be opened"))?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

#[cfg(not(feature = "s3"))]
fn bucket_store(address: &str, _: &str, _: &str) -> Result<Arc<dyn ObjectStore>> {
    bail!("{address}: this build has no S3; accepted is one with the feature s3, or a folder")
}

/// The archive of the store at `address`, for reading.
///
/// # Errors
/// When the store is not there or has none.
pub async fn archive(address: &str) -> Result<Arc<dyn ObjectStore>> {
    Ok(below(&look(address, &[ARCHIVE]).await?, ARCHIVE))
}

/// Whether the store at `address` is elsewhere than in a folder.
#[must_use]
pub fn is_remote(address: &str) -> bool {
    address.strip_prefix("file://").unwrap_or(address).contains("://")
}

/// Removes what a kill left of objects that were being written: `NAME#N`, which no listing of ours shows, but readers of the
/// folder would meet. For the one process that writes here, before it begins.
///
/// # Errors
/// When a folder cannot be read or a file not be removed.
pub fn sweep(address: &str) -> Result<()> {
    let mut folders: Vec<_> = folder(address)?.map(Path::to_owned).into_iter().collect();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let half_written = [".parquet#", ".arrow#", ".json#"]
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
        for name in ["1.parquet", "1.parquet#1", "2.arrow#12", "_manifest-1.json#1", "notes#1", "3.parquet#x"] {
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
