//! Twin experiments: a truth made by a toy model, its noisy discharge, and each method against the open loop.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails where its input is refused; f32 is the storage precision"
)]

#[path = "support/toy.rs"]
mod toy;

use nilometer_assimilation::{
    AdaptiveInflation, AnalysisReport, AssimilationError, Bounds, CatchmentObservation, ControlRow, EnsembleMut,
    EnsembleShape, Filter, FilterOptions, Method, Purpose, StoredPredictions, UpdatableRow, Variational,
    VariationalOptions, VariationalReport, stream,
};
use toy::{ERROR_STD_MM, Rain, STEPS, STORES, Truth, discharge_mm};

const CATCHMENTS: usize = 12;
/// Upper store, lower store, and the row behind the rain of the members.
const ROWS: [UpdatableRow; 3] = [
    UpdatableRow { state: 0, bounds: Bounds::NON_NEGATIVE },
    UpdatableRow { state: 1, bounds: Bounds::NON_NEGATIVE },
    UpdatableRow { state: 2, bounds: Bounds::UNBOUNDED },
];
const SEED: u64 = 5;
/// Steps before errors count.
const SPIN_UP: usize = 40;

/// Mean squares of each store, mm².
#[derive(Debug, Default, Clone, Copy)]
struct Score {
    errors: [f64; STORES],
    variances: [f64; STORES],
    count: f64,
}

impl Score {
    fn add(&mut self, store: usize, members: &[f32], truth: f32) {
        let count = f64::from(u32::try_from(members.len()).unwrap());
        let mean = members.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares: f64 = members.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
        self.errors[store] += (mean - f64::from(truth)).powi(2);
        // The truth is one more draw: E (mean - truth)² = (1 + 1 / M) variance.
        self.variances[store] += squares / (count - 1.0).max(1.0) * (1.0 + 1.0 / count);
        self.count += 0.5;
    }

    fn rmse_mm(&self) -> [f64; STORES] {
        self.errors.map(|sum| (sum / self.count).sqrt())
    }

    /// Spread over error of each store.
    fn consistency(&self) -> [f64; STORES] {
        [0, 1].map(|store| (self.variances[store] / self.errors[store]).sqrt())
    }
}

/// What a run is given: no method is the open loop.
#[derive(Clone, Copy)]
struct Run {
    method: Option<Method>,
    members: usize,
    delay_steps: usize,
    /// How much of the true uncertainty of the rain the ensemble knows.
    rain_share: f64,
    /// Rate of the adaptive inflation.
    rate: f64,
    maximum: f64,
}

const OPEN: Run = Run { method: None, members: 40, delay_steps: 0, rain_share: 1.0, rate: 0.0, maximum: 1.1 };

