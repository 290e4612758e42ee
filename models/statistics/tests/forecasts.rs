//! Golden values of `oracles/forecasts.py`: scores of probabilities, ensembles and events, and what forecasts are compared with.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use nilometer_statistics::{
    Climatology, Contingency, CrpsEstimator, FloodEvents, Persistence, StatisticsError, brier_parts, brier_score,
    crps_ensemble, crps_quantiles, day_of_year, exceedance_of_members, exceedance_of_quantiles, flatness,
    pit_of_members, pit_of_quantiles, rank, seeded_uniform,
};

const MEMBERS: usize = 11;
const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];

/// As the oracle's.
fn numbers(mut seed: u64, count: usize) -> Vec<f64> {
    let mut next = || {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        seed as f64 / 2_147_483_648.0
    };
    (0..count).map(|_| next()).collect()
}

/// Members `[200, 11]` and observations `[200]`.
fn forecasts() -> (Vec<Vec<f64>>, Vec<f64>) {
    let (centre, spread, error) = (numbers(1, 200), numbers(2, 200 * MEMBERS), numbers(3, 200));
    let members = spread.chunks(MEMBERS).zip(&centre).map(|(row, centre)| row.iter().map(|s| s + centre).collect());
    (members.collect(), centre.iter().zip(&error).map(|(c, e)| c + e).collect())
}

fn close(found: f64, golden: f64) {
    assert!((found - golden).abs() < 1e-10 * (1.0 + golden.abs()), "{found} is not {golden}");
}

#[test]
fn probabilities_of_a_threshold() {
    let (members, observed) = forecasts();
    let probabilities: Vec<f64> = members.iter().map(|m| exceedance_of_members(m, 1.25).unwrap()).collect();
    let occurred: Vec<bool> = observed.iter().map(|o| *o >= 1.25).collect();
    let score = brier_score(&probabilities, &occurred).unwrap();
    close(score, 0.129_917_355_371_900_8);
    let parts = brier_parts(&probabilities, &occurred).unwrap();
    close(parts.reliability, 0.009_933_511_491_099_08);
    close(parts.resolution, 0.059_791_156_119_198_26);
    close(parts.uncertainty, 0.179_775);
    close(parts.reliability - parts.resolution + parts.uncertainty, score);

    let mut table = Contingency::default();
    probabilities.iter().zip(&occurred).for_each(|(p, occurred)| table.add(*occurred, *p >= 0.5));
    assert_eq!(table, Contingency { hits: 26, misses: 21, false_alarms: 20, correct_negatives: 133 });
    close(table.pod().unwrap(), 0.553_191_489_361_702_1);
    close(table.far().unwrap(), 0.434_782_608_695_652_16);
    close(table.csi().unwrap(), 0.388_059_701_492_537_3);
    close(table.f1().unwrap(), 0.559_139_784_946_237_1);
    let never = Contingency { correct_negatives: 3, ..Contingency::default() };
    assert!([never.pod(), never.far(), never.csi(), never.f1()].iter().all(Result::is_err));
    assert!(matches!(brier_score(&[1.1], &[true]), Err(StatisticsError::Probability { .. })));
    assert!(brier_score(&[f64::NAN], &[true]).is_err());
}

#[test]
fn exceedance_of_nineteen_quantiles() {
    let levels: Vec<f64> = (1..20).map(|i| f64::from(i) / 20.0).collect();
    let quantiles: Vec<f64> = (0..19).map(|i| 0.1 + 0.15 * f64::from(i) + 0.01 * f64::from(i * i)).collect();
    for (threshold, golden) in [
        (0.1, 0.95),
        (1.0, 0.720_833_333_333_333_3),
        (3.33, 0.351_315_789_473_684_14),
        (6.04, 0.05),
        (-0.4, 0.970_658_080_392_649),
        (9.0, 0.008_239_506_890_501_697),
    ] {
        close(exceedance_of_quantiles(&levels, &quantiles, threshold).unwrap(), golden);
    }
    let far = exceedance_of_quantiles(&levels, &quantiles, 1e6).unwrap();
    assert!(far > 0.0 && far < 1e-12, "never impossible: {far}");
    // A dry river: all of the probability is at 0, and what passes it is next to impossible.
    close(exceedance_of_quantiles(&levels, &[0.0; 19], 0.0).unwrap(), 0.95);
    assert!(exceedance_of_quantiles(&levels, &[0.0; 19], 0.1).unwrap() < 1e-12);
    assert!(matches!(exceedance_of_quantiles(&[0.5], &[1.0], 1.0), Err(StatisticsError::TooFew { .. })));
    assert!(matches!(exceedance_of_quantiles(&LEVELS, &[1.0, 3.0, 2.0], 1.0), Err(StatisticsError::Order { .. })));
}

