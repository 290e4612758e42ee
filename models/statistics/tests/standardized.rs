//! SPI and SPEI beside those of the package climate-indices, whose test series of 1895 to 2017 is in `climate_indices` (BSD-3-Clause, its licence
//! beside it).

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use nilometer_statistics::{Family, Standardized, WATER_BALANCE_OFFSET_MM, accumulated};

/// Columns of the series, in order.
struct Series {
    rain: Vec<f64>,
    evapotranspiration: Vec<f64>,
    /// SPI of 1 and 6 months with gamma, SPI of 6 with Pearson III, SPEI of 6 with both
    indices: [Vec<f64>; 5],
}

fn series() -> Series {
    let text = include_str!("climate_indices/monthly.csv");
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').map(|n| n.parse().unwrap_or(f64::NAN)).collect()).collect();
    let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<f64>>();
    Series { rain: column(2), evapotranspiration: column(3), indices: std::array::from_fn(|at| column(5 + at)) }
}

/// Largest difference of the scores of amounts from those expected; the fit is over `years`.
fn largest_difference(amounts: &[f64], years: std::ops::Range<usize>, family: Family, expected: &[f64]) -> f64 {
    let reference = (years.start - 1895) * 12..(years.end - 1895) * 12;
    let fit = Standardized::fit(amounts, 1, reference, family).unwrap();
    let mut compared = 0;
    let mut largest = 0.0_f64;
    for (at, (amount, expected)) in amounts.iter().zip(expected).enumerate().filter(|(_, (_, e))| !e.is_nan()) {
        largest = largest.max((fit.score((at % 12 + 1) as u8, *amount) - expected).abs());
        compared += 1;
    }
    assert!(compared > 1_400, "{compared} months");
    largest
}

#[test]
fn spi_and_spei_are_those_of_climate_indices() {
    let Series { rain, evapotranspiration, indices } = series();
    let balance: Vec<f64> =
        rain.iter().zip(&evapotranspiration).map(|(rain, pet)| rain - pet + WATER_BALANCE_OFFSET_MM).collect();
    let six = |values: &[f64]| accumulated(values, 6).unwrap();
    let (whole, normals) = (1895..2018, 1981..2011);
    let cases = [
        ("SPI-1 gamma", rain.clone(), whole.clone(), Family::Gamma, 1e-10),
        ("SPI-6 gamma", six(&rain), whole.clone(), Family::Gamma, 1e-10),
        ("SPI-6 Pearson III", six(&rain), normals, Family::PearsonIII, 1e-10),
        ("SPEI-6 gamma", six(&balance), whole.clone(), Family::Gamma, 1e-5),
        ("SPEI-6 Pearson III", six(&balance), whole, Family::PearsonIII, 1e-3),
    ];
    for ((name, amounts, years, family, tolerance), expected) in cases.into_iter().zip(&indices) {
        let largest = largest_difference(&amounts, years, family, expected);
        println!("{name}: {largest:.1e}");
        assert!(largest < tolerance, "{name}: {largest:e}");
    }
}

#[test]
fn months_without_enough_rain_have_no_score_and_a_dry_one_is_as_rare_as_it_was() {
    let mut rain: Vec<f64> = (0..360).map(|at| f64::from(at % 7) + 1.0).collect();
    // Half of all Julys are dry, and only three Augusts are not.
    (0..30).filter(|year| year % 2 == 0).for_each(|year| rain[year * 12 + 6] = 0.0);
    (3..30).for_each(|year| rain[year * 12 + 7] = 0.0);
    let fit = Standardized::fit(&rain, 1, 0..360, Family::Gamma).unwrap();
    assert!(fit.score(7, 0.0).abs() < 1e-9, "the driest half");
    assert!(fit.score(8, 0.0).is_nan() && fit.score(13, 1.0).is_nan() && fit.score(0, 1.0).is_nan());
    assert!(fit.score(1, f64::NAN).is_nan());
    assert!((fit.score(1, 1e6) - 3.09).abs() < 1e-12);
    assert!(Standardized::fit(&rain, 13, 0..360, Family::Gamma).is_err());
}
