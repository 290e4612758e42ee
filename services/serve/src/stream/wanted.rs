//! Wanted: what a client asks to hear, and what a message says to it.

use std::collections::BTreeSet;

use arrow::{array::RecordBatch, error::ArrowError};
use bytes::Bytes;
use nilometer_schemas::{AlertState, Contract, Forecasts};
use serde_json::json;

use super::{
    Items, Which,
    id::{Heard, TOPICS, said},
    notice::Notices,
};
use crate::{
    Site, answer,
    api::{forecast, stations},
    problem::Problem,
    tail::Held,
};

/// What a client wants to hear.
pub(super) struct Wanted {
    pub(super) topics: BTreeSet<Contract>,
    /// all where none
    catchments: Option<BTreeSet<String>>,
    severity_min: Option<AlertState>,
    threshold: Option<String>,
    /// seconds from one issue to the next
    every_s: i64,
    /// whether rows are sent as they are
    arrow: bool,
    /// there where notices are wanted, and not what they are about
    notices: Option<Notices>,
}

impl Wanted {
    pub(super) fn new(site: &Site, which: &Which, base: String) -> Result<Self, Problem> {
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
        Ok(Self {
            topics,
            catchments: stations,
            severity_min,
            threshold: which.threshold.clone(),
            every_s: forecast::every_s(site),
            arrow: which.format.as_deref() == Some("arrow"),
            notices: match which.payload.as_deref() {
                None | Some("rows") => None,
                Some("edr") => Some(Notices::new(site.clone(), base)),
                Some(other) => {
                    return Err(Problem::bad_request(format!("payload is {other}; accepted is rows or edr")));
                }
            },
        })
    }

    /// What a message says to who wants this; none where nothing.
    pub(super) fn of(&self, contract: Contract, held: &Held, heard: &Heard) -> Option<Items> {
        let (event, ..) = TOPICS.into_iter().find(|(_, _, of)| *of == contract)?;
        let mut items = Items { event, id: said(heard), ..Items::default() };
        if contract == Contract::Model {
            items.data.push(match &self.notices {
                Some(notices) => notices.of(contract, held, "", &held.batch),
                None => frame(contract, "", held.batch.clone(), self.every_s),
            });
            items.rows.push(held.batch.clone());
            return Some(items);
        }
        // A client wants few of many, or all.
        let keys: Vec<&str> = match &self.catchments {
            Some(wanted) => wanted.iter().map(String::as_str).filter(|key| held.has(key)).collect(),
            None => held.keys().collect(),
        };
        for key in keys {
            if self.selects_rows(contract) || self.notices.is_some() {
                let selected =
                    |rows| if self.selects_rows(contract) { self.selected(contract, &rows) } else { Some(rows) };
                if let Some(rows) = held.of(key).and_then(selected).filter(|rows| rows.num_rows() > 0) {
                    items.data.push(match &self.notices {
                        Some(notices) => notices.of(contract, held, key, &rows),
                        None => frame(contract, key, rows.clone(), self.every_s),
                    });
                    items.rows.push(rows);
                }
                continue;
            }
            items.data.extend(held.frame(key, |contract, rows| frame(contract, key, rows, self.every_s)));
            if self.arrow {
                items.rows.extend(held.of(key));
            }
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
fn frame(contract: Contract, key: &str, rows: RecordBatch, every_s: i64) -> Bytes {
    if contract == Contract::Forecast
        && let Ok(forecasts) = Forecasts::try_from(rows.clone())
        && !forecasts.is_empty()
    {
        let document = forecast::document(key, &forecasts, None, &forecast::USUAL_LEVELS, false, every_s);
        return written(serde_json::to_vec(&document).map_err(|error| ArrowError::JsonError(error.to_string()))).into();
    }
    let mut data =
        format!("{{\"contract\":\"{}\",\"station\":{},\"rows\":", contract.version(), json!(key)).into_bytes();
    data.extend(written(answer::json(&rows)));
    data.push(b'}');
    data.into()
}

/// What was written, or null and a line in the log: numbers and words can always be.
fn written(json: Result<Vec<u8>, ArrowError>) -> Vec<u8> {
    json.unwrap_or_else(|error| {
        tracing::error!(%error, "rows cannot be written as JSON; their streams say null");
        b"null".to_vec()
    })
}
