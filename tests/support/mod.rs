//! What the end-to-end tests share: the binary, the data, and reading the archive back.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test uses a part; a test fails where it cannot go on"
)]

pub mod folder;

use std::io::Write as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The Cance data, or `None` (said loudly) where `ops/setup` has not fetched them.
pub fn cance() -> Option<PathBuf> {
    let folder = root().join(".cache/cance");
    if folder.join(".complete").exists() {
        return Some(folder);
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is absent; run ops/setup", folder.display());
    None
}

/// A folder with CAMELS-US, or `None` (said loudly): `NILOMETER_CAMELS` names it, else it is looked for beside the checkout.
pub fn camels() -> Option<PathBuf> {
    let named = std::env::var_os("NILOMETER_CAMELS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| root().join("../shared/data/camels_us"));
    if folder.join("basin_inventory.csv").exists() {
        return Some(folder);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {} is absent; set NILOMETER_CAMELS to a folder in the CAMELS layout",
        folder.display()
    );
    None
}

pub fn definition() -> PathBuf {
    root().join("pipelines/definitions/cance.toml")
}

/// A command of the binary with overrides.
pub fn nilometer(command: &str, definition: &Path, set: &[String]) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    process.current_dir(root()).arg(command).arg(definition);
    for text in set {
        process.arg("--set").arg(text);
    }
    process
}

/// Overrides that put a replay of `from` to `to` into `store`.
pub fn window(store: &Path, from: &str, to: &str) -> Vec<String> {
    vec![
        format!("log.store={}", store.display()),
        format!("time.from={from}"),
        format!("time.to={to}"),
        "serve.address=127.0.0.1:0".to_owned(),
        "log.snapshot_every=7".to_owned(),
    ]
}

/// Runs to the end and expects success.
pub fn succeed(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Every object below `folder`, by its path below it. `NAME#N` is no object but what a kill left of one that was being
/// written: `object_store` writes it there first, renames it when it is whole, and never lists it.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().contains('#') {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Every row of a topic's archive, in key order.
pub fn archived(store: &Path, topic: &str) -> Vec<RecordBatch> {
    files(&store.join("archive").join(topic))
        .into_values()
        .flat_map(|bytes| ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap())
        .map(|batch| batch.unwrap())
        .collect()
}
