//! Against the linear-Gaussian Kalman filter: the ETKF and the DEnKF exactly, the stochastic EnKF and the particle filter
//! within their sampling error.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

mod support;

use nilometer_assimilation::{
    AnalysisReport, Ar1, Bounds, CatchmentObservation, EnsembleMut, Filter, FilterOptions, Method, Purpose,
    UpdatableRow, stream,
};
use support::{LinearCase, moments, options};

/// Correlated random rows: each row is half of the row before plus fresh noise.
fn random_case(states: usize, observations: usize, members: usize, seed: u64) -> LinearCase {
    let mut values = vec![0.0_f32; states * members];
    let mut rng = stream(seed, Purpose::InitialState, 0);
    Ar1::new(1.0, 1.0).unwrap().initialise(&mut values, &mut rng);
    for index in members..values.len() {
        values[index] += 0.5 * values[index - members];
    }
    let terms = [0.8, -0.4, 1.5, 0.1, -1.1];
    let variances = [0.3, 1.2, 0.05, 2.0, 0.7];
    LinearCase {
        states,
        members,
        values,
        observed: terms[..observations].to_vec(),
        error_variance: variances[..observations].to_vec(),
        inflation: 1.0,
    }
}

#[test]
fn etkf_has_the_mean_and_covariance_of_the_kalman_filter() {
    // Includes more observations than the ensemble has directions (p = 5, M = 3). Tolerance: f32 storage of values
    // below 8.
    for (states, observations, members) in [(1, 1, 2), (4, 1, 32), (5, 2, 16), (6, 5, 40), (5, 5, 3)] {
        for seed in 0..5 {
            let case = random_case(states, observations, members, seed);
            let (analysis, _) = case.analyse(options(Method::Etkf), Bounds::UNBOUNDED);
            let (mean, covariance) = moments(&analysis, states);
            let (expected_mean, expected_covariance) = case.kalman(1.0);
            assert!((mean - expected_mean).amax() < 2e-6, "mean of {states} x {observations} x {members}");
            assert!(
                (covariance - expected_covariance).amax() < 5e-6,
                "covariance of {states} x {observations} x {members}"
            );
        }
    }
}

#[test]
fn denkf_has_the_kalman_mean_and_keeps_a_quarter_of_what_the_gain_removes_twice() {
    // Sakov & Oke (2008): (I - K H / 2) P (I - K H / 2)' = (I - K H) P + K H P H' K' / 4.
    for (states, observations, members) in [(1, 1, 2), (4, 1, 32), (5, 2, 16), (6, 5, 40), (5, 5, 3)] {
        let case = random_case(states, observations, members, 2);
        let (analysis, _) = case.analyse(options(Method::Denkf), Bounds::UNBOUNDED);
        let (mean, covariance) = moments(&analysis, states);
        let (expected_mean, kalman) = case.kalman(1.0);
        let (_, prior) = moments(&case.values, states);
        let gain = case.gain(&prior);
        let observed = prior.view((0, 0), (observations, observations));
        let expected = kalman + &gain * observed * gain.transpose() / 4.0;
        assert!((mean - expected_mean).amax() < 2e-6, "mean of {states} x {observations} x {members}");
        assert!((covariance - expected).amax() < 5e-6, "covariance of {states} x {observations} x {members}");
    }
}

#[test]
fn the_particle_filter_approaches_the_kalman_filter() {
    // 200 000 normal members. One observation leaves about 100 000, three about 20 000 effective members: the mean has a
    // sampling error of at most 1 / sqrt(20 000) = 0.007, a variance of at most 1.3 one of 1.3 sqrt(2 / 20 000) = 0.013;
    // five sigma each. The jitter must not show.
    for (observations, left) in [(1, 80_000.0), (3, 10_000.0)] {
        for jitter in [0.0, 0.2] {
            let case = random_case(4, observations, 200_000, 21);
            let (analysis, report) = case.analyse(options(Method::Particle { jitter }), Bounds::UNBOUNDED);
            let (mean, covariance) = moments(&analysis, 4);
            let (expected_mean, expected_covariance) = case.kalman(1.0);
            assert!(report.resampled[0].effective_members > left);
            assert!((mean - expected_mean).amax() < 0.035);
            assert!((covariance - expected_covariance).amax() < 0.065);
        }
    }
}

