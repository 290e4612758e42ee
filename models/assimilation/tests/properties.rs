//! Properties that hold for every ensemble and every observation.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

mod support;

use nilometer_assimilation::{Bounds, FilterOptions, Method};
use proptest::prelude::*;
use support::{LinearCase, moments, options};

fn case() -> impl Strategy<Value = LinearCase> {
    (1_usize..=5, 2_usize..=20).prop_flat_map(|(states, members)| {
        (1..=states).prop_flat_map(move |observations| {
            (
                prop::collection::vec(-5.0_f32..5.0, states * members),
                prop::collection::vec(-10.0_f64..10.0, observations),
                prop::collection::vec(0.01_f64..10.0, observations),
            )
                .prop_map(move |(values, observed, error_variance)| LinearCase {
                    states,
                    members,
                    values,
                    observed,
                    error_variance,
                    inflation: 1.0,
                })
        })
    })
}

fn linear() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::Etkf), Just(Method::StochasticEnkf), Just(Method::Denkf)]
}

fn any_method() -> impl Strategy<Value = Method> {
    prop_oneof![3 => linear(), 1 => (0.0..=1.0).prop_map(|jitter| Method::Particle { jitter })]
}

fn options_of(method: impl Strategy<Value = Method>) -> impl Strategy<Value = FilterOptions> {
    (method, prop::option::of(1.0..1.5), prop::option::of(0.0..=1.0))
        .prop_map(|(method, prior_inflation, rtps_alpha)| FilterOptions { method, prior_inflation, rtps_alpha })
}

proptest! {
    /// The gain is at most sqrt(P / R) / 2 = 35 here, so an analysis stays below 1 000 and its f32 storage error below
    /// 4e-5.
    #[test]
    fn the_mean_is_the_kalman_mean(case in case(), options in options_of(linear())) {
        let (analysis, _) = case.analyse(options, Bounds::UNBOUNDED);
        let (mean, _) = moments(&analysis, case.states);
        let (expected, _) = case.kalman(options.prior_inflation.unwrap_or(1.0));
        prop_assert!((mean - expected).amax() < 1e-4);
    }

    #[test]
    fn the_etkf_covariance_is_the_kalman_covariance(case in case()) {
        let (analysis, _) = case.analyse(options(Method::Etkf), Bounds::UNBOUNDED);
        let (_, covariance) = moments(&analysis, case.states);
        let (_, expected) = case.kalman(1.0);
        prop_assert!((covariance - expected).amax() < 1e-3);
    }

    /// Without bounds, the reported mean increment is all that moves the mean: the anomalies around the Kalman mean sum
    /// to zero.
    #[test]
    fn anomalies_keep_zero_mean(case in case(), options in options_of(linear())) {
        let (analysis, report) = case.analyse(options, Bounds::UNBOUNDED);
        let (prior_mean, _) = moments(&case.values, case.states);
        let (kalman_mean, _) = case.kalman(options.prior_inflation.unwrap_or(1.0));
        for (state, members) in analysis.chunks_exact(case.members).enumerate() {
            let sum: f64 = members.iter().map(|&value| f64::from(value) - kalman_mean[state]).sum();
            prop_assert!(sum.abs() < 1e-4 * f64::from(u32::try_from(case.members).unwrap()));
            let increment = report.increments[state].mean_increment;
            prop_assert!((increment - (kalman_mean[state] - prior_mean[state])).abs() < 1e-4);
        }
    }

    #[test]
    fn an_observation_without_information_changes_nothing(
        mut case in case(),
        method in prop_oneof![linear(), Just(Method::Particle { jitter: 0.0 })],
    ) {
        case.error_variance.fill(1e100);
        let (analysis, _) = case.analyse(options(method), Bounds::UNBOUNDED);
        prop_assert_eq!(analysis, case.values);
    }

    /// Without jitter a particle is a member of before in all of its rows.
    #[test]
    fn particles_are_whole_members(case in case()) {
        let (analysis, _) = case.analyse(options(Method::Particle { jitter: 0.0 }), Bounds::UNBOUNDED);
        let column = |values: &[f32], i: usize| values.iter().skip(i).step_by(case.members).copied().collect::<Vec<_>>();
        for i in 0..case.members {
            prop_assert!((0..case.members).any(|k| column(&case.values, k) == column(&analysis, i)));
        }
    }

    /// The jitter moves no mean: f32 storage of values below 50.
    #[test]
    fn jitter_keeps_the_mean(case in case(), jitter in 0.0..=1.0) {
        let mean = |jitter| {
            moments(&case.analyse(options(Method::Particle { jitter }), Bounds::UNBOUNDED).0, case.states).0
        };
        prop_assert!((mean(jitter) - mean(0.0)).amax() < 1e-5);
    }

    #[test]
    fn more_inflation_leaves_more_spread(case in case(), low in 1.0..1.4, extra in 0.01..0.5) {
        let spread = |lambda| {
            let inflated = FilterOptions { prior_inflation: Some(lambda), ..Default::default() };
            moments(&case.analyse(inflated, Bounds::UNBOUNDED).0, case.states).1.diagonal()
        };
        let (small, large) = (spread(low), spread(low + extra));
        prop_assert!((large - small).min() > -1e-4);
    }

    #[test]
    fn more_relaxation_leaves_more_spread(case in case(), low in 0.0..0.5, extra in 0.0..0.5) {
        let spread = |alpha| {
            let relaxed = FilterOptions { rtps_alpha: Some(alpha), ..Default::default() };
            moments(&case.analyse(relaxed, Bounds::UNBOUNDED).0, case.states).1.diagonal()
        };
        prop_assert!((spread(low + extra) - spread(low)).min() > -1e-3);
    }

    #[test]
    fn bounds_hold_and_increments_are_what_is_stored(
        case in case(),
        options in options_of(any_method()),
        minimum in -4.0_f32..0.0,
        width in 0.0_f32..4.0,
    ) {
        let bounds = Bounds { minimum: Some(minimum), maximum: Some(minimum + width) };
        let (free, _) = case.analyse(options, Bounds::UNBOUNDED);
        let (kept, report) = case.analyse(options, bounds);
        prop_assert!(kept.iter().all(|&value| value >= minimum && value <= minimum + width));
        let members = f64::from(u32::try_from(case.members).unwrap());
        let mean_difference = |after: &[f32], before: &[f32]| {
            after.iter().zip(before).map(|(&a, &b)| f64::from(a) - f64::from(b)).sum::<f64>() / members
        };
        for (state, entry) in report.increments.iter().enumerate() {
            let range = state * case.members..(state + 1) * case.members;
            let increment = mean_difference(&kept[range.clone()], &case.values[range.clone()]);
            let clipped = mean_difference(&kept[range.clone()], &free[range]);
            prop_assert!((entry.mean_increment - increment).abs() < 1e-12);
            prop_assert!((entry.mean_clipped - clipped).abs() < 1e-12);
        }
    }

    #[test]
    fn equal_inputs_give_equal_bits(case in case(), options in options_of(any_method())) {
        let bits = || case.analyse(options, Bounds::UNBOUNDED).0.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(), bits());
    }
}
