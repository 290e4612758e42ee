//! Where observations fall among the members of an ensemble: its rank histogram, and whether that is flat.

use crate::{
    error::StatisticsError,
    series::{count, nonzero, require_finite, require_some},
    threshold::{require_distribution, share_below, share_up_to},
};

/// Number in `[0, 1)` that belongs to forecast `index` of a sequence: output `index` of the generator SplitMix64, so that
/// ties are drawn alike in any order of forecasts and on any number of threads. Source: Steele et al. 2014, OOPSLA.
#[must_use]
pub fn seeded_uniform(seed: u64, index: u64) -> f64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (((z ^ (z >> 31)) >> 11) as f64) / (1_u64 << 53) as f64
}

/// Rank, 0 to M, of an observation among members `[M]` in any order: how many lie below it, and of t members equal to
/// it 0 to t of them, as `uniform` in `[0, 1)` draws. Source: Hamill 2001, Mon. Weather Rev. 129, 550.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a member, [`StatisticsError::NotFinite`] for a NaN or an infinity,
/// [`StatisticsError::Probability`] for a `uniform` outside its range.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the number of members")]
pub fn rank(members: &[f64], observed: f64, uniform: f64) -> Result<usize, StatisticsError> {
    let (below, equal) = standing(members, observed, uniform)?;
    Ok(below + (uniform * count(equal + 1)) as usize)
}

/// Probability integral transform, 0 to 1, of an observation among members `[M]`: drawn evenly by `uniform` in `[0, 1)`
/// from the step that their distribution function takes at the observation. Source: Czado et al. 2009, Biometrics 65, 1254.
///
/// # Errors
/// As [`rank`].
pub fn pit_of_members(members: &[f64], observed: f64, uniform: f64) -> Result<f64, StatisticsError> {
    let (below, equal) = standing(members, observed, uniform)?;
    Ok((count(below) + uniform * count(equal)) / count(members.len()))
}

/// Probability integral transform in (0, 1) of an observation under ascending `quantiles` `[L]` at ascending `levels`
/// `[L]`, with the tails of [`crate::exceedance_of_quantiles`]. Drawn by `uniform` in `[0, 1)` where quantiles equal the
/// observation, as those of a dry river do.
///
/// # Errors
/// As [`crate::exceedance_of_quantiles`], and [`StatisticsError::Probability`] for a `uniform` outside its range.
pub fn pit_of_quantiles(
    levels: &[f64],
    quantiles: &[f64],
    observed: f64,
    uniform: f64,
) -> Result<f64, StatisticsError> {
    require_distribution(levels, quantiles)?;
    require_finite("observed", &[observed])?;
    require_uniform(uniform)?;
    let below = share_below(levels, quantiles, observed);
    Ok(below + uniform * (share_up_to(levels, quantiles, observed) - below))
}

/// How far a rank histogram is from flat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flatness {
    /// Pearson's χ², with one degree of freedom fewer than bins when the ensemble is reliable
    pub chi_square: f64,
    /// its part along a line, as a signed root: above 0 where observations rank high, so that the ensemble is too low. Standard
    /// normal when the ensemble is reliable; its square has one degree of freedom.
    pub slope: f64,
    /// its part along a parabola, likewise: above 0 for a U, so that the ensemble is too narrow
    pub convexity: f64,
}

/// Flatness of a rank histogram: how many observations fell on each rank `[M + 1]`. Forecasts must not depend on each
/// other for χ² to be distributed as said; consecutive ones of one gauge do. Source: Jolliffe & Primo 2008, Mon. Weather Rev. 136,
/// 2133.
///
/// # Errors
/// [`StatisticsError::TooFew`] below three ranks, [`StatisticsError::Undefined`] for an empty histogram.
pub fn flatness(counts: &[u64]) -> Result<Flatness, StatisticsError> {
    if counts.len() < 3 {
        return Err(StatisticsError::TooFew { what: "rank histogram", actual: counts.len(), least: 3 });
    }
    let bins = count(counts.len());
    let expected = nonzero("the number of observations", counts.iter().sum::<u64>() as f64)? / bins;
    let deviations = || counts.iter().map(|n| (*n as f64 - expected) / expected.sqrt());
    let from_middle = |at: usize| count(at) - (bins - 1.0) / 2.0;
    let mean_square = (bins * bins - 1.0) / 12.0; // of the distances from the middle
    let along = |contrast: &dyn Fn(usize) -> f64| {
        let length = (0..counts.len()).map(|at| contrast(at).powi(2)).sum::<f64>().sqrt();
        deviations().enumerate().map(|(at, deviation)| deviation * contrast(at)).sum::<f64>() / length
    };
    Ok(Flatness {
        chi_square: deviations().map(|deviation| deviation * deviation).sum(),
        slope: along(&from_middle),
        convexity: along(&|at| from_middle(at).powi(2) - mean_square),
    })
}

/// How many members lie below the observation, and how many equal it.
fn standing(members: &[f64], observed: f64, uniform: f64) -> Result<(usize, usize), StatisticsError> {
    require_some("members", members, 1)?;
    require_finite("members", members)?;
    require_finite("observed", &[observed])?;
    require_uniform(uniform)?;
    let below = members.iter().filter(|member| **member < observed).count();
    let up_to = members.iter().filter(|member| **member <= observed).count();
    Ok((below, up_to - below))
}

fn require_uniform(value: f64) -> Result<(), StatisticsError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(StatisticsError::Probability { what: "uniform number", value, accepted: "0 to 1, without 1" })
    }
}
