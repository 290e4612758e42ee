//! Biases of the flow duration curve: whether floods and low flows are as large as they should be, whenever they come.

use crate::error::StatisticsError;
use crate::series::{nonzero, require_pair};

/// Share of the days that count as high flow.
const HIGH: f64 = 0.02;
/// Share of the days that count as low flow.
const LOW: f64 = 0.3;
/// What a dry river counts as, in the series' unit: a logarithm needs something.
const DRY: f64 = 1e-6;

/// Percent bias of the highest 2 % of flows, `100 Σ(s − o) / Σo` over the tops of the two sorted series: negative where floods
/// come out too small. Source: Yilmaz et al. 2008, Water Resour. Res. 44, W09417.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the series is too short for a top or its top sums to 0; otherwise as [`crate::nse`].
pub fn high_flow_bias(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    require_pair(observed, simulated)?;
    let (observed, simulated) = (falling(observed), falling(simulated));
    let top = share(observed.len(), HIGH);
    nonzero("the number of high flows", top as f64)?;
    let sum = |series: &[f64]| series[..top].iter().sum::<f64>();
    let total = nonzero("the sum of the observed high flows", sum(&observed))?;
    Ok(100.0 * (sum(&simulated) - total) / total)
}

/// Percent bias of the lowest 30 % of flows, of how far their logarithms rise above the lowest one: positive where low flows vary
/// too little. Source: Yilmaz et al. 2008, Water Resour. Res. 44, W09417.
///
/// # Errors
/// [`StatisticsError::Undefined`] where the series is too short or its low flows are all equal; otherwise as [`crate::nse`].
pub fn low_flow_bias(observed: &[f64], simulated: &[f64]) -> Result<f64, StatisticsError> {
    require_pair(observed, simulated)?;
    let rise = |series: &[f64]| {
        let falling = falling(series);
        let logs: Vec<f64> =
            falling[falling.len() - share(falling.len(), LOW)..].iter().map(|q| q.max(DRY).ln()).collect();
        let lowest = logs.last().copied().unwrap_or(0.0);
        logs.iter().map(|log| log - lowest).sum::<f64>()
    };
    let observed = nonzero("the variability of the observed low flows", rise(observed))?;
    Ok(-100.0 * (rise(simulated) - observed) / observed)
}

fn falling(series: &[f64]) -> Vec<f64> {
    let mut sorted = series.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted
}

/// A share of `count`, to the nearest number, halves to the even one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "far below 2^53, and positive"
)]
fn share(count: usize, share: f64) -> usize {
    (count as f64 * share).round_ties_even() as usize
}
