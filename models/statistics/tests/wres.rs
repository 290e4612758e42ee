//! Every figure of three evaluations by the U.S. National Weather Service's WRES, from the pairs it made them of: errors of the ensemble
//! mean, Brier scores and reliability diagrams of hourly ensemble forecasts of discharge, six-hourly ones of precipitation, and errors
//! of single forecasts. Where it gives no figure, `oracles/pairs.py` does, on the same pairs.
//!
//! Figures and pairs have six decimals, so that 1e-6 is the rounding of both. WRES counts bins of a reliability diagram as
//! `(lower, upper]`, the first with 0; its thresholds are of the observations, `GREATER EQUAL` or `GREATER`.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use std::{collections::BTreeMap, env, path::Path, process::Command};

use csv::StringRecord;
use nilometer_needs::needs;
use nilometer_statistics::{
    Contingency, CrpsEstimator, RunningScore, brier_parts, brier_score, crps_ensemble, exceedance_of_members, mean,
    nse, pbias, rank,
};
use tempfile::TempDir;

const TOLERANCE: f64 = 1e-6;

/// First and last issue time, first and last lead time.
type Pool = [String; 4];

/// Observations `[N]` and as many rows of members, in their unit.
#[derive(Default)]
struct Pairs {
    observed: Vec<f64>,
    members: Vec<Vec<f64>>,
}

impl Pairs {
    fn means(&self) -> Vec<f64> {
        self.members.iter().map(|members| mean(members).unwrap()).collect()
    }

    /// The pairs whose observation is at or above the threshold.
    fn above(&self, threshold: f64) -> Self {
        let kept = self.observed.iter().zip(&self.members).filter(|(observed, _)| **observed >= threshold);
        let (observed, members) = kept.map(|(observed, members)| (*observed, members.clone())).unzip();
        Self { observed, members }
    }

    fn mean_error(&self) -> f64 {
        let (Ok(observed), Ok(forecast)) = (mean(&self.observed), mean(&self.means())) else { return f64::NAN };
        if let Ok(percent) = pbias(&self.observed, &self.means()) {
            assert!((forecast - observed + percent / 100.0 * observed).abs() < 1e-9, "bias is the error, turned round");
        }
        forecast - observed
    }

    fn forecasts(&self, threshold: f64) -> (Vec<f64>, Vec<bool>) {
        let probabilities = self.members.iter().map(|members| exceedance_of_members(members, threshold).unwrap());
        (probabilities.collect(), self.observed.iter().map(|observed| *observed >= threshold).collect())
    }

    /// Forecast probability, observed frequency and number of forecasts of a tenth of the probabilities.
    fn reliability(&self, threshold: f64, tenth: u32) -> [f64; 3] {
        let (probabilities, occurred) = self.forecasts(threshold);
        let upper = |p: f64| (p * 10.0 - 1e-9).ceil().max(1.0);
        let inside = probabilities.iter().zip(occurred).filter(|(p, _)| upper(**p) == f64::from(tenth));
        let (inside, came): (Vec<f64>, Vec<f64>) = inside.map(|(p, o)| (*p, f64::from(u8::from(o)))).unzip();
        [mean(&inside).unwrap_or(f64::NAN), mean(&came).unwrap_or(f64::NAN), inside.len() as f64]
    }
}

/// The unpacked archive.
fn archive() -> TempDir {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/reference_results/wres_hefs.tar.xz");
    let archive = env::var_os("NILOMETER_WRES").map_or(beside, Into::into);
    let folder = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.unwrap().success(), "{} cannot be unpacked", archive.display());
    folder
}

fn read(folder: &TempDir, scenario: &str, file: &str) -> (StringRecord, Vec<StringRecord>) {
    let path = folder.path().join("wres_hefs").join(scenario).join("benchmarks").join(file);
    let mut reader = csv::Reader::from_path(path).unwrap();
    (reader.headers().unwrap().clone(), reader.records().map(Result::unwrap).collect())
}

/// Columns: pool at 3, 4, 7 and 8, the observation at 12, then members.
fn pairs(folder: &TempDir, scenario: &str) -> BTreeMap<Pool, Pairs> {
    let mut pools: BTreeMap<Pool, Pairs> = BTreeMap::new();
    for row in read(folder, scenario, "sorted_pairs.csv").1 {
        let pool = pools.entry([3, 4, 7, 8].map(|column| row[column].to_owned())).or_default();
        pool.observed.push(row[12].parse().unwrap());
        pool.members.push(row.iter().skip(13).map(|value| value.parse().unwrap()).collect());
    }
    pools
}

