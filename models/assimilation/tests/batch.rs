//! Batches of catchments: what is left alone, what is refused, and that a refusal changes nothing.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test fails where its input is refused; bits are compared")]

use std::error::Error;

use nilometer_assimilation::{
    AnalysisReport, AssimilationError, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions,
    Method, Purpose, UpdatableRow, stream,
};

const SHAPE: EnsembleShape = EnsembleShape { states: 2, catchments: 3, members: 4 };
const PREDICTED: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
const ROWS: [UpdatableRow; 1] = [UpdatableRow { state: 1, bounds: Bounds::NON_NEGATIVE }];

fn prior() -> [f32; 24] {
    std::array::from_fn(|index| [1.0, 4.0, 2.0, 8.0, 5.0, 7.0][index % 6] + if index < 12 { 0.5 } else { 0.0 })
}

fn entry(catchment: usize) -> CatchmentObservation<'static> {
    CatchmentObservation {
        catchment,
        predicted: &PREDICTED,
        observed: &[3.5],
        error_variance: &[0.5],
        inflation: 1.0,
        rows: &ROWS,
    }
}

fn run(
    values: &mut [f32],
    method: Method,
    observations: &[CatchmentObservation<'_>],
) -> Result<AnalysisReport, AssimilationError> {
    let mut report = AnalysisReport::default();
    let mut filter = Filter::new(FilterOptions { method, ..Default::default() })?;
    let mut rng = stream(5, Purpose::ObservationPerturbation, 10);
    filter.assimilate(&mut EnsembleMut::new(values, SHAPE)?, observations, &mut rng, &mut report)?;
    Ok(report)
}

fn refusal(observations: &[CatchmentObservation<'_>]) -> AssimilationError {
    let mut values = prior();
    let error = run(&mut values, Method::Etkf, observations).unwrap_err();
    assert_eq!(values, prior(), "a refused batch leaves the ensemble as it was");
    error
}

/// The reason inside the catchment.
fn reason(error: &AssimilationError) -> String {
    error.source().unwrap().to_string()
}

#[test]
fn only_the_listed_rows_of_observed_catchments_change() {
    let mut values = prior();
    let report = run(&mut values, Method::Etkf, &[entry(0), entry(2)]).unwrap();
    let changed: Vec<usize> = (0..6).filter(|i| values[i * 4..i * 4 + 4] != prior()[i * 4..i * 4 + 4]).collect();
    assert_eq!(changed, [3, 5]);
    let places: Vec<_> = report.increments.iter().map(|entry| (entry.catchment, entry.state)).collect();
    assert_eq!(places, [(0, 1), (2, 1)]);
    assert_eq!(report.innovations.len(), 2);
}

#[test]
fn the_etkf_of_a_catchment_does_not_depend_on_its_batch() {
    let (mut together, mut alone) = (prior(), prior());
    run(&mut together, Method::Etkf, &[entry(0), entry(1), entry(2)]).unwrap();
    run(&mut alone, Method::Etkf, &[entry(1)]).unwrap();
    assert_eq!(together[16..20], alone[16..20]);
}

#[test]
fn without_rows_the_innovations_are_still_reported() {
    let mut values = prior();
    let report = run(&mut values, Method::StochasticEnkf, &[CatchmentObservation { rows: &[], ..entry(1) }]).unwrap();
    assert_eq!(values, prior());
    assert!(report.increments.is_empty());
    assert_eq!(report.innovations[0].catchment, 1);
}

#[test]
fn a_report_and_a_filter_are_reused() {
    let mut filter = Filter::new(FilterOptions::default()).unwrap();
    let mut report = AnalysisReport::default();
    let mut rng = stream(5, Purpose::ObservationPerturbation, 10);
    let predicted: Vec<f64> = PREDICTED.iter().chain(&[4.0, 1.0, 2.0, 0.0]).copied().collect();
    let two =
        CatchmentObservation { predicted: &predicted, observed: &[3.5, 1.0], error_variance: &[0.5, 0.2], ..entry(0) };
    for observation in [two, entry(0), two] {
        let (mut reused, mut fresh) = (prior(), prior());
        let mut ensemble = EnsembleMut::new(&mut reused, SHAPE).unwrap();
        filter.assimilate(&mut ensemble, &[observation], &mut rng, &mut report).unwrap();
        assert_eq!(report, run(&mut fresh, Method::Etkf, &[observation]).unwrap());
        assert_eq!(reused, fresh);
    }
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let error = refusal(&[entry(0), CatchmentObservation { observed: &[f64::NAN], ..entry(1) }]);
    assert_eq!(error.to_string(), "catchment 1 cannot be assimilated");
    assert_eq!(reason(&error), "observed value [0] is NaN; accepted: finite");
    let predicted = [1.0, f64::INFINITY, 3.0, 4.0];
    let error = refusal(&[CatchmentObservation { predicted: &predicted, ..entry(1) }]);
    assert_eq!(reason(&error), "predicted observation [1] is inf; accepted: finite");
    for variance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = refusal(&[CatchmentObservation { error_variance: &[variance], ..entry(1) }]);
        assert!(reason(&error).ends_with("accepted: finite and positive"));
    }
    for inflation in [0.99, 10.1, f64::NAN] {
        let error = refusal(&[CatchmentObservation { inflation, ..entry(1) }]);
        assert!(reason(&error).ends_with("accepted: 1 to 10"));
    }
    let error = refusal(&[CatchmentObservation { error_variance: &[1e-200], ..entry(1) }]);
    assert!(reason(&error).starts_with("squared departure over error variance"));
}

#[test]
fn a_stored_nan_is_refused() {
    let mut values = prior();
    values[13] = f32::NAN;
    let error = run(&mut values, Method::Etkf, &[entry(0)]).unwrap_err();
    assert_eq!(reason(&error), "state member [1] is NaN; accepted: finite");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let error = refusal(&[CatchmentObservation { predicted: &PREDICTED[..3], ..entry(0) }]);
    assert_eq!(reason(&error), "predicted observation has 3 values; expected 4");
    let error = refusal(&[CatchmentObservation { error_variance: &[0.5, 0.5], ..entry(0) }]);
    assert_eq!(reason(&error), "error variance has 2 values; expected 1");
    let error = refusal(&[CatchmentObservation { observed: &[], ..entry(0) }]);
    assert_eq!(reason(&error), AssimilationError::NoObservation.to_string());
    let error = refusal(&[entry(3)]);
    assert_eq!(reason(&error), "catchment 3 does not exist; accepted: 0 to 2");
    let rows = [UpdatableRow { state: 2, bounds: Bounds::UNBOUNDED }];
    let error = refusal(&[CatchmentObservation { rows: &rows, ..entry(0) }]);
    assert_eq!(reason(&error), "state 2 does not exist; accepted: 0 to 1");
}

#[test]
fn repeated_or_unordered_entries_are_refused() {
    assert_eq!(
        refusal(&[entry(1), entry(1)]).to_string(),
        "catchment 1 follows 1; accepted: strictly ascending, each listed once"
    );
    assert!(matches!(refusal(&[entry(2), entry(0)]), AssimilationError::Order { previous: 2, next: 0, .. }));
    let rows = [ROWS[0], ROWS[0]];
    let error = refusal(&[CatchmentObservation { rows: &rows, ..entry(0) }]);
    assert_eq!(reason(&error), "state 1 follows 1; accepted: strictly ascending, each listed once");
    let rows = [UpdatableRow { state: 1, bounds: Bounds { minimum: Some(2.0), maximum: Some(1.0) } }];
    let error = refusal(&[CatchmentObservation { rows: &rows, ..entry(0) }]);
    assert_eq!(reason(&error), "bounds from 2 to 1 hold no value; accepted: minimum <= maximum, neither NaN");
}

#[test]
fn extreme_but_accepted_values_stay_finite() {
    let mut values = prior();
    let observation = CatchmentObservation { observed: &[1e60], error_variance: &[1e-20], ..entry(0) };
    run(&mut values, Method::Etkf, &[observation]).unwrap();
    assert!(values.iter().all(|value| value.is_finite()));
}
