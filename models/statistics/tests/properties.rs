//! Properties that hold for every series and every ensemble.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_statistics::{
    CrpsEstimator, FloodEvents, RunningScore, coverage, crps_ensemble, exceedance_of_quantiles, interval_score,
    kge_2009, kge_2012, mnse, nse, pbias, pinball, pit_of_quantiles, quantiles,
};
use proptest::prelude::*;

fn members() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-100.0..100.0, 2..60)
}

/// A positive series that is not constant.
fn discharge() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.1..1_000.0_f64, 3..100).prop_filter("varies", |q| q.iter().any(|v| (v - q[0]).abs() > 1e-3))
}

fn crps(members: &[f64], observed: f64, estimator: CrpsEstimator) -> f64 {
    crps_ensemble(members, observed, estimator, &mut Vec::new()).unwrap()
}

proptest! {
    #[test]
    fn a_perfect_simulation_scores_one(q in discharge()) {
        prop_assert!((nse(&q, &q).unwrap() - 1.0).abs() < 1e-12);
        prop_assert!((mnse(&q, &q).unwrap() - 1.0).abs() < 1e-12);
        prop_assert!((kge_2009(&q, &q).unwrap() - 1.0).abs() < 1e-6);
        prop_assert!((kge_2012(&q, &q).unwrap() - 1.0).abs() < 1e-6);
        prop_assert!(pbias(&q, &q).unwrap().abs() < 1e-12);
    }

    /// Counted one step after the other, events are those of the whole series, but for what would lie beyond its ends.
    #[test]
    fn events_can_be_counted_as_they_come(
        pairs in prop::collection::vec((prop_oneof![9 => 0.0..4.0, 1 => Just(f64::NAN)], 0.0..4.0), 1..60),
        threshold in 0.5..3.5,
    ) {
        let quiet = [(0.0, 0.0); 4];
        let (observed, predicted): (Vec<f64>, Vec<f64>) = quiet.into_iter().chain(pairs).chain(quiet).unzip();
        let whole = FloodEvents::count(&observed, threshold, &predicted, threshold, 2).unwrap();
        let mut stepwise = FloodEvents::default();
        for (o, p) in observed.windows(7).zip(predicted.windows(7)) {
            let found = FloodEvents::in_the_middle(o.try_into().unwrap(), p.try_into().unwrap(), threshold);
            stepwise.observed += found.observed;
            stepwise.observed_hit += found.observed_hit;
            stepwise.predicted += found.predicted;
            stepwise.judged += found.judged;
            stepwise.judged_hit += found.judged_hit;
        }
        prop_assert_eq!(stepwise, whole);
    }

    #[test]
    fn one_is_the_best_score(q in discharge(), factor in 0.1..3.0, shift in -1.0..1.0) {
        let simulated: Vec<f64> = q.iter().rev().map(|v| v * factor + shift).collect();
        prop_assert!(nse(&q, &simulated).unwrap() <= 1.0);
        prop_assert!(kge_2009(&q, &simulated).unwrap() <= 1.0);
    }

    #[test]
    fn bias_and_variability_show_in_the_kling_gupta_efficiency(q in discharge(), factor in 0.2..3.0_f64) {
        let simulated: Vec<f64> = q.iter().map(|v| v * factor).collect();
        let expected = 1.0 - 2.0_f64.sqrt() * (factor - 1.0).abs();
        prop_assert!((kge_2009(&q, &simulated).unwrap() - expected).abs() < 1e-6);
        let expected = 1.0 - (factor - 1.0).abs();
        prop_assert!((kge_2012(&q, &simulated).unwrap() - expected).abs() < 1e-6);
        prop_assert!((pbias(&q, &simulated).unwrap() - 100.0 * (1.0 - factor)).abs() < 1e-9);
    }

    #[test]
    fn crps_is_not_negative_and_equals_its_double_sum(members in members(), y in -150.0..150.0_f64) {
        let m = f64::from(u32::try_from(members.len()).unwrap());
        let distance: f64 = members.iter().map(|x| (x - y).abs()).sum::<f64>() / m;
        let double: f64 = members.iter().flat_map(|a| members.iter().map(move |b| (a - b).abs())).sum();
        let biased = crps(&members, y, CrpsEstimator::Biased);
        prop_assert!(biased >= 0.0);
        prop_assert!((biased - (distance - double / (2.0 * m * m))).abs() < 1e-9);
        let fair = crps(&members, y, CrpsEstimator::Fair);
        prop_assert!((fair - (distance - double / (2.0 * m * (m - 1.0)))).abs() < 1e-9);
        prop_assert!(fair <= biased + 1e-12);
    }

    #[test]
    fn crps_of_one_member_is_its_distance(x in -100.0..100.0_f64, y in -100.0..100.0) {
        prop_assert!((crps(&[x], y, CrpsEstimator::Biased) - (x - y).abs()).abs() < 1e-12);
    }

    #[test]
    fn crps_ignores_the_order_of_members(mut members in members(), y in -150.0..150.0_f64) {
        let forward = crps(&members, y, CrpsEstimator::Fair);
        members.reverse();
        prop_assert_eq!(forward.to_bits(), crps(&members, y, CrpsEstimator::Fair).to_bits());
    }

    #[test]
    fn quantiles_are_monotone_and_within_the_sample(
        members in members(),
        mut levels in prop::collection::vec(0.0..=1.0, 2..20),
    ) {
        levels.sort_by(f64::total_cmp);
        let mut values = vec![0.0; levels.len()];
        quantiles(&members, &levels, &mut Vec::new(), &mut values).unwrap();
        prop_assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        let lowest = members.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = members.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(values.iter().all(|v| (lowest..=highest).contains(v)));
    }

    #[test]
    fn pinball_is_not_negative_and_zero_at_the_observation(q in -10.0..10.0, y in -10.0..10.0, level in 0.01..0.99) {
        prop_assert!(pinball(q, y, level).unwrap() >= 0.0);
        prop_assert!(pinball(y, y, level).unwrap().abs() < 1e-15);
    }

    /// Bracher et al. 2021: the interval score is (2 / alpha) times the pinball losses of its two ends.
    #[test]
    fn the_interval_score_is_made_of_pinball_losses(l in -5.0..0.0, w in 0.0..5.0, y in -9.0..9.0, alpha in 0.02..0.9) {
        let u = l + w;
        let losses = pinball(l, y, alpha / 2.0).unwrap() + pinball(u, y, 1.0 - alpha / 2.0).unwrap();
        prop_assert!((interval_score(l, u, y, alpha).unwrap() - 2.0 / alpha * losses).abs() < 1e-9);
    }

    #[test]
    fn coverage_is_a_share_and_wide_intervals_hold_all(observed in members()) {
        let edge = |value: f64| vec![value; observed.len()];
        prop_assert!((coverage(&edge(-100.0), &edge(100.0), &observed).unwrap() - 1.0).abs() < 1e-15);
        let share = coverage(&edge(-10.0), &edge(10.0), &observed).unwrap();
        prop_assert!((0.0..=1.0).contains(&share));
    }

    #[test]
    fn running_scores_equal_those_of_the_series_in_any_split(
        q in discharge(),
        noise in prop::collection::vec(-20.0..20.0_f64, 100),
        cuts in prop::collection::vec(0_usize..100, 2),
    ) {
        let simulated: Vec<f64> = q.iter().zip(&noise).map(|(q, e)| 0.9 * q + e).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(q.len())).collect();
        cuts.sort_unstable();
        let part = |from: usize, to: usize| {
            let mut score = RunningScore::default();
            (from..to).for_each(|at| score.add(q[at], simulated[at]).unwrap());
            score
        };
        let whole = part(0, q.len());
        let mut merged = part(cuts[1], q.len());
        merged.merge(&part(0, cuts[0]));
        merged.merge(&part(cuts[0], cuts[1]));
        let restored: RunningScore = serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap();
        // Some observations were read wrongly at first.
        let mut revised = RunningScore::default();
        let wrong = |at: usize| if at.is_multiple_of(7) { q[at] + 30.0 * noise[at].abs() } else { q[at] };
        (0..q.len()).for_each(|at| revised.add(wrong(at), simulated[at]).unwrap());
        (0..q.len()).for_each(|at| revised.revise(wrong(at), q[at], simulated[at]).unwrap());
        for score in [whole, merged, restored, revised] {
            prop_assert_eq!(score.pairs(), q.len() as u64);
            for (running, batch) in [
                (score.nse().unwrap(), nse(&q, &simulated).unwrap()),
                (score.kge_2009().unwrap(), kge_2009(&q, &simulated).unwrap()),
                (score.pbias().unwrap(), pbias(&q, &simulated).unwrap()),
            ] {
                prop_assert!((running - batch).abs() <= 1e-9 * (1.0 + batch.abs()), "{running} is not {batch}");
            }
        }
    }

    #[test]
    fn exceedance_falls_with_the_threshold_and_complements_the_integral_transform(
        mut values in prop::collection::vec(-10.0..10.0_f64, 19),
        low in -40.0..40.0_f64,
        step in 0.0..10.0_f64,
    ) {
        let levels: Vec<f64> = (1..20).map(|i| f64::from(i) / 20.0).collect();
        values.sort_by(f64::total_cmp);
        let exceedance = |threshold| exceedance_of_quantiles(&levels, &values, threshold).unwrap();
        prop_assert!(exceedance(low) >= exceedance(low + step));
        prop_assert!(exceedance(low) > 0.0 && exceedance(low) < 1.0);
        prop_assert!(low <= values[18] || exceedance(low) <= 0.05 + 1e-12);
        prop_assert!(low >= values[0] || exceedance(low) >= 0.95 - 1e-12);
        prop_assert!((pit_of_quantiles(&levels, &values, low, 0.0).unwrap() + exceedance(low) - 1.0).abs() < 1e-12);
    }
}

