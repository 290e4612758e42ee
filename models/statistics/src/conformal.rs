//! Trackers of one tail of a predictive distribution: how far it must reach to be missed as often as it should.
//!
//! ```text
//!  forecast, a tail ─▶ threshold(misses, alpha) ─▶ stretch_tails ─▶ issued
//!                            ▲                          └─▶ end that was promised, kept until the observation comes
//!                            └────────── Misses::learn(beyond that end?, alpha) ◀───────────┘
//! ```
//!
//! The score of an observation is its distance from the median over that of the forecast's outer quantile: 0 at the
//! median, 1 at the quantile of level α from its own end. It was missed when its score passed the threshold, and with
//! thresholds of 1 forecasts stay as they are. Scores have no unit, so that one setting serves all rivers.
//!
//! Both trackers follow from one state, [`Misses`]: how many misses there were beyond α of all forecasts. One state belongs to a
//! gauge, lead time and tail. At a lead of h steps an observation comes h steps after its forecast; each is learnt against the end that
//! its own forecast promised, and the bounds below allow for the h on the way.

use crate::{
    error::StatisticsError,
    series::{count, require_ascending, require_some},
};

/// What a tail has learnt: all zero is nothing yet. Two numbers for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Misses {
    /// misses beyond what was due: their number less α times that of the forecasts
    pub excess: f32,
    /// verified forecasts
    pub forecasts: f32,
}

impl Misses {
    /// Learns from one verified forecast whether its observation lay beyond the end that it promised. An infinite interval
    /// is never missed and an empty one always, which comparing with the ends of [`crate::stretch_tails`] gives.
    pub fn learn(&mut self, missed: bool, alpha: f64) {
        self.excess = (f64::from(self.excess) + f64::from(u8::from(missed)) - alpha) as f32;
        self.forecasts += 1.0; // stays at 2^24, where nothing depends on it any more
    }
}

/// Adaptive conformal inference: the level at which the quantile of scores is taken follows
/// `level ← level + rate (α − miss)`. Over n forecasts the share of misses differs from α by at most
/// `(max(α, 1 − α) + h rate) / (n rate)`, whatever comes. Source: Gibbs & Candès 2021, `NeurIPS` 34, equation 2 and
/// proposition 4.1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveConformal {
    /// how much a miss moves the level; 0.005 in the source
    pub rate: f64,
}

impl AdaptiveConformal {
    /// The level now: α at first, lower after misses, and beyond 0 or 1 while the interval is infinite or empty.
    #[must_use]
    pub fn level(&self, misses: Misses, alpha: f64) -> f64 {
        alpha - self.rate * f64::from(misses.excess)
    }

    /// The threshold that scores pass with a probability of the [`level`](Self::level), when they pass 0 with one half, 1
    /// with `alpha` in (0, 0.5) and fall off exponentially: infinite at level 0 and below, minus infinity from 1 on.
    /// Where scores are kept, [`split_threshold`] of the level takes theirs instead.
    #[must_use]
    pub fn threshold(&self, misses: Misses, alpha: f64) -> f64 {
        match self.level(misses, alpha) {
            level if level <= 0.0 => f64::INFINITY,
            level if level >= 1.0 => f64::NEG_INFINITY,
            level => (2.0 * level).ln() / (2.0 * alpha).ln(),
        }
    }
}

/// Conformal PI control: the threshold itself follows `q ← q + rate (miss − α)`, and an integrator pushes the harder the
/// longer misses stay off α. Without it and with scores in 0 to b, the share of misses of n forecasts differs from α by at
/// most `(max(b − 1, 1) + h rate) / (n rate)`; with it by at most `(π/2 C (n + 1) / ln(n + 1) + h) / n` from n = 3 on,
/// whatever comes. The source adds a forecast of the score (D), which here is the forecast's own outer quantile. Source:
/// Angelopoulos, Candès & Tibshirani 2023, `NeurIPS` 36, propositions 1 and 2; `t + 1` for `t` as in the code released
/// with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConformalPid {
    /// how much a miss moves the threshold (P); 0.1 of the range of scores in the source
    pub rate: f64,
    /// scale of the integrator (I), as large as scores are; 0 leaves it out
    pub integral: f64,
    /// `C`: the smaller, the sooner the integrator opens the interval for good
    pub saturation: f64,
}

impl Default for ConformalPid {
    /// Scores are of size 1. The saturation is the source's `2/π (1 − 1 / ln n)`, for an n of some ten thousands.
    fn default() -> Self {
        Self { rate: 0.1, integral: 1.0, saturation: 0.573 }
    }
}

impl ConformalPid {
    /// The threshold now: 1 at first, higher after misses; infinite, or minus infinity, where the integrator saturates.
    /// `alpha` is in what `misses` has learnt.
    #[must_use]
    pub fn threshold(&self, misses: Misses) -> f64 {
        1.0 + self.rate * f64::from(misses.excess) + self.integrator(misses)
    }

    /// `integral · tan(excess ln(t + 1) / (C (t + 1)))`, infinite beyond a quarter turn.
    fn integrator(&self, misses: Misses) -> f64 {
        let steps = f64::from(misses.forecasts) + 1.0;
        let angle = f64::from(misses.excess) * steps.ln() / (self.saturation * steps);
        if self.integral == 0.0 {
            0.0
        } else if angle.abs() < std::f64::consts::FRAC_PI_2 {
            self.integral * angle.tan()
        } else {
            f64::INFINITY.copysign(angle)
        }
    }
}

/// The threshold that a new score passes with a probability of at most `level`, from ascending past scores `[N]`, if all
/// are exchangeable: the one of rank `⌈(N + 1)(1 − level)⌉`. Infinite where the rank exceeds N, as at levels of 0 and below, and
/// minus infinity from a level of 1 on. Source: Vovk et al. 2005, Algorithmic Learning in a Random World; ranks as in
/// Angelopoulos & Bates 2023, Found. Trends Mach. Learn. 16, 494.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a score, [`StatisticsError::Order`] where scores do not ascend,
/// [`StatisticsError::NotFinite`] for a NaN; scores may be infinite.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to the number of scores")]
pub fn split_threshold(sorted_scores: &[f64], level: f64) -> Result<f64, StatisticsError> {
    require_some("scores", sorted_scores, 1)?;
    if let Some(index) = sorted_scores.iter().position(|score| score.is_nan()) {
        return Err(StatisticsError::NotFinite { what: "scores", index, value: f64::NAN });
    }
    require_ascending("scores", sorted_scores)?;
    // A whole rank such as 100 · (1 − 0.44) = 56.00000000000001 must not be rounded up by its last digit.
    let rank = (count(sorted_scores.len() + 1) * (1.0 - level) - 1e-9).ceil();
    Ok(match rank {
        rank if rank <= 0.0 => f64::NEG_INFINITY,
        rank if rank > count(sorted_scores.len()) => f64::INFINITY,
        rank => sorted_scores[rank as usize - 1],
    })
}
