//! Whatever comes, trackers miss as often as they should, within the bounds of their sources.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use std::collections::VecDeque;

use nilometer_statistics::{AdaptiveConformal, ConformalPid, Misses, seeded_uniform, stretch_tails};
use proptest::prelude::*;

/// A Cauchy variable has no mean; these drift, jump and grow besides.
fn heavy_tailed(seed: u64, length: u64, drift: f64, jump: f64) -> impl Iterator<Item = f64> {
    (0..length).map(move |at| {
        let share = at as f64 / length as f64;
        let cauchy = (std::f64::consts::PI * (seeded_uniform(seed, at) - 0.5)).tan();
        (1.0 + 5.0 * share) * cauchy + drift * share + if share > 0.5 { jump } else { 0.0 }
    })
}

/// Share of misses when an observation comes `lead` steps after its forecast.
fn share_of_misses(
    scores: impl Iterator<Item = f64>,
    lead: usize,
    alpha: f64,
    threshold: impl Fn(Misses) -> f64,
) -> f64 {
    let (mut state, mut waiting) = (Misses::default(), VecDeque::new());
    let (mut misses, mut verified) = (0_u32, 0_u32);
    for score in scores {
        waiting.push_back(score > threshold(state));
        if waiting.len() >= lead {
            let missed = waiting.pop_front().unwrap();
            state.learn(missed, alpha);
            misses += u32::from(missed);
            verified += 1;
        }
    }
    f64::from(misses) / f64::from(verified)
}

/// States are float32.
const ROUNDING: f64 = 1e-4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn adaptive_inference_keeps_its_bound(
        seed in any::<u64>(),
        lead in 1_usize..20,
        alpha in 0.02_f64..0.3,
        rate in 0.003_f64..0.1,
        drift in -1e3_f64..1e3,
        jump in -1e3_f64..1e3,
    ) {
        let length = 5_000;
        let tracker = AdaptiveConformal { rate };
        let scores = heavy_tailed(seed, length, drift, jump);
        let share = share_of_misses(scores, lead, alpha, |misses| tracker.threshold(misses, alpha));
        let verified = length as f64 - lead as f64 + 1.0;
        let bound = ((1.0 - alpha) + lead as f64 * rate) / (verified * rate);
        prop_assert!((share - alpha).abs() <= bound + ROUNDING, "{share} for {alpha}, allowed {bound}");
    }

    #[test]
    fn integral_control_keeps_its_bound(
        seed in any::<u64>(),
        lead in 1_usize..20,
        alpha in 0.02_f64..0.3,
        drift in -1e3_f64..1e3,
        jump in -1e3_f64..1e3,
    ) {
        let length = 5_000;
        let tracker = ConformalPid { saturation: 0.1, ..ConformalPid::default() };
        let scores = heavy_tailed(seed, length, drift, jump);
        let share = share_of_misses(scores, lead, alpha, |misses| tracker.threshold(misses));
        let verified = length as f64 - lead as f64 + 1.0;
        let bound = std::f64::consts::FRAC_PI_2 * 0.1 / (verified + 1.0).ln() + lead as f64 / verified;
        prop_assert!((share - alpha).abs() <= bound * (1.0 + 1.0 / verified) + ROUNDING, "{share} for {alpha}, allowed {bound}");
    }

    #[test]
    fn proportional_control_of_bounded_scores_keeps_its_bound(
        seed in any::<u64>(),
        lead in 1_usize..20,
        alpha in 0.02_f64..0.3,
        largest in 0.5_f64..20.0,
    ) {
        let length = 5_000;
        let tracker = ConformalPid { integral: 0.0, ..ConformalPid::default() };
        // Calm, then everything at the upper end, then calm again.
        let scores = (0..length).map(|at| {
            let uniform = seeded_uniform(seed, at);
            largest * if (2_000..2_100).contains(&at) { 1.0 } else { uniform.powi(3) }
        });
        let share = share_of_misses(scores, lead, alpha, |misses| tracker.threshold(misses));
        let verified = length as f64 - lead as f64 + 1.0;
        let bound = ((largest - 1.0).max(1.0) + lead as f64 * 0.1) / (verified * 0.1);
        prop_assert!((share - alpha).abs() <= bound + ROUNDING, "{share} for {alpha}, allowed {bound}");
    }

    /// The job of `TailScale`: a forecast far too narrow or too wide, here in its lower and upper tail alike.
    #[test]
    fn stretched_quantiles_end_at_their_level(spread in 0.2_f64..3.0, adaptive in any::<bool>(), seed in any::<u64>()) {
        const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];
        let mut tails = [Misses::default(); 2];
        let mut inside = 0;
        for at in 0..12_000 {
            let factors = tails.map(|misses| match adaptive {
                true => AdaptiveConformal { rate: 0.005 }.threshold(misses, 0.05),
                false => ConformalPid::default().threshold(misses),
            });
            let mut quantiles = [(-1.645 * spread).exp(), 1.0, (1.645 * spread).exp()];
            let [lower, upper] = stretch_tails(&LEVELS, &mut quantiles, factors, 1e-9).unwrap();
            let uniform = seeded_uniform(seed, at).clamp(1e-9, 1.0 - 1e-9);
            let observed = (0.55 * (uniform / (1.0 - uniform)).ln()).exp();
            inside += u32::from(at >= 4_000 && observed >= quantiles[0] && observed <= quantiles[2]);
            tails[0].learn(observed < lower, 0.05);
            tails[1].learn(observed > upper, 0.05);
        }
        let share = f64::from(inside) / 8_000.0;
        prop_assert!((share - 0.9).abs() < 0.02, "spread {spread}: {share} inside");
    }
}

#[test]
fn empty_and_infinite_intervals_are_promised_but_not_issued() {
    let levels = [0.05, 0.5, 0.95];
    let raw = [1.0, 2.0, 4.0];
    let mut quantiles = raw;
    let ends = stretch_tails(&levels, &mut quantiles, [f64::INFINITY; 2], 0.1).unwrap();
    assert_eq!(ends, [f64::NEG_INFINITY, f64::INFINITY], "no observation lies beyond");
    assert!(quantiles.iter().all(|q| q.is_finite()) && quantiles[0] < 1.0 && quantiles[2] > 4.0, "{quantiles:?}");
    let mut quantiles = raw;
    let ends = stretch_tails(&levels, &mut quantiles, [f64::NEG_INFINITY; 2], 0.1).unwrap();
    assert_eq!(ends, [f64::INFINITY, f64::NEG_INFINITY], "every observation lies beyond");
    assert!(quantiles.is_sorted() && quantiles[0] > 1.0 && quantiles[2] < 4.0, "{quantiles:?}");
    let mut quantiles = raw;
    let ends = stretch_tails(&levels, &mut quantiles, [1.0; 2], 0.1).unwrap();
    assert!((ends[0] - 1.0).abs() < 1e-12 && (ends[1] - 4.0).abs() < 1e-12 && quantiles == [ends[0], 2.0, ends[1]]);
    assert!(stretch_tails(&levels, &mut quantiles, [f64::NAN, 1.0], 0.1).is_err());
}
