//! The variational method against the Kalman filter, at its bounds, and beside a catchment that fails.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test fails where its input is refused; bits are compared")]

use nalgebra::{DMatrix, DVector, Matrix3, Vector3};
use nilometer_assimilation::{
    Ar1, AssimilationError, Bounds, ControlRow, DescentOutcome, Purpose, Variational, VariationalOptions,
    VariationalReport, stream,
};

const CATCHMENTS: usize = 20;
const STDS: [f64; 3] = [2.0, 0.5, 10.0];
const ERROR_VARIANCE: [f64; 2] = [0.3, 1.5];

/// Two observations of a linear combination of three rows in each catchment.
struct Linear {
    background: Vec<f32>,
    /// `[C]` operators `[p, S]`.
    operators: Vec<DMatrix<f64>>,
    /// `[C]` observations `[p]`.
    observed: Vec<DVector<f64>>,
}

fn normals(count: usize, number: u64) -> Vec<f32> {
    let mut values = vec![0.0; count];
    Ar1::new(1.0, 1.0).unwrap().initialise(&mut values, &mut stream(4, Purpose::Custom(number), 0));
    values
}

impl Linear {
    fn new() -> Self {
        let scaled = |scale: f64| move |&value: &f32| scale * f64::from(value);
        let operators = normals(CATCHMENTS * 6, 1);
        let operators =
            operators.chunks_exact(6).map(|of| DMatrix::from_fn(2, 3, |i, j| f64::from(of[i * 3 + j]) / STDS[j]));
        let observed = normals(CATCHMENTS * 2, 2);
        let observed = observed.chunks_exact(2).map(|of| DVector::from_iterator(2, of.iter().map(scaled(1.5))));
        Self { background: normals(CATCHMENTS * 3, 3), operators: operators.collect(), observed: observed.collect() }
    }

    fn state_of(values: &[f32], catchment: usize) -> Vector3<f64> {
        Vector3::from_fn(|row, _| f64::from(values[row * CATCHMENTS + catchment]))
    }

    /// `½ (y - H x)' R⁻¹ (y - H x)` and `-H' R⁻¹ (y - H x)`.
    #[expect(clippy::cast_possible_truncation, reason = "the precision of a model graph")]
    fn evaluate(&self, state: &[f32], loss: &mut [f32], gradient: &mut [f32]) {
        for catchment in 0..CATCHMENTS {
            let departure = &self.observed[catchment] - &self.operators[catchment] * Self::state_of(state, catchment);
            let weighted = DVector::from_fn(2, |i, _| departure[i] / ERROR_VARIANCE[i]);
            loss[catchment] = (0.5 * departure.dot(&weighted)) as f32;
            let of_state = -self.operators[catchment].transpose() * weighted;
            for row in 0..3 {
                gradient[row * CATCHMENTS + catchment] = of_state[row] as f32;
            }
        }
    }

    fn total_loss(&self, state: &Vector3<f64>, catchment: usize) -> f64 {
        let departure = &self.observed[catchment] - &self.operators[catchment] * state;
        let misfit: f64 = departure.iter().zip(ERROR_VARIANCE).map(|(d, variance)| 0.5 * d * d / variance).sum();
        let increment = (state - Self::state_of(&self.background, catchment)).component_div(&Vector3::from(STDS));
        misfit + 0.5 * increment.norm_squared()
    }

    /// The Kalman mean of one catchment, with background standard deviations `stds`.
    fn kalman(&self, catchment: usize, stds: [f64; 3]) -> Vector3<f64> {
        let operator = &self.operators[catchment];
        let covariance = Matrix3::from_diagonal(&Vector3::from(stds.map(|std| std * std)));
        let error = DMatrix::from_diagonal(&DVector::from_column_slice(&ERROR_VARIANCE));
        let total = operator * covariance * operator.transpose() + error;
        let background = Self::state_of(&self.background, catchment);
        let departure = &self.observed[catchment] - operator * background;
        background + covariance * operator.transpose() * total.try_inverse().unwrap() * departure
    }
}

