//! Every metric of the engine and the baseline of every role, built from an injected registry. Names live here only.
//!
//! What a role has of one partition is in a registry of that partition, whose label everything in it carries: a partition that goes to
//! another process takes its numbers with it.

use std::collections::BTreeMap;

use nilometer_schemas::{Reason, Timestamp};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    core::Collector,
};

use crate::{Balance, Partition, Registry};

/// All metrics of one process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    rows: IntGaugeVec,
    rejected: IntGaugeVec,
    messages: IntCounterVec,
    dead_letters: IntCounterVec,
    source_failures: IntCounterVec,
    role_seconds: HistogramVec,
    event_time: GaugeVec,
    positions: IntGaugeVec,
    queue_depth: IntGaugeVec,
    snapshots: IntCounterVec,
    source_rows: IntGaugeVec,
    source_rejected: IntGaugeVec,
    source_reached: GaugeVec,
    source_period: GaugeVec,
    pub(crate) append_seconds: Histogram,
    ends: IntGaugeVec,
    pub(crate) transactions: IntCounterVec,
    pub(crate) torn_segments: IntCounter,
    pub(crate) damaged_segments: IntCounter,
}

/// The baseline that every role has.
#[derive(Clone)]
pub struct RoleMetrics {
    name: &'static str,
    metrics: Metrics,
    /// messages or ticks handled
    pub messages: IntCounter,
    /// seconds a message or tick took
    pub seconds: Histogram,
    /// snapshots saved
    pub snapshots: IntCounter,
    event_time: Gauge,
}

