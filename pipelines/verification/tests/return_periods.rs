//! Floods and low flows of five CAMELS gauges beside a second computation (pandas, SciPy and lmoments3 on the same days).

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use nilometer_connectors::{FolderLayout, FolderOptions, folder::discharge_m3_s};
use nilometer_needs::needs;
use nilometer_schemas::Timestamp;
use nilometer_statistics::{Extreme, Frequency, Gev, LogPearson3, annual_extremes, below_in_a_year};
use nilometer_testing::camels;

const FT3_S_PER_M3_S: f64 = 1.0 / 0.028_316_846_592;
const DAY_S: i64 = 86_400;
const RETURN_PERIODS_YEARS: [f64; 6] = [2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// A gauge, its 7Q10 and 7Q2, and what is reached once in 2, 5, 10, 20, 50 and 100 years after GEV and LP3, ft³/s, as printed with
/// four and two decimals.
type Expected = (&'static str, [f64; 2], [f64; 6], [f64; 6]);

const EXPECTED: [Expected; 5] = [
    (
        "04057800",
        [4.6603, 7.6846],
        [511.33, 815.6, 1083.27, 1404.42, 1939.78, 2453.27],
        [521.26, 840.87, 1112.3, 1423.84, 1913.39, 2354.71],
    ),
    (
        "04045500",
        [165.3646, 224.8376],
        [4204.05, 5351.18, 5994.49, 6536.92, 7144.68, 7539.29],
        [4163.46, 5306.85, 5985.8, 6589.88, 7317.33, 7830.45],
    ),
    (
        "04105700",
        [15.707, 21.3327],
        [129.76, 168.57, 199.22, 232.98, 284.06, 328.65],
        [130.62, 170.2, 200.22, 231.98, 277.79, 315.99],
    ),
    (
        "01134500",
        [7.1986, 14.6246],
        [1751.12, 2311.69, 2769.99, 3288.83, 4098.5, 4827.08],
        [1770.63, 2348.77, 2795.03, 3272.99, 3971.64, 4561.56],
    ),
    (
        "01440400",
        [8.2267, 15.8469],
        [1755.22, 2711.41, 3412.13, 4139.88, 5170.04, 6012.97],
        [1754.66, 2734.68, 3447.47, 4173.5, 5174.12, 5970.56],
    ),
];

fn assert_close(what: &str, actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() < tolerance, "{what}: {actual} and {expected}");
}

#[needs(camels)]
#[test]
fn floods_and_low_flows_are_those_of_a_second_computation() {
    let path = camels();
    let only = EXPECTED.map(|(gauge, ..)| gauge.to_owned()).to_vec();
    let options = FolderOptions { layout: FolderLayout::of(&path), path, only, ..FolderOptions::default() };
    let series = discharge_m3_s(&options, Timestamp::MIN, Timestamp(i64::MAX)).unwrap();
    for (gauge, low_flows, of_gev, of_log_pearson3) in EXPECTED {
        // A day's mean is valid at its end.
        let days: Vec<(i64, f64)> = series[gauge]
            .iter()
            .map(|(time, m3_s)| (time.seconds_since(Timestamp(0)).div_euclid(DAY_S) - 1, m3_s * FT3_S_PER_M3_S))
            .collect();
        let first = days[0].0;
        let mut daily = vec![f64::NAN; usize::try_from(days[days.len() - 1].0 - first).unwrap() + 1];
        days.iter().for_each(|(day, ft3_s)| daily[usize::try_from(day - first).unwrap()] = *ft3_s);
        let extremes = |extreme, first_month| -> Vec<f64> {
            let of_years = annual_extremes(first, &daily, extreme, first_month, 1.0).unwrap();
            of_years.into_iter().map(|(_, value)| value).collect()
        };
        let peaks = extremes(Extreme::Largest, 10);
        let minima = extremes(Extreme::SmallestMean { days: 7 }, 4);
        assert_eq!((peaks.len(), minima.len()), (24, 23), "{gauge}");
        let gev = Frequency::Gev(Gev::fit(&peaks).unwrap());
        let log_pearson3 = Frequency::LogPearson3(LogPearson3::fit(&peaks).unwrap());
        for (at, years) in RETURN_PERIODS_YEARS.into_iter().enumerate() {
            let below = below_in_a_year(years);
            assert_close(&format!("{gauge}, GEV, {years} years"), gev.quantile(below).unwrap(), of_gev[at], 0.006);
            let log_pearson3 = log_pearson3.quantile(below).unwrap();
            assert_close(&format!("{gauge}, LP3, {years} years"), log_pearson3, of_log_pearson3[at], 0.006);
        }
        let low = Frequency::LogPearson3(LogPearson3::fit(&minima).unwrap());
        for (expected, years) in low_flows.into_iter().zip([10.0, 2.0]) {
            assert_close(&format!("{gauge}, 7Q{years}"), low.quantile(1.0 / years).unwrap(), expected, 6e-5);
        }
    }
}
