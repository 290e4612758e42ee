//! Metrics of the role: how good outlooks are, by index and week; never by station.

use nilometer_engine::{Registry, RoleMetrics};
use nilometer_schemas::OutlookScores;
use prometheus::{CounterVec, IntCounterVec, Opts};

/// The role's metrics. Skill is made by queries over the time that they choose: `1 - rate(rps{of="outlook"}) / rate(rps{of="persistence"})`.
#[derive(Clone)]
pub struct DroughtMetrics {
    /// the baseline
    pub role: RoleMetrics,
    /// weeks of outlooks that were scored
    scored: IntCounterVec,
    /// sums of ranked probability scores, of the outlook and of what stands beside it
    rps: CounterVec,
}

impl DroughtMetrics {
    /// Registers the role's metrics.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(role: RoleMetrics, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer").subsystem("drought");
        let scored = opts("outlooks_scored_total", "weeks of drought outlooks that were held against what came");
        let scored = IntCounterVec::new(scored, &["index", "week"])?;
        let rps = opts("outlook_rps_total", "sum of their ranked probability scores");
        let rps = CounterVec::new(rps, &["index", "week", "of"])?;
        registry.register(Box::new(scored.clone()))?;
        registry.register(Box::new(rps.clone()))?;
        Ok(Self { role, scored, rps })
    }

    /// Shows scores that are in the log.
    pub(crate) fn show(&self, scores: &OutlookScores) {
        for row in 0..scores.len() {
            let (index, week) = (scores.index().value(row), scores.week().value(row).to_string());
            self.scored.with_label_values(&[index, &week]).inc();
            for (of, column) in [
                ("outlook", scores.rps()),
                ("persistence", scores.rps_persistence()),
                ("climatology", scores.rps_climatology()),
            ] {
                self.rps.with_label_values(&[index, &week, of]).inc_by(column.value(row));
            }
        }
    }
}
