//! What the role keeps of itself in snapshots, and how it goes on from one.

use nilometer_engine::{Balance, Entry, Outbox, Partition, Position, SnapshotError, Snapshots};
use nilometer_schemas::{Contract, Reason, Timestamp};
use nilometer_statistics::RunningScore;
use serde::{Deserialize, Serialize};

use super::{Dependencies, Readings, Role};
use crate::{ScoreError, waiting::Mark};

/// Everything of the role that a snapshot keeps besides its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) identity: String,
    /// last tick that was completed
    pub(super) tick: Timestamp,
    /// where to read on from: the oldest forecast that waits
    pub(super) mark: Mark,
    pub(super) balance: Balance,
    /// rows of the forecasts' topic before the first that was received
    pub(super) origin: u64,
    /// time of each gauge's newest value at that place; none before the first
    pub(super) newest: Vec<Option<Timestamp>>,
    /// newest day of each gauge's climate
    pub(super) climate: Vec<i64>,
    /// newest step of each gauge with flood thresholds
    pub(super) floods: Vec<Option<Timestamp>>,
    /// what each gauge has read since the oldest forecast that waits
    #[serde(default)]
    pub(super) recent: Vec<Readings>,
}

impl Role {
    pub(super) fn restore(&mut self, kept: Kept, numbers: &[f32]) -> Result<(), ScoreError> {
        let other =
            |expected: &str| ScoreError::OtherPipeline { found: kept.identity.clone(), expected: expected.to_owned() };
        if kept.identity != self.identity {
            return Err(other(&self.identity));
        }
        tracing::info!(tick = %kept.tick, "scores resume");
        let behind = self.climate.restore(numbers, &kept.climate);
        let behind = behind.and_then(|numbers| self.floods.restore(numbers, &kept.floods));
        let behind = behind.filter(|b| b.len() >= self.newest.len());
        let (values, running) = behind.ok_or_else(|| other(&self.identity))?.split_at(self.newest.len());
        let parts = running.as_chunks::<3>().0.iter().map(whole);
        let parts: Vec<f64> = parts.collect();
        if parts.len() != self.running.len() * 7 || kept.newest.len() != self.newest.len() {
            return Err(other(&self.identity));
        }
        self.running = parts.as_chunks::<7>().0.iter().map(|parts| RunningScore::from_parts(*parts)).collect();
        let times = kept.newest.into_iter().map(|time| time.unwrap_or(Timestamp::MIN));
        self.newest = times.zip(values.iter().copied()).collect();
        // A store of a version before this one has none.
        self.recent = kept.recent;
        self.recent.resize(self.catchments.len(), Readings::new());
        (self.balance, self.origin) = (kept.balance, kept.origin);
        (self.tick, self.saved) = (kept.tick, kept.tick);
        self.dependencies.metrics.stage.reached(kept.tick);
        Ok(())
    }

    /// What was read again waits as it did, unless a message has become unreadable since: then its rows are lost, or not observed after all.
    pub(super) fn settle_reread(&mut self) {
        let (then, now) = (self.balance.pending, self.waiting.pending());
        if now != then {
            tracing::warn!(
                then,
                now,
                "messages that had been read are damaged: the forecasts that wait are others than before the restart"
            );
        }
        self.balance.reject(Reason::DamagedSegment, then.saturating_sub(now));
        self.balance.used = self.balance.used.saturating_sub(now.saturating_sub(then));
        self.balance.pending = now;
    }

    /// Saves where the oldest waiting forecast stands, and what has been learned.
    pub(super) async fn save(&mut self, outbox: &mut Outbox) -> Result<(), ScoreError> {
        self.ticks_since_save = 0;
        if self.saved == self.tick {
            return Ok(());
        }
        self.balance.check(&self.dependencies.metrics.stage)?;
        let here = Mark { forecast: self.forecasts.position(), observation: self.observations.position() };
        let (mark, newest) = self.waiting.oldest().map_or((here, &*self.newest), |o| (o.mark, &*o.newest));
        let (climate, days) = self.climate.save();
        let (floods, flood_times) = self.floods.save();
        let running = self.running.iter().flat_map(RunningScore::parts).flat_map(split);
        let learned = climate.iter().copied().chain(floods);
        let numbers: Vec<f32> = learned.chain(newest.iter().map(|(_, value)| *value)).chain(running).collect();
        let kept = Kept {
            identity: self.identity.clone(),
            tick: self.tick,
            mark,
            balance: self.balance.clone(),
            origin: self.origin,
            newest: newest.iter().map(|(time, _)| Some(*time).filter(|time| *time > Timestamp::MIN)).collect(),
            climate: days.to_vec(),
            floods: flood_times,
            recent: self.recent.clone(),
        };
        outbox.settle().await?;
        self.dependencies.snapshots.save(self.tick.0, &kept, &numbers).await?;
        self.dependencies.metrics.stage.snapshots.inc();
        self.saved = self.tick;
        Ok(())
    }
}

/// Where a role without a snapshot begins: with the oldest message that the log still has.
pub(super) async fn first_mark(dependencies: &Dependencies) -> Result<Mark, ScoreError> {
    let first = async |contract| {
        let partition = Partition::new(contract, dependencies.partition);
        let next = dependencies.log.bounds(partition).await?.start;
        let rows = match dependencies.log.read(partition, next).await? {
            Some(Entry::Record(record)) => record.rows_before,
            _ => 0,
        };
        if next > 0 {
            tracing::warn!(%partition, from = next, "older messages have left the log and are not scored");
        }
        Ok::<_, ScoreError>(Position { next, rows })
    };
    Ok(Mark { forecast: first(Contract::Forecast).await?, observation: first(Contract::Observation).await? })
}

/// A number as three float32 whose sum it is, to the last bit.
fn split(number: f64) -> [f32; 3] {
    let first = number as f32;
    let second = (number - f64::from(first)) as f32;
    [first, second, (number - f64::from(first) - f64::from(second)) as f32]
}

/// What [`split`] was given.
fn whole(parts: &[f32; 3]) -> f64 {
    let [first, second, third] = parts.map(f64::from);
    first + (second + third)
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 2]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Kept>(ordinal).await?;
    let needed = snapshot.map(|s| s.content.mark);
    Ok(needed.map(|m| [(Contract::Forecast, m.forecast), (Contract::Observation, m.observation)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_to_the_last_bit() {
        for number in [0.0, 1.0, std::f64::consts::PI, 1.0e13 / 3.0, 12_345.678_901_234_567, -1.0e-7 / 3.0] {
            assert_eq!(whole(&split(number)).to_bits(), number.to_bits(), "{number}");
        }
    }
}
