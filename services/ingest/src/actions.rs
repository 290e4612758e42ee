//! Actions: what operators do about alerts, as the store keeps it until a tick takes it.

use nilometer_engine::{Asked, Numbered};
use nilometer_schemas::{ActionKind, ActionRow, ActionsBuilder, Level, Timestamp};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The folder of a store that holds them.
pub const OPERATOR: &str = "operator";

/// One action of one operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// the station that it is about
    pub station: String,
    /// kind of its alerts; all where it is absent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// identifier of the threshold; all where it is absent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    /// what is done
    pub action: ActionKind,
    /// who
    pub operator: String,
    /// what is to be read beside the alert
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// until when it holds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// the level from now on, of a threshold
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// when
    pub action_time: Timestamp,
    /// the first tick that may take it; the next one where it is absent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

impl Action {
    /// All actions of a store.
    #[must_use]
    pub fn of_store(store: Arc<dyn ObjectStore>) -> Numbered<Self> {
        Numbered::new(store, OPERATOR)
    }

    /// Adds its row, of a tick and under its number.
    pub(crate) fn push(&self, rows: &mut ActionsBuilder, number: u64, tick: Timestamp) {
        rows.push(ActionRow {
            station: &self.station,
            kind: self.kind.as_deref(),
            threshold: self.threshold.as_deref(),
            action: self.action.name(),
            operator: &self.operator,
            note: self.note.as_deref(),
            until: self.until,
            new_level: self.level,
            number,
            action_time: self.action_time,
            ingest_time: tick,
        });
    }
}

impl Asked for Action {
    fn from(&self) -> Option<Timestamp> {
        self.from
    }

    fn problem(&self) -> Option<String> {
        let cases = [
            (self.station.is_empty(), "station is empty"),
            (self.operator.is_empty(), "operator is empty"),
            (self.action == ActionKind::Note && self.note.is_none(), "note is missing"),
            (self.action == ActionKind::Threshold && self.threshold.is_none(), "threshold is missing"),
            (
                self.action == ActionKind::Threshold && self.level.is_none_or(|level| !level.value.is_finite()),
                "level is missing, or no number",
            ),
            (self.action == ActionKind::Silence && self.until.is_none(), "until is missing"),
        ];
        cases.into_iter().find(|(wrong, _)| *wrong).map(|(_, problem)| problem.to_owned())
    }
}