impl Metrics {
    /// Registers the engine's metrics in `registry`.
    ///
    /// # Errors
    /// [`prometheus::Error`] when the registry already holds a metric of the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::build(registry.clone())?;
        let of_process: [Box<dyn Collector>; 12] = [
            Box::new(metrics.source_rows.clone()),
            Box::new(metrics.source_rejected.clone()),
            Box::new(metrics.source_reached.clone()),
            Box::new(metrics.source_period.clone()),
            Box::new(metrics.source_failures.clone()),
            Box::new(metrics.queue_depth.clone()),
            Box::new(metrics.append_seconds.clone()),
            Box::new(metrics.ends.clone()),
            Box::new(metrics.transactions.clone()),
            Box::new(metrics.torn_segments.clone()),
            Box::new(metrics.damaged_segments.clone()),
            Box::new(build_info()?),
        ];
        of_process.into_iter().try_for_each(|collector| registry.register(collector))?;
        metrics.register_roles()?;
        Ok(metrics)
    }

    /// What roles have of one partition, in a registry of its own; the log's metrics stay where they are.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn of_partition(&self, number: u32) -> Result<Self, prometheus::Error> {
        let of_roles = Self::build(Registry::labelled("partition", number.to_string())?)?;
        of_roles.register_roles()?;
        Ok(Self {
            registry: of_roles.registry,
            rows: of_roles.rows,
            rejected: of_roles.rejected,
            messages: of_roles.messages,
            dead_letters: of_roles.dead_letters,
            role_seconds: of_roles.role_seconds,
            event_time: of_roles.event_time,
            positions: of_roles.positions,
            snapshots: of_roles.snapshots,
            ..self.clone()
        })
    }

    fn register_roles(&self) -> Result<(), prometheus::Error> {
        let of_roles: [Box<dyn Collector>; 8] = [
            Box::new(self.rows.clone()),
            Box::new(self.rejected.clone()),
            Box::new(self.messages.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.role_seconds.clone()),
            Box::new(self.event_time.clone()),
            Box::new(self.positions.clone()),
            Box::new(self.snapshots.clone()),
        ];
        of_roles.into_iter().try_for_each(|collector| self.registry.register(collector))
    }

    /// Metrics that are not scraped.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::build(Registry::default()).expect("the names below are valid and distinct")
    }

    fn build(registry: Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).namespace("nilometer");
        let seconds = |name: &str, help: &str| {
            HistogramOpts::new(name, help)
                .namespace("nilometer")
                .buckets(vec![1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0])
        };
        Ok(Self {
            registry,
            rows: IntGaugeVec::new(
                opts(
                    "rows",
                    "rows by role since the role's first start: received = used + rejected + late + missing + pending",
                ),
                &["role", "fate"],
            )?,
            rejected: IntGaugeVec::new(
                opts("rows_rejected", "rows that could not be used, by reason"),
                &["role", "reason"],
            )?,
            messages: IntCounterVec::new(opts("messages_total", "messages or ticks handled"), &["role"])?,
            dead_letters: IntCounterVec::new(
                opts("dead_letters_total", "dead letters written, by reason"),
                &["role", "reason"],
            )?,
            source_failures: IntCounterVec::new(
                opts(
                    "source_failures_total",
                    "looks at a source that could not be read; each is tried again at the next tick",
                ),
                &["source"],
            )?,
            role_seconds: HistogramVec::new(seconds("role_seconds", "time that one message or tick took"), &["role"])?,
            event_time: GaugeVec::new(
                opts("event_time_seconds", "newest event time handled, Unix seconds"),
                &["role"],
            )?,
            positions: IntGaugeVec::new(
                opts(
                    "input_position",
                    "messages of a topic that are behind a role; what the log ends at less this is its lag",
                ),
                &["role", "topic"],
            )?,
            queue_depth: IntGaugeVec::new(opts("queue_depth", "items waiting in a bounded queue"), &["queue"])?,
            snapshots: IntCounterVec::new(opts("snapshots_total", "snapshots saved"), &["role"])?,
            source_rows: IntGaugeVec::new(
                opts("source_rows", "rows of a source that became observations or forcing, since its first start"),
                &["source"],
            )?,
            source_rejected: IntGaugeVec::new(
                opts("source_rows_rejected", "rows of a source in dead letters, by reason"),
                &["source", "reason"],
            )?,
            source_reached: GaugeVec::new(
                opts("source_newest_seconds", "newest valid time of a source's rows and newest arrival, Unix seconds"),
                &["source", "time"],
            )?,
            source_period: GaugeVec::new(
                opts("source_period_seconds", "time that a row of a source stands for, a step of the model at least"),
                &["source"],
            )?,
            append_seconds: Histogram::with_opts(seconds(
                "log_append_seconds",
                "time from when a message was handed to the log until that had it",
            ))?,
            ends: IntGaugeVec::new(
                opts("log_end_position", "where a partition ends, as the process knows that appended to it last"),
                &["topic", "partition"],
            )?,
            transactions: IntCounterVec::new(
                opts(
                    "log_transactions_total",
                    "transactions of the log on Kafka: committed, fenced by another writer, failed",
                ),
                &["outcome"],
            )?,
            torn_segments: IntCounter::with_opts(opts(
                "log_torn_segments_total",
                "torn segments cut from the end of the log",
            ))?,
            damaged_segments: IntCounter::with_opts(opts(
                "log_damaged_segments_total",
                "damaged or missing segments, found at the start or met while reading",
            ))?,
        })
    }

    /// A hole of the log was found before it was read.
    pub fn found_damaged(&self) {
        self.damaged_segments.inc();
    }

    /// The registry that these metrics were built from.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The baseline of a role.
    #[must_use]
    pub fn role(&self, name: &'static str) -> RoleMetrics {
        RoleMetrics {
            name,
            metrics: self.clone(),
            messages: self.messages.with_label_values(&[name]),
            seconds: self.role_seconds.with_label_values(&[name]),
            snapshots: self.snapshots.with_label_values(&[name]),
            event_time: self.event_time.with_label_values(&[name]),
        }
    }

    /// Shows how many rows of a source were used, and how many are in dead letters.
    pub fn source_rows(&self, source: &str, used: u64, rejected: &BTreeMap<Reason, u64>) {
        self.source_rows.with_label_values(&[source]).set(gauge(used));
        for (reason, rows) in rejected {
            self.source_rejected.with_label_values(&[source, reason.name()]).set(gauge(*rows));
        }
    }

    /// Shows the newest valid time and the newest arrival of a source; neither while there is none.
    pub fn source_reached(&self, source: &str, valid_time: Option<Timestamp>, arrival: Option<Timestamp>) {
        for (label, time) in [("valid", valid_time), ("arrival", arrival)] {
            if let Some(time) = time {
                self.source_reached.with_label_values(&[source, label]).set(time.0 as f64 / 1e6);
            }
        }
    }

    /// Says for how long a row of a source stands.
    pub fn source_period(&self, source: &str, seconds: i64) {
        self.source_period.with_label_values(&[source]).set(seconds as f64);
    }

    /// Notes that a message was appended.
    pub(crate) fn appended(&self, partition: Partition, position: u64) {
        let labels = [partition.contract.topic(), &partition.number.to_string()];
        self.ends.with_label_values(&labels).set(gauge(position + 1));
    }

    pub(crate) fn queue(&self, name: &str) -> prometheus::IntGauge {
        self.queue_depth.with_label_values(&[name])
    }
}

