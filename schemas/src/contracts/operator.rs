//! Operator actions: what people say of alerts, as rows of the log, so that a replay has them too.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{OptionalText, OptionalTime, Text, Time, UInt64},
};

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// takes note of an alert: it stays, and calls no one until it rises
    Acknowledge,
    /// writes something beside it
    Note,
    /// asks for quiet until a time
    Silence,
}

impl ActionKind {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Acknowledge, Self::Note, Self::Silence];

    /// The word in `operator.v1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Note => "note",
            Self::Silence => "silence",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

contract! {
    /// What operators do about alerts.
    Actions,
    /// One action of one operator, borrowing its words.
    ActionRow, ActionsBuilder: Contract::Operator, checked by check;
    beside {}
    columns of row {
        /// the station that it is about
        station: Text,
        /// kind of its alerts, as `flood`; null for all
        kind: OptionalText,
        /// identifier of the threshold; null for all
        threshold: OptionalText,
        /// [`ActionKind`]: acknowledge, note or silence
        action: Text,
        /// who
        operator: Text,
        /// what is to be read beside the alert
        note: OptionalText,
        /// until when it holds; null for as long as the alert does
        until: OptionalTime,
        /// number of the action in the store
        number: UInt64,
        /// when the operator did it
        action_time: Time,
        /// when the row reached us
        ingest_time: Time,
    }
}

fn check(rows: &Actions) -> Result<(), SchemaError> {
    for row in 0..rows.len() {
        let action = rows.action().value(row);
        if ActionKind::of_name(action).is_none() {
            return Err(refuse(Contract::Operator, "action", row, action, "acknowledge, note or silence"));
        }
        if rows.operator().value(row).is_empty() {
            return Err(refuse(Contract::Operator, "operator", row, "empty", "who it was"));
        }
    }
    Ok(())
}
