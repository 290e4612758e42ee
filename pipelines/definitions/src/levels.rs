//! Levels that operators have given thresholds, in place of the definition's.

use std::{borrow::Cow, collections::BTreeMap};

use nilometer_schemas::{Level, LevelChange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Threshold;

/// Levels in force, by station and threshold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Levels(BTreeMap<String, BTreeMap<String, Level>>);

impl Levels {
    /// Puts a level in force, unless none of its station's `thresholds` is of that name and in such a unit: what was in force then stays.
    pub fn set<'a>(&mut self, change: LevelChange, mut thresholds: impl Iterator<Item = &'a Threshold>) {
        let LevelChange { station, threshold, level } = change;
        if thresholds.any(|defined| defined.id == threshold && defined.kind.takes(level.unit)) {
            self.0.entry(station).or_default().insert(threshold, level);
        }
    }

    /// A threshold as it is at a time: with its own level where none was given, or that one's time is over.
    #[must_use]
    pub fn of<'a>(&self, station: &str, threshold: &'a Threshold, time: Timestamp) -> Cow<'a, Threshold> {
        let level = self.0.get(station).and_then(|of_station| of_station.get(&threshold.id));
        let in_force = level.filter(|level| level.until.is_none_or(|until| until > time));
        in_force.and_then(|level| threshold.at(*level)).map_or(Cow::Borrowed(threshold), Cow::Owned)
    }

    /// Forgets what is over by a time, so that it is stored no longer.
    pub fn forget(&mut self, time: Timestamp) {
        for of_station in self.0.values_mut() {
            of_station.retain(|_, level| level.until.is_none_or(|until| until > time));
        }
        self.0.retain(|_, of_station| !of_station.is_empty());
    }
}

impl Threshold {
    /// The same at another level; none where its unit is none of this kind.
    #[must_use]
    pub fn at(&self, level: Level) -> Option<Self> {
        let other = Self { value: level.value, unit: level.unit, ..self.clone() };
        other.canonical().is_finite().then_some(other)
    }
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Unit;

    use super::*;
    use crate::ThresholdKind;

    #[test]
    fn a_level_holds_until_its_time_and_only_in_a_unit_of_its_kind() {
        let minor = Threshold {
            id: "minor".to_owned(),
            name: None,
            value: 150.0,
            unit: Unit::CubicMetrePerSecond,
            kind: ThresholdKind::Flow,
            below: false,
            source: None,
        };
        let mut levels = Levels::default();
        let mut set = |value: f64, unit: Unit, until: Option<i64>| {
            let level = Level { value, unit, until: until.map(Timestamp) };
            levels.set(
                LevelChange { station: "V1".to_owned(), threshold: "minor".to_owned(), level },
                [&minor].into_iter(),
            );
            [5, 10].map(|time| levels.of("V1", &minor, Timestamp(time)).canonical())
        };
        assert_eq!(set(180.0, Unit::CubicMetrePerSecond, Some(10)), [180.0, 150.0]);
        assert_eq!(set(2.0, Unit::Metre, None), [180.0, 150.0], "a stage is no flow, and what was in force stays");
        assert!((set(1_000.0, Unit::CubicFootPerSecond, None)[1] - 28.316_846_592).abs() < 1e-9);
        assert_eq!(levels.of("V2", &minor, Timestamp(5)).canonical(), 150.0);
        levels.forget(Timestamp(100));
        assert_ne!(levels, Levels::default(), "it is for good");
    }
}