impl RoleMetrics {
    /// The role's name, the value of the label `role`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Notes the newest event time.
    pub fn reached(&self, time: Timestamp) {
        self.event_time.set(time.0 as f64 / 1e6);
    }

    /// Notes that what a tick led to is in the log, and where the inputs are behind it.
    pub fn done(&self, tick: Timestamp, inputs: impl IntoIterator<Item = (Partition, u64)>) {
        self.messages.inc();
        self.reached(tick);
        inputs.into_iter().for_each(|(partition, position)| self.at(partition, position));
    }

    /// Notes where the role is in one of its inputs.
    pub fn at(&self, partition: Partition, position: u64) {
        let labels = [self.name, partition.contract.topic()];
        self.metrics.positions.with_label_values(&labels).set(gauge(position));
    }

    /// Counts a look at a source that could not be read.
    pub fn source_failed(&self, source: &str) {
        self.metrics.source_failures.with_label_values(&[source]).inc();
    }

    /// Counts a dead letter.
    pub fn dead_letter(&self, reason: Reason) {
        self.metrics.dead_letters.with_label_values(&[self.name, reason.name()]).inc();
    }

    pub(crate) fn show(&self, balance: &Balance) {
        let set = |fate: &str, rows: u64| self.metrics.rows.with_label_values(&[self.name, fate]).set(rows as i64);
        set("received", balance.received);
        set("used", balance.used);
        set("rejected", balance.rejected_rows());
        set("late", balance.late);
        set("missing", balance.missing);
        set("pending", balance.pending);
        set("skipped", balance.skipped);
        for (reason, rows) in &balance.rejected {
            self.metrics.rejected.with_label_values(&[self.name, reason.name()]).set(*rows as i64);
        }
    }
}

fn gauge(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn build_info() -> Result<IntGaugeVec, prometheus::Error> {
    let info =
        IntGaugeVec::new(Opts::new("nilometer_build_info", "always 1; the version is in the label"), &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(info)
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Contract;
    use prometheus::proto::MetricFamily;

    use super::*;

    #[test]
    fn the_inventory_is_what_dashboards_rely_on() {
        let registry = Registry::default();
        let metrics = Metrics::new(&registry).unwrap();
        let role = metrics.role("ingest");
        role.messages.inc();
        role.seconds.observe(0.1);
        role.snapshots.inc();
        role.reached(Timestamp(0));
        role.dead_letter(Reason::Late);
        role.source_failed("gauge");
        let mut balance = Balance::default();
        balance.reject(Reason::Late, 0);
        balance.check(&role).unwrap();
        metrics.queue("raw").set(0);
        role.at(Partition::new(Contract::Forcing, 3), 1);
        metrics.appended(Partition::new(Contract::Forcing, 3), 1);
        metrics.source_rows("gauge", 2, &[(Reason::Late, 1)].into());
        metrics.source_reached("gauge", Some(Timestamp(0)), None);
        metrics.source_period("gauge", 3_600);
        let names: Vec<String> = registry.gather().iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(
            names,
            [
                "nilometer_build_info",
                "nilometer_dead_letters_total",
                "nilometer_event_time_seconds",
                "nilometer_input_position",
                "nilometer_log_append_seconds",
                "nilometer_log_damaged_segments_total",
                "nilometer_log_end_position",
                "nilometer_log_torn_segments_total",
                "nilometer_messages_total",
                "nilometer_queue_depth",
                "nilometer_role_seconds",
                "nilometer_rows",
                "nilometer_rows_rejected",
                "nilometer_snapshots_total",
                "nilometer_source_failures_total",
                "nilometer_source_newest_seconds",
                "nilometer_source_period_seconds",
                "nilometer_source_rows",
                "nilometer_source_rows_rejected",
            ]
        );
        assert!(Metrics::new(&registry).is_err(), "two sets in one registry would hide each other");

        let part = metrics.of_partition(3).unwrap();
        part.role("forecast").messages.inc();
        let families = part.registry().gather();
        assert!(!families.is_empty() && families.iter().all(|family| !family.name().contains("_log_")));
        let labels = |family: &MetricFamily| {
            family.get_metric()[0].get_label().iter().map(|label| label.value().to_owned()).collect::<Vec<_>>()
        };
        assert!(families.iter().all(|family| labels(family) == ["forecast", "3"]));
    }
}
