//! Judge: one forecast beside what came. Pure.

use nilometer_schemas::{QUANTILE_LEVELS, ThresholdScore};
use nilometer_statistics::{
    StatisticsError, brier_score, crps_quantiles, exceedance_of_quantiles, pinball, pit_of_quantiles,
};

/// Levels whose pinball losses are given.
const LEVELS_GIVEN: [f64; 3] = [0.05, 0.50, 0.95];

/// How good one forecast was; in the unit of the forecast unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) crps: f64,
    pub(crate) pinball: [f64; LEVELS_GIVEN.len()],
    /// probability below the observation; in the middle of what is left open where quantiles are equal
    pub(crate) pit: f64,
    pub(crate) width_90: f64,
    pub(crate) covered_90: bool,
}

/// Judges quantiles at [`QUANTILE_LEVELS`] by what was observed.
///
/// # Errors
/// When a number is not finite or quantiles cross, which `forecast.v1` rules out.
pub(crate) fn judge(quantiles: &[f64; QUANTILE_LEVELS.len()], observed: f64) -> Result<Judgement, StatisticsError> {
    let (lower, upper) = (quantiles[0], quantiles[QUANTILE_LEVELS.len() - 1]);
    let mut losses = [0.0; LEVELS_GIVEN.len()];
    for (loss, level) in losses.iter_mut().zip(LEVELS_GIVEN) {
        let at = QUANTILE_LEVELS.partition_point(|l| *l < level - 1e-9);
        *loss = pinball(quantiles[at], observed, level)?;
    }
    Ok(Judgement {
        crps: crps_quantiles(&QUANTILE_LEVELS, quantiles, observed)?,
        pinball: losses,
        pit: pit_of_quantiles(&QUANTILE_LEVELS, quantiles, observed, 0.5)?,
        width_90: upper - lower,
        covered_90: (lower..=upper).contains(&observed),
    })
}

/// What the same forecast said of each of `thresholds`, in `into`.
///
/// # Errors
/// As [`judge`].
pub(crate) fn judge_thresholds(
    quantiles: &[f64; QUANTILE_LEVELS.len()],
    observed: f64,
    thresholds: &[f64],
    into: &mut Vec<ThresholdScore>,
) -> Result<(), StatisticsError> {
    into.clear();
    for &threshold in thresholds {
        let exceedance = exceedance_of_quantiles(&QUANTILE_LEVELS, quantiles, threshold)?;
        let brier = brier_score(&[exceedance], &[observed >= threshold])?;
        into.push(ThresholdScore { threshold, exceedance, brier, floods: [0; 3] });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_that_was_thought_unlikely_costs_more() {
        // Uniform on 0 to 20.
        let quantiles = QUANTILE_LEVELS.map(|level| 20.0 * level);
        let (near, far) = (judge(&quantiles, 11.0).unwrap(), judge(&quantiles, 30.0).unwrap());
        assert!((near.pit - 0.55).abs() < 1e-12 && near.covered_90 && !far.covered_90 && far.pit > 0.95);
        assert!((near.width_90 - 18.0).abs() < 1e-12 && near.crps < far.crps);
        // 0.5 × |11 − 10|, and 0.05 × (11 − 1), (1 − 0.95) × (19 − 11).
        for (loss, expected) in near.pinball.into_iter().zip([0.5, 0.5, 0.4]) {
            assert!((loss - expected).abs() < 1e-12, "{:?}", near.pinball);
        }
        let mut found = Vec::new();
        for (observed, brier) in [(11.0, 0.0625), (30.0, 0.5625)] {
            judge_thresholds(&quantiles, observed, &[15.0], &mut found).unwrap();
            assert!((found[0].exceedance - 0.25).abs() < 1e-12 && (found[0].brier - brier).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(found.len(), 1);
    }
}