/// Sums of squares would leave no digit of a variance of 2/3 beside 10¹⁸.
#[test]
fn a_running_score_stands_an_offset() {
    let mut score = RunningScore::default();
    for at in 0..300_000_u32 {
        let observed = 1e9 + f64::from(at % 3);
        score.add(observed, observed + if at % 2 == 0 { 0.5 } else { -0.5 }).unwrap();
    }
    assert!((score.nse().unwrap() - 0.625).abs() < 1e-9, "{score:?}");
}

#[test]
fn a_running_score_without_a_value_is_refused() {
    let mut score = RunningScore::default();
    assert!(score.nse().is_err() && score.kge_2009().is_err() && score.pbias().is_err());
    score.merge(&RunningScore::default());
    assert!(score.add(f64::NAN, 1.0).is_err() && score.add(1.0, f64::INFINITY).is_err());
    assert_eq!(score, RunningScore::default());
    assert!(score.revise(0.1, 0.2, 0.3).is_err());
    score.add(500.0, 0.3).unwrap();
    score.revise(500.0, 0.1, 0.3).unwrap();
    assert!(score.nse().is_err() && score.kge_2009().is_err(), "one value does not vary");
    score = RunningScore::default();
    (0..9).for_each(|_| score.add(0.1, 0.3).unwrap());
    assert!(score.nse().is_err() && score.kge_2009().is_err(), "0.1 nine times does not vary");
    assert!((score.pbias().unwrap() + 200.0).abs() < 1e-9);
}
