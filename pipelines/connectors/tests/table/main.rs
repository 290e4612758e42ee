//! Tables in temporary folders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where its input is refused")]

mod both;
mod growing;
mod parquet_files;
mod refused;
mod replay;

use std::fs;

use nilometer_connectors::{Arrival, Connector as _, Source, TableOptions, Window};
use nilometer_schemas::{DeadLetterRow, Timestamp};
use nilometer_transforms::{RawBatch, decode};
use tempfile::TempDir;

const FLOW: &str = r#"
    path = "flow.csv"
    station = { column = "site" }
    time = { column = { name = "time", format = "unix_s" } }
    value = "flow"
    qualifier = "code"
    variable = "discharge"
    unit = "m3 s-1"
    missing = [-99.0]
"#;

/// A table of one station with local times.
const LOCAL: &str = r#"
    path = "flow.csv"
    station = { constant = "a" }
    time = { column = { name = "time", format = "%Y-%m-%d %H:%M" } }
    time_zone = "America/New_York"
    value = "flow"
    variable = "discharge"
    unit = "m3 s-1"
"#;

fn options(text: &str) -> TableOptions {
    toml::from_str(text).unwrap()
}

fn folder(content: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("flow.csv"), content).unwrap();
    root
}

fn open(options: &TableOptions, arrival: Arrival, root: &TempDir, window: Window) -> Box<dyn Source> {
    assert_eq!(options.problems(root.path()), []);
    options.open("hydrometry", arrival, root.path(), window).unwrap()
}

fn delay(text: &str) -> Arrival {
    Arrival::Delay { delay: text.parse().unwrap() }
}

fn seen() -> Arrival {
    Arrival::WhenSeen { delay: "0s".parse().unwrap(), ahead: "10min".parse().unwrap() }
}

fn hour(h: i64) -> Timestamp {
    Timestamp(h * 3_600_000_000)
}

/// `(line, time, arrival, value)`.
type Row = (u64, Timestamp, Timestamp, Option<f64>);

/// What the batches say once decoded: the rows and the dead dead_letters.
fn rows(options: &TableOptions, batches: &[RawBatch]) -> (Vec<Row>, Vec<DeadLetterRow>) {
    let (mut rows, mut dead_letters) = (Vec::new(), Vec::new());
    for batch in batches {
        let decoded = decode::table(batch, &options.layout().unwrap());
        let r = &decoded.rows;
        rows.extend((0..r.len()).map(|i| (r.line[i], r.time[i], r.ingest_time[i], r.value[i])));
        dead_letters.extend(decoded.dead_letters);
    }
    (rows, dead_letters)
}