#[test]
fn a_rank_histogram() {
    let (members, observed) = forecasts();
    let mut histogram = [0; MEMBERS + 1];
    for (at, (members, observed)) in members.iter().zip(&observed).enumerate() {
        histogram[rank(members, *observed, seeded_uniform(7, at as u64)).unwrap()] += 1;
    }
    assert_eq!(histogram, [18, 17, 21, 18, 14, 13, 26, 14, 17, 12, 12, 18]);
    let flat = flatness(&histogram).unwrap();
    close(flat.chi_square, 10.96);
    close(flat.slope, -1.024_183_112_998_378_5);
    close(flat.convexity, -0.075_988_326_565_504_44);
    // With three ranks the two parts are all there is.
    let three = flatness(&[5, 9, 22]).unwrap();
    close(three.slope.powi(2) + three.convexity.powi(2), three.chi_square);
    assert!(flatness(&[9, 1, 1, 9]).unwrap().convexity > 0.0 && flatness(&[1, 2, 3]).unwrap().slope > 0.0);
    assert!(flatness(&[1, 2]).is_err() && flatness(&[0; 3]).is_err());
}

#[test]
fn ties_are_drawn_evenly_and_alike() {
    // Steele et al.'s generator from seed 1234567.
    assert_eq!(
        seeded_uniform(1_234_567, 0).to_bits(),
        ((6_457_827_717_110_365_317_u64 >> 11) as f64 / 2_f64.powi(53)).to_bits()
    );
    assert_eq!(
        seeded_uniform(1_234_567, 1).to_bits(),
        ((3_203_168_211_198_807_973_u64 >> 11) as f64 / 2_f64.powi(53)).to_bits()
    );
    let mut histogram = [0_u64; 6];
    for at in 0..6_000 {
        histogram[rank(&[0.0; 5], 0.0, seeded_uniform(1, at)).unwrap()] += 1;
    }
    assert!(flatness(&histogram).unwrap().chi_square < 15.1, "{histogram:?}"); // 1 % of five degrees of freedom
    let members = [3.0, 1.0, 2.0, 2.0];
    assert_eq!([0.0, 0.4, 0.99].map(|u| rank(&members, 2.0, u).unwrap()), [1, 2, 3]);
    close(pit_of_members(&members, 2.0, 0.5).unwrap(), 0.5);
    close(pit_of_members(&members, 9.0, 0.5).unwrap(), 1.0);
    assert!(rank(&members, 2.0, 1.0).is_err() && rank(&[], 2.0, 0.5).is_err());
}

#[test]
fn the_integral_transform_of_quantiles() {
    close(pit_of_quantiles(&LEVELS, &[1.0, 2.0, 4.0], 3.0, 0.9).unwrap(), 0.725);
    close(pit_of_quantiles(&LEVELS, &[1.0, 2.0, 4.0], 4.0, 0.9).unwrap(), 0.95);
    // The lower half of the distribution lies at 0.
    for (uniform, golden) in [(0.0, 0.05), (0.5, 0.275)] {
        close(pit_of_quantiles(&LEVELS, &[0.0, 0.0, 4.0], 0.0, uniform).unwrap(), golden);
    }
}

#[test]
fn flood_events_with_tolerance() {
    let (mut flow, mut model) = (numbers(4, 400), numbers(5, 400));
    (0..400).step_by(3).for_each(|at| model[at] = flow[at]);
    flow[50..57].fill(f64::NAN);
    flow[200] = f64::NAN;
    flow[390..].fill(f64::NAN);
    for (threshold, tolerance, precision, recall) in [
        (0.9, 0, 0.255_813_953_488_372_1, 0.392_857_142_857_142_85),
        (0.9, 1, 0.309_523_809_523_809_53, 0.464_285_714_285_714_3),
        (0.9, 2, 0.380_952_380_952_380_93, 0.607_142_857_142_857_1),
        (0.97, 0, 1.0 / 6.0, 0.5),
        (0.97, 1, 0.176_470_588_235_294_13, 0.5),
        (0.97, 2, 0.235_294_117_647_058_82, 2.0 / 3.0),
        (2.0, 0, 1.0, 1.0),
        (2.0, usize::MAX, 1.0, 1.0),
    ] {
        let events = FloodEvents::count(&flow, threshold, &model, threshold - 0.02, tolerance).unwrap();
        close(events.precision(), precision);
        close(events.recall(), recall);
        close(events.f1(), 2.0 * precision * recall / (precision + recall));
    }
}

