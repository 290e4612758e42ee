//! Return periods beside `PeakFQ`'s, and distributions that give back what was drawn from them.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_statistics::{Frequency, Gev, LogPearson3, StatisticsError, below_in_a_year};
use proptest::prelude::*;

/// Annual peaks of the Presque Isle River at Marenisco (USGS 04031500), 1945 to 1982, ft³/s.
const MARENISCO: [f64; 38] = [
    1140.0, 1860.0, 1030.0, 518.0, 1350.0, 1750.0, 2600.0, 2670.0, 1230.0, 1680.0, 1060.0, 648.0, 1540.0, 762.0, 559.0,
    3520.0, 1040.0, 662.0, 975.0, 1070.0, 1620.0, 1000.0, 1410.0, 812.0, 1220.0, 1610.0, 1700.0, 1260.0, 1050.0,
    1390.0, 1470.0, 1140.0, 589.0, 1180.0, 1620.0, 852.0, 965.0, 1650.0,
];

#[test]
fn log_pearson_3_gives_the_digits_that_peakfq_prints() {
    let fitted = LogPearson3::fit(&MARENISCO).unwrap();
    assert_eq!(format!("{:.4} {:.4} {:.3}", fitted.mean, fitted.deviation, fitted.skew), "3.0817 0.1851 0.144");
    let at = |years: f64| Frequency::LogPearson3(fitted).quantile(below_in_a_year(years)).unwrap();
    for (years, expected) in
        [(2.0, 1195), (5.0, 1722), (10.0, 2097), (25.0, 2599), (50.0, 2993), (100.0, 3403), (500.0, 4436)]
    {
        assert_eq!(at(years).round() as i64, expected, "{years} years");
    }
}

/// `scipy.stats.pearson3.ppf` at 0.01, 0.1, 0.5, 0.9 and 0.99.
#[test]
fn deviates_of_every_skew_are_those_of_scipy() {
    for (skew, expected) in [
        (-1.4, [-3.271_342_431_6, -1.336_651_997_1, 0.225_344_402_8, 1.041_444_906_5, 1.318_145_184_5]),
        (-0.16, [-2.443_275_067_2, -1.297_458_653_3, 0.026_656_529_4, 1.263_203_242_3, 2.208_113_055_8]),
        (
            0.160_385_943_563_285_16,
            [-2.207_826_626_9, -1.263_156_043_2, -0.026_720_779_7, 1.297_494_061_1, 2.443_555_209_2],
        ),
        (0.020_01, [-2.311_624_069_8, -1.279_390_159_8, -0.003_334_980_2, 1.283_674_788_3, 2.341_051_134_3]),
        (0.7, [-1.806_208_704_8, -1.183_470_583_5, -0.115_781_558_5, 1.332_941_348_3, 2.823_588_338_4]),
        (2.5, [-0.799_206_480_9, -0.770_616_926_3, -0.359_924_501_8, 1.250_394_634_2, 3.845_397_802_9]),
    ] {
        let frequency = Frequency::LogPearson3(LogPearson3 { mean: 0.0, deviation: 1.0, skew, zero_share: 0.0 });
        for (probability, expected) in [0.01, 0.1, 0.5, 0.9, 0.99].into_iter().zip(expected) {
            let deviate = frequency.quantile(probability).unwrap().log10();
            assert!((deviate - expected).abs() < 1e-8, "{skew}, {probability}: {deviate} is not {expected}");
        }
    }
}

#[test]
fn years_without_flow_count_by_their_share() {
    let dry: Vec<f64> = MARENISCO.into_iter().chain([0.0; 38]).collect();
    let (all, half) = (LogPearson3::fit(&MARENISCO).unwrap(), LogPearson3::fit(&dry).unwrap());
    let [all, half] = [all, half].map(Frequency::LogPearson3);
    assert_eq!(half.quantile(0.4).unwrap(), 0.0);
    assert!((half.quantile(0.75).unwrap() - all.quantile(0.5).unwrap()).abs() < 1e-9);
}

