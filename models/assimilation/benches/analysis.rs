//! One update of an ETKF: a discharge a catchment, 32 members, 12 updated rows.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use divan::{Bencher, counter::ItemsCount};
use nilometer_assimilation::{
    AnalysisReport, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions, Purpose,
    UpdatableRow, stream,
};

const MEMBERS: usize = 32;
const ROWS: usize = 12;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 475])]
fn update(bencher: Bencher, catchments: usize) {
    let shape = EnsembleShape { states: ROWS, catchments, members: MEMBERS };
    let mut values: Vec<f32> = (0..ROWS * catchments * MEMBERS).map(|i| 100.0 + (i as f32 * 0.37).sin()).collect();
    let rows: Vec<UpdatableRow> = (0..ROWS).map(|state| UpdatableRow { state, bounds: Bounds::NON_NEGATIVE }).collect();
    let predicted: Vec<f64> = (0..catchments * MEMBERS).map(|i| (i as f64 * 0.61).sin()).collect();
    let observation = |catchment: usize| CatchmentObservation {
        catchment,
        predicted: &predicted[catchment * MEMBERS..][..MEMBERS],
        observed: &[0.1],
        error_variance: &[0.01],
        inflation: 1.0,
        rows: &rows,
    };
    let batch: Vec<CatchmentObservation<'_>> = (0..catchments).map(observation).collect();
    let mut filter = Filter::new(FilterOptions::default()).unwrap();
    let (mut report, mut rng) = (AnalysisReport::default(), stream(1, Purpose::ObservationPerturbation, 0));
    bencher.counter(ItemsCount::new(catchments)).bench_local(|| {
        let mut ensemble = EnsembleMut::new(&mut values, shape).unwrap();
        filter.assimilate(&mut ensemble, &batch, &mut rng, &mut report).unwrap();
    });
}
