//! Newest: what is known last of each station, also where it is older than what memory keeps.

use std::collections::{BTreeMap, HashMap, VecDeque};

use arrow::array::{Array as _, RecordBatch};
use nilometer_notify::Alert;
use nilometer_schemas::{AlertKind, Alerts, Contract, Droughts, GaugeData, Models, Observations, Timestamp, Variable};

/// A reading and the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) valid_time: Timestamp,
    pub(crate) value: f64,
    before: Option<(Timestamp, f64)>,
}

impl Reading {
    /// How fast it rises from the reading before, m³ s⁻¹ an hour.
    pub(crate) fn rise_per_h(&self) -> Option<f64> {
        let (time, value) = self.before?;
        let seconds = self.valid_time.seconds_since(time);
        (seconds > 0).then(|| (self.value - value) * 3_600.0 / seconds as f64)
    }
}

/// What of a drought is known last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dryness {
    pub(crate) valid_time: Timestamp,
    pub(crate) class: Option<String>,
    pub(crate) percentile: Option<f64>,
}

/// What model.v1 says of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Announced {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) weights_sha256: String,
    pub(crate) package_sha256: String,
    pub(crate) weight: f64,
    pub(crate) reason: String,
    pub(crate) author: String,
    pub(crate) announcement: u64,
    pub(crate) since: Timestamp,
}

/// Announcements of models that are remembered.
const CHANGES: usize = 50;

/// The newest of one partition.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// discharge by station
    readings: HashMap<String, Reading>,
    /// streamflow by catchment
    droughts: HashMap<String, Dryness>,
    /// by station, then by kind and threshold
    alerts: BTreeMap<String, BTreeMap<(AlertKind, String), Alert>>,
    in_force: Option<Announced>,
    challenger: Option<Announced>,
    /// the newest last
    changes: VecDeque<Announced>,
    /// newest watermark of the forecasts
    time: Option<Timestamp>,
}

impl Newest {
    /// Takes the accepted rows of a message.
    pub(crate) fn take(&mut self, contract: Contract, time: Timestamp, rows: &RecordBatch) {
        match contract {
            Contract::Observation => drop(Observations::try_from(rows.clone()).map(|rows| self.read(&rows))),
            Contract::Drought => drop(Droughts::try_from(rows.clone()).map(|rows| self.dry(&rows))),
            Contract::Alert => drop(Alerts::try_from(rows.clone()).map(|rows| self.alert(&rows))),
            Contract::Model => drop(Models::try_from(rows.clone()).map(|rows| self.announce(&rows, time))),
            _ => {}
        }
    }

    /// Takes the watermark of a message of forecasts.
    pub(crate) fn reach(&mut self, time: Timestamp) {
        self.time = self.time.max(Some(time));
    }

    /// The newest tick that has been forecast.
    pub(crate) const fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The newest discharge of a station.
    pub(crate) fn reading(&self, station: &str) -> Option<Reading> {
        self.readings.get(station).copied()
    }

    /// The newest drought of a catchment.
    pub(crate) fn dryness(&self, catchment: &str) -> Option<&Dryness> {
        self.droughts.get(catchment)
    }

    /// Every newest row of the alerts of a station.
    pub(crate) fn alerts_of(&self, station: &str) -> impl Iterator<Item = &Alert> {
        self.alerts.get(station).into_iter().flat_map(BTreeMap::values)
    }