#[test]
fn events_on_one_side_and_beside_gaps() {
    let gap = f64::NAN;
    let score = |observed: &[f64], simulated: &[f64], tolerance| {
        let events = FloodEvents::count(observed, 1.0, simulated, 1.0, tolerance).unwrap();
        (events.precision(), events.recall(), events.f1())
    };
    let (quiet, flood) = ([0.0; 6], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(score(&quiet, &quiet, 0), (1.0, 1.0, 1.0), "none on either side");
    assert_eq!(score(&flood, &quiet, 0), (0.0, 0.0, 0.0), "none predicted");
    assert_eq!(score(&quiet, &flood, 0), (0.0, 0.0, 0.0), "none observed");
    assert_eq!(score(&[0.0, 0.0, 0.0, gap, 0.0, 0.0], &flood, 1).0, 1.0, "not judged");
    assert_eq!(score(&[0.0, 0.0, 0.0, gap, 0.0, 0.0], &flood, 0).0, 0.0, "a gap farther off");
    assert_eq!(score(&flood, &[0.0, 0.0, gap, 1.0, 1.0, 0.0], 2).1, 0.0, "a gap in the prediction excuses nothing");
    assert_eq!(score(&flood, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], 1).2, 0.0, "two steps late");
    assert_eq!(score(&flood, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], 2).2, 1.0, "two steps late, tolerated");
    assert_eq!(score(&[1.0, 1.0, 0.0], &[1.0, 1.0, 0.0], 0).2, 1.0, "high from the start is no event");
    assert!(FloodEvents::count(&quiet, f64::NAN, &quiet, 1.0, 0).is_err());
}

#[test]
fn climate_of_the_day_of_the_year() {
    assert_eq!([0, 58, 59, 364, 365, -1].map(day_of_year), [1, 59, 60, 365, 1, 365]);
    assert_eq!(
        [11_016, 11_322, i64::MIN, i64::MAX].map(day_of_year)[..2],
        [60, 366],
        "29 February and 31 December 2000"
    );
    let days: Vec<i64> = (10_292..11_792).collect();
    let values: Vec<f64> = numbers(7, 1_500).iter().map(|u| u * 10.0).collect();
    let climate = Climatology::fit(&days, &values, &LEVELS).unwrap();
    let mut quantiles = [0.0; 3];
    for (unix_day, mean, golden) in [
        (0, 5.338_486_337_587_853, [0.480_881_347_320_973_9, 5.457_377_466_373_146, 9.480_766_477_063_298]),
        (59, 5.165_094_847_950_75, [0.414_812_471_717_596_05, 5.302_799_413_911_998, 9.587_555_571_692_063]),
        (199, 5.161_132_452_175_802, [0.576_104_564_359_411_2, 4.870_617_603_883_147, 9.770_449_789_706_618]),
        (11_322, 5.321_784_181_835_915, [0.480_881_347_320_973_9, 5.360_071_505_419_91, 9.480_766_477_063_298]),
    ] {
        close(climate.forecast(unix_day, &mut quantiles).unwrap(), mean);
        quantiles.iter().zip(golden).for_each(|(found, golden)| close(*found, golden));
    }
    let summer = Climatology::fit(&[196], &[3.0], &LEVELS).unwrap();
    close(summer.forecast(196 + 365 + 15, &mut quantiles).unwrap(), 3.0);
    assert!(matches!(summer.forecast(196 + 16, &mut quantiles), Err(StatisticsError::TooFew { .. })));
    assert!(summer.forecast(196, &mut [0.0]).is_err());
    assert!(Climatology::fit(&[], &[], &LEVELS).is_err() && Climatology::fit(&[1], &[f64::NAN], &LEVELS).is_err());
}

#[test]
fn persistence_with_its_errors_and_without() {
    let mut series: Vec<f64> = numbers(7, 1_500).iter().map(|u| u * 10.0).collect();
    let persistence = Persistence::fit(&series, 4, &LEVELS, 0.1).unwrap();
    let mut quantiles = [0.0; 3];
    for (lead, mean, golden) in [
        (0, 7.443_075_158_189_899, [0.302_351_122_657_374_3, 2.975_114_743_119_325_2, 27.687_293_167_828_525]),
        (3, 7.363_463_827_544_288_5, [0.304_556_059_251_993_6, 2.960_165_551_166_056_3, 28.837_738_352_521_24]),
    ] {
        close(persistence.forecast(lead, 3.0, &mut quantiles).unwrap(), mean);
        quantiles.iter().zip(golden).for_each(|(found, golden)| close(*found, golden));
    }
    assert!(matches!(persistence.forecast(4, 3.0, &mut quantiles), Err(StatisticsError::TooFew { .. })));
    series[700] = f64::NAN;
    assert!(Persistence::fit(&series, 4, &LEVELS, 0.1).is_ok(), "gaps are passed over");
    series[700] = -1.0;
    assert!(matches!(Persistence::fit(&series, 4, &LEVELS, 0.1), Err(StatisticsError::NotFinite { index: 700, .. })));
    assert!(Persistence::fit(&[1.0, 2.0], 2, &LEVELS, 0.1).is_err());
    // Plain persistence, as an ensemble of one and as quantiles that are all the same: the absolute error.
    close(crps_ensemble(&[3.0], 4.5, CrpsEstimator::Biased, &mut Vec::new()).unwrap(), 1.5);
    close(crps_quantiles(&LEVELS, &[3.0; 3], 4.5).unwrap(), 1.5);
}