/// Checks all figures of a scenario and returns how many there were of each metric.
fn check(folder: &TempDir, scenario: &str) -> BTreeMap<String, usize> {
    let pools = pairs(folder, scenario);
    let (headers, rows) = read(folder, scenario, "evaluation.csv");
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let pool = [
        "EARLIEST ISSUED TIME EXCLUSIVE",
        "LATEST ISSUED TIME INCLUSIVE",
        "EARLIEST LEAD DURATION EXCLUSIVE",
        "LATEST LEAD DURATION INCLUSIVE",
    ]
    .map(column);
    let [threshold, operator, metric, component, group, statistic] = [
        "EVENT THRESHOLD LOWER VALUE",
        "EVENT THRESHOLD OPERATOR",
        "METRIC NAME",
        "METRIC COMPONENT NAME",
        "STATISTIC GROUP NUMBER",
        "STATISTIC",
    ]
    .map(column);
    let mut checked = BTreeMap::new();
    for row in &rows {
        let pairs = &pools[&pool.map(|column| row[column].to_owned())];
        let least = match &row[threshold] {
            "-Infinity" => f64::MIN,
            text => text.parse().unwrap(),
        };
        let least: f64 = if &row[operator] == "GREATER" && least > f64::MIN { least.next_up() } else { least };
        let found = match (&row[metric], &row[component]) {
            ("SAMPLE SIZE", _) => pairs.above(least).observed.len() as f64,
            ("MEAN ERROR", _) => pairs.above(least).mean_error(),
            ("BRIER SCORE", _) => {
                let (probabilities, occurred) = pairs.forecasts(least);
                let (score, parts) =
                    (brier_score(&probabilities, &occurred).unwrap(), brier_parts(&probabilities, &occurred).unwrap());
                assert!((parts.reliability - parts.resolution + parts.uncertainty - score).abs() < 1e-12);
                score
            }
            ("RELIABILITY DIAGRAM", part) => {
                let parts = ["FORECAST PROBABILITY", "OBSERVED RELATIVE FREQUENCY", "SAMPLE SIZE"];
                let tenth = row[group].parse::<u32>().unwrap() - 1;
                pairs.reliability(least, tenth)[parts.iter().position(|p| *p == part).unwrap()]
            }
            other => unreachable!("a metric that the archive had not: {other:?}"),
        };
        let golden: f64 = row[statistic].parse().unwrap();
        let same = (found.is_nan() && golden.is_nan()) || (found - golden).abs() <= TOLERANCE;
        assert!(same, "{found} is not {golden}: {row:?}");
        *checked.entry(row[metric].to_owned()).or_default() += 1;
    }
    checked
}

#[needs(wres)]
#[test]
fn every_figure_of_wres() {
    let folder = archive();
    let counts = |scenario: &str| check(&folder, scenario).into_values().collect::<Vec<_>>();
    assert_eq!(
        counts("scenario001"),
        [144, 168, 4_320, 168],
        "Brier score, mean error, reliability diagram, sample size"
    );
    assert_eq!(counts("scenario300"), [24, 32, 720, 32]);
    assert_eq!(counts("scenario505"), [14, 14], "mean error, sample size");
}

struct Golden {
    crps: [f64; 2],
    nse: f64,
    kge: f64,
    threshold: f64,
    pod_far_csi: [f64; 3],
    /// of the lowest, the second lowest and the highest rank, among forecasts with no member equal to the observation
    ranks: [u64; 3],
}

#[needs(wres)]
#[test]
fn other_scores_of_the_same_pairs() {
    let folder = archive();
    let discharge = Golden {
        crps: [2.833_939_140_459_993_4, 2.810_421_502_262_849],
        nse: 0.440_672_32,
        kge: 0.622_788_82,
        threshold: 18.590_37,
        pod_far_csi: [0.924_180_327_868_852_5, 0.019_565_217_391_304_35, 0.907_444_668_008_048_2],
        ranks: [161, 22, 25],
    };
    let precipitation = Golden {
        crps: [0.280_649_385_820_966_5, 0.274_924_384_290_294_37],
        nse: 0.225_875_31,
        kge: 0.202_507_1,
        threshold: 1.24,
        pod_far_csi: [0.512_048_192_771_084_3, 0.650_205_761_316_872_5, 0.262_345_679_012_345_7],
        ranks: [0, 0, 36],
    };
    for (scenario, golden) in [("scenario001", discharge), ("scenario300", precipitation)] {
        let close = |found: f64, golden: f64, by: f64| assert!((found - golden).abs() < by, "{found} is not {golden}");
        let (mut observed, mut means, mut running) = (Vec::new(), Vec::new(), RunningScore::default());
        let (mut crps, mut table, mut buffer) = ([Vec::new(), Vec::new()], Contingency::default(), Vec::new());
        let mut ranks = [0_u64; 50];
        for pool in pairs(&folder, scenario).values() {
            for ((o, members), forecast) in pool.observed.iter().zip(&pool.members).zip(pool.means()) {
                for (scores, estimator) in crps.iter_mut().zip([CrpsEstimator::Biased, CrpsEstimator::Fair]) {
                    scores.push(crps_ensemble(members, *o, estimator, &mut buffer).unwrap());
                }
                table.add(*o >= golden.threshold, forecast >= golden.threshold);
                ranks[rank(members, *o, 0.5).unwrap()] += u64::from(!members.contains(o));
                running.add(*o, forecast).unwrap();
            }
            observed.extend(&pool.observed);
            means.extend(pool.means());
        }
        crps.iter().zip(golden.crps).for_each(|(scores, golden)| close(mean(scores).unwrap(), golden, 1e-9));
        close(nse(&observed, &means).unwrap(), golden.nse, 1e-8);
        close(running.nse().unwrap(), golden.nse, 1e-8);
        close(running.kge_2009().unwrap(), golden.kge, 1e-8);
        let found = [table.pod(), table.far(), table.csi()].map(Result::unwrap);
        found.into_iter().zip(golden.pod_far_csi).for_each(|(found, golden)| close(found, golden, 1e-12));
        let highest = if scenario == "scenario001" { 49 } else { 48 };
        assert_eq!([0, 1, highest].map(|at| ranks[at]), golden.ranks);
    }
}
