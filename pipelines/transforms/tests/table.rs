//! Tables of every layout, with rows that cannot be used.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::DataType,
};
use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp, Unit, Variable};
use nilometer_transforms::{
    Columns, Conversion, Lines, Payload, RawBatch, TableLayout,
    decode::{StationLayout, TimeFormat, TimeLayout, table},
};
use proptest::prelude::*;

fn layout() -> TableLayout {
    TableLayout {
        station: StationLayout::Column("site".to_owned()),
        time: TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::Rfc3339 },
        zone: jiff::tz::TimeZone::UTC,
        value: "flow".to_owned(),
        qualifier: Some("code".to_owned()),
        forecast: None,
        conversion: Conversion::new(Unit::LitrePerSecond, Variable::Discharge, 0).unwrap().scaled(10.0),
        missing: vec![-99.0, -999.0],
        delimiter: b';',
    }
}

fn batch(payload: Payload) -> RawBatch {
    RawBatch { source: "hydrometry".into(), locator: "q.csv".to_owned(), arrival: Timestamp(9), payload }
}

fn lines(header: &str, lines: impl Into<Bytes>, delay_s: Option<i64>) -> RawBatch {
    let header = (!header.is_empty()).then(|| Bytes::copy_from_slice(header.as_bytes()));
    batch(Payload::Lines(Lines { header, lines: lines.into(), first_line: 2, start: Some(Timestamp(0)), delay_s }))
}

#[test]
fn every_unusable_row_becomes_a_dead_letter_with_its_bytes() {
    let text = "P;1970-01-01T00:00:00Z;a;150\nP;1970-01-01T01:00:00Z;;\n\"P\";1970-01-01T02:00:00Z;\"b;c\";-999\n\
                ;yesterday;;1\nP;1970-01-01T03:00:00Z;;Ice\nP;1970-01-01T04:00:00Z;;NaN\nP;1970-01-01T05:00:00Z\n\
                P;1970-01-01T06:00:00Z;;inf\n";
    let decoded = table(&lines("site;time;code;flow", text, Some(60)), &layout());
    let rows = &decoded.rows;
    assert_eq!(rows.value, [Some(1.5), None, None]);
    assert_eq!(rows.qualifier.iter().collect::<Vec<_>>(), [Some("a"), None, Some("b;c")]);
    assert_eq!(rows.station.iter().flatten().collect::<Vec<_>>(), ["P", "P", "P"]);
    assert_eq!(rows.ingest_time, [60, 3660, 7260].map(|s| Timestamp(s * 1_000_000)));
    let letters: Vec<_> = decoded.dead_letters.iter().map(|l| (l.reason, l.locator.as_str())).collect();
    assert_eq!(
        letters,
        [
            (Reason::BadTime, "q.csv:5"),
            (Reason::NotFinite, "q.csv:6"),
            (Reason::NotFinite, "q.csv:7"),
            (Reason::Undecodable, "q.csv:8"),
            (Reason::NotFinite, "q.csv:9"),
        ]
    );
    assert_eq!(decoded.dead_letters[1].bytes, b"P;1970-01-01T03:00:00Z;;Ice");
    assert!(decoded.dead_letters[1].detail.contains("\"Ice\""), "{}", decoded.dead_letters[1].detail);
    assert_eq!(decoded.received, 8);
}

#[test]
fn a_table_without_header_counts_its_times_from_line_1() {
    let layout = TableLayout {
        station: StationLayout::Constant("V3524010".to_owned()),
        time: TimeLayout::FirstLine { format: TimeFormat::new("%Y%m%d%H%M").unwrap(), step_s: 3600 },
        qualifier: None,
        forecast: None,
        conversion: Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).unwrap(),
        ..layout()
    };
    let decoded = table(&lines("", "1.5\n-99.000\n\n2\r\n", None), &layout);
    assert_eq!(decoded.rows.value, [Some(1.5), None, None, Some(2.0)]);
    assert_eq!(decoded.rows.time, [0, 1, 2, 3].map(|h| Timestamp(h * 3_600_000_000)));
    assert!(decoded.rows.ingest_time.iter().all(|t| *t == Timestamp(9)));
}

