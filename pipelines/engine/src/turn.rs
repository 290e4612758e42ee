//! Turns: what a role does at one tick or with one message, as its log lines and traces name it.

use std::future::Future;

use nilometer_schemas::Timestamp;
use tracing::{Instrument as _, Span};

tokio::task_local! {
    /// The role of this task, and its partition.
    static ROLE: (&'static str, u32);
}

/// Does the work of a role of a partition: every line that it logs carries both.
pub async fn in_role<T>(role: &'static str, partition: u32, work: impl Future<Output = T>) -> T {
    ROLE.scope((role, partition), work.instrument(tracing::info_span!("role", role, partition))).await
}

/// The span of a turn. `position` is that of the message, or of the tick's message in the topic that gives the role its ticks; the role ingest reads
/// none. Turns of one tick are of one trace, in whatever process they take place.
#[cfg(not(feature = "traces"))]
#[must_use]
pub fn turn(tick: Timestamp, position: Option<u64>) -> Span {
    tracing::info_span!("turn", %tick, position)
}

/// The span of a turn. `position` is that of the message, or of the tick's message in the topic that gives the role its ticks; the role ingest reads
/// none. Turns of one tick are of one trace, in whatever process they take place.
#[cfg(feature = "traces")]
#[must_use]
pub fn turn(tick: Timestamp, position: Option<u64>) -> Span {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let (role, partition) = ROLE.try_with(|role| *role).unwrap_or(("turn", 0));
    let span = tracing::info_span!("turn", %tick, position, otel.name = role);
    span.set_attribute("partition", i64::from(partition));
    // Without a layer that exports there is no trace to join.
    let _ = span.set_parent(trace_of(tick));
    span
}

/// The trace of a tick. Nothing has to be passed on for it: a role that knows the tick knows the trace.
#[cfg(feature = "traces")]
fn trace_of(tick: Timestamp) -> opentelemetry::Context {
    use opentelemetry::{
        Context,
        trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
    };

    let mut trace = *b"nilotick\0\0\0\0\0\0\0\0";
    trace[8..].copy_from_slice(&tick.0.to_be_bytes());
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(*b"the tick"));
    let parent = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    Context::new().with_remote_span_context(parent)
}