    /// Every newest row of an alert, by station.
    pub(crate) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values().flat_map(BTreeMap::values)
    }

    /// What the gauge of a station delivers.
    pub(crate) fn data_of(&self, station: &str) -> Option<GaugeData> {
        let newest = self.alerts_of(station).filter(|alert| alert.data.is_some()).max_by_key(|alert| alert.time);
        newest.and_then(|alert| alert.data)
    }

    /// The model in force.
    pub(crate) const fn in_force(&self) -> Option<&Announced> {
        self.in_force.as_ref()
    }

    /// The model that forecasts beside it, as its shadow.
    pub(crate) const fn challenger(&self) -> Option<&Announced> {
        self.challenger.as_ref()
    }

    /// What was announced last, the oldest first.
    pub(crate) fn changes(&self) -> impl DoubleEndedIterator<Item = &Announced> {
        self.changes.iter()
    }

    fn read(&mut self, rows: &Observations) {
        for row in (0..rows.len()).filter(|row| rows.variable().value(*row) == Variable::Discharge.name()) {
            let valid_time = Timestamp(rows.valid_time().value(row));
            let station = rows.station().value(row);
            if !rows.value().is_valid(row) {
                self.withdraw(station, valid_time);
                continue;
            }
            let value = rows.value().value(row);
            match self.readings.get_mut(station) {
                Some(known) if valid_time > known.valid_time => {
                    *known = Reading { valid_time, value, before: Some((known.valid_time, known.value)) };
                }
                // A correction of the newest.
                Some(known) if valid_time == known.valid_time => known.value = value,
                Some(_) => {}
                None => drop(self.readings.insert(station.to_owned(), Reading { valid_time, value, before: None })),
            }
        }
    }

    /// A reading that is no more: the one before it is the newest.
    fn withdraw(&mut self, station: &str, valid_time: Timestamp) {
        let Some(known) = self.readings.get(station).filter(|known| known.valid_time == valid_time) else { return };
        match known.before {
            Some((valid_time, value)) => {
                self.readings.insert(station.to_owned(), Reading { valid_time, value, before: None });
            }
            None => drop(self.readings.remove(station)),
        }
    }

    fn dry(&mut self, rows: &Droughts) {
        for row in (0..rows.len()).filter(|row| rows.index().value(*row) == "streamflow") {
            let valid_time = Timestamp(rows.valid_time().value(row));
            let catchment = rows.catchment().value(row);
            if self.droughts.get(catchment).is_some_and(|known| known.valid_time > valid_time) {
                continue;
            }
            let class = rows.class().is_valid(row).then(|| rows.class().value(row).to_owned());
            let percentile = rows.percentile().is_valid(row).then(|| rows.percentile().value(row));
            self.droughts.insert(catchment.to_owned(), Dryness { valid_time, class, percentile });
        }
    }

    fn alert(&mut self, rows: &Alerts) {
        for alert in Alert::of_rows(rows) {
            let of_station = self.alerts.entry(alert.station.clone()).or_default();
            let key = (alert.kind, alert.threshold.clone());
            let newer = |known: &Alert| (known.time, known.revision) <= (alert.time, alert.revision);
            if of_station.get(&key).is_none_or(newer) {
                of_station.insert(key, alert);
            }
        }
    }

    /// By its weight an announcement is in force or the challenger; the two change places where the challenger is promoted.
    fn announce(&mut self, rows: &Models, since: Timestamp) {
        for row in 0..rows.len() {
            let announcement = rows.announcement().value(row);
            if self.changes.back().is_some_and(|known| known.announcement > announcement) {
                continue;
            }
            let model = Announced {
                name: rows.name().value(row).to_owned(),
                version: rows.version().value(row).to_owned(),
                weights_sha256: rows.weights_sha256().value(row).to_owned(),
                package_sha256: rows.package_sha256().value(row).to_owned(),
                weight: rows.weight().value(row),
                reason: rows.reason().value(row).to_owned(),
                author: rows.author().value(row).to_owned(),
                announcement,
                since,
            };
            self.changes.push_back(model.clone());
            if self.changes.len() > CHANGES {
                self.changes.pop_front();
            }
            let is = |known: &Option<Announced>| {
                known.as_ref().is_some_and(|known| known.package_sha256 == model.package_sha256)
            };
            match (model.weight > 0.0, is(&self.in_force), is(&self.challenger)) {
                (true, true, _) | (false, _, true) => {}
                (true, false, true) => self.challenger = self.in_force.replace(model),
                (true, false, false) => self.in_force = Some(model),
                (false, true, false) => self.challenger = None,
                (false, false, false) => self.challenger = Some(model),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use nilometer_schemas::{Flag, ModelRow, ModelsBuilder, ObservationRow, ObservationsBuilder};

    use super::*;

    fn read(newest: &mut Newest, hour: i64, value: Option<f64>) {
        let mut rows = ObservationsBuilder::new();
        rows.push(ObservationRow {
            station: "a",
            variable: Variable::Discharge,
            valid_time: Timestamp(0).plus_s(hour * 3_600),
            period_s: 0,
            value,
            flag: if value.is_some() { Flag::Pass } else { Flag::Missing },
            flag_source: "checks",
            qualifier: None,
            source: "gauges",
            ingest_time: Timestamp(0),
        });
        newest.take(Contract::Observation, Timestamp(0), &rows.finish().unwrap().into_batch());
    }

    fn announce(newest: &mut Newest, announcement: u64, name: &str, weight: f64) {
        let mut rows = ModelsBuilder::new();
        rows.push(ModelRow {
            name,
            version: "1",
            package_sha256: &name.repeat(64),
            weights_sha256: &name.repeat(64),
            weight,
            reason: "trained on",
            author: "ana",
            announcement,
            ingest_time: Timestamp(0),
        });
        newest.take(Contract::Model, Timestamp(announcement as i64), &rows.finish().unwrap().into_batch());
    }

    #[test]
    fn a_challenger_is_not_in_force_until_it_is_promoted_and_the_two_change_places() {
        let mut newest = Newest::default();
        let names = |newest: &Newest| {
            [newest.in_force(), newest.challenger()].map(|model| model.map(|model| model.name.clone()))
        };
        let of = |in_force: &str, challenger: Option<&str>| [Some(in_force.to_owned()), challenger.map(str::to_owned)];
        announce(&mut newest, 1, "a", 1.0);
        announce(&mut newest, 2, "b", 0.0);
        assert_eq!(names(&newest), of("a", Some("b")));
        announce(&mut newest, 3, "b", 1.0);
        assert_eq!(names(&newest), of("b", Some("a")));
        announce(&mut newest, 2, "c", 1.0);
        assert_eq!(names(&newest), of("b", Some("a")), "it was announced before");
        announce(&mut newest, 4, "c", 1.0);
        assert_eq!(names(&newest), of("c", Some("a")), "the shadow stays");
        announce(&mut newest, 5, "c", 0.0);
        assert_eq!(names(&newest), of("c", None), "its own shadow ends the shadow");
        assert_eq!(newest.changes().count(), 5);
    }

    #[test]
    fn the_newest_reading_is_corrected_and_withdrawn_and_an_old_one_changes_nothing() {
        let mut newest = Newest::default();
        (1..=3).for_each(|hour| read(&mut newest, hour, Some(hour as f64)));
        assert_eq!(newest.reading("a").unwrap().rise_per_h(), Some(1.0));
        read(&mut newest, 3, Some(5.0));
        assert_eq!(newest.reading("a").unwrap().rise_per_h(), Some(3.0));
        read(&mut newest, 1, Some(9.0));
        read(&mut newest, 4, None);
        assert_eq!(newest.reading("a").unwrap().value, 5.0);
        read(&mut newest, 3, None);
        let left = newest.reading("a").unwrap();
        assert_eq!((left.value, left.rise_per_h()), (2.0, None));
        read(&mut newest, 2, None);
        assert_eq!(newest.reading("a"), None);
    }
}
