//! Streams: what the log says from now on, or from a position on, as server-sent events or over a WebSocket.
//!
//! An event is what one message says of one station. Its id has the position of the newest message of each topic and partition, so that a client
//! that comes back goes on behind it. A client that is too slow is cut, with the id to go on behind; it holds nothing in memory and slows no other.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use arrow::{array::RecordBatch, compute::concat_batches, ipc::writer::StreamWriter};
use axum::{
    Json,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures::{Stream, stream};
use nilometer_engine::Partition;
use nilometer_schemas::{AlertState, Contract, Forecasts};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{Receiver, error::RecvError},
};
use utoipa::IntoParams;

use crate::{
    Site, answer,
    api::{forecast, stations},
    problem::Problem,
    site::Arrival,
    tail::Held,
};

/// What may be listened to: its name, the letter of its ids, and the contract.
const TOPICS: [(&str, char, Contract); 6] = [
    ("forecast", 'f', Contract::Forecast),
    ("event", 'e', Contract::Event),
    ("alert", 'a', Contract::Alert),
    ("drought", 'd', Contract::Drought),
    ("score", 's', Contract::Score),
    ("model", 'm', Contract::Model),
];
/// Clients that listen at once.
pub(crate) const CLIENTS: usize = 4_096;
/// Between two signs of life.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
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
}

/// What happens from now on, or from an id on, as server-sent events.
#[utoipa::path(get, path = "/events", tag = "streams", params(Which), responses(
    (status = 200, description = "events; asyncapi.json describes them", body = String, content_type = "text/event-stream"),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn events(
    State(site): State<Site>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let follower = Follower::new(site, &which, last.or_else(|| which.from.clone()).as_deref())?;
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
    (status = 426, description = "not a WebSocket request", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn web_socket(
    State(site): State<Site>,
    Query(which): Query<Which>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let arrow = match which.format.as_deref() {
        None | Some("json") => false,
        Some("arrow") => true,
        Some(other) => return Err(Problem::bad_request(format!("format is {other}; accepted is json or arrow"))),
    };
    let follower = Follower::new(site, &which, which.from.as_deref())?;
    let upgrade = upgrade.map_err(|refused| Problem::refused(refused.status(), refused.body_text()))?;
    Ok(upgrade.on_upgrade(move |socket| send(socket, follower, arrow)))
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
            if socket.send(item).await.is_err() {
                return;
            }
        }
        if items.is_last {
            return;
        }
    }
}

/// What a client has heard of each topic and partition: the position of the newest message.
type Heard = BTreeMap<(Contract, u32), i64>;

/// One client.
struct Follower {
    site: Site,
    arrivals: Receiver<Arrival>,
    wanted: Wanted,
    heard: Heard,
    /// messages that were there before it came, oldest first
    backlog: VecDeque<Arrival>,
    /// what comes first: that messages have gone that it has not heard
    reset: Option<Value>,
    is_cut: bool,
    _place: OwnedSemaphorePermit,
}