fn rows(stds: [f64; 3]) -> Vec<ControlRow> {
    stds.map(|background_std| ControlRow { background_std, bounds: Bounds::UNBOUNDED }).to_vec()
}

fn minimise(
    rows: Vec<ControlRow>,
    options: VariationalOptions,
    mut misfit: impl FnMut(&[f32], &mut [f32], &mut [f32]),
    background: &[f32],
) -> (Vec<f32>, VariationalReport) {
    let mut state = background.to_vec();
    let mut report = VariationalReport::default();
    let evaluate = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| -> Result<(), AssimilationError> {
        misfit(state, loss, gradient);
        Ok(())
    };
    Variational::new(options, rows, background.len() / 3).unwrap().minimise(&mut state, evaluate, &mut report).unwrap();
    (state, report)
}

/// Losses of f32 do not tell points apart that differ by 1e-7 of a loss of order 4, that is by sqrt(2e-7 * 4) = 1e-3
/// background standard deviations; condition numbers of up to 100 make it a few of these.
#[test]
fn the_minimum_of_a_linear_problem_is_the_kalman_mean() {
    let case = Linear::new();
    for stds in [STDS, [2.0, 0.0, 10.0]] {
        let misfit = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| case.evaluate(state, loss, gradient);
        let patient = VariationalOptions { iterations: 1_000, ..Default::default() };
        let (state, report) = minimise(rows(stds), patient, misfit, &case.background);
        for catchment in 0..CATCHMENTS {
            let (found, expected) = (Linear::state_of(&state, catchment), case.kalman(catchment, stds));
            let distance = (found - expected).component_div(&Vector3::from(STDS)).amax();
            assert!(distance < 5e-3, "catchment {catchment}: {distance} standard deviations from the minimum");
            assert_eq!(report.minima[catchment].outcome, DescentOutcome::Converged);
        }
    }
}

#[test]
fn the_published_hundred_steps_take_most_of_the_loss() {
    let case = Linear::new();
    let misfit = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| case.evaluate(state, loss, gradient);
    let (state, report) = minimise(rows(STDS), VariationalOptions::default(), misfit, &case.background);
    for (catchment, minimum) in report.minima.iter().enumerate() {
        let least = case.total_loss(&case.kalman(catchment, STDS), catchment);
        assert!((case.total_loss(&Linear::state_of(&state, catchment), catchment) - minimum.loss_after).abs() < 1e-4);
        assert!(minimum.loss_after - least < 0.03 * (minimum.loss_before - least), "{minimum:?}, least {least}");
    }
    let places: Vec<_> = report.increments.iter().map(|entry| (entry.catchment, entry.state)).take(4).collect();
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (1, 0)]);
    for entry in &report.increments {
        let at = entry.state * CATCHMENTS + entry.catchment;
        let difference = f64::from(state[at]) - f64::from(case.background[at]);
        assert!((entry.mean_increment - difference).abs() < 1e-12);
    }
}

#[test]
fn bounds_hold_and_a_fixed_row_stays() {
    let case = Linear::new();
    let bounds = Bounds { minimum: Some(-0.2), maximum: Some(0.3) };
    let mut control = rows(STDS);
    control[0].bounds = bounds;
    control[1].background_std = 0.0;
    let misfit = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| {
        assert!(state[..CATCHMENTS].iter().all(|&value| bounds.clip(value) == value), "no trial is beyond the bounds");
        case.evaluate(state, loss, gradient);
    };
    let patient = VariationalOptions { iterations: 1_000, ..Default::default() };
    let (state, report) = minimise(control, patient, misfit, &case.background);
    let fixed = CATCHMENTS..2 * CATCHMENTS;
    assert_eq!(state[fixed.clone()], case.background[fixed]);
    assert!(report.increments.iter().all(|entry| entry.state != 1));
    // Of a convex problem, the minimum within bounds is the minimum at the bound that was met: row 2 is the Kalman mean
    // given row 0.
    for catchment in (0..CATCHMENTS).filter(|&catchment| [-0.2, 0.3].contains(&state[catchment])) {
        let mut given = Linear { background: case.background.clone(), ..Linear::new() };
        given.background[catchment] = state[catchment];
        let expected = given.kalman(catchment, [0.0, 0.0, STDS[2]])[2];
        assert!((f64::from(state[2 * CATCHMENTS + catchment]) - expected).abs() < 5e-3 * STDS[2]);
    }
}

