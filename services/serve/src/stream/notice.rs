//! Notice: what OGC API - EDR Part 2 has a publisher say, a feature that names what is new and where it is read.

use arrow::array::{Array as _, RecordBatch, StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use nilometer_schemas::{Contract, Timestamp};
use serde_json::{Value, json};

use super::id::TOPICS;
use crate::{Site, tail::Held};

const COVJSON: &str = "application/prs.coverage+json";

/// Writes notices for one client.
pub(super) struct Notices {
    site: Site,
    /// where the client has reached us
    base: String,
}

impl Notices {
    pub(super) const fn new(site: Site, base: String) -> Self {
        Self { site, base }
    }

    /// That a message says something of a station; of a model none is named.
    pub(super) fn of(&self, contract: Contract, held: &Held, station: &str, rows: &RecordBatch) -> Bytes {
        let topic = TOPICS.into_iter().find(|(_, _, of)| *of == contract).map_or("", |(name, ..)| name);
        let catchment = self.site.catchment(station).ok();
        let place = catchment.and_then(|catchment| catchment.longitude.zip(catchment.latitude));
        let time = time_of(rows).unwrap_or(held.time);
        let (href, kind) = self.item(contract, station, time);
        let feature = json!({
            "id": format!("{topic}/{station}/{}", held.position),
            "type": "Feature",
            "geometry": place.map(|(x, y)| json!({"type": "Point", "coordinates": [x, y]})),
            "properties": {"pubtime": held.time.to_string(), "operation": operation(contract, rows), "datetime": time.to_string(), "topic": topic, "station": station},
            "links": [{"href": href, "rel": "item", "type": kind}],
        });
        feature.to_string().into()
    }

    /// Where it is read.
    fn item(&self, contract: Contract, station: &str, time: Timestamp) -> (String, &'static str) {
        let base = &self.base;
        match contract {
            Contract::Forecast => {
                (format!("{base}/edr/collections/discharge-forecast/instances/{time}/locations/{station}"), COVJSON)
            }
            Contract::Event => (format!("{base}/edr/collections/event/locations/{station}"), COVJSON),
            Contract::Drought => (format!("{base}/edr/collections/drought/locations/{station}"), COVJSON),
            Contract::Score => (format!("{base}/api/v1/stations/{station}/scores"), "application/json"),
            Contract::Model => (format!("{base}/api/v1/models"), "application/json"),
            _ => (format!("{base}/api/v1/alerts"), "application/json"),
        }
    }
}

/// The time that the first row is about.
fn time_of(rows: &RecordBatch) -> Option<Timestamp> {
    let names = ["issue_time", "valid_time", "time", "ingest_time"];
    let column = names.into_iter().find_map(|name| rows.column_by_name(name))?;
    let times = column.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
    (!times.is_empty()).then(|| Timestamp(times.value(0)))
}

/// What became of it: an alert has a life, a forecast may take the place of another.
fn operation(contract: Contract, rows: &RecordBatch) -> Value {
    let text = |name: &str| rows.column_by_name(name)?.as_any().downcast_ref::<StringArray>();
    let supersedes = rows.column_by_name("supersedes").is_some_and(|column| column.null_count() < column.len());
    json!(match (contract, text("change").filter(|change| !change.is_empty()).map(|change| change.value(0))) {
        (Contract::Alert, Some("raised")) => "create",
        (Contract::Alert, Some("cleared" | "withdrawn")) => "delete",
        (Contract::Alert, _) => "update",
        _ if supersedes => "update",
        _ => "create",
    })
}
