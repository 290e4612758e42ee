//! Late observations: the asynchronous filter ends where the Kalman filter ends that got every observation in time.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

mod support;

use nalgebra::{Matrix2, RowVector2, Vector2};
use nilometer_assimilation::{
    AnalysisReport, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions, Method, Purpose,
    StoredPredictions, UpdatableRow, stream,
};
use support::moments;

const MEMBERS: usize = 16;
const SHAPE: EnsembleShape = EnsembleShape { states: 2, catchments: 1, members: MEMBERS };
const ROWS: [UpdatableRow; 2] =
    [UpdatableRow { state: 0, bounds: Bounds::UNBOUNDED }, UpdatableRow { state: 1, bounds: Bounds::UNBOUNDED }];
const OBSERVED: [f64; 5] = [4.0, 2.5, 3.5, 1.0, 2.0];
const ERROR_VARIANCE: [f64; 5] = [0.3, 0.1, 0.5, 0.2, 0.4];
/// Which of the five observations arrive at each of the five steps.
const IN_TIME: [&[usize]; 5] = [&[0], &[1], &[2], &[3], &[4]];
const LATE: [&[usize]; 5] = [&[0], &[], &[2], &[3], &[1, 4]];

const MODEL: Matrix2<f64> = Matrix2::new(0.7, 0.1, 0.2, 0.9);
const OPERATOR: RowVector2<f64> = RowVector2::new(1.0, 0.5);
const NOISE_STD: [f64; 2] = [0.4, 0.2];
const START: Vector2<f64> = Vector2::new(3.0, 2.0);
const START_ROOT: Matrix2<f64> = Matrix2::new(1.2, 0.0, 0.5, 0.8);

/// Member `i` of the `k`-th row of a Hadamard matrix: for k > 0 the rows have mean zero and variance one (M - 1), and
/// each is orthogonal to all others. Noise from them gives sample moments without any sampling error.
fn direction(k: usize, i: usize) -> f64 {
    let sign = if (k & i).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    sign * (15.0_f64 / 16.0).sqrt()
}

#[expect(clippy::cast_possible_truncation, reason = "the storage precision")]
fn write(values: &mut [f32], i: usize, state: Vector2<f64>) {
    (values[i], values[MEMBERS + i]) = (state[0] as f32, state[1] as f32);
}

fn read(values: &[f32], i: usize) -> Vector2<f64> {
    Vector2::new(f64::from(values[i]), f64::from(values[MEMBERS + i]))
}

/// Ensemble `[2, 1, M]` and memory after five steps, with the observations as they arrive.
fn run(arrivals: [&[usize]; 5], correct_the_past: bool) -> (Vec<f32>, StoredPredictions) {
    let mut values = vec![0.0_f32; 2 * MEMBERS];
    for i in 0..MEMBERS {
        write(&mut values, i, START + START_ROOT * Vector2::new(direction(1, i), direction(2, i)));
    }
    let mut stored = StoredPredictions::new(4, 1, MEMBERS).unwrap();
    let mut filter = Filter::new(FilterOptions { method: Method::Etkf, ..Default::default() }).unwrap();
    for (step, arriving) in arrivals.iter().enumerate() {
        let mut predicted_now = [0.0_f32; MEMBERS];
        for (i, prediction) in predicted_now.iter_mut().enumerate() {
            let noise = [0, 1].map(|row| NOISE_STD[row] * direction(3 + 2 * step + row, i));
            let state = MODEL * read(&values, i) + Vector2::from(noise);
            write(&mut values, i, state);
            *prediction = values[i] + 0.5 * values[MEMBERS + i];
        }
        let time_us = |step: usize| 3_600_000_000 * i64::try_from(step).unwrap();
        stored.store(time_us(step), &predicted_now).unwrap();
        if arriving.is_empty() {
            continue;
        }
        let of_past = arriving.iter().flat_map(|&step| stored.members(time_us(step), 0).unwrap());
        let predicted: Vec<f64> = of_past.map(|&value| f64::from(value)).collect();
        let batch = [CatchmentObservation {
            catchment: 0,
            predicted: &predicted,
            observed: &arriving.iter().map(|&step| OBSERVED[step]).collect::<Vec<_>>(),
            error_variance: &arriving.iter().map(|&step| ERROR_VARIANCE[step]).collect::<Vec<_>>(),
            inflation: 1.0,
            rows: &ROWS,
        }];
        let noise = || stream(1, Purpose::ObservationPerturbation, time_us(step));
        let mut ensemble = EnsembleMut::new(&mut values, SHAPE).unwrap();
        filter.assimilate(&mut ensemble, &batch, &mut noise(), &mut AnalysisReport::default()).unwrap();
        if correct_the_past {
            stored.correct(&mut filter, &batch, &mut noise()).unwrap();
        }
    }
    (values, stored)
}

