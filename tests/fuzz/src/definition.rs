use std::fs;

use nilometer_definitions::{Partitioning, Pipeline};
use toml::Value;

use crate::assert_described;

/// A pipeline definition, beside data files without rows.
pub(crate) fn definition(bytes: &[u8]) {
    // What lies elsewhere on the machine is no part of the input.
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    if parsed.is_some_and(|table| leaves_folder(&Value::Table(table))) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["rain.csv", "evapotranspiration.csv", "flow.csv"] {
        fs::write(folder.path().join("data").join(name), "time,value\n").unwrap();
    }
    let file = folder.path().join("pipeline.toml");
    fs::write(&file, bytes).unwrap();
    let package = concat!("model.package=", env!("CARGO_MANIFEST_DIR"), "/../../models/zoo/exphydro-cance");
    match Pipeline::load(&file, &[package.to_owned()]) {
        Err(error) => {
            assert_described(&error);
            assert!(!error.problems.is_empty() && error.problems.iter().all(|problem| !problem.message.is_empty()));
        }
        Ok(pipeline) => {
            let partitioning = Partitioning::new(&pipeline);
            let parts = partitioning.numbers().filter_map(|number| partitioning.part(number));
            assert_eq!(parts.map(|part| part.catchments.len()).sum::<usize>(), pipeline.catchments.len());
            assert!(pipeline.foresight_s() >= 0 && pipeline.time.tick_s() > 0);
            for source in pipeline.sources.values() {
                assert!(source.period_s() >= 0);
            }
        }
    }
}

/// Whether a text is a path that leads out of the definition's folder.
fn leaves_folder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('/') || text.contains(".."),
        Value::Array(values) => values.iter().any(leaves_folder),
        Value::Table(table) => table.iter().any(|(_, value)| leaves_folder(value)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}
