//! A webhook that is down, comes back, refuses and is killed: every change arrives, signed, in order.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use nilometer_definitions::WebhookOptions;
use nilometer_engine::{Balance, EmbeddedLog, Lifecycle, Log, Message, Metrics, Partition, Snapshots};
use nilometer_notify::{Dependencies, NotifyError, NotifyMetrics, webhook};
use nilometer_schemas::{AlertRow, AlertsBuilder, Contract, Timestamp};
use object_store::memory::InMemory;
use serde_json::Value;

const HOUR_US: i64 = 3_600_000_000;

/// What an address has been posted.
#[derive(Clone, Default)]
struct Posted {
    /// delivery and body of each request that was taken
    taken: Arc<Mutex<Vec<(String, Value)>>>,
    /// requests that are answered otherwise before one is taken, each by this status
    failing: Arc<Mutex<Vec<u16>>>,
    asked: Arc<AtomicUsize>,
}

async fn take(State(posted): State<Posted>, headers: HeaderMap, body: Bytes) -> StatusCode {
    posted.asked.fetch_add(1, Ordering::Relaxed);
    if let Some(status) = posted.failing.lock().unwrap().pop() {
        return StatusCode::from_u16(status).unwrap();
    }
    assert!(headers["X-Nilometer-Signature"].to_str().unwrap().starts_with("sha256="));
    let delivery = headers["X-Nilometer-Delivery"].to_str().unwrap().to_owned();
    posted.taken.lock().unwrap().push((delivery, serde_json::from_slice(&body).unwrap()));
    StatusCode::OK
}

async fn listen(posted: Posted) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/hook", post(take)).with_state(posted);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

async fn append(log: &dyn Log, hour: i64, changes: &[(&str, &str, &str)]) {
    let mut rows = AlertsBuilder::new();
    for (river, change, state) in changes {
        rows.push(AlertRow {
            alert: &format!("{river}/flood/minor/1"),
            station: river,
            station_name: river,
            river: Some(river),
            kind: "flood",
            threshold: "minor",
            threshold_name: "Minor flood",
            time: Timestamp(hour * HOUR_US),
            change,
            state,
            ..AlertRow::BLANK
        });
    }
    let batch = rows.finish().unwrap().into_batch();
    let message = Message { time: Timestamp(hour * HOUR_US), producer: "alert", sequence: hour, batch };
    log.append(Partition::new(Contract::Alert, 0), message).await.unwrap();
}

/// The role until the log's end, or until it is asked to stop while it fails.
async fn pass_on(store: &Arc<InMemory>, address: SocketAddr) -> Result<Balance, NotifyError> {
    let metrics = Metrics::unregistered();
    let dependencies = Dependencies {
        log: Arc::new(EmbeddedLog::new(store.clone(), "log", &metrics)),
        snapshots: Snapshots::new(store.clone(), "snapshots", "notify_webhook", 2),
        metrics: NotifyMetrics::new(metrics.role("notify_webhook"), "webhook", metrics.registry()).unwrap(),
        partition: 0,
        delivers: true,
    };
    let url = format!("http://{address}/hook");
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.next_role();
    lifecycle.stop();
    // A variable that every environment has: what it holds is a secret as good as another.
    webhook(WebhookOptions { url, secret_variable: Some("PATH".to_owned()) }, dependencies, stop).await
}

#[tokio::test]
async fn every_change_arrives_whatever_becomes_of_the_receiver() {
    let store = Arc::new(InMemory::new());
    let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
    append(&log, 1, &[("Cance", "raised", "watch"), ("Lez", "raised", "warning")]).await;
    append(&log, 2, &[("Cance", "revised", "watch")]).await;
    append(&log, 3, &[("Cance", "raised", "warning")]).await;
    append(&log, 4, &[("Cance", "cleared", "clear")]).await;
    let posted = Posted::default();
    let address = listen(posted.clone()).await;

    // The second request of the first message fails: nothing is said to have been taken that was not.
    *posted.failing.lock().unwrap() = vec![503];
    let balance = pass_on(&store, address).await.unwrap();
    assert_eq!((balance.received, balance.used), (0, 0), "it was asked to stop while the receiver was down");
    // It is there again; the first river's request comes again under the same name.
    let balance = pass_on(&store, address).await.unwrap();
    assert_eq!((balance.received, balance.used, balance.rejected_rows()), (5, 5, 0));
    let taken: Vec<String> = posted.taken.lock().unwrap().iter().map(|(delivery, _)| delivery.clone()).collect();
    let expected = ["alert.v1/0@0/Cance", "alert.v1/0@0/Lez", "alert.v1/0@2/Cance", "alert.v1/0@3/Cance"];
    assert_eq!(taken, expected, "what a forecast only revises is no news");
    assert_eq!(posted.taken.lock().unwrap()[3].1["status"], "resolved");

    // What is refused for good is counted, and does not hold up the rest.
    append(&log, 5, &[("Cance", "raised", "watch")]).await;
    append(&log, 6, &[("Cance", "raised", "warning")]).await;
    *posted.failing.lock().unwrap() = vec![422];
    let balance = pass_on(&store, address).await.unwrap();
    assert_eq!((balance.received, balance.used, balance.rejected_rows()), (7, 6, 1));
    assert_eq!(posted.taken.lock().unwrap().last().unwrap().0, "alert.v1/0@5/Cance");
    assert_eq!(pass_on(&store, address).await.unwrap().received, 7, "it goes on where it was");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_said_and_nothing_is_sent() {
    let store = Arc::new(InMemory::new());
    let metrics = Metrics::unregistered();
    let dependencies = Dependencies {
        log: Arc::new(EmbeddedLog::new(store.clone(), "log", &metrics)),
        snapshots: Snapshots::new(store, "snapshots", "notify_webhook", 2),
        metrics: NotifyMetrics::new(metrics.role("notify_webhook"), "webhook", metrics.registry()).unwrap(),
        partition: 0,
        delivers: true,
    };
    let options = WebhookOptions {
        url: "http://127.0.0.1:1/hook".to_owned(),
        secret_variable: Some("NILOMETER_NO_SUCH_SECRET".to_owned()),
    };
    let error = webhook(options, dependencies, Lifecycle::new().next_role()).await.unwrap_err().to_string();
    assert!(error.contains("NILOMETER_NO_SUCH_SECRET") && error.contains("accepted is"), "{error}");
}