/// Mean and covariance of the Kalman filter after five steps, all observations in time.
fn kalman() -> (Vector2<f64>, Matrix2<f64>) {
    let (mut mean, mut covariance) = (START, START_ROOT * START_ROOT.transpose());
    let noise = Matrix2::from_diagonal(&Vector2::from(NOISE_STD.map(|std| std * std)));
    for (observed, error_variance) in OBSERVED.iter().zip(ERROR_VARIANCE) {
        mean = MODEL * mean;
        covariance = MODEL * covariance * MODEL.transpose() + noise;
        let innovation_variance = (OPERATOR * covariance * OPERATOR.transpose())[0] + error_variance;
        let gain = covariance * OPERATOR.transpose() / innovation_variance;
        mean += gain * (observed - (OPERATOR * mean)[0]);
        covariance -= gain * OPERATOR * covariance;
    }
    (mean, covariance)
}

/// Largest difference of the moments of `[2, 1, M]` from those of the Kalman filter.
fn distance(values: &[f32]) -> f64 {
    let ((mean, covariance), (expected_mean, expected_covariance)) = (moments(values, 2), kalman());
    (mean - expected_mean).amax().max((covariance - expected_covariance).amax())
}

/// Exact but for the f32 storage of values below 8, rounded in five steps.
#[test]
fn it_does_not_matter_when_an_observation_arrives() {
    assert!(distance(&run(IN_TIME, true).0) < 5e-6);
    let (late, stored) = run(LATE, true);
    assert!(distance(&late) < 5e-6, "{}", distance(&late));
    // What is stored of the last step is the same quantity as the state.
    let (now, of_now) = (run(LATE, true).0, stored.members(4 * 3_600_000_000, 0).unwrap());
    for (i, prediction) in of_now.iter().enumerate() {
        assert!((f64::from(*prediction) - (OPERATOR * read(&now, i))[0]).abs() < 5e-6);
    }
    assert_eq!(stored.members(0, 0), None, "five steps, four are kept");
}

#[test]
fn a_past_that_is_not_corrected_is_weighed_wrongly() {
    assert!(distance(&run(LATE, false).0) > 0.02, "{}", distance(&run(LATE, false).0));
}

/// The same noise stream moves stores and stored predictions alike, whatever the method: the observed row itself, kept
/// as a prediction, stays equal to it.
#[test]
fn every_method_moves_past_and_present_together() {
    for method in [Method::Etkf, Method::StochasticEnkf, Method::Denkf, Method::Particle { jitter: 0.2 }] {
        let mut values: Vec<f32> =
            (0..MEMBERS).map(|i| [1.0, 5.0, 2.5, 4.0, 3.0][i % 5] + [0.0, 0.4, 0.7][i % 3]).collect();
        let mut stored = StoredPredictions::new(2, 1, MEMBERS).unwrap();
        stored.store(7, &values).unwrap();
        let predicted: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let batch = [CatchmentObservation {
            catchment: 0,
            predicted: &predicted,
            observed: &[4.0],
            error_variance: &[0.5],
            inflation: 1.1,
            rows: &ROWS[..1],
        }];
        let options = FilterOptions { method, rtps_alpha: Some(0.2), ..Default::default() };
        let mut filter = Filter::new(options).unwrap();
        let noise = || stream(1, Purpose::ObservationPerturbation, 7);
        let shape = EnsembleShape { states: 1, ..SHAPE };
        let mut ensemble = EnsembleMut::new(&mut values, shape).unwrap();
        filter.assimilate(&mut ensemble, &batch, &mut noise(), &mut AnalysisReport::default()).unwrap();
        stored.correct(&mut filter, &batch, &mut noise()).unwrap();
        assert_eq!(stored.members(7, 0), Some(values.as_slice()), "{method:?}");
    }
}
