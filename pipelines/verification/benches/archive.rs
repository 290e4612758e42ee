//! A forecast of 3 or 475 catchments and 24 lead times as an object of the archive, which verification reads.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use arrow::array::RecordBatch;
use divan::{Bencher, counter::ItemsCount};
use nilometer_archive::to_parquet;
use nilometer_schemas::{ForecastRow, ForecastsBuilder, QUANTILE_LEVELS, Timestamp, Variable};

const LEAD_TIMES: i64 = 24;

fn main() {
    divan::main();
}

fn forecast(catchments: usize) -> RecordBatch {
    let mut rows = ForecastsBuilder::new();
    let issue_time = Timestamp(1_415_131_200_000_000);
    for catchment in 0..catchments {
        let id = format!("C{catchment}");
        for lead in 1..=LEAD_TIMES {
            let mean = 10.0 + (catchment as f64 * 0.37 + lead as f64 * 0.61).sin();
            rows.push(ForecastRow {
                catchment: &id,
                variable: Variable::Discharge,
                issue_time,
                valid_time: issue_time.plus_s(3_600 * lead),
                mean,
                quantiles: &QUANTILE_LEVELS.map(|level| mean * (0.5 + level)),
                tails: None,
                simulated: None,
                members: 32,
                scenario: "zero",
                state_time: issue_time,
                filled_steps: 0,
                model: "bench",
                model_version: "1.0.0",
                weights_sha256: "97f506aa8b4f54dbfc29a42495b1dd7da27fe1ab41ad1398cc9f79e8b5311a2a",
                observation_position: 7,
                forcing_position: 7,
                supersedes: None,
                reason: None,
                stage: None,
                member_values: None,
                shadow: false,
            });
        }
    }
    rows.finish().unwrap().into_batch()
}

#[divan::bench(args = [3, 475])]
fn write_forecast(bencher: Bencher, catchments: usize) {
    let batch = forecast(catchments);
    bencher.counter(ItemsCount::new(batch.num_rows())).bench_local(|| to_parquet(&batch).unwrap());
}
