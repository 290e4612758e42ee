//! Archives that stay as they are: a short replay of the Cance, and a hindcast of twelve small catchments. What each column holds is hashed,
//! and compared with what `tests/frozen/*.json` keep. A change of them is a change of the numbers, and its commit says why.
//!
//! `NILOMETER_FREEZE=1 cargo test --package nilometer --test integration frozen` writes the files anew.
//!
//! ONNX Runtime and the C library choose other instructions on other processors, which round otherwise. There the hashes say nothing, and the
//! mean and the mean square of each column are compared instead.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use crate::support::{archived, definition, nilometer, rivers::rivers, root, succeed, window};
use arrow::{
    array::{Array, ArrayData, Float32Array, Float64Array, RecordBatch},
    compute::{cast, concat},
    datatypes::DataType,
};
use nilometer_needs::needs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Relative; a forecast's rounding is larger than that of a float32, because what it has learned goes on from it.
const TOLERANCE: f64 = 1e-3;

/// What an archive holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Frozen {
    /// the instructions of the processor that made it
    processor: String,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Topic {
    rows: usize,
    columns: BTreeMap<String, Column>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    sha256: String,
    /// of floating-point numbers: their mean, and the mean of their squares
    #[serde(skip_serializing_if = "Option::is_none")]
    moments: Option<[f64; 2]>,
    /// whether rounding can change it
    #[serde(skip)]
    rounds: bool,
}

#[needs(cance)]
#[test]
fn a_replay_of_the_cance_is_archived_as_it_was() {
    let store = tempfile::tempdir().unwrap();
    let set = window(store.path(), "2014-11-02T00:00:00Z", "2014-11-05T12:00:00Z");
    succeed(nilometer("replay", &definition(), &set));
    holds("cance", store.path());
}

#[needs(onnxruntime)]
#[test]
fn a_hindcast_of_twelve_catchments_is_archived_as_it_was() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = ["forecast.score=true", "assimilation.output_updating=true"].map(str::to_owned);
    let mut hindcast = nilometer("hindcast", &rivers(folder.path(), 6, 96, 1), &set);
    hindcast.arg("--out").arg(store.path());
    succeed(hindcast);
    holds("twelve", store.path());
}

/// Compares an archive with the frozen one of this name.
fn holds(name: &str, store: &Path) {
    let file = root().join(format!("tests/frozen/{name}.json"));
    let found = frozen(store);
    assert!(found.topics.contains_key("forecast.v1"), "nothing was forecast");
    if std::env::var_os("NILOMETER_FREEZE").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        return;
    }
    let expected: Frozen = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(found.topics.keys().collect::<Vec<_>>(), expected.topics.keys().collect::<Vec<_>>());
    let exactly = found.processor == expected.processor;
    if !exactly {
        let _ = writeln!(
            std::io::stderr(),
            "compared by mean and mean square: {} was made with {}, this processor has {}",
            file.display(),
            expected.processor,
            found.processor
        );
    }
    for (topic, expected) in &expected.topics {
        let found = &found.topics[topic];
        assert_eq!(found.rows, expected.rows, "rows of {topic}");
        assert_eq!(found.columns.keys().collect::<Vec<_>>(), expected.columns.keys().collect::<Vec<_>>(), "{topic}");
        for (column, expected) in &expected.columns {
            let found = &found.columns[column];
            if exactly || !found.rounds {
                assert_eq!(found.sha256, expected.sha256, "{column} of {topic}: {found:?}, was {expected:?}");
            } else if let Some((found, expected)) = found.moments.zip(expected.moments) {
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs());
                let all_near = found.iter().zip(&expected).all(near);
                assert!(all_near, "{column} of {topic}: {found:?}, was {expected:?}");
            }
        }
    }
}

fn frozen(store: &Path) -> Frozen {
    let mut topics = BTreeMap::new();
    for folder in fs::read_dir(store.join("archive")).unwrap() {
        let topic = folder.unwrap().file_name().into_string().unwrap();
        let batches = archived(store, &topic);
        topics.insert(topic, of_topic(&batches));
    }
    Frozen { processor: processor(), topics }
}

fn of_topic(batches: &[RecordBatch]) -> Topic {
    let schema = batches[0].schema();
    // The bytes of a dead letter hold metadata of Arrow, whose order is not fixed.
    let columns = schema.fields().iter().filter(|field| field.name() != "bytes").map(|field| {
        let parts: Vec<_> = batches.iter().map(|batch| batch.column_by_name(field.name()).unwrap().as_ref()).collect();
        (field.name().clone(), of_column(&*concat(&parts).unwrap()))
    });
    Topic { rows: batches.iter().map(RecordBatch::num_rows).sum(), columns: columns.collect() }
}

fn of_column(column: &dyn Array) -> Column {
    let mut hash = Sha256::new();
    digest(&column.to_data(), &mut hash);
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let floating = matches!(column.data_type(), DataType::Float32 | DataType::Float64);
    let moments = floating.then(|| {
        let numbers = cast(column, &DataType::Float64).unwrap();
        let numbers = numbers.as_any().downcast_ref::<Float64Array>().unwrap();
        let mean = |of: fn(f64) -> f64| numbers.iter().flatten().map(of).sum::<f64>() / numbers.len() as f64;
        [mean(|number| number), mean(|number| number * number)]
    });
    let rounds = !matches!(column.data_type(), DataType::Utf8 | DataType::Timestamp(..));
    Column { sha256, moments, rounds }
}

/// Every number, text and null of a column without an offset.
fn digest(data: &ArrayData, hash: &mut Sha256) {
    hash.update(data.data_type().to_string());
    hash.update(data.len().to_le_bytes());
    if let Some(nulls) = data.nulls() {
        nulls.iter().for_each(|valid| hash.update([u8::from(valid)]));
    }
    data.buffers().iter().for_each(|buffer| hash.update(buffer.as_slice()));
    data.child_data().iter().for_each(|child| digest(child, hash));
}

/// The vector instructions that ONNX Runtime and the C library choose between.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512vl", std::arch::is_x86_feature_detected!("avx512vl")),
        ];
        has.iter().filter(|(_, has)| *has).fold("x86_64".to_owned(), |text, (name, _)| format!("{text} {name}"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_owned()
}

#[test]
fn a_digest_sees_a_bit_and_a_null() {
    let of = |numbers: Vec<Option<f32>>| of_column(&Float32Array::from(numbers)).sha256;
    let one = of(vec![Some(1.0), None]);
    assert_eq!(one, of(vec![Some(1.0), None]));
    assert_ne!(one, of(vec![Some(1.0 + f32::EPSILON), None]));
    assert_ne!(one, of(vec![Some(1.0), Some(0.0)]));
}
