//! Traces: what roles do at one tick is one trace, which a collector of OpenTelemetry takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use nilometer_needs::needs;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tonic::{Request, Response, Status, transport::Server};

use crate::support::{definition, nilometer, succeed, window};

/// Keeps the spans that it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

#[needs(cance)]
#[test]
fn what_roles_do_at_a_tick_is_one_trace() {
    let (collector, folder) = (Collector::default(), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    let incoming = futures::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    runtime.spawn(serving.serve_with_incoming(incoming));

    let mut replay =
        nilometer("replay", &definition(), &window(folder.path(), "2014-10-08T00:00:00Z", "2014-10-08T12:00:00Z"));
    replay.arg("--json-logs").env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    let said = succeed(replay).stderr;
    for line in String::from_utf8(said).unwrap().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }

    let spans = collector.0.lock().unwrap().clone();
    let mut ticks: BTreeMap<String, (BTreeSet<Vec<u8>>, BTreeSet<String>)> = BTreeMap::new();
    for span in &spans {
        let Some(tick) = attribute(span, "tick") else { continue };
        let (traces, roles) = ticks.entry(tick).or_default();
        traces.insert(span.trace_id.clone());
        roles.insert(span.name.clone());
        assert_eq!(attribute(span, "partition").as_deref(), Some("0"), "{span:?}");
        if span.name != "ingest" {
            assert!(attribute(span, "position").is_some(), "{span:?}");
        }
    }
    assert_eq!(ticks.len(), 13, "{:?}", ticks.keys());
    for (tick, (traces, roles)) in &ticks {
        assert_eq!(traces.len(), 1, "{tick}");
        for role in ["ingest", "forecast", "alert", "publish_forecast"] {
            assert!(roles.contains(role), "{tick}: {roles:?}");
        }
    }
    let all: BTreeSet<_> = ticks.values().flat_map(|(traces, _)| traces).collect();
    assert_eq!(all.len(), ticks.len(), "each tick has its own");
    assert!(spans.iter().any(|span| span.name == "compute" && all.contains(&span.trace_id)), "what turns wait for");
}
