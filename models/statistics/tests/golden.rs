//! Golden values of independent implementations: `HydroErr` and hydroeval (series), scoringrules (probabilistic
//! scores).
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_statistics::{
    CrpsEstimator, StatisticsError, coverage, crps_ensemble, crps_of_sorted, crps_quantiles, high_flow_bias,
    interval_score, kge_2009, kge_2012, low_flow_bias, mean, mnse, nse, paired, pbias, peak_timing_error, pinball,
    quantile_of_sorted, quantiles,
};

const OBSERVED: [f64; 6] = [1.0, 2.0, 4.0, 3.0, 2.5, 1.5];
const SIMULATED: [f64; 6] = [1.2, 1.8, 3.5, 3.2, 2.2, 1.7];
const MEMBERS: [f64; 5] = [0.5, 1.5, 2.0, 0.0, 1.2];

/// The golden values are printed with six decimals.
fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 6e-7, "{actual} is not {expected}");
}

#[test]
fn scores_of_a_series() {
    assert_close(nse(&OBSERVED, &SIMULATED).unwrap(), 0.914_286);
    assert_close(kge_2009(&OBSERVED, &SIMULATED).unwrap(), 0.830_056);
    assert_close(kge_2012(&OBSERVED, &SIMULATED).unwrap(), 0.853_693);
    assert_close(mnse(&OBSERVED, &SIMULATED).unwrap(), 0.68);
    assert_close(pbias(&OBSERVED, &SIMULATED).unwrap(), 2.857_143);
}

/// A linear reservoir under rain from a linear congruential generator, as `oracles/hydrographs.py` has it.
fn made(keep: f64) -> Vec<f64> {
    let (mut seed, mut flow) = (42_u64, 1.0);
    let mut next = || {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        flow = keep * flow + (1.0 - keep) * (seed as f64 / 2_147_483_648.0 - 0.9).max(0.0) * 200.0;
        flow
    };
    (0..1_500).map(|_| next()).collect()
}

#[test]
fn scores_of_a_long_series() {
    let observed = made(0.9);
    let simulated = [&made(0.85)[2..752], &made(0.92)[749..1_499]].concat();
    let close =
        |found: f64, golden: f64| assert!((found - golden).abs() < 1e-10 * (1.0 + golden.abs()), "{found} {golden}");
    close(nse(&observed, &simulated).unwrap(), 0.474_294_197_307_027_5);
    close(mnse(&observed, &simulated).unwrap(), 0.452_042_299_123_050_7);
    close(kge_2009(&observed, &simulated).unwrap(), 0.746_500_911_320_199_8);
    close(kge_2012(&observed, &simulated).unwrap(), 0.746_358_279_621_882_4);
    assert!((pbias(&observed, &simulated).unwrap() - 0.040_131_66).abs() < 1e-8);
    close(high_flow_bias(&observed, &simulated).unwrap(), 8.625_332_799_594_686);
    close(low_flow_bias(&observed, &simulated).unwrap(), 28.827_129_392_823_63);
    assert_eq!(peak_timing_error(&observed, &simulated, 3).unwrap(), Some(1.4));
    // A gap beside a peak, and level tops.
    let mut gapped = observed.clone();
    gapped[233] = f64::NAN;
    assert_eq!(peak_timing_error(&gapped, &simulated, 3).unwrap(), Some(4.0 / 3.0));
    let level: Vec<f64> = observed.iter().map(|o| (o * 2.0).round_ties_even() / 2.0).collect();
    assert_eq!(peak_timing_error(&level, &simulated, 3).unwrap(), Some(1.4));
    assert_eq!(peak_timing_error(&[1.0; 300], &[1.0; 300], 3).unwrap(), None, "no peak");
}

#[test]
fn crps_of_nineteen_quantiles() {
    let levels: Vec<f64> = (1..20).map(|i| f64::from(i) / 20.0).collect();
    let quantiles: Vec<f64> = (0..19).map(|i| 0.1 + 0.15 * f64::from(i) + 0.01 * f64::from(i * i)).collect();
    for (observed, golden) in [(0.1, 1.47), (1.0, 0.854_210_526_315_789_5), (7.5, 3.95)] {
        assert!((crps_quantiles(&levels, &quantiles, observed).unwrap() - golden).abs() < 1e-12);
    }
}

