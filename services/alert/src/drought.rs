//! Droughts: classes that have lasted become alerts, without a rule of their own: what begins and ends them is in `drought.v1`.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use nilometer_definitions::Catchment;
use nilometer_schemas::{AlertChange, AlertKind, AlertRow, AlertState, AlertsBuilder, Droughts, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    gauge::Gauge,
    machine::{About, Standing},
    rows::{identifier, of_station},
    words::LocalTime,
};

/// What is watched, and what people call it.
const INDICES: [(&str, &str); 2] = [("streamflow", "Streamflow drought"), ("root_zone", "Soil moisture drought")];
/// What people call the classes D0 to D4.
const CLASSES: [(&str, &str); 5] =
    [("D0", "abnormally dry"), ("D1", "moderate"), ("D2", "severe"), ("D3", "extreme"), ("D4", "exceptional")];

/// Where one index of a catchment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DroughtStanding {
    index: String,
    pub(crate) standing: Standing,
    class: Option<usize>,
}

/// What the newest day says of one index.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Class {
    class: Option<usize>,
    since: Option<Timestamp>,
    percentile: Option<f64>,
    years: i32,
}

/// Of each catchment's index that is watched its newest day.
pub(crate) fn classes(rows: &Droughts) -> BTreeMap<(String, &'static str), Class> {
    let mut classes = BTreeMap::new();
    for row in 0..rows.len() {
        let Some((index, _)) = INDICES.iter().find(|(index, _)| *index == rows.index().value(row)) else { continue };
        let word = rows.class().is_valid(row).then(|| rows.class().value(row));
        let class = Class {
            class: word.and_then(|word| CLASSES.iter().position(|(class, _)| *class == word)),
            since: rows.since().is_valid(row).then(|| Timestamp(rows.since().value(row))),
            percentile: rows.percentile().is_valid(row).then(|| rows.percentile().value(row)),
            years: rows.years().value(row),
        };
        classes.insert((rows.catchment().value(row).to_owned(), *index), class);
    }
    classes
}

/// A moderate drought is watched, a severe one warned of.
const fn state_of(class: Option<usize>) -> AlertState {
    match class {
        Some(2..) => AlertState::Warning,
        Some(1) => AlertState::Watch,
        _ => AlertState::Clear,
    }
}

impl DroughtStanding {
    /// Nothing is known of an index of a station yet.
    pub(crate) fn of(index: &str, station: &str) -> Self {
        let about = About { station: station.to_owned(), kind: AlertKind::Drought };
        Self { index: index.to_owned(), standing: Standing { about, ..Standing::default() }, class: None }
    }

    /// Takes in a day; gives what has changed, where it is to be heard of.
    pub(crate) fn take(&mut self, tick: Timestamp, said: &Class) -> Option<AlertChange> {
        let (before, after) = (self.standing.state, state_of(said.class));
        let changed = self.class != said.class;
        self.class = said.class;
        if after.is_active() && after > before {
            if !before.is_active() {
                (self.standing.started, self.standing.revision, self.standing.note) = (tick, 0, None);
            }
            self.standing.enter(after, tick);
            return Some(AlertChange::Raised);
        }
        if before.is_active() && after < before {
            self.standing.enter(after, tick);
            return Some(if after.is_active() { AlertChange::Lowered } else { AlertChange::Cleared });
        }
        (before.is_active() && changed).then_some(AlertChange::Revised)
    }
}

/// A row of a drought's alert; `said` is there where a day has changed it.
pub(crate) fn push_drought(
    tick: Timestamp,
    change: AlertChange,
    catchment: &Catchment,
    drought: &mut DroughtStanding,
    said: Option<&Class>,
    gauge: &Gauge,
    rows: &mut AlertsBuilder,
) {
    let index = drought.index.as_str();
    let name = INDICES.iter().find(|(known, _)| *known == index).map_or(index, |(_, name)| name);
    let standing = &mut drought.standing;
    standing.revision += 1;
    let id = identifier(catchment.station(), AlertKind::Drought, index, standing.started);
    let text = text(tick, catchment, name, drought.class, said);
    let acknowledged = standing.acknowledged.as_ref();
    rows.push(AlertRow {
        alert: &id,
        kind: AlertKind::Drought.name(),
        threshold: index,
        threshold_name: name,
        time: tick,
        change: change.name(),
        state: standing.state.name(),
        since: standing.since,
        started: standing.started,
        revision: standing.revision,
        reached: standing.state.is_active(),
        reached_since: said.and_then(|said| said.since),
        acknowledged_by: acknowledged.map(|acknowledged| acknowledged.by.as_str()),
        acknowledged_until: acknowledged.and_then(|acknowledged| acknowledged.until),
        note: standing.note.as_deref(),
        silenced_until: standing.silenced_until,
        text: &text,
        ..of_station(catchment, gauge)
    });
}

fn text(tick: Timestamp, catchment: &Catchment, name: &str, class: Option<usize>, said: Option<&Class>) -> String {
    let of_class = match class {
        None => return format!("{}: {name} has passed.", catchment.name()),
        Some(class) => CLASSES[class.min(CLASSES.len() - 1)],
    };
    let mut text = format!("{}: {name}, {} ({})", catchment.name(), of_class.1, of_class.0);
    if let Some(since) = said.and_then(|said| said.since) {
        text += &format!(" since {}", LocalTime::of(catchment).day(since, tick));
    }
    if let Some((percentile, years)) = said.and_then(|said| Some((said.percentile?, said.years))) {
        text += &format!(". {percentile:.0} % of this season's days in {years} years were lower");
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_severe_is_a_warning_until_it_is_milder() {
        let mut drought = DroughtStanding::of("streamflow", "V3524010");
        let mut day = |class: Option<usize>| {
            let said = Class { class, ..Class::default() };
            drought.take(Timestamp(1), &said)
        };
        use AlertChange::{Cleared, Lowered, Raised, Revised};
        let found = [None, Some(0), Some(1), Some(1), Some(2), Some(3), Some(3), Some(1), Some(0), None].map(&mut day);
        let expected =
            [None, None, Some(Raised), None, Some(Raised), Some(Revised), None, Some(Lowered), Some(Cleared), None];
        assert_eq!(found, expected);
    }
}
