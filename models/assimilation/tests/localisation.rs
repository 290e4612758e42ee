//! Localisation: the taper as the convolution it is, and the analysis upstream of a gauge.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

mod support;

use nilometer_assimilation::{Bounds, Influence, Method, gaspari_cohn};
use proptest::prelude::*;
use support::{LinearCase, options};

/// Equation 4.10 is the convolution over R^3 of the tent `1 - |x|`, `|x| <= 1`, with itself, divided by its value at 0:
/// here by the midpoint rule in cylinder coordinates, which errs by about 1e-5.
fn convolution(distance: f64) -> f64 {
    const STEPS: i32 = 400;
    let tent = |along: f64, across: f64| (1.0 - along.hypot(across)).max(0.0);
    let at = |step: i32| (f64::from(step) + 0.5) / f64::from(STEPS);
    let mut sum = 0.0;
    for along in (-STEPS..STEPS).map(at) {
        for across in (0..STEPS).map(at) {
            sum += tent(along, across) * tent(along - distance, across) * across;
        }
    }
    sum
}

#[test]
fn the_taper_is_the_convolution_of_two_tents() {
    let at_zero = convolution(0.0);
    for distance in [0.0, 0.25, 0.5, 1.0, 1.25, 1.5, 1.75] {
        let expected = convolution(distance) / at_zero;
        let actual = gaspari_cohn(distance);
        assert!((actual - expected).abs() < 2e-5, "{distance}: {actual} is not {expected}");
    }
    assert!((gaspari_cohn(1.0) - 5.0 / 24.0).abs() < 1e-15);
    assert_eq!([2.0, 2.5, f64::INFINITY, f64::NAN].map(gaspari_cohn), [0.0; 4]);
}

proptest! {
    #[test]
    fn the_taper_is_symmetric_and_falls_from_one_to_zero(distance in 0.0..2.2_f64, step in 0.0..0.5_f64) {
        let taper = gaspari_cohn(distance);
        prop_assert!((0.0..=1.0).contains(&taper));
        prop_assert_eq!(taper, gaspari_cohn(-distance));
        prop_assert!(gaspari_cohn(distance + step) <= taper + 1e-14);
    }

    /// Predictions and innovation whitened and multiplied by the root of the taper: the same analysis.
    #[test]
    fn a_larger_variance_is_the_root_of_the_taper_on_whitened_values(taper in 0.01..1.0_f64) {
        let case = |scale: f64, error_variance: f64| LinearCase {
            inflation: 1.0,
            states: 2,
            members: 4,
            values: [1.0, 2.0, 3.0, 4.0].map(|v| (v * scale) as f32).into_iter().chain([2.0, 1.0, 4.0, 3.0]).collect(),
            observed: vec![3.5 * scale],
            error_variance: vec![error_variance],
        };
        let widened = Influence { catchment: 0, taper }.error_variance(0.5);
        let whitening = (taper / 0.5).sqrt();
        let (by_variance, _) = case(1.0, widened).analyse(options(Method::Etkf), Bounds::UNBOUNDED);
        let (by_taper, _) = case(whitening, 1.0).analyse(options(Method::Etkf), Bounds::UNBOUNDED);
        for (a, b) in by_variance[4..].iter().zip(&by_taper[4..]) {
            prop_assert!((a - b).abs() < 1e-5);
        }
    }
}