#[test]
fn biases_of_too_short_or_level_series_are_refused() {
    assert!(matches!(high_flow_bias(&[1.0; 10], &[1.0; 10]), Err(StatisticsError::Undefined { .. })));
    assert!(matches!(low_flow_bias(&[1.0; 100], &OBSERVED.repeat(20)[..100]), Err(StatisticsError::Undefined { .. })));
    assert!(peak_timing_error(&[1.0], &[], 3).is_err());
}

#[test]
fn the_mean_flow_benchmark() {
    let benchmark = [mean(&OBSERVED).unwrap(); 6];
    assert_close(nse(&OBSERVED, &benchmark).unwrap(), 0.0);
    assert_close(kge_2009(&OBSERVED, &benchmark).unwrap(), 1.0 - 2.0_f64.sqrt());
    assert_close(kge_2012(&OBSERVED, &benchmark).unwrap(), 1.0 - 2.0_f64.sqrt());
}

#[test]
fn crps_of_an_ensemble() {
    let mut buffer = Vec::new();
    assert_close(crps_ensemble(&MEMBERS, 1.0, CrpsEstimator::Biased, &mut buffer).unwrap(), 0.24);
    assert_close(crps_ensemble(&MEMBERS, 1.0, CrpsEstimator::Fair, &mut buffer).unwrap(), 0.14);
    let sorted = [0.0, 0.5, 1.2, 1.5, 2.0];
    assert_close(crps_of_sorted(&sorted, 1.0, CrpsEstimator::Fair).unwrap(), 0.14);
}

/// CRPS of the normal distribution (0.5, 2) at 1, from its own quantiles. With L mid-levels the error of the mean
/// pinball falls as 1/L in the tails, so 4 000 levels are good for 1e-3.
#[test]
fn crps_of_quantiles_approaches_the_integral() {
    let levels: Vec<f64> = (0..4_000_u32).map(|i| (f64::from(i) + 0.5) / 4_000.0).collect();
    let values: Vec<f64> = levels.iter().map(|&level| 0.5 + 2.0 * normal_quantile(level)).collect();
    let score = crps_quantiles(&levels, &values, 1.0).unwrap();
    assert!((score - 0.516_999_6).abs() < 1e-3, "{score}");
    let mut buffer = Vec::new();
    let ensemble = crps_ensemble(&values, 1.0, CrpsEstimator::Biased, &mut buffer).unwrap();
    assert!((ensemble - 0.516_999_6).abs() < 1e-3, "{ensemble}");
}

