//! Log lines to standard error, each with the role, partition, tick and position that it is about; and traces to a collector where one is named.

use nilometer_engine::PROGRESS;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::progress::ProgressLayer;

/// A layer over the registry of spans.
type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts both. What it gives sends what is left of the traces when it is dropped.
///
/// # Errors
/// Why traces cannot be sent to the collector that the environment names.
pub fn start(json: bool) -> Result<Traces, String> {
    // Our own crates from info, others from warn; RUST_LOG overrides.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,nilometer=info"));
    // Progress has its own layer, whatever RUST_LOG asks for.
    let not_progress = Targets::new().with_default(Level::TRACE).with_target(PROGRESS, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.with_target(false).boxed() };
    let (exported, traces) = traces()?;
    let shown = ProgressLayer::new().with_filter(Targets::new().with_target(PROGRESS, Level::INFO));
    let layers: Vec<Boxed> =
        [lines.with_filter(filter.and(not_progress)).boxed(), shown.boxed()].into_iter().chain(exported).collect();
    tracing_subscriber::registry().with(layers).init();
    Ok(traces)
}

#[cfg(not(feature = "traces"))]
mod export {
    use super::Boxed;

    /// Nothing is sent.
    pub struct Traces;

    #[expect(clippy::unnecessary_wraps, reason = "where they are compiled in, it may fail")]
    pub(super) fn traces() -> Result<(Option<Boxed>, Traces), String> {
        Ok((None, Traces))
    }
}

#[cfg(feature = "traces")]
mod export {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use tracing_subscriber::{Layer, filter::Targets};

    use super::Boxed;

    /// Any of these names a collector, as the standard has it.
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

    /// Sends what is left when it is dropped.
    pub struct Traces(Option<SdkTracerProvider>);

    impl Drop for Traces {
        fn drop(&mut self) {
            // The process ends, whatever the collector says.
            drop(self.0.take().map(|provider| provider.shutdown()));
        }
    }

    pub(super) fn traces() -> Result<(Option<Boxed>, Traces), String> {
        if ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
            return Ok((None, Traces(None)));
        }
        let exporter = SpanExporter::builder().with_tonic().build().map_err(|error| error.to_string())?;
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say more.
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("nilometer");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        let ours = Targets::new().with_target("nilometer", tracing::Level::INFO);
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("nilometer")).with_filter(ours);
        Ok((Some(layer.boxed()), Traces(Some(provider))))
    }
}

pub use export::Traces;
use export::traces;