#[test]
fn a_catchment_that_fails_keeps_its_background_and_disturbs_no_other() {
    let case = Linear::new();
    let alone = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| case.evaluate(state, loss, gradient);
    let (expected, _) = minimise(rows(STDS), VariationalOptions::default(), alone, &case.background);
    let mut evaluations = 0;
    let (state, report) = minimise(
        rows(STDS),
        VariationalOptions::default(),
        |state, loss, gradient| {
            case.evaluate(state, loss, gradient);
            evaluations += 1;
            loss[3] = f32::NAN;
            gradient[CATCHMENTS + 7] = f32::INFINITY;
            if evaluations > 10 {
                loss[11] = f32::INFINITY;
            }
        },
        &case.background,
    );
    for at in 0..3 * CATCHMENTS {
        let kept = if [3, 7, 11].contains(&(at % CATCHMENTS)) { case.background[at] } else { expected[at] };
        assert_eq!(state[at].to_bits(), kept.to_bits());
    }
    for (catchment, minimum) in report.minima.iter().enumerate() {
        assert_eq!(minimum.outcome == DescentOutcome::NotFinite, [3, 7, 11].contains(&catchment));
    }
    assert!(report.minima[3].loss_before.is_nan());
    let of_failed = report.increments.iter().filter(|entry| [3, 7, 11].contains(&entry.catchment));
    assert!(of_failed.map(|entry| entry.mean_increment).all(|increment| increment == 0.0));
}

#[test]
fn a_background_that_is_no_number_stays_what_it_is() {
    let case = Linear::new();
    let mut background = case.background.clone();
    background[5] = f32::NAN;
    let mut control = rows(STDS);
    control[0].bounds = Bounds::NON_NEGATIVE;
    let misfit = |state: &[f32], loss: &mut [f32], gradient: &mut [f32]| case.evaluate(state, loss, gradient);
    let (state, report) = minimise(control, VariationalOptions::default(), misfit, &background);
    assert!(state[5].is_nan());
    assert_eq!(report.minima[5].outcome, DescentOutcome::NotFinite);
    assert!(report.increments.iter().all(|entry| entry.mean_increment.is_finite()));
}

#[test]
fn a_misfit_that_refuses_leaves_the_state_as_it_was() {
    let case = Linear::new();
    let mut state = case.background.clone();
    let mut variational = Variational::new(VariationalOptions::default(), rows(STDS), CATCHMENTS).unwrap();
    let mut report = VariationalReport::default();
    let mut evaluations = 0;
    let outcome = variational.minimise(
        &mut state,
        |state, loss, gradient| {
            case.evaluate(state, loss, gradient);
            evaluations += 1;
            if evaluations < 5 { Ok(()) } else { Err(AssimilationError::NoObservation) }
        },
        &mut report,
    );
    assert_eq!(outcome, Err(AssimilationError::NoObservation));
    assert_eq!(state, case.background);
    assert_eq!(report, VariationalReport::default());
    let outcome = variational.minimise(&mut state[1..], |_, _, _| Ok::<_, AssimilationError>(()), &mut report);
    assert!(matches!(outcome, Err(AssimilationError::Length { actual: 59, expected: 60, .. })));
}

#[test]
fn parameters_outside_their_range_are_refused() {
    let refused = |options, rows| Variational::new(options, rows, 1).is_err();
    let options = VariationalOptions::default();
    assert!(refused(VariationalOptions { rate: 0.0, ..options }, rows(STDS)));
    assert!(refused(VariationalOptions { smallest_rate: f64::NAN, ..options }, rows(STDS)));
    assert!(refused(options, rows([1.0, -1.0, 1.0])));
    let bounds = Bounds { minimum: Some(2.0), maximum: Some(1.0) };
    assert!(refused(options, vec![ControlRow { background_std: 1.0, bounds }]));
}
