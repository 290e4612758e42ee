//! Streams: what the log says from now on, or from a position on, as server-sent events or over a WebSocket.
//!
//! An event is what one message says of one station. Its id has the position of the newest message of each topic and partition, so that a client
//! that comes back goes on behind it. A client that is too slow is cut, with the id to go on behind; it holds nothing in memory and slows no other.

mod document;
mod id;
mod notice;
mod wanted;

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, compute::concat_batches, ipc::writer::StreamWriter};
use axum::{
    Extension,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures::{Stream, stream};
use nilometer_engine::Partition;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::IntoParams;

pub(crate) use document::document;

use id::{Heard, parsed, said};
use wanted::Wanted;

use crate::{
    Site,
    access::Reading,
    answer::base,
    problem::Problem,
    site::{Arrival, CLIENTS},
};

/// Between two signs of life.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How often the token of a client is looked at while it listens.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long a client may take nothing of what is sent.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// The longest message of a client, which has nothing to say.
const LONGEST_SAID: usize = 4_096;
/// Messages that say nothing to a client before it gets an id all the same.
const PASSED: usize = 64;
/// When a client that was cut comes back, in its own time.
const RETRY: Duration = Duration::from_secs(2);

/// What is listened to.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// forecast, event, alert, drought, score or model, by commas; all where absent
    #[param(example = "alert,forecast")]
    topics: Option<String>,
    /// identifiers of stations, by commas; all where absent
    station: Option<String>,
    /// a river
    river: Option<String>,
    /// ° west, south, east, north
    bbox: Option<String>,
    /// watch or warning: of alerts those that are, or were at their last change, at least that
    severity_min: Option<String>,
    /// identifier of a threshold: of events and alerts those of it
    threshold: Option<String>,
    /// an id: goes on behind it. The header Last-Event-ID comes first
    from: Option<String>,
    /// of a WebSocket: json, or arrow for a binary frame a message
    format: Option<String>,
    /// rows, or edr for notices as OGC API - EDR Part 2 has them: a feature with a link to what is new
    payload: Option<String>,
}

/// What happens from now on, or from an id on, as server-sent events.
#[utoipa::path(get, path = "/events", tag = "streams", params(Which), responses(
    (status = 200, description = "events; asyncapi.json describes them", body = String, content_type = "text/event-stream"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the log is still being read", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn events(
    State(site): State<Site>,
    Extension(reading): Extension<Reading>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let follower = Follower::new(site, &which, last.or_else(|| which.from.clone()).as_deref(), &headers, reading)?;
    let events = follower.items().map_sse();
    let alive = KeepAlive::new().interval(ALIVE_EVERY).text("alive");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// The same over a WebSocket: a text frame an event, or a binary one a message with `format=arrow`.
#[utoipa::path(get, path = "/events/ws", tag = "streams", params(Which), responses(
    (status = 101, description = "frames; asyncapi.json describes them"),
    (status = 400, description = "a parameter means nothing, or no WebSocket is asked for", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "the log is still being read", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "a page of another origin", body = Problem, content_type = "application/problem+json"),
    (status = 426, description = "not a WebSocket request", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn web_socket(
    State(site): State<Site>,
    Extension(reading): Extension<Reading>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let arrow = match which.format.as_deref() {
        None | Some("json") => false,
        Some("arrow") => true,
        Some(other) => return Err(Problem::bad_request(format!("format is {other}; accepted is json or arrow"))),
    };
    let follower = Follower::new(site, &which, which.from.as_deref(), &headers, reading)?;
    of_this_origin(&headers)?;
    let upgrade = upgrade.map_err(|refused| Problem::refused(refused.status(), refused.body_text()))?;
    Ok(upgrade.max_message_size(LONGEST_SAID).on_upgrade(move |socket| send(socket, follower, arrow)))
}

/// Refuses pages of other origins: browsers let them open a WebSocket anywhere, and read what comes.
fn of_this_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let word = |name: header::HeaderName| headers.get(name).and_then(|word| word.to_str().ok());
    let Some(origin) = word(header::ORIGIN) else { return Ok(()) };
    let host = origin.split_once("://").map(|(_, host)| host);
    if host.is_some() && host == word(header::HOST) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("Origin is {origin}; accepted is a page of this service, or no browser")))
}

