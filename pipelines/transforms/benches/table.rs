//! A text table of 10 000 rows: decoded, and checked.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::fmt::Write as _;

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Conversion, Lines, Payload, RawBatch, TableLayout,
    check::{CheckOptions, CheckRules, CheckState, check},
    decode::{self, StationLayout, TimeFormat, TimeLayout},
};

const ROWS: usize = 10_000;
const ARRIVAL: Timestamp = Timestamp(1_500_000_000_000_000);

fn main() {
    divan::main();
}

fn batch() -> RawBatch {
    let mut lines = String::new();
    for row in 0..ROWS {
        let time = Timestamp(1_400_000_400_000_000).plus_s(3_600 * row as i64);
        writeln!(lines, "V3524010,{time},{}.25,A", 300 + row % 50).unwrap();
    }
    let lines = Lines {
        header: Some(Bytes::from_static(b"station,time,flow,code")),
        lines: lines.into(),
        first_line: 2,
        start: None,
        times: None,
        delay_s: None,
    };
    RawBatch { source: "flow".into(), locator: "flow.csv".into(), arrival: ARRIVAL, payload: Payload::Lines(lines) }
}

fn layout() -> TableLayout {
    let time = TimeLayout::Column { name: "time".into(), format: TimeFormat::Rfc3339, zone: None };
    let conversion = Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).unwrap();
    let station = StationLayout::Column("station".into());
    TableLayout { qualifier: Some("code".into()), ..TableLayout::new(station, time, "flow", conversion) }
}

#[divan::bench]
fn decode_table(bencher: Bencher) {
    let (batch, layout) = (batch(), layout());
    assert_eq!(decode::table(&batch, &layout).rows.len(), ROWS);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| decode::table(&batch, &layout));
}

#[divan::bench]
fn check_rows(bencher: Bencher) {
    let rows = decode::table(&batch(), &layout()).rows;
    let rules = CheckRules::new(&CheckOptions::default(), [("V3524010".to_owned(), CheckOptions::default())]);
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(CheckState::default)
        .bench_local_refs(|state| check(&rows, &rules, state).unwrap());
}
