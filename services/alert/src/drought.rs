//! Droughts: classes that have lasted become alerts, without a rule of their own: what begins and ends them is in `drought.v1`. A severe drought that is
//! likely within a month is watched before it is there.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use nilometer_definitions::{AlertOptions, Catchment};
use nilometer_schemas::{
    AlertChange, AlertKind, AlertRow, AlertState, AlertsBuilder, DroughtOutlooks, Droughts, Timestamp,
};
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

/// The class that is watched when it is likely, and within how many weeks.
const LIKELY_CLASS: usize = 2;
const LIKELY_WEEKS: i32 = 4;

/// Where one index of a catchment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DroughtStanding {
    index: String,
    pub(crate) standing: Standing,
    class: Option<usize>,
    /// there while it is watched for what is likely to come
    #[serde(default)]
    likely: Option<Likely>,
}

/// A severe drought in the week in which it is likeliest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Likely {
    probability: f64,
    until: Timestamp,
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

/// Of each catchment's index that is watched the likeliest week of the next.
pub(crate) fn likely(rows: &DroughtOutlooks) -> BTreeMap<(String, &'static str), Likely> {
    let mut likely = BTreeMap::<_, Likely>::new();
    for row in (0..rows.len()).filter(|row| rows.week().value(*row) <= LIKELY_WEEKS) {
        let Some((index, _)) = INDICES.iter().find(|(index, _)| *index == rows.index().value(row)) else { continue };
        let probability = rows.at_least(row)[LIKELY_CLASS];
        let week = Likely { probability, until: Timestamp(rows.valid_time().value(row)) };
        let likeliest = likely.entry((rows.catchment().value(row).to_owned(), *index)).or_insert(week);
        if probability > likeliest.probability {
            *likeliest = week;
        }
    }
    likely
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
        Self { index: index.to_owned(), standing: Standing { about, ..Standing::default() }, class: None, likely: None }
    }

    /// Takes in a day; gives what has changed, where it is to be heard of.
    pub(crate) fn take(&mut self, tick: Timestamp, said: &Class) -> Option<AlertChange> {
        let changed = self.class != said.class;
        self.class = said.class;
        // An outlook that none has followed says nothing of the weeks behind its own.
        let over = self.likely.take_if(|likely| likely.until <= tick).is_some();
        self.go_over(tick, changed || over)
    }

    /// Takes in an outlook: what it says is watched from one probability on, and until another.
    pub(crate) fn take_outlook(
        &mut self,
        tick: Timestamp,
        said: Likely,
        options: &AlertOptions,
    ) -> Option<AlertChange> {
        let least = match self.likely {
            Some(_) => options.watch_until_probability,
            None => options.watch_probability,
        };
        let before = std::mem::replace(&mut self.likely, Some(said).filter(|said| said.probability >= least));
        self.go_over(tick, before != self.likely)
    }

    fn go_over(&mut self, tick: Timestamp, changed: bool) -> Option<AlertChange> {
        let before = self.standing.state;
        let watched = if self.likely.is_some() { AlertState::Watch } else { AlertState::Clear };
        let after = state_of(self.class).max(watched);
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
    let text = text(tick, catchment, name, (drought.class, drought.likely), said);
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

fn text(
    tick: Timestamp,
    catchment: &Catchment,
    name: &str,
    (class, likely): (Option<usize>, Option<Likely>),
    said: Option<&Class>,
) -> String {
    let words = likely.map(|Likely { probability, until }| {
        let (word, likeliest) = (CLASSES[LIKELY_CLASS], LocalTime::of(catchment).day(until, tick));
        format!("{} ({}) or worse {:.0} % likely in the week to {likeliest}", word.1, word.0, 100.0 * probability)
    });
    let of_class = match (class, &words) {
        (None, None) => return format!("{}: {name} has passed.", catchment.name()),
        (None, Some(words)) => return format!("{}: {name}, {words}.", catchment.name()),
        (Some(class), _) => CLASSES[class.min(CLASSES.len() - 1)],
    };
    let mut text = format!("{}: {name}, {} ({})", catchment.name(), of_class.1, of_class.0);
    if let Some(since) = said.and_then(|said| said.since) {
        text += &format!(" since {}", LocalTime::of(catchment).day(since, tick));
    }
    if let Some((percentile, years)) = said.and_then(|said| Some((said.percentile?, said.years))) {
        text += &format!(". {percentile:.0} % of this season's days in {years} years were lower");
    }
    if let Some(words) = words.filter(|_| class < Some(LIKELY_CLASS)) {
        text += &format!(". {}{}", words[..1].to_uppercase(), &words[1..]);
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

    #[test]
    fn a_severe_drought_that_is_likely_is_watched_until_it_is_not() {
        let mut drought = DroughtStanding::of("streamflow", "V3524010");
        let options = AlertOptions::default();
        let mut week = |probability: f64| {
            drought.take_outlook(Timestamp(1), Likely { probability, until: Timestamp(9) }, &options)
        };
        use AlertChange::{Cleared, Raised, Revised};
        let found = [0.2, 0.3, 0.3, 0.2, 0.1, 0.2].map(&mut week);
        assert_eq!(found, [None, Some(Raised), None, Some(Revised), Some(Cleared), None]);
        week(0.5);
        let none = Class::default();
        assert_eq!(drought.take(Timestamp(8), &none), None);
        assert_eq!(drought.take(Timestamp(9), &none), Some(Cleared), "no outlook has come since");
        drought.take_outlook(Timestamp(1), Likely { probability: 0.5, until: Timestamp(9) }, &options);
        let class = |class: usize| Class { class: Some(class), ..Class::default() };
        assert_eq!(drought.take(Timestamp(2), &class(1)), Some(Revised), "it is watched already");
        assert_eq!(drought.take(Timestamp(3), &class(2)), Some(Raised));
        assert_eq!(drought.take(Timestamp(4), &class(0)), Some(AlertChange::Lowered), "it may come back");
    }
}
