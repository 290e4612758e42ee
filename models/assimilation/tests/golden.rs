//! Golden values: the ETKF of an independent implementation (DAPPER 1.7.1, `EnKF_analysis` with "Sqrt eig").
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
