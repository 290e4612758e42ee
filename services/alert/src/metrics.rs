//! Metrics of the role: how many alerts there are, by kind and state, and what the gauges deliver; never by station.

use nilometer_engine::{Registry, RoleMetrics};
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// The role's metrics.
#[derive(Clone)]
pub struct AlertMetrics {
    /// the baseline
    pub role: RoleMetrics,
    /// alerts that there are, by kind and state
    pub(crate) alerts: IntGaugeVec,
    /// gauges, by what they deliver
    pub(crate) gauges: IntGaugeVec,
    /// rows of alert.v1, by why they are there
    pub(crate) changes: IntCounterVec,
}

impl AlertMetrics {
    /// Registers the role's metrics.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(role: RoleMetrics, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer");
        let alerts = IntGaugeVec::new(opts("alerts", "alerts that there are"), &["kind", "state"])?;
        let gauges = IntGaugeVec::new(opts("gauges", "gauges by what they deliver"), &["data"])?;
        let changes = IntCounterVec::new(opts("alert_changes_total", "changes of alerts"), &["change"])?;
        registry.register(Box::new(alerts.clone()))?;
        registry.register(Box::new(gauges.clone()))?;
        registry.register(Box::new(changes.clone()))?;
        Ok(Self { role, alerts, gauges, changes })
    }
}