/// What a client wants to hear.
struct Wanted {
    topics: BTreeSet<Contract>,
    /// all where none
    catchments: Option<BTreeSet<String>>,
    severity_min: Option<AlertState>,
    threshold: Option<String>,
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
    fn new(site: Site, which: &Which, from: Option<&str>) -> Result<Self, Problem> {
        let wanted = Wanted::new(&site, which)?;
        let place = site
            .places()
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::too_many(format!("{CLIENTS} clients listen; accepted is to try again")))?;
        // From here on nothing is missed; what is heard twice is left out.
        let arrivals = site.arrivals();
        let asked = from.map(parsed).transpose()?;
        let (mut heard, mut backlog, mut reset) = (Heard::new(), Vec::new(), None);
        for contract in wanted.topics.iter().copied() {
            for number in site.numbers() {
                let partition = Partition::new(contract, number);
                let Some(tail) = site.tail(partition) else { continue };
                let end = tail.next().cast_signed() - 1;
                let last = asked.as_ref().and_then(|asked| asked.get(&(contract, number)).copied()).unwrap_or(end);
                heard.insert((contract, number), last.min(end));
                if last > end {
                    reset =
                        Some(json!({"reason": "ahead", "topic": contract.topic(), "partition": number, "newest": end}));
                }
                let next = u64::try_from(last + 1).unwrap_or(0);
                if next < tail.start() && tail.start() > 0 {
                    reset = Some(
                        json!({"reason": "expired", "topic": contract.topic(), "partition": number, "oldest": tail.start()}),
                    );
                }
                backlog.extend(tail.from(next).into_iter().map(|held| (held.time, partition, held.position)));
            }
        }
        backlog.sort_unstable_by_key(|(time, partition, position)| (*time, *partition, *position));
        let backlog = backlog.into_iter().map(|(_, partition, position)| Arrival { partition, position }).collect();
        Ok(Self { site, arrivals, wanted, heard, backlog, reset, is_cut: false, _place: place })
    }

    /// What comes next; none when the client has been cut.
    async fn next(&mut self) -> Option<Items> {
        if self.is_cut {
            return None;
        }
        if let Some(reset) = self.reset.take() {
            return Some(Items {
                event: "reset",
                id: said(&self.heard),
                data: vec![reset.to_string().into()],
                ..Items::default()
            });
        }
        loop {
            let arrival = match self.backlog.pop_front() {
                Some(arrival) => arrival,
                None => match self.arrivals.recv().await {
                    Ok(arrival) => arrival,
                    Err(RecvError::Lagged(_)) => return Some(self.cut()),
                    Err(RecvError::Closed) => return None,
                },
            };
            let Arrival { partition, position } = arrival;
            let key = (partition.contract, partition.number);
            let Some(heard) = self.heard.get_mut(&key).filter(|heard| **heard < position.cast_signed()) else {
                continue;
            };
            let Some(held) = self.site.tail(partition).and_then(|tail| tail.at(position)) else {
                // It has left memory before this client was ready for it.
                return Some(self.cut());
            };
            *heard = position.cast_signed();
            if let Some(items) = self.wanted.of(partition.contract, &held, &self.heard) {
                return Some(items);
            }
        }
    }

    fn cut(&mut self) -> Items {
        self.is_cut = true;
        let id = said(&self.heard);
        let data = json!({"reason": "slow", "resume_from": id}).to_string();
        Items { event: "cut", id, data: vec![data.into()], is_last: true, ..Items::default() }
    }

    fn items(self) -> Sent {
        Sent(self)
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

impl Wanted {
    fn new(site: &Site, which: &Which) -> Result<Self, Problem> {
        let topic = |name: &str| {
            let found = TOPICS.into_iter().find(|(known, ..)| *known == name.trim()).map(|(_, _, contract)| contract);
            let accepted: Vec<&str> = TOPICS.iter().map(|(name, ..)| *name).collect();
            found
                .ok_or_else(|| Problem::bad_request(format!("topics has {name}; accepted are {}", accepted.join(", "))))
        };
        let topics = match which.topics.as_deref() {
            Some(names) => names.split(',').map(topic).collect::<Result<_, _>>()?,
            None => TOPICS.into_iter().map(|(_, _, contract)| contract).collect(),
        };
        let mut stations: Option<BTreeSet<String>> = None;
        if let Some(ids) = which.station.as_deref() {
            let mut named = BTreeSet::new();
            for id in ids.split(',').map(str::trim) {
                named.insert(site.catchment(id)?.id.clone());
            }
            stations = Some(named);
        }
        let bbox = which.bbox.as_deref().map(stations::corners).transpose()?;
        if which.river.is_some() || bbox.is_some() {
            let fits = |catchment: &&nilometer_definitions::Catchment| {
                let in_river = which.river.as_ref().is_none_or(|river| catchment.river.as_ref() == Some(river));
                let in_box = bbox.is_none_or(|[west, south, east, north]| {
                    let place = catchment.longitude.zip(catchment.latitude);
                    place.is_some_and(|(x, y)| (west..=east).contains(&x) && (south..=north).contains(&y))
                });
                let named = stations.as_ref().is_none_or(|named| named.contains(&catchment.id));
                in_river && in_box && named
            };
            stations =
                Some(site.pipeline().catchments.iter().filter(fits).map(|catchment| catchment.id.clone()).collect());
        }
        let severity_min = match which.severity_min.as_deref() {
            None => None,
            Some("watch") => Some(AlertState::Watch),
            Some("warning") => Some(AlertState::Warning),
            Some(other) => {
                return Err(Problem::bad_request(format!("severity_min is {other}; accepted is watch or warning")));
            }
        };
        Ok(Self { topics, catchments: stations, severity_min, threshold: which.threshold.clone() })
    }

    /// What a message says to who wants this; none where nothing.
    fn of(&self, contract: Contract, held: &Held, heard: &Heard) -> Option<Items> {
        let (event, ..) = TOPICS.into_iter().find(|(_, _, of)| *of == contract)?;
        let mut items = Items { event, id: said(heard), ..Items::default() };
        if contract == Contract::Model {
            items.data.push(frame(contract, "", held.batch.clone()));
            items.rows.push(held.batch.clone());
            return Some(items);
        }
        for key in held.keys().filter(|key| self.catchments.as_ref().is_none_or(|wanted| wanted.contains(*key))) {
            if self.selects_rows(contract) {
                let rows =
                    held.of(key).and_then(|rows| self.selected(contract, &rows)).filter(|rows| rows.num_rows() > 0);
                if let Some(rows) = rows {
                    items.data.push(frame(contract, key, rows.clone()));
                    items.rows.push(rows);
                }
                continue;
            }
            items.data.extend(held.frame(key, |contract, rows| frame(contract, key, rows)));
            items.rows.extend(held.of(key));
        }
        (!items.data.is_empty()).then_some(items)
    }

    /// Whether a part of a station's rows may be wanted.
    fn selects_rows(&self, contract: Contract) -> bool {
        match contract {
            Contract::Alert => self.severity_min.is_some() || self.threshold.is_some(),
            Contract::Event => self.threshold.is_some(),
            _ => false,
        }
    }

    fn selected(&self, contract: Contract, rows: &RecordBatch) -> Option<RecordBatch> {
        use arrow::array::{BooleanArray, StringArray};
        let text =
            |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let (threshold, state) = (text("threshold")?, text("state"));
        let wanted = |row: usize| {
            let of_threshold = self.threshold.as_deref().is_none_or(|wanted| wanted == threshold.value(row));
            // Who has heard that it rose hears that it has fallen or passed.
            let severe = match (contract, self.severity_min, state) {
                (Contract::Alert, Some(least), Some(state)) => {
                    let state = AlertState::of_name(state.value(row));
                    let over = text("change")
                        .is_some_and(|change| matches!(change.value(row), "cleared" | "lowered" | "withdrawn"));
                    over || state.is_some_and(|state| state >= least)
                }
                _ => true,
            };
            of_threshold && severe
        };
        let mask = BooleanArray::from_iter((0..rows.num_rows()).map(|row| Some(wanted(row))));
        arrow::compute::filter_record_batch(rows, &mask).ok()
    }
}

/// What is said of a station: its forecast column by column, of everything else its rows.
fn frame(contract: Contract, key: &str, rows: RecordBatch) -> Bytes {
    if contract == Contract::Forecast
        && let Ok(forecasts) = Forecasts::try_from(rows.clone())
        && !forecasts.is_empty()
    {
        let document = forecast::document(key, &forecasts, None, &forecast::USUAL_LEVELS, false);
        return serde_json::to_vec(&document).unwrap_or_default().into();
    }
    let mut data =
        format!("{{\"contract\":\"{}\",\"station\":{},\"rows\":", contract.version(), json!(key)).into_bytes();
    data.extend(answer::json(&rows).unwrap_or_else(|_| b"[]".to_vec()));
    data.push(b'}');
    data.into()
}

/// An id: `f0:128734,a0:912`.
fn said(heard: &Heard) -> String {
    let part = |((contract, number), position): (&(Contract, u32), &i64)| {
        let letter = TOPICS.into_iter().find(|(_, _, of)| of == contract).map_or('?', |(_, letter, _)| letter);
        format!("{letter}{number}:{position}")
    };
    heard.iter().map(part).collect::<Vec<_>>().join(",")
}

/// What an id says.
fn parsed(id: &str) -> Result<Heard, Problem> {
    let part = |part: &str| {
        let (head, position) = part.trim().split_once(':')?;
        let letter = head.chars().next()?;
        let (.., contract) = TOPICS.into_iter().find(|(_, known, _)| *known == letter)?;
        let position: i64 = position.parse().ok().filter(|position| *position >= -1)?;
        Some(((contract, head[1..].parse().ok()?), position))
    };
    let refused = || {
        Problem::bad_request(format!(
            "{id} is no id of an event; accepted is one that an event had, as f0:128734,a0:912"
        ))
    };
    id.split(',').map(part).collect::<Option<Heard>>().ok_or_else(refused)
}

/// The document of the streams, AsyncAPI 3.1.
pub(crate) async fn document() -> Json<Value> {
    Json(described())
}

fn described() -> Value {
    let message = |name: &str, contract: Contract| {
        let payload = match contract {
            Contract::Forecast => {
                json!({"description": "a forecast of one station, column by column, as GET /api/v1/stations/{id}/forecast gives it", "type": "object"})
            }
            _ => json!({"type": "object", "required": ["contract", "station", "rows"], "properties": {
                "contract": {"const": contract.version()},
                "station": {"type": "string", "description": "identifier of the catchment"},
                "rows": {"type": "array", "items": {"type": "object"}, "description": "columns of the contract"},
            }}),
        };
        json!({"name": name, "title": contract.topic(), "contentType": "application/json", "payload": payload})
    };
    let mut messages: BTreeMap<String, Value> =
        TOPICS.into_iter().map(|(name, _, contract)| (name.to_owned(), message(name, contract))).collect();
    messages.insert("reset".to_owned(), json!({"name": "reset", "title": "messages have gone that were not heard: what is known is to be asked for anew", "contentType": "application/json", "payload": {"type": "object", "required": ["reason", "topic", "partition"], "properties": {"reason": {"enum": ["expired", "ahead"]}, "topic": {"type": "string"}, "partition": {"type": "integer"}, "oldest": {"type": "integer"}, "newest": {"type": "integer"}}}}));
    messages.insert("cut".to_owned(), json!({"name": "cut", "title": "the client was too slow; the stream ends", "contentType": "application/json", "payload": {"type": "object", "required": ["reason", "resume_from"], "properties": {"reason": {"const": "slow"}, "resume_from": {"type": "string"}}}}));
    let references: serde_json::Map<String, Value> =
        messages.keys().map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")}))).collect();
    let channel = |address: &str| json!({"address": address, "messages": references});
    json!({
        "asyncapi": "3.1.0",
        "info": {"title": "Nilometer", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0"},
            "description": "What the log says from now on, or behind an id. Ids are log positions: a letter of the topic, the partition, the position; the last event of a message has one. A client that comes back with Last-Event-ID, or ?from=, loses nothing."},
        "defaultContentType": "application/json",
        "channels": {
            "events": channel("/api/v1/events"),
            "frames": channel("/api/v1/events/ws"),
        },
        "operations": {
            "serverSentEvents": {"action": "send", "channel": {"$ref": "#/channels/events"}, "summary": "server-sent events"},
            "webSocket": {"action": "send", "channel": {"$ref": "#/channels/frames"}, "summary": "a text frame an event, with its name, id and data; or a binary Arrow IPC stream a message with format=arrow", "bindings": {"ws": {}}},
        },
        "components": {"messages": messages},
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn an_id_says_what_was_heard_of_each_topic() {
        let heard =
            Heard::from([((Contract::Forecast, 0), 128_734), ((Contract::Alert, 11), 912), ((Contract::Model, 0), -1)]);
        let id = said(&heard);
        assert_eq!(parsed(&id).unwrap(), heard);
        for wrong in ["", "f", "f0", "f0:x", "x0:1", "f:1", "f0:1,", "f0:-2", "é0:1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