async fn send(mut socket: WebSocket, mut follower: Follower, arrow: bool) {
    loop {
        let items = tokio::select! {
            items = follower.next() => items,
            // A client says nothing but that it is there or goes.
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let Some(items) = items else { return };
        for item in items.frames(arrow) {
            // A client that takes nothing for so long is gone, and its place is another's.
            if !matches!(timeout(GONE_AFTER, socket.send(item)).await, Ok(Ok(()))) {
                return;
            }
        }
        if items.is_last {
            return;
        }
    }
}

/// One client.
struct Follower {
    site: Site,
    arrivals: Receiver<Arrival>,
    wanted: Wanted,
    heard: Heard,
    /// messages that were there before it came, oldest first
    backlog: VecDeque<Arrival>,
    /// what comes first: where it stands, or that messages have gone that it has not heard
    first: VecDeque<(&'static str, Value)>,
    /// messages since the last id that said nothing to it
    passed: usize,
    is_cut: bool,
    reading: Reading,
    /// when its token is looked at next
    asked_again: Instant,
    _place: OwnedSemaphorePermit,
}

/// What one message says to one client.
#[derive(Default)]
struct Items {
    event: &'static str,
    id: String,
    data: Vec<Bytes>,
    rows: Vec<RecordBatch>,
    is_last: bool,
}

impl Follower {
    fn new(
        site: Site,
        which: &Which,
        from: Option<&str>,
        headers: &HeaderMap,
        reading: Reading,
    ) -> Result<Self, Problem> {
        let wanted = Wanted::new(&site, which, base(&site, headers))?;
        // What was there before the start would look like news, and ids that are known like those of another log.
        if site.behind().iter().any(|behind| wanted.topics.contains(behind)) {
            return Err(Problem::not_ready(
                "the log is still being read; accepted is to try again, GET /ready says when",
            ));
        }
        let place = site
            .places()
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::too_many(format!("{CLIENTS} clients listen; accepted is to try again")))?;
        // From here on nothing is missed; what is heard twice is left out.
        let arrivals = site.arrivals();
        let asked = from.map(parsed).transpose()?;
        let (mut heard, mut backlog, mut first) = (Heard::new(), Vec::new(), VecDeque::new());
        for contract in wanted.topics.iter().copied() {
            for number in site.numbers() {
                let partition = Partition::new(contract, number);
                let Some(tail) = site.tail(partition) else { continue };
                let end = tail.next().cast_signed() - 1;
                let last = asked.as_ref().and_then(|asked| asked.get(&(contract, number)).copied()).unwrap_or(end);
                heard.insert((contract, number), last.min(end));
                let (topic, next) = (contract.topic(), u64::try_from(last.saturating_add(1)).unwrap_or(0));
                if last > end {
                    first.push_back((
                        "reset",
                        json!({"reason": "ahead", "topic": topic, "partition": number, "newest": end}),
                    ));
                } else if next < tail.start() && tail.start() > 0 {
                    let oldest = tail.start();
                    first.push_back((
                        "reset",
                        json!({"reason": "expired", "topic": topic, "partition": number, "oldest": oldest}),
                    ));
                }
                backlog.extend(tail.from(next).into_iter().map(|held| (held.time, partition, held.position)));
            }
        }
        backlog.sort_unstable_by_key(|(time, partition, position)| (*time, *partition, *position));
        let backlog = backlog.into_iter().map(|(_, partition, position)| Arrival { partition, position }).collect();
        // A client that is cut off before its first event has an id to come back with.
        first.push_back(("position", json!({})));
        if let Some(metrics) = site.metrics() {
            metrics.listening.inc();
        }
        Ok(Self {
            site,
            arrivals,
            wanted,
            heard,
            backlog,
            first,
            passed: 0,
            is_cut: false,
            reading,
            asked_again: Instant::now() + ASKED_EVERY,
            _place: place,
        })
    }

    /// What comes next; none when the client has been cut.
    async fn next(&mut self) -> Option<Items> {
        if self.is_cut {
            return None;
        }
        if let Some((event, data)) = self.first.pop_front() {
            return Some(self.says(event, &data));
        }
        loop {
            if self.asked_again <= Instant::now() {
                if !self.reading.holds().await {
                    return Some(self.cut("access"));
                }
                self.asked_again = Instant::now() + ASKED_EVERY;
            }
            let arrival = match self.backlog.pop_front() {
                Some(arrival) => arrival,
                None => match timeout_at(self.asked_again, self.arrivals.recv()).await {
                    Ok(Ok(arrival)) => arrival,
                    Ok(Err(RecvError::Lagged(_))) => return Some(self.cut("slow")),
                    Ok(Err(RecvError::Closed)) => return None,
                    Err(_) => continue,
                },
            };
            let Arrival { partition, position } = arrival;
            let key = (partition.contract, partition.number);
            let Some(heard) = self.heard.get_mut(&key).filter(|heard| **heard < position.cast_signed()) else {
                continue;
            };
            let Some(held) = self.site.tail(partition).and_then(|tail| tail.at(position)) else {
                // It has left memory before this client was ready for it.
                return Some(self.cut("slow"));
            };
            *heard = position.cast_signed();
            if let Some(items) = self.wanted.of(partition.contract, &held, &self.heard) {
                self.passed = 0;
                return Some(items);
            }
            self.passed += 1;
            if self.passed == PASSED {
                self.passed = 0;
                return Some(self.says("position", &json!({})));
            }
        }
    }

    /// What is said of the stream itself.
    fn says(&self, event: &'static str, data: &Value) -> Items {
        Items { event, id: said(&self.heard), data: vec![data.to_string().into()], ..Items::default() }
    }

    fn cut(&mut self, reason: &str) -> Items {
        self.is_cut = true;
        if let Some(metrics) = self.site.metrics().filter(|_| reason == "slow") {
            metrics.cut.inc();
        }
        let id = said(&self.heard);
        let data = json!({"reason": reason, "resume_from": id}).to_string();
        Items { event: "cut", id, data: vec![data.into()], is_last: true, ..Items::default() }
    }

    fn items(self) -> Sent {
        Sent(self)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(metrics) = self.site.metrics() {
            metrics.listening.dec();
        }
    }
}

/// A follower as a stream.
struct Sent(Follower);

impl Sent {
    fn map_sse(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let by_message = stream::unfold(self.0, |mut follower| async move {
            let items = follower.next().await?;
            Some((stream::iter(items.sse()), follower))
        });
        futures::StreamExt::flatten(by_message)
    }
}

impl Items {
    /// Each as an event. Only the last of a message has its id: a client that goes on behind it has heard all.
    fn sse(self) -> Vec<Result<Event, Infallible>> {
        let last = self.data.len().saturating_sub(1);
        let event = |(at, data): (usize, Bytes)| {
            let event = Event::default().event(self.event).retry(RETRY).data(String::from_utf8_lossy(&data));
            Ok(if at == last { event.id(self.id.clone()) } else { event })
        };
        self.data.into_iter().enumerate().map(event).collect()
    }

    /// Each as a text frame, or the whole message as a binary one. What is said of the stream itself is text in both.
    fn frames(&self, arrow: bool) -> Vec<Message> {
        let batch = arrow
            .then(|| self.rows.first())
            .flatten()
            .and_then(|first| concat_batches(&first.schema(), &self.rows).ok());
        if let Some(written) = batch.and_then(|batch| ipc(batch, self.event, &self.id).ok()) {
            return vec![Message::Binary(written.into())];
        }
        let last = self.data.len().saturating_sub(1);
        let frame = |(at, data): (usize, &Bytes)| {
            let id = if at == last { json!(self.id).to_string() } else { "null".to_owned() };
            Message::Text(
                format!("{{\"event\":\"{}\",\"id\":{id},\"data\":{}}}", self.event, String::from_utf8_lossy(data))
                    .into(),
            )
        };
        self.data.iter().enumerate().map(frame).collect()
    }
}

/// An Arrow IPC stream whose schema says the event and its id.
fn ipc(batch: RecordBatch, event: &str, id: &str) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let mut metadata = batch.schema().metadata().clone();
    metadata.extend([("event".to_owned(), event.to_owned()), ("id".to_owned(), id.to_owned())]);
    let schema = Arc::new(batch.schema().as_ref().clone().with_metadata(metadata));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch.with_schema(schema)?)?;
    writer.into_inner()
}
