//! A message of 1 000 rows, and a snapshot of 475 catchments with 32 members: encoded and decoded, in memory.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use nilometer_engine::{Columns, ColumnsBuilder, Snapshots, from_ipc, to_ipc};
use nilometer_schemas::{Flag, ObservationRow, ObservationsBuilder, Timestamp, Variable};
use object_store::memory::InMemory;
use tokio::runtime::{Builder, Runtime};

const ROWS: usize = 1_000;
const CATCHMENTS: usize = 475;
/// Numbers of one catchment: 12 rows of the state of 32 members.
const NUMBERS: usize = 12 * 32;

fn main() {
    divan::main();
}

fn observations() -> RecordBatch {
    let mut rows = ObservationsBuilder::new();
    for row in 0..ROWS {
        rows.push(ObservationRow {
            station: "V3524010",
            variable: Variable::Discharge,
            valid_time: Timestamp(row as i64),
            period_s: 0,
            value: Some(10.0 + (row as f64 * 0.37).sin()),
            flag: Flag::Pass,
            flag_source: "pass",
            qualifier: None,
            source: "bench",
            ingest_time: Timestamp(0),
        });
    }
    rows.finish().unwrap().into_batch()
}

#[divan::bench]
fn encode_message(bencher: Bencher) {
    let batch = observations();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| to_ipc(&batch, &[]).unwrap());
}

#[divan::bench]
fn decode_message(bencher: Bencher) {
    let bytes = to_ipc(&observations(), &[]).unwrap();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| from_ipc(&bytes).unwrap());
}

fn state() -> Columns {
    let names: Vec<String> = (0..CATCHMENTS).map(|catchment| format!("C{catchment}")).collect();
    let mut columns = ColumnsBuilder::new(names.iter().map(String::as_str));
    columns.f32("state", |row| (0..NUMBERS).map(move |number| ((row * NUMBERS + number) as f32 * 0.37).sin()));
    columns.finish().unwrap()
}

fn snapshots() -> (Runtime, Snapshots) {
    let runtime = Builder::new_current_thread().build().unwrap();
    (runtime, Snapshots::new(Arc::new(InMemory::new()), "snapshots", "bench", 2))
}

#[divan::bench]
fn write_snapshot(bencher: Bencher) {
    let ((runtime, snapshots), state) = (snapshots(), state());
    let mut ordinal = 0;
    bencher.counter(BytesCount::new(4 * CATCHMENTS * NUMBERS)).bench_local(|| {
        ordinal += 1;
        runtime.block_on(snapshots.save(ordinal, &"content", &state)).unwrap();
    });
}

#[divan::bench]
fn read_snapshot(bencher: Bencher) {
    let (runtime, snapshots) = snapshots();
    runtime.block_on(snapshots.save(1, &"content", &state())).unwrap();
    bencher
        .counter(BytesCount::new(4 * CATCHMENTS * NUMBERS))
        .bench_local(|| runtime.block_on(snapshots.newest::<String>()).unwrap().unwrap());
}
