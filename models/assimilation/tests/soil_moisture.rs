//! Golden values of soil moisture matching (NumPy 2.4).
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_assimilation::{CdfMatching, SOIL_MOISTURE_ERROR_M3_M3, SoilMoisturePair};
use nilometer_schemas::Timestamp;

/// Sums and interpolation in another order: a few rounding errors of values up to 400.
const TOLERANCE: f64 = 1e-8;

/// The expected values are printed by:
/// ```text
/// python -c '
/// import numpy as np
/// i = np.arange(400)
/// obs = 0.05 + 0.40 * ((i * 7919) % 400 / 400.0) ** 2
/// mod = 100.0 + 150.0 * np.sin((i * 104729 % 400) / 400.0 * np.pi / 2)
/// p = np.linspace(0, 1, 21)
/// fo, fm = np.quantile(obs, p), np.quantile(mod, p)
/// print(np.interp([0.05, 0.06, 0.111, 0.2, 0.3333, 0.44], fo, fm))
/// ratio = mod.std(ddof=1) / obs.std(ddof=1)
/// print(fm[0] + ratio * (0.01 - fo[0]), fm[-1] + ratio * (0.5 - fo[-1]), (0.04 * ratio) ** 2)'
/// ```
#[test]
fn the_matching_is_that_of_numpy() {
    let fraction = |i: i64, factor: i64| (i * factor % 400) as f64 / 400.0;
    let pairs: Vec<_> = (0..400)
        .map(|i| SoilMoisturePair {
            time: Timestamp(i),
            observed_m3_m3: 0.05 + 0.40 * fraction(i, 7_919).powi(2),
            modelled: 100.0 + 150.0 * (fraction(i, 104_729) * std::f64::consts::FRAC_PI_2).sin(),
        })
        .collect();
    let matching = CdfMatching::fit(&pairs, Timestamp(0)..Timestamp(400), 100).unwrap();
    for (observed_m3_m3, expected) in [
        (0.01, 84.451_852_737),
        (0.05, 100.0),
        (0.06, 136.627_052_801),
        (0.111, 186.220_454_697),
        (0.2, 222.913_623_422),
        (0.3333, 245.319_435_045),
        (0.44, 249.894_444_368),
        (0.5, 270.210_463_090),
    ] {
        // Once by the season's map and once by the year's, which hold the same pairs here.
        for time in [Timestamp(0), "2025-07-01".parse().unwrap()] {
            let actual = matching.matched(time, observed_m3_m3);
            assert!((actual - expected).abs() < TOLERANCE, "{observed_m3_m3}: {actual} is not {expected}");
        }
    }
    let observed = matching.observe(Timestamp(0), 0.2, SOIL_MOISTURE_ERROR_M3_M3).unwrap();
    assert!((observed.error_variance - 241.744_883_303).abs() < TOLERANCE);
}
