//! Action: what an operator does about alerts, applied to where they stand.

use arrow::array::Array as _;
use nilometer_definitions::Threshold;
use nilometer_schemas::{ActionKind, Actions, AlertChange, AlertKind, Level, Timestamp};

use crate::{
    machine::{Acknowledged, Standing},
    rows::kind_of,
};

/// One row of `operator.v1`.
pub(crate) struct Action<'a> {
    pub(crate) station: &'a str,
    kind: Option<&'a str>,
    threshold: Option<&'a str>,
    action: ActionKind,
    operator: &'a str,
    note: Option<&'a str>,
    until: Option<Timestamp>,
    level: Option<Level>,
}

impl<'a> Action<'a> {
    /// A row; none where it names no action, which the contract rules out.
    pub(crate) fn of(rows: &'a Actions, row: usize) -> Option<Self> {
        let text = |column: &'a arrow::array::StringArray| column.is_valid(row).then(|| column.value(row));
        Some(Self {
            station: rows.station().value(row),
            kind: text(rows.kind()),
            threshold: text(rows.threshold()),
            action: ActionKind::of_name(rows.action().value(row))?,
            operator: rows.operator().value(row),
            note: text(rows.note()),
            until: rows.until().is_valid(row).then(|| Timestamp(rows.until().value(row))),
            level: rows.level_change(row).map(|change| change.level),
        })
    }

    /// Whether it is about alerts of a threshold.
    pub(crate) fn is_about(&self, threshold: &Threshold) -> bool {
        self.threshold.is_none_or(|id| id == threshold.id)
            && self.kind.is_none_or(|kind| kind == kind_of(threshold).name())
    }

    /// Whether the level that it gives is one of such a threshold.
    pub(crate) fn fits(&self, threshold: &Threshold) -> bool {
        self.level.is_none_or(|level| threshold.kind.takes(level.unit))
    }

    /// Whether it is about alerts of an index of drought.
    pub(crate) fn is_about_drought(&self, index: &str) -> bool {
        // A class has no level.
        self.level.is_none()
            && self.threshold.is_none_or(|id| id == index)
            && self.kind.is_none_or(|kind| kind == AlertKind::Drought.name())
    }

    /// Does it; gives what has changed of an alert that there is. Quiet may be asked for before there is one.
    pub(crate) fn apply(&self, standing: &mut Standing) -> Option<AlertChange> {
        let level = self.level.map(|level| format!("level {} {}", level.value, level.unit));
        let said = level.into_iter().chain(self.note.map(str::to_owned)).collect::<Vec<String>>().join("; ");
        let signed = (!said.is_empty()).then(|| format!("{}: {said}", self.operator));
        let active = standing.state.is_active();
        if self.action == ActionKind::Silence {
            standing.silenced_until = self.until;
        } else if !active {
            return None;
        }
        if signed.is_some() {
            standing.note = signed;
        }
        let change = match self.action {
            ActionKind::Acknowledge => {
                standing.acknowledged = Some(Acknowledged { by: self.operator.to_owned(), until: self.until });
                AlertChange::Acknowledged
            }
            ActionKind::Note | ActionKind::Threshold => AlertChange::Noted,
            ActionKind::Silence => AlertChange::Silenced,
        };
        active.then_some(change)
    }
}
