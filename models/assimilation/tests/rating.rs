//! Rating curves as agencies publish them: golden values, round trips, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_assimilation::{
    DischargeOperator, RatingCurve, RatingOptions, RatingSegment, RatingShape, Ratings, StageOperator,
};
use nilometer_schemas::Timestamp;
use proptest::prelude::*;

fn curve(shape: RatingShape) -> Result<RatingCurve, String> {
    let options = RatingOptions {
        version: "7.1".to_owned(),
        valid_from: Timestamp(0),
        gauged_stage_m: [0.3, 3.0],
        relative_error: 0.05,
        shape,
    };
    RatingCurve::new(options).map_err(|error| error.to_string())
}

fn table(points: &[[f64; 2]]) -> Result<RatingCurve, String> {
    curve(RatingShape::Table { h0_m: 0.2, points: points.to_vec() })
}

fn segment(from_stage_m: f64, h0_m: f64, a: f64, b: f64) -> RatingSegment {
    RatingSegment { from_stage_m, h0_m, a, b }
}

/// Two power laws that meet at 1.2 m, where they give 8 and `8 (1 + step)` m3/s.
fn two_segments(step: f64) -> Result<RatingCurve, String> {
    let upper = 8.0 * (1.0 + step) / 1.5_f64.powf(2.2);
    curve(RatingShape::Segments(vec![segment(0.2, 0.2, 8.0, 1.8), segment(1.2, -0.3, upper, 2.2)]))
}

/// `numpy.exp` of the straight line through `(ln(h - 0.2), ln Q)` of the two points around or nearest.
#[test]
fn a_table_is_interpolated_in_logarithms() {
    let curve = table(&[[0.5, 1.0], [1.0, 6.0], [2.0, 30.0]]).unwrap();
    for (stage_m, expected) in [
        (0.3, 0.134_401_567_516_573_76),
        (0.5, 1.0),
        (0.7, 2.542_546_506_675_225),
        (1.0, 6.0),
        (1.5, 15.726_350_455_093_774),
        (2.0, 30.0),
        (2.5, 48.797_901_167_005_776),
    ] {
        let actual = curve.discharge_m3_s(stage_m).discharge_m3_s;
        assert!((actual / expected - 1.0).abs() < 1e-12, "{stage_m} m: {actual} is not {expected}");
    }
}

/// Independent values with the slope in closed form (NumPy), `Q = 8 (1.7 - 0.2)^1.8` and
/// `(hypot(0.03 Q, 0.08)^2 + (0.05 Q)^2 + (dQ/dh 0.01)^2) / (Q + 0.05)^2`; the difference over 2 cm stands for it within 1e-5.
#[test]
fn the_errors_of_gauge_rating_and_stage_add_up() {
    let curve = curve(RatingShape::Segments(vec![segment(0.2, 0.2, 8.0, 1.8)])).unwrap();
    let gauge = StageOperator::new(DischargeOperator::new(0.05, 0.03, 0.08).unwrap(), 0.01).unwrap();
    let observed = gauge.observe(&curve, 1.7).unwrap();
    assert!((observed.log_discharge.value - 2.812_286_629_611_004).abs() < 1e-12);
    assert!((observed.log_discharge.error_variance / 0.003_545_835_907_964_845 - 1.0).abs() < 1e-5);
    assert!(!observed.extrapolated && gauge.observe(&curve, 3.1).unwrap().extrapolated);
}

#[test]
fn a_dry_gauge_has_a_finite_error_and_a_broken_one_is_refused() {
    let curve = curve(RatingShape::Segments(vec![segment(0.2, 0.2, 8.0, 0.5)])).unwrap();
    let operator = DischargeOperator::new(0.05, 0.03, 0.08).unwrap();
    let gauge = StageOperator::new(operator, 0.01).unwrap();
    let dry = gauge.observe(&curve, 0.2).unwrap().log_discharge;
    let half_a_step = 0.5 * ((8.0 * 0.01_f64.sqrt() + 0.05) / 0.05).ln();
    assert!((dry.error_variance - (0.08_f64 / 0.05).powi(2) - half_a_step.powi(2)).abs() < 1e-9);
    assert!(gauge.observe(&curve, f64::NAN).is_err() && gauge.observe(&curve, f64::INFINITY).is_err());
    assert!(StageOperator::new(operator, -0.01).is_err());
}

