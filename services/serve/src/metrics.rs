//! Metrics: how the service is asked, and who listens. None by station, path or client: these have no end.

use nilometer_engine::Registry;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, core::Collector};

/// Upper bounds of how long a request takes, s.
const SECONDS: [f64; 10] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Metrics of the service.
#[derive(Debug, Clone)]
pub struct ServeMetrics {
    /// by status
    pub(crate) requests: IntCounterVec,
    /// until the answer begins, of those that are no stream
    pub(crate) seconds: Histogram,
    /// clients that listen
    pub(crate) listening: IntGauge,
    /// those that were cut, as they were too slow
    pub(crate) cut: IntCounter,
    /// by outcome
    pub(crate) sql: IntCounterVec,
}

impl ServeMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer").subsystem("serve");
        let seconds = HistogramOpts::from(opts("request_seconds", "time until the answer of a request begins"));
        let metrics = Self {
            requests: IntCounterVec::new(opts("requests_total", "requests, by status of the answer"), &["status"])?,
            seconds: Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?,
            listening: IntGauge::with_opts(opts("stream_clients", "clients that listen to streams"))?,
            cut: IntCounter::with_opts(opts(
                "stream_cuts_total",
                "stream clients that were cut, as they were too slow",
            ))?,
            sql: IntCounterVec::new(opts("sql_queries_total", "SQL queries, by outcome"), &["outcome"])?,
        };
        let all: [Box<dyn Collector>; 5] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.seconds.clone()),
            Box::new(metrics.listening.clone()),
            Box::new(metrics.cut.clone()),
            Box::new(metrics.sql.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }
}
