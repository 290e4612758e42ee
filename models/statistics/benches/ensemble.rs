//! Quantiles and CRPS of an ensemble of 32 members.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use divan::{Bencher, black_box};
use nilometer_statistics::{CrpsEstimator, crps_ensemble, crps_quantiles, quantiles};

const MEMBERS: usize = 32;
const LEVELS: usize = 19;

fn main() {
    divan::main();
}

fn members() -> Vec<f64> {
    (0..MEMBERS).map(|member| 100.0 + (member as f64 * 0.61).sin()).collect()
}

fn levels() -> [f64; LEVELS] {
    std::array::from_fn(|level| (level + 1) as f64 / (LEVELS + 1) as f64)
}

#[divan::bench]
fn quantiles_of_members(bencher: Bencher) {
    let (members, levels, mut buffer, mut values) = (members(), levels(), Vec::new(), [0.0; LEVELS]);
    bencher.bench_local(|| quantiles(black_box(&members), &levels, &mut buffer, &mut values).unwrap());
}

#[divan::bench]
fn crps_of_members(bencher: Bencher) {
    let (members, mut buffer) = (members(), Vec::new());
    bencher.bench_local(|| crps_ensemble(black_box(&members), 100.1, CrpsEstimator::Fair, &mut buffer).unwrap());
}

#[divan::bench]
fn crps_of_quantiles(bencher: Bencher) {
    let (members, levels, mut buffer, mut values) = (members(), levels(), Vec::new(), [0.0; LEVELS]);
    quantiles(&members, &levels, &mut buffer, &mut values).unwrap();
    bencher.bench_local(|| crps_quantiles(&levels, black_box(&values), 100.1).unwrap());
}
