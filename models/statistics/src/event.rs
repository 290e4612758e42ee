//! Flood events, with some steps of tolerance in their timing.

use crate::{
    error::StatisticsError,
    series::{count, require_finite, require_length},
};

/// How many events were observed and predicted, and how many of them found each other. Add up gauges by adding fields,
/// or average their [`f1`](Self::f1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FloodEvents {
    /// observed events
    pub observed: usize,
    /// of these, the ones with a predicted event near enough
    pub observed_hit: usize,
    /// predicted events
    pub predicted: usize,
    /// of these, the ones around which no observation is missing
    pub judged: usize,
    /// of those, the ones with an observed event near enough
    pub judged_hit: usize,
}

impl FloodEvents {
    /// Counts events of two evenly spaced series `[T]`, NaN where there is no value.
    ///
    /// An event is a step at or above the threshold after one below it, each series by its own threshold, so that a biased
    /// model is judged by its own floods. Two events find each other when at most `tolerance` steps lie between them; one
    /// may find several. A predicted event around which an observation is missing, from `tolerance + 1` steps before it to
    /// `tolerance` steps after it, is not judged; an observed event always is. Source: Nearing et al. 2024, Nature 627, 559,
    /// and the code released with it.
    ///
    /// # Errors
    /// [`StatisticsError::Length`] where the series differ in length, [`StatisticsError::NotFinite`] for a threshold.
    pub fn count(
        observed: &[f64],
        observed_threshold: f64,
        simulated: &[f64],
        simulated_threshold: f64,
        tolerance: usize,
    ) -> Result<Self, StatisticsError> {
        require_length("simulated", simulated.len(), observed.len())?;
        require_finite("thresholds", &[observed_threshold, simulated_threshold])?;
        let mut events = Self::default();
        for at in crossings(observed, observed_threshold) {
            events.observed += 1;
            events.observed_hit += usize::from(crosses_near(simulated, simulated_threshold, at, tolerance));
        }
        for at in crossings(simulated, simulated_threshold) {
            events.predicted += 1;
            if around(observed, at, tolerance).iter().any(|o| o.is_nan()) {
                continue;
            }
            events.judged += 1;
            events.judged_hit += usize::from(crosses_near(observed, observed_threshold, at, tolerance));
        }
        Ok(events)
    }

    /// What [`count`](Self::count) adds for the step in the middle of a window of seven, the fourth, with a tolerance of two steps and one
    /// threshold for both series: events can so be counted as they come.
    #[must_use]
    pub fn in_the_middle(observed: &[f64; 7], predicted: &[f64; 7], threshold: f64) -> Self {
        let (observed, predicted) = (&observed[..6], &predicted[..6]);
        let crosses = |series: &[f64]| crossings(&series[2..4], threshold).next().is_some();
        let crosses_somewhere = |series: &[f64]| crossings(series, threshold).next().is_some();
        let mut events = Self::default();
        if crosses(observed) {
            events.observed = 1;
            events.observed_hit = usize::from(crosses_somewhere(predicted));
        }
        if crosses(predicted) {
            events.predicted = 1;
            events.judged = usize::from(observed.iter().all(|o| !o.is_nan()));
            events.judged_hit = usize::from(events.judged == 1 && crosses_somewhere(observed));
        }
        events
    }

    /// Share of judged predicted events that came; `1 - precision` is the false alarm ratio. 1 where no predicted event can
    /// be judged or no event is on either side, 0 where events were observed and none predicted.
    #[must_use]
    pub fn precision(&self) -> f64 {
        match (self.judged, self.predicted) {
            (0, 0) => f64::from(u8::from(self.observed == 0)),
            (0, _) => 1.0,
            (judged, _) => count(self.judged_hit) / count(judged),
        }
    }

    /// Share of observed events that had been predicted, the probability of detection. 1 where no event is on either side,
    /// 0 where events were predicted and none observed.
    #[must_use]
    pub fn recall(&self) -> f64 {
        match self.observed {
            0 => f64::from(u8::from(self.predicted == 0)),
            observed => count(self.observed_hit) / count(observed),
        }
    }

    /// Harmonic mean of precision and recall; 0 where both are.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }
}

/// Steps at which the series reaches the threshold from below.
fn crossings(series: &[f64], threshold: f64) -> impl Iterator<Item = usize> {
    let crosses = move |pair: &[f64]| pair[0] < threshold && pair[1] >= threshold;
    series.windows(2).enumerate().filter(move |(_, pair)| crosses(pair)).map(|(before, _)| before + 1)
}

fn crosses_near(series: &[f64], threshold: f64, at: usize, tolerance: usize) -> bool {
    crossings(around(series, at, tolerance), threshold).next().is_some()
}

/// The steps that decide whether the series crosses within the tolerance of step `at`.
fn around(series: &[f64], at: usize, tolerance: usize) -> &[f64] {
    &series[at.saturating_sub(tolerance.saturating_add(1))
        ..at.saturating_add(tolerance).saturating_add(1).min(series.len())]
}
