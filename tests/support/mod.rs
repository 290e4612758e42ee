//! What the end-to-end tests share: the binary, the data, and reading the archive back.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark uses a part; a test fails where it cannot go on"
)]

pub mod distant;
pub mod folder;
pub mod hours;
pub mod operations;
pub mod processes;
pub mod requests;
pub mod rivers;
pub mod service;
pub mod shaken;
pub mod worlds;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use arrow::array::{Float64Array, RecordBatch};
use bytes::Bytes;
use nilometer_schemas::{Forecasts, QUANTILE_LEVELS, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub use nilometer_testing::{cance, cance_definition as definition, root};

/// A folder that has the Cance's rain and evapotranspiration, and a copy of its discharge, so that other files can lie beside them.
pub fn data_beside(cance: &Path) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for name in ["prcp", "pet"] {
        std::os::unix::fs::symlink(cance.join(name).canonicalize().unwrap(), data.path().join(name)).unwrap();
    }
    fs::create_dir(data.path().join("qobs")).unwrap();
    for entry in fs::read_dir(cance.join("qobs")).unwrap().flatten() {
        fs::copy(entry.path(), data.path().join("qobs").join(entry.file_name())).unwrap();
    }
    data
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

/// That two folders of objects hold the same, byte for byte.
pub fn same(expected: &BTreeMap<PathBuf, Vec<u8>>, found: &BTreeMap<PathBuf, Vec<u8>>) {
    let absent: Vec<_> = expected.keys().filter(|name| !found.contains_key(*name)).collect();
    let extra: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    let some = |of: &[&PathBuf]| format!("{} as {:?}", of.len(), &of[..of.len().min(10)]);
    assert!(absent.is_empty() && extra.is_empty(), "missing {}, not expected {}", some(&absent), some(&extra));
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{} differs", name.display());
    }
}

/// Every row of a topic's archive, in key order.
pub fn archived(store: &Path, topic: &str) -> Vec<RecordBatch> {
    files(&store.join("archive").join(topic))
        .into_values()
        .flat_map(|bytes| ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap())
        .map(|batch| batch.unwrap())
        .collect()
}

/// Mean discharge by catchment and lead time, then by valid time.
pub type Means = BTreeMap<(String, i64), BTreeMap<Timestamp, f64>>;

/// The means of every archived forecast, whose quantiles must be in order and not below 0.
pub fn means(store: &Path) -> Means {
    series(store, |rows| rows.mean())
}

/// The medians of all forecasts in a store's archive.
pub fn medians(store: &Path) -> Means {
    series(store, |rows| rows.quantile(0.5))
}

fn series(store: &Path, column: impl Fn(&Forecasts) -> &Float64Array) -> Means {
    let mut found = Means::new();
    for batch in archived(store, "forecast.v1") {
        let rows = Forecasts::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let key = (rows.catchment().value(row).to_owned(), rows.lead_time_s().value(row));
            let valid_time = Timestamp(rows.valid_time().value(row));
            found.entry(key).or_default().insert(valid_time, column(&rows).value(row));
            let quantiles: Vec<f64> = QUANTILE_LEVELS.iter().map(|level| rows.quantile(*level).value(row)).collect();
            assert!(quantiles.is_sorted() && quantiles[0] >= 0.0, "{quantiles:?}");
        }
    }
    found
}

/// A command that failed, and said all of `words`.
pub fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A small generator with a fixed seed: the instants are arbitrary, and the same in every run.
#[derive(Debug)]
pub struct Arbitrary(pub u64);

impl Arbitrary {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
