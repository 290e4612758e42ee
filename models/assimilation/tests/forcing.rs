//! The noise of forcing and output: stationary, of mean one, and reproducible.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_assimilation::{Ar1, PrecipitationPerturbation, Purpose, stream};

const HOUR_S: f64 = 3_600.0;

fn mean(values: &[f32]) -> f64 {
    values.iter().copied().map(f64::from).sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
}

fn mean_product(xs: &[f32], ys: &[f32]) -> f64 {
    let products: Vec<f32> = xs.iter().zip(ys).map(|(x, y)| x * y).collect();
    mean(&products)
}

/// 100 000 values: the standard deviation has a sampling error of 0.22 %, the correlation of at most 0.32 %.
#[test]
fn ar1_is_stationary_and_forgets_at_its_time_scale() {
    let process = Ar1::new(0.4, 24.0 * HOUR_S).unwrap();
    let mut row = vec![0.0_f32; 100_000];
    process.initialise(&mut row, &mut stream(3, Purpose::InitialState, 0));
    let start = row.clone();
    for step in 1..=24 {
        process.advance(&mut row, HOUR_S, &mut stream(3, Purpose::OutputError, step * 3_600_000_000)).unwrap();
        let variance = mean_product(&row, &row);
        assert!((variance.sqrt() / 0.4 - 1.0).abs() < 0.012, "step {step}: {}", variance.sqrt());
        assert!(mean(&row).abs() < 5.0 * 0.4 / 100_000.0_f64.sqrt());
    }
    let correlation = mean_product(&row, &start) / 0.16;
    assert!((correlation - (-1.0_f64).exp()).abs() < 0.016, "{correlation}");
}

#[test]
fn ar1_from_zero_reaches_its_spread_in_one_long_step() {
    let process = Ar1::new(2.0, HOUR_S).unwrap();
    let mut row = vec![0.0_f32; 100_000];
    process.advance(&mut row, 1e9, &mut stream(3, Purpose::OutputError, 1)).unwrap();
    assert!((mean_product(&row, &row).sqrt() / 2.0 - 1.0).abs() < 0.012);
}

/// The multiplier has variance exp(sigma^2) - 1 = 0.28 for sigma 0.5: its mean over 400 000 draws is within 0.0042 (5
/// sigma).
#[test]
fn the_multiplier_has_mean_one() {
    let perturbation = PrecipitationPerturbation::new(0.5, 0.0, 0.0, 0.0).unwrap();
    let mut z = vec![0.0_f32; 400_000];
    Ar1::new(1.0, HOUR_S).unwrap().initialise(&mut z, &mut stream(4, Purpose::PrecipitationMultiplier, 0));
    let mut perturbed = vec![0.0_f32; 400_000];
    let mut rng = stream(4, Purpose::PrecipitationOccurrence, 0);
    perturbation.apply(&[2.0, 4.0], &z, &mut perturbed, &mut rng).unwrap();
    assert!((mean(&perturbed[..200_000]) / 2.0 - 1.0).abs() < 0.006);
    assert!((mean(&perturbed[200_000..]) / 4.0 - 1.0).abs() < 0.006);
    assert!(perturbed.iter().all(|&amount| amount > 0.0));
}

#[test]
fn a_dry_catchment_gets_rain_as_often_and_as_much_as_configured() {
    let perturbation = PrecipitationPerturbation::new(0.5, 0.1, 0.05, 1.5).unwrap();
    let z = vec![0.0_f32; 200_000];
    let mut perturbed = vec![-1.0_f32; 200_000];
    let mut rng = stream(4, Purpose::PrecipitationOccurrence, 0);
    perturbation.apply(&[0.0], &z, &mut perturbed, &mut rng).unwrap();
    let wet: Vec<f32> = perturbed.iter().copied().filter(|&amount| amount > 0.0).collect();
    let share = f64::from(u32::try_from(wet.len()).unwrap()) / 200_000.0;
    assert!((share - 0.05).abs() < 0.0025, "{share}"); // 5 sigma of a binomial share
    assert!((mean(&wet) / 1.5 - 1.0).abs() < 0.05); // 5 sigma of 10 000 exponentials
    assert!(perturbed.iter().all(|&amount| amount >= 0.0));
}

#[test]
fn noise_is_drawn_catchment_by_catchment_then_member_by_member() {
    let process = Ar1::new(1.0, HOUR_S).unwrap();
    let (mut both, mut first) = ([0.0_f32; 6], [0.0_f32; 3]);
    process.initialise(&mut both, &mut stream(9, Purpose::InitialState, 7));
    process.initialise(&mut first, &mut stream(9, Purpose::InitialState, 7));
    assert_eq!(both[..3], first);
}
