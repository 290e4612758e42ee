//! Scores of an archive: forecasts against what the gauges then read.

use std::collections::BTreeMap;

use nilometer_archive::{Forecast, Readings};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{coverage, crps_quantiles, mean, nse};

/// Scores of one catchment at one lead time.
#[derive(Debug, Clone, PartialEq)]
pub struct LeadScores {
    /// pairs of forecast and observation
    pub pairs: usize,
    /// Nash–Sutcliffe efficiency of the mean
    pub nse: Option<f64>,
    /// the same of persistence: the newest reading that had arrived at the issue time
    pub nse_persistence: Option<f64>,
    /// continuous ranked probability score from the quantiles, m³ s⁻¹
    pub crps: Option<f64>,
    /// mean absolute error of persistence, to which its CRPS comes down, m³ s⁻¹
    pub crps_persistence: Option<f64>,
    /// share of observations in the 90 % interval
    pub coverage_90: Option<f64>,
}

/// Scores forecasts of one lead against `observed`, and persistence by `readings`. What cannot be paired, or has no variance, gives `None`.
pub fn score(forecasts: &[Forecast], observed: &BTreeMap<Timestamp, f64>, readings: &Readings) -> LeadScores {
    let pairs: Vec<(&Forecast, f64)> =
        forecasts.iter().filter_map(|f| Some((f, *observed.get(&f.valid_time)?))).collect();
    let values: Vec<f64> = pairs.iter().map(|(_, o)| *o).collect();
    let means: Vec<f64> = pairs.iter().map(|(f, _)| f.mean).collect();
    let (lower, upper): (Vec<f64>, Vec<f64>) =
        pairs.iter().map(|(f, _)| (f.quantiles[0], f.quantiles[QUANTILE_LEVELS.len() - 1])).unzip();
    let crps: Option<Vec<f64>> =
        pairs.iter().map(|(f, o)| crps_quantiles(&QUANTILE_LEVELS, &f.quantiles, *o).ok()).collect();
    let (then, persisted): (Vec<f64>, Vec<f64>) =
        pairs.iter().filter_map(|(f, o)| Some((*o, readings.persisted_m3_s(f.issue_time)?))).unzip();
    let errors: Vec<f64> = then.iter().zip(&persisted).map(|(o, p)| (o - p).abs()).collect();
    LeadScores {
        pairs: pairs.len(),
        nse: nse(&values, &means).ok(),
        nse_persistence: nse(&then, &persisted).ok(),
        crps: crps.and_then(|c| mean(&c).ok()),
        crps_persistence: mean(&errors).ok(),
        coverage_90: coverage(&lower, &upper, &values).ok(),
    }
}

/// The highest `count` observed values that lie at least `apart_s` seconds from a higher one, highest first.
pub fn peaks(observed: &BTreeMap<Timestamp, f64>, count: usize, apart_s: i64) -> Vec<(Timestamp, f64)> {
    let mut falling: Vec<(Timestamp, f64)> = observed.iter().map(|(t, q)| (*t, *q)).collect();
    falling.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut chosen: Vec<(Timestamp, f64)> = Vec::new();
    for (time, value) in falling {
        if chosen.iter().all(|(t, _)| time.seconds_since(*t).abs() >= apart_s) {
            chosen.push((time, value));
        }
        if chosen.len() == count {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn series(values: &[f64]) -> BTreeMap<Timestamp, f64> {
        values.iter().enumerate().map(|(i, v)| (Timestamp(0).plus_s(i as i64 * HOUR), *v)).collect()
    }

    #[test]
    fn persistence_is_the_newest_reading_at_the_issue_time() {
        let observed = series(&[1.0, 2.0, 4.0, 3.0]);
        let forecasts: Vec<Forecast> = (0..3)
            .map(|i| {
                let issue_time = Timestamp(0).plus_s(i * HOUR);
                let valid_time = issue_time.plus_s(HOUR);
                let truth = observed[&valid_time];
                Forecast {
                    issue_time,
                    valid_time,
                    mean: truth,
                    simulated: truth,
                    quantiles: [truth; QUANTILE_LEVELS.len()],
                    stage: None,
                }
            })
            .collect();
        let scores = score(&forecasts, &observed, &Readings::immediate(observed.clone()));
        assert_eq!((scores.pairs, scores.nse, scores.crps, scores.coverage_90), (3, Some(1.0), Some(0.0), Some(1.0)));
        // Observed 2, 4, 3 against 1, 2, 4: errors 1, 4, 1 over a variance sum of 2.
        assert_eq!(scores.nse_persistence, Some(-2.0));
        assert!((scores.crps_persistence.unwrap() - 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_shoulder_of_a_peak_is_not_another_peak() {
        let observed = series(&[0.0, 5.0, 9.0, 8.0, 1.0, 7.0]);
        let found = peaks(&observed, 2, 3 * HOUR);
        assert_eq!(found.iter().map(|p| p.1).collect::<Vec<_>>(), [9.0, 7.0]);
    }
}