#[test]
fn another_header_refuses_the_whole_batch() {
    let decoded = table(&lines("site;time;code;flow_cfs", "P;1970-01-01T00:00:00Z;a;150\n", None), &layout());
    assert_eq!((decoded.rows.len(), decoded.received, decoded.dead_letters.len()), (0, 1, 1));
    let letter = &decoded.dead_letters[0];
    assert!(letter.reason == Reason::HeaderChanged && letter.detail.contains("flow_cfs"), "{}", letter.detail);
    let twice = table(&lines("site;time;code;flow;flow", "", None), &layout());
    assert!(twice.dead_letters[0].detail.contains("twice"));
}

#[test]
fn columns_of_any_type_are_read() {
    let times: [ArrayRef; 2] = [
        Arc::new(TimestampMillisecondArray::from(vec![Some(0), None, Some(7_200_000)])),
        Arc::new(StringArray::from(vec![Some("1970-01-01T00:00:00Z"), Some("?"), Some("1970-01-01T02:00:00Z")])),
    ];
    for time in times {
        let rows = RecordBatch::try_from_iter([
            ("flow", Arc::new(Float32Array::from(vec![Some(150.0), Some(1.0), None])) as ArrayRef),
            ("code", Arc::new(StringArray::from(vec![Some("A"), None, None]))),
            ("time", time),
            ("site", Arc::new(StringArray::from(vec!["P", "P", "Q"]))),
        ])
        .unwrap();
        let decoded = table(&batch(Payload::Columns(Columns { rows, first_row: 1, delay_s: Some(0) })), &layout());
        assert_eq!(decoded.rows.value, [Some(1.5), None]);
        assert_eq!(decoded.rows.time, [0, 7200].map(|s| Timestamp(s * 1_000_000)));
        assert_eq!(
            (decoded.dead_letters[0].reason, decoded.dead_letters[0].locator.as_str()),
            (Reason::BadTime, "q.csv:2")
        );
        let letter = decoded.rows.dead_letter(1, Reason::Duplicate, String::new());
        assert_eq!((letter.locator.as_str(), letter.bytes.ends_with(b",Q")), ("q.csv:3", true));
    }
    let local = TableLayout { zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(1)), ..layout() };
    let rows = RecordBatch::try_from_iter([
        ("flow", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("code", arrow::array::new_null_array(&DataType::Utf8, 1)),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![7_200_000]))),
        ("site", Arc::new(StringArray::from(vec!["P"]))),
    ])
    .unwrap();
    let decoded = table(&batch(Payload::Columns(Columns { rows, first_row: 1, delay_s: None })), &local);
    assert_eq!(decoded.rows.time, [Timestamp(3_600_000_000)]);
}

#[test]
fn a_field_where_a_table_was_expected_and_an_unreadable_file_are_dead_letters() {
    let grid = batch(Payload::Grid { valid_time: Timestamp(0), period_s: 1, bytes: Bytes::from_static(b"II*") });
    assert_eq!(table(&grid, &layout()).dead_letters[0].bytes, b"II*");
    let detail = "columns changed".to_owned();
    let bytes = Bytes::from_static(b"x\ny\n");
    let unreadable = batch(Payload::Unreadable { reason: Reason::HeaderChanged, detail, bytes, rows: 2 });
    let decoded = table(&unreadable, &layout());
    assert_eq!(
        (decoded.received, decoded.dead_letters[0].rows, decoded.dead_letters[0].reason),
        (2, 2, Reason::HeaderChanged)
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_and_nothing_is_lost(text in proptest::collection::vec(prop_oneof![
        Just(b'\n'), Just(b';'), Just(b'"'), Just(b'1'), Just(b'-'), any::<u8>()], 0..300)) {
        let decoded = table(&lines("site;time;code;flow", text, None), &layout());
        prop_assert_eq!(decoded.received, (decoded.rows.len() + decoded.dead_letters.len()) as u64);
    }
}
