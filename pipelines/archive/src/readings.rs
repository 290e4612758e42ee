//! Readings: what gauges read, as it arrived.

use std::collections::BTreeMap;

use nilometer_schemas::{Contract, Observations, Timestamp, Variable};
use nilometer_statistics::{Newest, counts};
use object_store::ObjectStore;

use crate::{ArchiveError, visit};

/// Observed discharge of one station, m³ s⁻¹.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Readings {
    /// by valid time; what arrived last counts: a correction, or that a value was withdrawn
    pub discharge_m3_s: BTreeMap<Timestamp, f64>,
    /// the newest reading by its valid time, from each arrival on that changed it
    known: BTreeMap<Timestamp, Newest>,
}

impl Readings {
    /// Of readings that arrived when they were valid.
    #[must_use]
    pub fn immediate(discharge_m3_s: BTreeMap<Timestamp, f64>) -> Self {
        let known = discharge_m3_s.iter().map(|(time, value)| (*time, Newest::of(time.0, *value))).collect();
        Self { discharge_m3_s, known }
    }

    /// Takes in a reading; readings come in the order in which they arrived.
    fn take(&mut self, arrival: Timestamp, valid_time: Timestamp, value: Option<f64>) {
        let Some(value) = value else {
            self.discharge_m3_s.remove(&valid_time);
            return;
        };
        self.discharge_m3_s.insert(valid_time, value);
        let mut newest = self.known.last_key_value().map_or_else(Newest::default, |(_, newest)| *newest);
        newest.take(valid_time.0, value);
        let arrival = self.known.last_key_value().map_or(arrival, |(last, _)| arrival.max(*last));
        self.known.insert(arrival, newest);
    }

    /// The newest reading that had arrived at an issue time, m³ s⁻¹: what persistence says of any later time.
    #[must_use]
    pub fn persisted_m3_s(&self, issue_time: Timestamp) -> Option<f64> {
        self.known.range(..=issue_time).next_back().and_then(|(_, newest)| newest.value())
    }
}

/// Observed discharge that is valid from `from` to `to`, by station.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be read.
pub async fn readings(
    store: &dyn ObjectStore,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<String, Readings>, ArchiveError> {
    let mut found: BTreeMap<String, Readings> = BTreeMap::new();
    let discharge = Variable::Discharge.name();
    visit(store, Contract::Observation, Some((from, to.plus_s(7 * 86_400))), |batch| {
        let rows = Observations::try_from(batch)?;
        for row in 0..rows.len() {
            let valid_time = Timestamp(rows.valid_time().value(row));
            if rows.variable().value(row) != discharge || valid_time < from || valid_time > to {
                continue;
            }
            let value = counts(rows.flag_of(row)).then(|| rows.value().value(row));
            let arrival = Timestamp(rows.ingest_time().value(row)).max(valid_time);
            let station = rows.station().value(row);
            if !found.contains_key(station) {
                found.insert(station.to_owned(), Readings::default());
            }
            if let Some(readings) = found.get_mut(station) {
                readings.take(arrival, valid_time, value);
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persistence_is_the_newest_reading_that_had_arrived() {
        let at = |n: i64| Timestamp(0).plus_s(n);
        let mut readings = Readings::default();
        // Read at 10, arrived at 15; a correction of it at 40, behind the reading of 30; one that was withdrawn.
        for (arrival, valid, value) in
            [(15, 10, Some(1.0)), (35, 30, Some(3.0)), (40, 10, Some(9.0)), (50, 45, Some(4.0)), (55, 45, None)]
        {
            readings.take(at(arrival), at(valid), value);
        }
        let persisted = [10, 15, 34, 35, 40, 60].map(|time| readings.persisted_m3_s(at(time)));
        assert_eq!(persisted, [None, Some(1.0), Some(1.0), Some(3.0), Some(3.0), Some(4.0)]);
        assert_eq!(readings.discharge_m3_s, BTreeMap::from([(at(10), 9.0), (at(30), 3.0)]));
        let immediate = Readings::immediate(BTreeMap::from([(at(5), 2.0)]));
        assert_eq!([at(4), at(5)].map(|time| immediate.persisted_m3_s(time)), [None, Some(2.0)]);
    }
}