#[test]
fn inflation_gives_the_kalman_filter_of_the_inflated_prior() {
    let mut case = random_case(4, 2, 24, 9);
    case.inflation = 1.25;
    let inflated = FilterOptions { prior_inflation: Some(1.04), ..Default::default() };
    let (analysis, report) = case.analyse(inflated, Bounds::UNBOUNDED);
    assert!((report.innovations[1].inflation - 1.3).abs() < 1e-12);
    let (mean, covariance) = moments(&analysis, 4);
    let (expected_mean, expected_covariance) = case.kalman(1.3);
    assert!((mean - expected_mean).amax() < 2e-6);
    assert!((covariance - expected_covariance).amax() < 5e-6);
}

#[test]
fn full_relaxation_restores_the_prior_spread_and_keeps_the_mean() {
    let case = random_case(3, 1, 24, 3);
    let relaxed = FilterOptions { rtps_alpha: Some(1.0), ..Default::default() };
    let (analysis, _) = case.analyse(relaxed, Bounds::UNBOUNDED);
    let (mean, covariance) = moments(&analysis, 3);
    let (_, prior_covariance) = moments(&case.values, 3);
    assert!((mean - case.kalman(1.0).0).amax() < 2e-6);
    assert!((covariance.diagonal() - prior_covariance.diagonal()).amax() < 5e-6);
}

#[test]
fn stochastic_enkf_approaches_the_kalman_filter() {
    // 40 000 members: the covariance has a sampling error of about sqrt(2 / M) = 0.7 %; 4 % of the prior variance of at
    // most 1.3 is beyond five sigma.
    for observations in [1, 3] {
        let case = random_case(4, observations, 40_000, 21);
        let (analysis, _) = case.analyse(options(Method::StochasticEnkf), Bounds::UNBOUNDED);
        let (mean, covariance) = moments(&analysis, 4);
        let (expected_mean, expected_covariance) = case.kalman(1.0);
        assert!((mean - expected_mean).amax() < 1e-5, "re-centred perturbations leave the mean exact");
        assert!((covariance - expected_covariance).amax() < 0.05);
    }
}

#[test]
fn re_centred_perturbations_keep_the_expected_variance_of_a_small_ensemble() {
    // Eight members, 4 000 draws. The expected analysis variance of an EnKF given the gain is (1-k)^2 P + k^2 R.
    let case = random_case(1, 1, 8, 5);
    let (_, prior) = moments(&case.values, 1);
    let prior = prior[(0, 0)];
    let error = case.error_variance[0];
    let gain = prior / (prior + error);
    let expected = (1.0 - gain).powi(2) * prior + gain.powi(2) * error;
    let predicted = case.predicted();
    let rows = [UpdatableRow { state: 0, bounds: Bounds::UNBOUNDED }];
    let mut filter = Filter::new(options(Method::StochasticEnkf)).unwrap();
    let mut report = AnalysisReport::default();
    let mut total = 0.0;
    for draw in 0..4_000 {
        let mut values = case.values.clone();
        let mut ensemble = EnsembleMut::new(&mut values, case.shape()).unwrap();
        let observation = CatchmentObservation {
            catchment: 0,
            predicted: &predicted,
            observed: &case.observed,
            error_variance: &case.error_variance,
            inflation: 1.0,
            rows: &rows,
        };
        let mut rng = stream(1, Purpose::ObservationPerturbation, draw);
        filter.assimilate(&mut ensemble, &[observation], &mut rng, &mut report).unwrap();
        total += moments(&values, 1).1[(0, 0)];
    }
    let mean_variance = total / 4_000.0;
    assert!((mean_variance / expected - 1.0).abs() < 0.04, "{mean_variance} is not {expected}");
}