#[test]
fn broken_ratings_are_refused_with_their_version() {
    assert_eq!(
        table(&[[0.5, 1.0]]).unwrap_err(),
        "rating 7.1: number of different discharges of the table is 1; accepted: at least 2"
    );
    for points in [
        [[0.2, 1.0], [0.6, 2.0]],
        [[0.6, 1.0], [0.5, 2.0]],
        [[0.5, 2.0], [0.6, 1.0]],
        [[0.5, 0.0], [0.6, 1.0]],
        [[0.5, 1.0], [0.6, f64::NAN]],
        [[0.5, 1.0], [f64::INFINITY, 2.0]],
        [[0.5, 1.0], [0.6, 1.0]],
    ] {
        assert!(table(&points).is_err(), "{points:?}");
    }
    for segments in [
        vec![],
        vec![segment(0.2, 0.3, 8.0, 1.8)],
        vec![segment(0.2, 0.2, 8.0, 0.0)],
        vec![segment(0.2, 0.2, -8.0, 1.8)],
        vec![segment(0.2, f64::NAN, 8.0, 1.8)],
        vec![segment(1.2, 0.2, 8.0, 1.8), segment(1.2, 0.2, 8.0, 1.8)],
        // half a percent up to the joint and then one percent down: the river would rise and its discharge fall
        vec![segment(1.2, 0.2, 8.0, 1.0), segment(1.205, 0.2, 7.93, 1.0)],
    ] {
        assert!(curve(RatingShape::Segments(segments.clone())).is_err(), "{segments:?}");
    }
    assert!(two_segments(0.009).is_ok() && two_segments(-0.009).is_ok());
    assert!(two_segments(0.02).unwrap_err().contains("relative step of discharge where segments meet is 0.02"));
    assert!(two_segments(-0.02).is_err());
}

#[test]
fn ratings_are_read_from_a_file() {
    #[derive(serde::Deserialize)]
    struct Station {
        ratings: Ratings,
    }
    let text = r#"
        [[ratings]]
        version = "2"
        valid_from = "2021-06-01"
        gauged_stage_m = [0.5, 2.0]
        relative_error = 0.05
        [ratings.shape.table]
        h0_m = 0.2
        points = [[0.5, 1.0], [1.0, 6.0], [2.0, 30.0]]

        [[ratings]]
        version = "1"
        valid_from = "2020-03-09T22:10:01Z"
        gauged_stage_m = [0.3, 2.4]
        relative_error = 0.05
        [[ratings.shape.segments]]
        from_stage_m = 0.2
        h0_m = 0.2
        a = 8.0
        b = 1.8
    "#;
    let ratings = toml::from_str::<Station>(text).unwrap().ratings;
    let discharge = |time: &str| ratings.at(time.parse().unwrap()).unwrap().discharge_m3_s(1.2).discharge_m3_s;
    assert!((discharge("2020-12-01") - 8.0).abs() < 1e-12);
    assert!((discharge("2022-12-01") - 9.0).abs() < 1.0);

    let refused = |from: &str, to: &str| toml::from_str::<Station>(&text.replace(from, to)).map(|_| ()).unwrap_err();
    assert!(refused("b = 1.8", "b = -1.8").to_string().contains("rating 1: exponent b is -1.8"));
    assert!(refused("b = 1.8", "b = 1.8\nc = 2.0").to_string().contains("unknown field `c`"));
}

#[test]
fn where_the_curve_is_flat_a_discharge_has_its_lowest_stage() {
    let curve = two_segments(-0.008).unwrap();
    let [flat, end] = [1.1995, 1.2].map(|m| curve.discharge_m3_s(m).discharge_m3_s);
    assert_eq!(flat, end, "the first segment ends above the start of the second");
    let lowest = curve.stage_m(flat);
    assert!(lowest < 1.1995 && (curve.discharge_m3_s(lowest).discharge_m3_s - flat).abs() < 1e-9, "{lowest}");
}

proptest! {
    /// The inverse of a power law loses a few bits in each of two powers.
    #[test]
    fn a_stage_comes_back_from_its_discharge(stage_m in 0.21..10.0_f64, step in 0.0..0.009_f64) {
        for curve in [two_segments(step).unwrap(), table(&[[0.3, 0.5], [0.9, 5.0], [2.2, 41.0]]).unwrap()] {
            let back = curve.stage_m(curve.discharge_m3_s(stage_m).discharge_m3_s);
            prop_assert!((back - stage_m).abs() < 1e-9, "{back} is not {stage_m}");
        }
    }

    /// Where rounded coefficients overlap, the curve is flat instead of falling.
    #[test]
    fn discharge_never_falls_with_stage(
        stage_m in -1.0..10.0_f64,
        rise_m in 0.0..0.1_f64,
        step in -0.009..0.009_f64,
    ) {
        let curve = two_segments(step).unwrap();
        let [low, high] = [stage_m, stage_m + rise_m].map(|m| curve.discharge_m3_s(m).discharge_m3_s);
        prop_assert!(low <= high);
        prop_assert!(curve.stage_m(low) <= curve.stage_m(high));
        prop_assert!(curve.stage_m(low) <= stage_m.max(0.2) + 1e-9);
    }
}
