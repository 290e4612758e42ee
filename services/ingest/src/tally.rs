//! What each source has given, for `nilometer sources status`, the metrics by source and the warning of a source without a row.

use std::collections::BTreeMap;

use nilometer_engine::{Metrics, SnapshotError, Snapshots};
use nilometer_schemas::{DeadLetterRow, Reason, Timestamp};
use serde::{Deserialize, Serialize};

/// What one source has given since the role's first start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTally {
    /// rows that became observations or forcing
    pub used: u64,
    /// rows in dead letters, by reason
    pub rejected: BTreeMap<Reason, u64>,
    /// cells of grids outside the possible range, which count as missing
    #[serde(default)]
    pub cells_out_of_range: u64,
    /// newest valid time of a row that was used
    pub newest_valid_time: Option<Timestamp>,
    /// when its newest batch arrived, used or not
    pub newest_arrival: Option<Timestamp>,
}

impl SourceTally {
    /// Rows that came in: each was used or is in a dead letter.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.used + self.rejected.values().sum::<u64>()
    }

    /// Notes that a batch arrived.
    pub(crate) fn arrived(&mut self, at: Timestamp) {
        self.newest_arrival = self.newest_arrival.max(Some(at));
    }

    /// Counts cells outside the possible range; whether they are the first.
    pub(crate) fn out_of_range(&mut self, cells: u64) -> bool {
        let first = self.cells_out_of_range == 0 && cells > 0;
        self.cells_out_of_range += cells;
        first
    }

    /// Counts rows that were used, the newest of them valid at `newest_valid_time`.
    pub(crate) fn used(&mut self, rows: u64, newest_valid_time: Option<Timestamp>) {
        self.used += rows;
        self.newest_valid_time = self.newest_valid_time.max(newest_valid_time);
    }
}

/// What every source has given, by the source's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceTallies(BTreeMap<String, SourceTally>);

impl SourceTallies {
    /// That of a source; nothing has been counted where it has not given a batch.
    #[must_use]
    pub fn get(&self, source: &str) -> Option<&SourceTally> {
        self.0.get(source)
    }

    /// Whether a row of a source was used.
    pub(crate) fn has_used(&self, source: &str) -> bool {
        self.get(source).is_some_and(|tally| tally.used > 0)
    }

    /// Every source that has given a batch, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceTally)> {
        self.0.iter().map(|(source, tally)| (source.as_str(), tally))
    }

    /// That of a source, to be added to.
    pub(crate) fn of(&mut self, source: &str) -> &mut SourceTally {
        self.0.entry(source.to_owned()).or_default()
    }

    /// Counts the rows of a dead letter.
    pub(crate) fn reject(&mut self, dead_letter: &DeadLetterRow) {
        *self.of(&dead_letter.source).rejected.entry(dead_letter.reason).or_default() += dead_letter.rows;
    }

    /// Shows all of it as metrics.
    pub(crate) fn show(&self, metrics: &Metrics) {
        for (source, tally) in self.iter() {
            metrics.source_rows(source, tally.used, &tally.rejected);
            metrics.source_reached(source, tally.newest_valid_time, tally.newest_arrival);
        }
    }

    /// The tallies of the newest snapshot of the role, with the tick that they are from; none before the first snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`] when the store fails or no snapshot can be read.
    pub async fn newest(snapshots: &Snapshots) -> Result<Option<(Timestamp, Self)>, SnapshotError> {
        let newest = snapshots.newest::<Saved>().await?;
        Ok(newest.and_then(|snapshot| Some((snapshot.content.tick?, snapshot.content.intake.sources))))
    }
}

/// The part of the role's snapshot that is read here.
#[derive(Deserialize)]
struct Saved {
    tick: Option<Timestamp>,
    intake: SavedIntake,
}

#[derive(Deserialize)]
struct SavedIntake {
    #[serde(default)]
    sources: SourceTallies,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    fn dead_letter(source: &str, reason: Reason, rows: u64) -> DeadLetterRow {
        DeadLetterRow {
            source: source.to_owned(),
            locator: "q.csv:2".to_owned(),
            reason,
            detail: String::new(),
            rows,
            content_type: "text/csv",
            bytes: Vec::new(),
            ingest_time: Timestamp(0),
        }
    }

    #[test]
    fn each_source_has_its_rows_and_times_never_go_back() {
        let mut tallies = SourceTallies::default();
        let (early, late) = (Timestamp(0), Timestamp(3_600_000_000));
        for (at, newest) in [(late, Some(late)), (early, Some(early)), (early, None)] {
            tallies.of("gauge").arrived(at);
            tallies.of("gauge").used(2, newest);
        }
        tallies.reject(&dead_letter("gauge", Reason::GrossRange, 3));
        tallies.reject(&dead_letter("rain", Reason::Undecodable, 1));
        let gauge = tallies.get("gauge").unwrap();
        assert_eq!((gauge.used, gauge.received()), (6, 9));
        assert_eq!((gauge.newest_valid_time, gauge.newest_arrival), (Some(late), Some(late)));
        let rain = tallies.get("rain").unwrap();
        assert_eq!((rain.used, rain.received(), rain.newest_valid_time), (0, 1, None));
        assert!(tallies.get("snow").is_none());
        let first = [0, 3, 2].map(|cells| tallies.of("rain").out_of_range(cells));
        assert_eq!(first, [false, true, false], "only the first are worth a line");
        assert_eq!(tallies.get("rain").unwrap().cells_out_of_range, 5);
        let text = serde_json::to_string(&tallies).unwrap();
        assert_eq!(serde_json::from_str::<SourceTallies>(&text).unwrap(), tallies);
    }
}
