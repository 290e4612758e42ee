//! The document of the streams.

use std::collections::BTreeMap;

use axum::Json;
use nilometer_schemas::Contract;
use serde_json::{Value, json};

use super::id::TOPICS;

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
    messages.insert("cut".to_owned(), json!({"name": "cut", "title": "the client was too slow, or its token no longer holds; the stream ends", "contentType": "application/json", "payload": {"type": "object", "required": ["reason", "resume_from"], "properties": {"reason": {"enum": ["slow", "access"]}, "resume_from": {"type": "string"}}}}));
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