/// Inverse of the logistic-free normal CDF by bisection on Simpson's integral of the density: slow, and independent.
fn normal_quantile(level: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if normal_cdf(middle) < level { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn normal_cdf(z: f64) -> f64 {
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let step = z / 64.0;
    let inner: f64 = (1..64_u32).map(|i| if i % 2 == 0 { 2.0 } else { 4.0 } * density(f64::from(i) * step)).sum();
    0.5 + step / 3.0 * (density(0.0) + inner + density(z))
}

#[test]
fn scores_of_quantiles_and_intervals() {
    assert_close(interval_score(0.0, 2.0, 3.0, 0.1).unwrap(), 22.0);
    assert_close(interval_score(0.0, 2.0, -1.0, 0.1).unwrap(), 22.0);
    assert_close(interval_score(0.0, 2.0, 1.0, 0.1).unwrap(), 2.0);
    assert_close(pinball(0.5, 1.0, 0.9).unwrap(), 0.45);
    assert_close(pinball(1.0, 0.5, 0.9).unwrap(), 0.05);
    assert_close(crps_quantiles(&[0.5], &[0.5], 1.0).unwrap(), 0.5);
    assert_close(coverage(&[0.0, 0.0, 0.0, 2.0], &[1.0; 4].map(|u| u * 2.0), &[0.0, 2.0, 3.0, 2.0]).unwrap(), 0.75);
}

/// NumPy: `np.quantile([0.5, 1.5, 2.0, 0.0, 1.2], [0, 0.1, 0.5, 0.9, 1])`, whose default is type 7.
#[test]
fn quantiles_of_type_7() {
    let mut buffer = Vec::new();
    let mut values = [0.0; 5];
    quantiles(&MEMBERS, &[0.0, 0.1, 0.5, 0.9, 1.0], &mut buffer, &mut values).unwrap();
    for (actual, expected) in values.into_iter().zip([0.0, 0.2, 1.2, 1.8, 2.0]) {
        assert_close(actual, expected);
    }
    assert_close(quantile_of_sorted(&[3.0], 0.7).unwrap(), 3.0);
}

#[test]
fn gaps_are_dropped_and_counted() {
    let pairs = paired(&[1.0, f64::NAN, 3.0, 4.0], &[1.0, 2.0, f64::NAN, 5.0]).unwrap();
    assert_eq!((pairs.observed, pairs.simulated, pairs.dropped), (vec![1.0, 4.0], vec![1.0, 5.0], 2));
    assert!(paired(&[1.0], &[]).is_err());
}

#[test]
fn gaps_empty_series_and_unequal_lengths_are_refused() {
    let refused = nse(&[1.0, f64::NAN], &[1.0, 1.0]).unwrap_err();
    assert_eq!(refused.to_string(), "observed [1] is NaN; accepted: finite, drop gaps with `paired` first");
    assert!(matches!(pbias(&[1.0], &[f64::INFINITY]), Err(StatisticsError::NotFinite { what: "simulated", .. })));
    assert!(matches!(mnse(&[], &[]), Err(StatisticsError::TooFew { .. })));
    assert!(matches!(mean(&[]), Err(StatisticsError::TooFew { .. })));
    assert_eq!(kge_2009(&[1.0, 2.0], &[1.0]).unwrap_err().to_string(), "simulated has 1 values; expected 2");
    assert!(coverage(&[0.0], &[1.0, 2.0], &[0.5]).is_err());
    let mut buffer = Vec::new();
    assert!(crps_ensemble(&[1.0, f64::NAN], 1.0, CrpsEstimator::Biased, &mut buffer).is_err());
    assert!(crps_ensemble(&MEMBERS, f64::NAN, CrpsEstimator::Biased, &mut buffer).is_err());
    assert!(crps_ensemble(&[1.0], 1.0, CrpsEstimator::Fair, &mut buffer).is_err());
    assert!(quantiles(&MEMBERS, &[0.5, 0.6], &mut buffer, &mut [0.0]).is_err());
}

#[test]
fn scores_without_a_value_are_refused() {
    let undefined = |result| matches!(result, Err(StatisticsError::Undefined { .. }));
    assert!(undefined(nse(&[0.1; 3], &[0.1, 0.2, 0.3])));
    assert!(undefined(mnse(&[0.1; 3], &[0.1, 0.2, 0.3])));
    assert!(undefined(kge_2009(&[0.1; 3], &[0.1, 0.2, 0.3])));
    assert!(undefined(kge_2009(&[-1.0, 1.0], &[1.0, 2.0])));
    assert!(undefined(kge_2012(&[1.0, 2.0], &[-1.0, 1.0])));
    assert!(undefined(pbias(&[-1.0, 1.0], &[1.0, 2.0])));
}

#[test]
fn impossible_levels_and_orders_are_refused() {
    for level in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(pinball(1.0, 1.0, level).is_err());
        assert!(interval_score(0.0, 1.0, 0.5, level).is_err());
    }
    assert!(quantile_of_sorted(&[1.0, 2.0], 1.01).is_err());
    assert!(quantile_of_sorted(&[1.0, 2.0], f64::NAN).is_err());
    let refused = quantile_of_sorted(&[2.0, 1.0], 0.5).unwrap_err();
    assert_eq!(refused.to_string(), "values [1] is 1, after 2; accepted: ascending");
    assert!(crps_of_sorted(&[2.0, 1.0], 0.5, CrpsEstimator::Biased).is_err());
    assert!(crps_quantiles(&[0.9, 0.1], &[1.0, 2.0], 1.0).is_err());
    assert!(matches!(interval_score(2.0, 1.0, 1.5, 0.1), Err(StatisticsError::Crossed { index: 0, .. })));
    assert!(matches!(coverage(&[0.0, 2.0], &[1.0, 1.0], &[0.5, 1.5]), Err(StatisticsError::Crossed { index: 1, .. })));
}
