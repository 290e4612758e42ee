//! Timing of flood peaks.

use crate::error::StatisticsError;
use crate::series::{count, mean_of, require_length};

/// How far apart the peaks that count lie at least, in steps.
const APART: usize = 100;

/// Mean distance in steps between observed peaks and the simulated ones that belong to them; none where there is no peak to judge.
///
/// Both series are `[T]`, evenly spaced, NaN where there is no value. A peak counts when it stands out by a standard deviation of the
/// observed values and is the highest within 100 steps. The simulated peak is the same step where the simulation peaks there
/// too, else its highest value within `window` steps; a peak whose window has a gap or leaves the series is passed over.
/// Source: Kratzert et al. 2021, Hydrol. Earth Syst. Sci. 25, 2685, Appendix B.
///
/// # Errors
/// [`StatisticsError::Length`] where the series differ in length.
pub fn peak_timing_error(observed: &[f64], simulated: &[f64], window: usize) -> Result<Option<f64>, StatisticsError> {
    require_length("simulated", simulated.len(), observed.len())?;
    let known: Vec<f64> = observed.iter().copied().filter(|o| !o.is_nan()).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let mean = mean_of(&known);
    let deviation = (known.iter().map(|o| (o - mean).powi(2)).sum::<f64>() / count(known.len())).sqrt();
    let mut errors = Vec::new();
    for peak in apart(observed).into_iter().filter(|peak| prominence(observed, *peak) >= deviation) {
        let (Some(first), last) = (peak.checked_sub(window), peak + window) else { continue };
        if last >= observed.len() || (first..=last).any(|t| observed[t].is_nan() || simulated[t].is_nan()) {
            continue;
        }
        errors.push(count(distance_of_highest(&simulated[first..=last], window)));
    }
    Ok((!errors.is_empty()).then(|| mean_of(&errors)))
}

/// Whether the observed value in the middle of a window of seven is a peak (above the three before it, not below the three behind it), and
/// then how many steps from it the predicted one lies: none away where the prediction peaks there too, else at its highest value.
/// None where it is no peak, and where a value of the window is missing. The same as [`peak_timing_error`] but for which peaks count:
/// in a series that is still growing it is not known how far it stands out.
#[must_use]
pub fn peak_offset(observed: &[f64; 7], predicted: &[f64; 7]) -> Option<usize> {
    const MIDDLE: usize = 3;
    let known = |series: &[f64; 7]| series.iter().all(|value| !value.is_nan());
    let peaks = observed[..MIDDLE].iter().all(|o| *o < observed[MIDDLE])
        && observed[MIDDLE..].iter().all(|o| *o <= observed[MIDDLE]);
    if !peaks || !known(observed) || !known(predicted) {
        return None;
    }
    Some(distance_of_highest(predicted, MIDDLE))
}

/// How far from `peak` the series is highest; not at all where it peaks there too.
fn distance_of_highest(series: &[f64], peak: usize) -> usize {
    let peaks_too = series.len() > 1 && series[peak] > series[peak - 1] && series[peak] > series[peak + 1];
    let highest = (0..series.len()).fold(0, |best, t| if series[t] > series[best] { t } else { best });
    if peaks_too { 0 } else { highest.abs_diff(peak) }
}

/// Steps higher than their neighbours, the middle one of a level top, and no two of them nearer than [`APART`]: the higher
/// one stays, of two equal ones the later.
fn apart(series: &[f64]) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut t = 1;
    while t + 1 < series.len() {
        if series[t - 1] < series[t] {
            let mut end = t;
            while end + 1 < series.len() && series[end + 1] == series[t] {
                end += 1;
            }
            if end + 1 < series.len() && series[end + 1] < series[t] {
                peaks.push(usize::midpoint(t, end));
            }
            t = end;
        }
        t += 1;
    }
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|a, b| series[peaks[*b]].total_cmp(&series[peaks[*a]]).then(b.cmp(a)));
    let mut stays = vec![true; peaks.len()];
    for at in order {
        if !stays[at] {
            continue;
        }
        for (other, stays) in stays.iter_mut().enumerate() {
            if other != at && peaks[other].abs_diff(peaks[at]) < APART {
                *stays = false;
            }
        }
    }
    peaks.into_iter().zip(stays).filter_map(|(peak, stays)| stays.then_some(peak)).collect()
}

/// How far a peak stands above the higher of the lowest values between it and higher ground on either side. A gap ends a side.
fn prominence(series: &[f64], peak: usize) -> f64 {
    let lowest =
        |values: &mut dyn Iterator<Item = f64>| values.take_while(|v| *v <= series[peak]).fold(series[peak], f64::min);
    let left = lowest(&mut series[..peak].iter().rev().copied());
    let right = lowest(&mut series[peak + 1..].iter().copied());
    series[peak] - left.max(right)
}
