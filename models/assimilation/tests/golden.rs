//! Golden values: the ETKF and the DEnKF of an independent implementation (DAPPER 1.7.1).
//!
//! ```text
//! pip install dapper==1.7.1
//! python -c '
//! import numpy as np
//! from dapper.da_methods.ensemble import EnKF_analysis
//! from dapper.tools.randvars import GaussRV
//! E = np.array([[1, 2, 5], [2, 1, 7], [3, 4, 6], [4, 3, 10], [6, 5, 8]], float)
//! for method in ("Sqrt eig", "DEnKF"):
//!     print(EnKF_analysis(E, E[:, :2], GaussRV(C=np.diag([.5, 2.]), M=2), np.array([3.5, 1.]), method).T)'
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

mod support;

use nilometer_assimilation::{Bounds, Method};
use support::{LinearCase, moments, options};

/// Values of order 3 are stored with 24 bits, so each member is within 1.2e-7 of the exact one.
const TOLERANCE: f64 = 1e-6;

/// Members (1,2), (2,1), (3,4), (4,3); the first row is observed.
fn case() -> LinearCase {
    LinearCase {
        states: 2,
        members: 4,
        values: vec![1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 4.0, 3.0],
        observed: vec![3.5],
        error_variance: vec![0.5],
        inflation: 1.0,
    }
}

fn assert_close(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() < TOLERANCE, "{what}: {actual} is not {expected}");
}

#[test]
fn etkf_mean_covariance_and_first_member() {
    let (analysis, _) = case().analyse(options(Method::Etkf), Bounds::UNBOUNDED);
    let (mean, covariance) = moments(&analysis, 2);
    assert_close(mean[0], 3.269_231, "mean of the observed row");
    assert_close(mean[1], 2.961_538, "mean of the other row");
    assert_close(covariance[(0, 0)], 0.384_615, "variance of the observed row");
    assert_close(covariance[(0, 1)], 0.230_769, "covariance");
    assert_close(covariance[(1, 1)], 1.205_128, "variance of the other row");
    assert_close(f64::from(analysis[0]), 2.548_654, "first member, observed row");
    assert_close(f64::from(analysis[4]), 2.929_192, "first member, other row");
}

#[test]
fn denkf_mean_variance_and_first_member() {
    let (analysis, _) = case().analyse(options(Method::Denkf), Bounds::UNBOUNDED);
    let (mean, covariance) = moments(&analysis, 2);
    assert_close(mean[0], 3.269_231, "mean of the observed row");
    assert_close(mean[1], 2.961_538, "mean of the other row");
    assert_close(covariance[(0, 0)], 0.631_164, "variance of the observed row");
    assert_close(covariance[(1, 1)], 1.293_886, "variance of the other row");
    assert_close(f64::from(analysis[0]), 2.346_154, "first member, observed row");
    assert_close(f64::from(analysis[4]), 2.807_692, "first member, other row");
}

#[test]
fn every_member_after_two_observations() {
    let case = LinearCase {
        states: 3,
        members: 5,
        values: vec![1.0, 2.0, 3.0, 4.0, 6.0, 2.0, 1.0, 4.0, 3.0, 5.0, 5.0, 7.0, 6.0, 10.0, 8.0],
        observed: vec![3.5, 1.0],
        error_variance: vec![0.5, 2.0],
        inflation: 1.0,
    };
    let etkf = [
        [2.480_196_798, 2.950_949_417, 3.088_151_158, 3.558_903_777, 4.166_858_138],
        [2.382_819_769, 1.251_636_410, 3.310_982_972, 2.179_799_613, 3.107_962_817],
        [6.669_463_389, 8.066_184_350, 6.894_283_155, 10.291_004_116, 7.515_823_883],
    ];
    let denkf = [
        [2.002_766_798, 2.641_106_719, 3.081_818_182, 3.720_158_103, 4.799_209_486],
        [2.049_407_115, 1.019_762_846, 3.318_181_818, 2.288_537_549, 3.557_312_253],
        [6.365_415_020, 7.886_166_008, 6.877_272_727, 10.398_023_715, 7.909_881_423],
    ];
    for (method, expected) in [(Method::Etkf, etkf), (Method::Denkf, denkf)] {
        let (analysis, _) = case.analyse(options(method), Bounds::UNBOUNDED);
        for (&actual, &expected) in analysis.iter().zip(expected.as_flattened()) {
            assert_close(f64::from(actual), expected, "member");
        }
    }
}

#[test]
fn two_observations_of_half_the_precision_equal_one() {
    // The same value observed twice with twice the variance holds the same information: the p = 2 path, which
    // decomposes a singular matrix, must meet the p = 1 path.
    let mut twice = case();
    twice.values = [&case().values[..4], &case().values[..]].concat();
    twice.states = 3;
    twice.observed = vec![3.5, 3.5];
    twice.error_variance = vec![1.0, 1.0];
    let (once, _) = case().analyse(options(Method::Etkf), Bounds::UNBOUNDED);
    let (twice, _) = twice.analyse(options(Method::Etkf), Bounds::UNBOUNDED);
    for (&actual, &expected) in twice[4..].iter().zip(&once) {
        assert_close(f64::from(actual), f64::from(expected), "member");
    }
}

#[test]
fn the_report_holds_increment_and_innovation() {
    let (analysis, report) = case().analyse(options(Method::Etkf), Bounds::UNBOUNDED);
    assert_eq!(report.increments.len(), 2);
    assert_close(report.increments[0].mean_increment, 3.269_231 - 2.5, "increment");
    assert_close(report.increments[0].mean_clipped, 0.0, "clipped");
    let innovation = report.innovations[0];
    assert_close(innovation.innovation, 1.0, "innovation");
    assert_close(innovation.spread, (5.0_f64 / 3.0).sqrt(), "spread");
    assert_close(innovation.error_std, 0.5_f64.sqrt(), "error");
    assert_close(innovation.normalised(), 1.0 / (5.0_f64 / 3.0 + 0.5).sqrt(), "normalised innovation");

    let capped = Bounds { minimum: None, maximum: Some(3.5) };
    let (clipped, report) = case().analyse(options(Method::Etkf), capped);
    let removed: f64 = analysis.iter().zip(&clipped).take(4).map(|(a, c)| f64::from(*c) - f64::from(*a)).sum();
    assert!(removed < 0.0);
    assert_close(report.increments[0].mean_clipped, removed / 4.0, "clipped");
    assert_close(report.increments[0].mean_increment, 3.269_231 - 2.5 + removed / 4.0, "increment with clipping");
}
