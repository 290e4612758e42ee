//! Operator actions: what people say of alerts, as rows of the log, so that a replay has them too.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError, Timestamp, Unit,
    columns::{OptionalFloat64, OptionalText, OptionalTime, Text, Time, UInt64},
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
    /// gives a threshold another level
    Threshold,
}

impl ActionKind {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Acknowledge, Self::Note, Self::Silence, Self::Threshold];

    /// The word in `operator.v1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Note => "note",
            Self::Silence => "silence",
            Self::Threshold => "threshold",
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
    beside {
        /// the level from now on, of a threshold; its `until` is the row's
        new_level: Option<Level>,
    }
    columns of row {
        /// the station that it is about
        station: Text,
        /// kind of its alerts, as `flood`; null for all
        kind: OptionalText,
        /// identifier of the threshold; null for all
        threshold: OptionalText,
        /// [`ActionKind`]: acknowledge, note, silence or threshold
        action: Text,
        /// who
        operator: Text,
        /// what is to be read beside the alert
        note: OptionalText,
        /// until when it holds; null for as long as the alert does, and for good of a level
        until: OptionalTime,
        /// number of the action in the store
        number: UInt64,
        /// when the operator did it
        action_time: Time,
        /// when the row reached us
        ingest_time: Time,
        /// level of the threshold from now on, in `unit`; null where another thing is done, and in rows of version 1
        level: OptionalFloat64 = row.new_level.map(|level| level.value),
        /// unit of the level
        unit: OptionalText = row.new_level.map(|level| level.unit.name()),
    }
}

/// A level that takes the place of a threshold's own.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// the level
    pub value: f64,
    /// its unit
    pub unit: Unit,
    /// until when; for good where there is none
    pub until: Option<Timestamp>,
}

/// What a row that changes a level says.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelChange {
    /// the station
    pub station: String,
    /// identifier of its threshold
    pub threshold: String,
    /// the level from now on
    pub level: Level,
}

impl Actions {
    /// The change of a level in a row; none where another thing is done.
    #[must_use]
    pub fn level_change(&self, row: usize) -> Option<LevelChange> {
        use arrow::array::Array as _;
        if ActionKind::of_name(self.action().value(row)) != Some(ActionKind::Threshold) {
            return None;
        }
        Some(LevelChange {
            station: self.station().value(row).to_owned(),
            threshold: self.threshold().is_valid(row).then(|| self.threshold().value(row).to_owned())?,
            level: Level {
                value: self.level().is_valid(row).then(|| self.level().value(row))?,
                unit: self.unit().is_valid(row).then(|| self.unit().value(row))?.parse().ok()?,
                until: self.until().is_valid(row).then(|| Timestamp(self.until().value(row))),
            },
        })
    }
}

fn check(rows: &Actions) -> Result<(), SchemaError> {
    for row in 0..rows.len() {
        let action = rows.action().value(row);
        if ActionKind::of_name(action).is_none() {
            return Err(refuse(Contract::Operator, "action", row, action, "acknowledge, note, silence or threshold"));
        }
        if action == ActionKind::Threshold.name()
            && rows.level_change(row).is_none_or(|change| !change.level.value.is_finite())
        {
            return Err(refuse(Contract::Operator, "level", row, "none", "a threshold, a number and its unit"));
        }
        if rows.operator().value(row).is_empty() {
            return Err(refuse(Contract::Operator, "operator", row, "empty", "who it was"));
        }
    }
    Ok(())
}
