//! Tables in Parquet.

use std::{fs, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use nilometer_connectors::{Cursor, Look, TableOptions, Window};
use nilometer_schemas::Reason;
use nilometer_transforms::Payload;
use parquet::{
    arrow::ArrowWriter,
    basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel},
    file::properties::WriterProperties,
};
use tempfile::TempDir;

use crate::{FLOW, delay, hour, open, options, rows, seen};

fn flow_parquet() -> TableOptions {
    options(&FLOW.replace("flow.csv", "flow.parquet").replace("qualifier = \"code\"", ""))
}

/// Writes rows of one station with a codec.
fn write(root: &TempDir, times: ArrayRef, flow: Vec<Option<f64>>, codec: Compression) {
    let sites: ArrayRef = Arc::new(StringArray::from(vec!["a"; times.len()]));
    let columns = [("site", sites), ("time", times), ("flow", Arc::new(Float64Array::from(flow)))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(root.path().join("flow.parquet")).unwrap();
    let properties = WriterProperties::builder().set_compression(codec).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_rows_arrive_like_lines() {
    let flow = options(
        r#"
        path = "flow.parquet"
        station = { column = "site" }
        time = { column = { name = "time", format = "rfc3339" } }
        value = "flow"
        variable = "discharge"
        unit = "m3 s-1"
    "#,
    );
    let parquet = |root: &TempDir, times: Vec<Option<&str>>, flow| {
        write(root, Arc::new(StringArray::from(times)), flow, Compression::UNCOMPRESSED);
    };
    let root = tempfile::tempdir().unwrap();
    let times = vec![Some("1970-01-01T02:00:00Z"), Some("1970-01-01T00:00:00Z"), None, Some("1970-01-01T01:00:00Z")];
    parquet(&root, times.clone(), vec![Some(3.0), Some(1.0), Some(9.0), None]);
    let mut source = open(&flow, delay("1h"), &root, Window { from: hour(0), until: hour(99) });
    let (batches, next) = source.read(&Cursor::default(), Look::at(hour(2))).unwrap();
    let (found, dead_letters) = rows(&flow, &batches);
    assert_eq!(found, [(2, hour(0), hour(1), Some(1.0)), (4, hour(1), hour(2), None)]);
    assert_eq!(
        (dead_letters.len(), dead_letters[0].reason, dead_letters[0].locator.as_str()),
        (1, Reason::BadTime, "flow.parquet:3")
    );
    assert_eq!(rows(&flow, &source.read(&next, Look::at(hour(9))).unwrap().0).0, [(1, hour(2), hour(3), Some(3.0))]);

    let mut growing = open(&flow, seen(), &root, Window::ALL);
    let (_, next) = growing.read(&Cursor::default(), Look::at(hour(5))).unwrap();
    parquet(
        &root,
        [times, vec![Some("1970-01-01T03:00:00Z")]].concat(),
        vec![Some(3.0), Some(1.0), Some(9.0), None, Some(4.0)],
    );
    assert_eq!(rows(&flow, &growing.read(&next, Look::at(hour(6))).unwrap().0).0, [(5, hour(3), hour(6), Some(4.0))]);

    parquet(&root, vec![Some("1970-01-01T01:00:00Z"), Some("1970-01-01T00:00:00Z")], vec![None, Some(1.5)]);
    let replaced = growing.read(&next, Look::at(hour(6))).unwrap().0;
    assert_eq!(
        rows(&flow, &replaced).0,
        [(2, hour(0), hour(6), Some(1.5))],
        "the row that the file before did not have"
    );

    fs::write(root.path().join("flow.parquet"), b"PAR1 half").unwrap();
    let (batches, after) = growing.read(&next, Look::at(hour(7))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::Undecodable, rows: 1, .. }));
    assert!(growing.read(&after, Look::at(hour(8))).unwrap().0.is_empty(), "each content is a dead letter once");
    let mut replay = open(&flow, delay("0s"), &root, Window { from: hour(0), until: hour(9) });
    let (batches, _) = replay.read(&Cursor::default(), Look::at(hour(0))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::Undecodable, rows: 1, .. }));
}

#[test]
fn every_codec_of_parquet_is_read() {
    let flow = flow_parquet();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        let root = tempfile::tempdir().unwrap();
        let times = Int64Array::from_iter_values((0..200).map(|h| h * 3600));
        write(&root, Arc::new(times), vec![Some(1.5); 200], codec);
        let mut source = open(&flow, delay("0s"), &root, Window::ALL);
        let (batches, _) = source.read(&Cursor::default(), Look::at(hour(999))).unwrap();
        assert_eq!(rows(&flow, &batches).0.len(), 200, "{codec:?}");
    }
}