fn run(truth: &Truth, run: Run) -> Score {
    let (members, width) = (run.members, CATCHMENTS * run.members);
    let shape = EnsembleShape { states: 3, catchments: CATCHMENTS, members };
    let rain = Rain::new(run.rain_share);
    let mut values = toy::first_stores(width, SEED);
    values.resize(3 * width, 0.0);
    rain.begin(&mut values[2 * width..], SEED);
    let options = FilterOptions { method: run.method.unwrap_or_default(), ..Default::default() };
    let mut filter = Filter::new(options).unwrap();
    let mut stored = StoredPredictions::new(run.delay_steps + 1, CATCHMENTS, members).unwrap();
    let mut inflation = AdaptiveInflation::new(CATCHMENTS, run.rate, run.maximum).unwrap();
    let mut report = AnalysisReport::default();
    let mut score = Score::default();
    for step in 0..STEPS {
        let (stores, row) = values.split_at_mut(2 * width);
        toy::step(stores, &rain.fall(&truth.forcing_mm[step], row, SEED, step));
        let predicted: Vec<f32> = (0..width).map(|i| discharge_mm(stores[i], stores[width + i]) as f32).collect();
        let time_us = |step: usize| i64::try_from(step).unwrap();
        stored.store(time_us(step), &predicted).unwrap();
        if let Some(observed_step) = step.checked_sub(run.delay_steps).filter(|_| run.method.is_some()) {
            let predicted: Vec<f64> = (0..CATCHMENTS)
                .flat_map(|catchment| stored.members(time_us(observed_step), catchment).unwrap())
                .map(|&value| f64::from(value))
                .collect();
            let batch: Vec<_> = (0..CATCHMENTS)
                .map(|catchment| CatchmentObservation {
                    catchment,
                    predicted: &predicted[catchment * members..(catchment + 1) * members],
                    observed: &truth.observed_mm[observed_step][catchment..=catchment],
                    error_variance: &[ERROR_STD_MM * ERROR_STD_MM],
                    inflation: inflation.factor(catchment),
                    rows: &ROWS,
                })
                .collect();
            let noise = || stream(SEED, Purpose::ObservationPerturbation, time_us(step));
            let mut ensemble = EnsembleMut::new(&mut values, shape).unwrap();
            filter.assimilate(&mut ensemble, &batch, &mut noise(), &mut report).unwrap();
            stored.correct(&mut filter, &batch, &mut noise()).unwrap();
            inflation.learn(&report.innovations);
        }
        if step >= SPIN_UP {
            for (i, members) in values[..2 * width].chunks_exact(members).enumerate() {
                score.add(i / CATCHMENTS, members, truth.stores_mm[step][i]);
            }
        }
    }
    score
}

/// Windows of three steps under the forcing as it is: the stores at the end of each window, which a forecast starts
/// from. Without iterations it is the open loop.
fn run_windows(truth: &Truth, iterations: usize) -> Score {
    const WINDOW: usize = 3;
    // What the model makes wrong within a window is more than the gauge does: the rain.
    let error_variance = (2.0 * ERROR_STD_MM).powi(2);
    let control = |background_std| ControlRow { background_std, bounds: Bounds::NON_NEGATIVE };
    let options = VariationalOptions { iterations, ..Default::default() };
    let mut variational = Variational::new(options, vec![control(6.0), control(1.0)], CATCHMENTS).unwrap();
    let mut report = VariationalReport::default();
    let mut score = Score::default();
    let mut state: Vec<f32> = toy::START_MM.iter().flat_map(|&mean| [mean as f32; CATCHMENTS]).collect();
    for first in (0..STEPS).step_by(WINDOW) {
        let window = || truth.forcing_mm[first..first + WINDOW].iter().zip(&truth.observed_mm[first..]);
        let misfit = |start: &[f32], loss: &mut [f32], gradient: &mut [f32]| -> Result<(), AssimilationError> {
            let mut stores = start.to_vec();
            let mut departures = [[0.0; WINDOW]; CATCHMENTS];
            for (step, (forcing, observed)) in window().enumerate() {
                toy::step(&mut stores, forcing);
                for (catchment, departures) in departures.iter_mut().enumerate() {
                    departures[step] =
                        discharge_mm(stores[catchment], stores[CATCHMENTS + catchment]) - observed[catchment];
                }
            }
            for (catchment, departures) in departures.iter().enumerate() {
                let (misfit, of_stores) = toy::misfit(departures, error_variance);
                loss[catchment] = misfit as f32;
                (gradient[catchment], gradient[CATCHMENTS + catchment]) = (of_stores[0] as f32, of_stores[1] as f32);
            }
            Ok(())
        };
        variational.minimise(&mut state, misfit, &mut report).unwrap();
        assert!(report.minima.iter().all(|minimum| minimum.loss_after <= minimum.loss_before));
        for (forcing, _) in window() {
            toy::step(&mut state, forcing);
        }
        if first >= SPIN_UP {
            for (i, &value) in state.iter().enumerate() {
                score.add(i / CATCHMENTS, &[value], truth.stores_mm[first + WINDOW - 1][i]);
            }
        }
    }
    score
}