#[test]
fn what_has_no_distribution_is_refused() {
    let too_few = StatisticsError::TooFew { what: "annual extremes", actual: 4, least: 5 };
    assert_eq!(Gev::fit(&[1.0, 2.0, 3.0, 4.0]), Err(too_few));
    let equal = "the score is undefined: the spread of the annual extremes is 0";
    assert_eq!(Gev::fit(&[3.0; 9]).unwrap_err().to_string(), equal);
    assert_eq!(LogPearson3::fit(&[3.0; 9]).unwrap_err().to_string(), equal);
    assert!(LogPearson3::fit(&[0.0; 9]).unwrap_err().to_string().contains("above 0 has 0 values"));
    assert!(Gev::fit(&[1.0, 2.0, f64::NAN, 4.0, 5.0]).is_err());
    let gev = Frequency::Gev(Gev::fit(&MARENISCO).unwrap());
    assert!([0.0, 1.0, f64::NAN].iter().all(|probability| gev.quantile(*probability).is_err()));
}

/// Evenly spread numbers from 0 to 1.
fn uniform() -> impl FnMut() -> f64 {
    let mut at = 0.0_f64;
    move || {
        at = (at + 0.618_033_988_749_895).fract();
        at
    }
}

#[test]
fn an_interval_holds_its_quantile_and_narrows_with_years() {
    for frequency in
        [Frequency::Gev(Gev::fit(&MARENISCO).unwrap()), Frequency::LogPearson3(LogPearson3::fit(&MARENISCO).unwrap())]
    {
        let width = |years: usize| {
            let estimate = frequency.quantile(0.99).unwrap();
            let mut state = 7_u64;
            let random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let [lower, upper] = frequency.interval(years, 0.99, 0.9, 400, random).unwrap();
            assert!(lower < estimate && estimate < upper, "{lower} {estimate} {upper}");
            upper - lower
        };
        assert!(width(38) > 1.5 * width(150));
        assert!(frequency.interval(4, 0.99, 0.9, 400, || 0.5).is_err(), "four years say nothing of the width");
    }
}

proptest! {
    #[test]
    fn a_gev_is_found_again_in_its_own_quantiles(location in -5.0_f64..500.0, scale in 0.1_f64..90.0, shape in -0.3_f64..0.4) {
        let gev = Frequency::Gev(Gev { location, scale, shape });
        let mut next = uniform();
        let sample: Vec<f64> = (0..20_000).map(|_| gev.quantile(next().max(1e-6)).unwrap()).collect();
        let fitted = Gev::fit(&sample).unwrap();
        prop_assert!((fitted.location - location).abs() < 0.02 * scale, "{fitted:?}");
        prop_assert!((fitted.scale - scale).abs() < 0.03 * scale, "{fitted:?}");
        prop_assert!((fitted.shape - shape).abs() < 0.03, "{fitted:?}");
    }

    #[test]
    fn quantiles_ascend_across_every_skew(skew in -2.0_f64..2.0, deviation in 0.01_f64..0.6) {
        let frequency = Frequency::LogPearson3(LogPearson3 { mean: 1.0, deviation, skew, zero_share: 0.0 });
        let quantiles: Vec<f64> =
            (1..200).map(|at| frequency.quantile(f64::from(at) / 200.0).unwrap()).collect();
        prop_assert!(quantiles.is_sorted() && quantiles.iter().all(|value| value.is_finite()), "{quantiles:?}");
    }
}

/// Where the gamma distribution ends and the expansion begins, both say the same.
#[test]
fn a_small_skew_is_continuous() {
    for probability in [0.002, 0.1, 0.5, 0.9, 0.99, 0.998] {
        let at = |skew: f64| {
            let frequency = LogPearson3 { mean: 0.0, deviation: 1.0, skew, zero_share: 0.0 };
            Frequency::LogPearson3(frequency).quantile(probability).unwrap().log10()
        };
        for edge in [0.02, -0.02] {
            let [gamma, expansion] = [1.000_001, 0.999_999].map(|factor| at(edge * factor));
            assert!((gamma - expansion).abs() < 2e-6, "{probability}, {edge}: {gamma} and {expansion}");
        }
    }
}