/// A quadratic misfit: central differences of one millimetre have no truncation error, only the f32 storage of stores.
#[test]
fn the_hand_written_gradient_is_that_of_the_misfit() {
    let rain = [3.0, 0.0, 7.5, 0.0, 1.0];
    let observed = [2.0, 1.5, 3.0, 2.5, 2.0];
    let at = |start: [f32; STORES]| {
        let mut stores = start;
        let departures: Vec<f64> = rain
            .iter()
            .zip(observed)
            .map(|(&rain, observed)| {
                toy::step(&mut stores, &[rain]);
                discharge_mm(stores[0], stores[1]) - observed
            })
            .collect();
        toy::misfit(&departures, 0.09)
    };
    let (_, gradient) = at([10.0, 25.0]);
    let of_upper = 0.5 * (at([11.0, 25.0]).0 - at([9.0, 25.0]).0);
    let of_lower = 0.5 * (at([10.0, 26.0]).0 - at([10.0, 24.0]).0);
    assert!((gradient[0] - of_upper).abs() < 1e-4, "{} is not {of_upper}", gradient[0]);
    assert!((gradient[1] - of_lower).abs() < 1e-4, "{} is not {of_lower}", gradient[1]);
}

fn assert_finds(found: Score, open: Score, shares: [f64; STORES], what: &str) {
    for (store, limit) in shares.into_iter().enumerate() {
        let share = found.rmse_mm()[store] / open.rmse_mm()[store];
        assert!(share < limit, "{what}: store {store} keeps {share} of the open loop's error");
    }
}

/// Errors fall to less than a third and a quarter of the open loop's, and agree with the spread within a factor of 1.45:
/// 12 catchments with errors of a memory of 10 to 50 steps give about 240 and 50 independent samples, and the DEnKF is
/// wide by construction.
#[test]
fn every_ensemble_method_finds_the_stores_again() {
    let truth = Truth::new(CATCHMENTS);
    let open = run(&truth, OPEN);
    let methods = [
        (Method::Etkf, 40),
        (Method::StochasticEnkf, 40),
        (Method::Denkf, 40),
        (Method::Particle { jitter: 0.1 }, 400),
    ];
    for (method, members) in methods {
        let found = run(&truth, Run { method: Some(method), members, ..OPEN });
        assert_finds(found, open, [0.33, 0.25], &format!("{method:?}"));
        assert!(
            found.consistency().iter().all(|ratio| (1.0 / 1.45..1.45).contains(ratio)),
            "{:?}",
            found.consistency()
        );
    }
}

/// Three steps late, the lower store is found as well as in time; the upper store holds three steps of rain that no
/// observation has seen.
#[test]
fn observations_that_come_three_steps_late_are_not_lost() {
    let truth = Truth::new(CATCHMENTS);
    let open = run(&truth, OPEN);
    for method in [Method::Etkf, Method::StochasticEnkf, Method::Denkf] {
        let found = run(&truth, Run { method: Some(method), delay_steps: 3, ..OPEN });
        assert_finds(found, open, [0.75, 0.25], &format!("{method:?}, late"));
        assert!(
            found.consistency().iter().all(|ratio| (1.0 / 1.45..1.45).contains(ratio)),
            "{:?}",
            found.consistency()
        );
    }
}

/// Only the stores at the begin of a window can be corrected: the rain within it stays as wrong as it is.
#[test]
fn the_variational_method_finds_the_stores_again() {
    let truth = Truth::new(CATCHMENTS);
    assert_finds(run_windows(&truth, 100), run_windows(&truth, 0), [0.55, 0.3], "variational");
}

/// An ensemble that knows half of the uncertainty of its rain learns from its innovations to be wider, and errs less. A
/// small maximum is part of it: in every dry step the factor widens the lower store too, which is hardly observed.
#[test]
fn a_learned_inflation_helps_an_ensemble_that_is_too_narrow() {
    let truth = Truth::new(CATCHMENTS);
    let narrow = Run { method: Some(Method::Etkf), rain_share: 0.5, ..OPEN };
    let (without, with) = (run(&truth, narrow), run(&truth, Run { rate: 0.02, maximum: 1.02, ..narrow }));
    assert_finds(with, without, [1.0, 1.0], "inflated");
    assert!(with.consistency()[0] > without.consistency()[0]);
}
