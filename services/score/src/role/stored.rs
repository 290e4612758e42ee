//! Stored: the scores as a snapshot keeps them, and how the role goes on from one.

use nilometer_engine::{
    Balance, Columns, ColumnsBuilder, Entry, Outbox, Partition, Position, SnapshotError, Snapshots, VersionError,
    Versioned,
};
use nilometer_schemas::{Contract, Flag, Reason, Timestamp};
use nilometer_statistics::Newest;
use serde::{Deserialize, Serialize};

use super::{Dependencies, Role, readings::Reading};
use crate::{ScoreError, performance::Issuer, waiting::Mark};

/// What this build writes and reads. A version that follows reads this one too.
const VERSION: u64 = 3;
/// The oldest version that it reads: 2 has the scores of one model, which it does not name.
const OLDEST: u64 = 2;

/// Everything of the role that a snapshot keeps besides its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredScores {
    step_s: i64,
    partitions: u32,
    catchments: Vec<String>,
    /// last tick that was completed
    pub(super) tick: Timestamp,
    /// where to read on from: the oldest forecast that waits
    pub(super) mark: Mark,
    pub(super) balance: Balance,
    /// rows of the forecasts' topic before the first that was received
    pub(super) origin: u64,
    /// the same of the shadows', and how many of the rows received are theirs
    #[serde(default)]
    shadow: (u64, u64),
    /// whose scores there are
    #[serde(default = "unnamed")]
    issuers: Vec<Option<Issuer>>,
}

fn unnamed() -> Vec<Option<Issuer>> {
    vec![None]
}

/// Scores in a snapshot: of this version, or of another.
pub(super) type Stored = Versioned<StoredScores, VERSION, OLDEST>;

/// The scores, or an error that says what to do with another version.
pub(super) fn current(stored: Stored) -> Result<StoredScores, VersionError> {
    stored.into_current("score")
}

impl Role {
    /// Goes on from stored scores: catchments, lead times and thresholds that they do not have begin to count.
    pub(super) fn restore(&mut self, stored: StoredScores, columns: &Columns) -> Result<(), ScoreError> {
        let (step_s, partitions) = (self.step_s, self.partitions);
        for (key, found, expected) in
            [("time.step in s", stored.step_s, step_s), ("log.partitions", stored.partitions.into(), partitions.into())]
        {
            if found != expected {
                return Err(ScoreError::OtherPipeline { key, found, expected });
            }
        }
        tracing::info!(tick = %stored.tick, "scores resume");
        let rows = columns.keyed(self.index.catchments().iter().map(String::as_str));
        self.climate.restore(&rows);
        self.performances.restore(stored.issuers, &rows);
        for (catchment, newest) in self.newest.iter_mut().enumerate() {
            if let (Some([time]), Some([value])) =
                (rows.i64("newest.time", catchment), rows.f32("newest.discharge_m3_s", catchment))
            {
                *newest = Newest::of(*time, f64::from(*value));
            }
            let times = rows.i64("recent.time", catchment).unwrap_or_default();
            let flows = rows.f64("recent.discharge_m3_s", catchment).unwrap_or_default();
            let flags = rows.i64("recent.flag", catchment).unwrap_or_default();
            for ((time, discharge_m3_s), flag) in times.iter().zip(flows).zip(flags) {
                let flag = u8::try_from(*flag).ok().and_then(|flag| Flag::try_from(flag).ok()).unwrap_or(Flag::Fail);
                self.gauges.recent[catchment]
                    .insert(Timestamp(*time), Reading { discharge_m3_s: *discharge_m3_s, flag });
            }
        }
        self.removed = stored.catchments.iter().any(|name| self.index.place_of_catchment(name).is_none());
        let (shadow_origin, of_shadows) = stored.shadow;
        (self.inputs.forecasts.origin, self.inputs.forecasts.received) =
            (stored.origin, stored.balance.received - of_shadows);
        (self.inputs.shadow_forecasts.origin, self.inputs.shadow_forecasts.received) = (shadow_origin, of_shadows);
        self.balance = stored.balance;
        (self.tick, self.saved) = (stored.tick, stored.tick);
        self.dependencies.metrics.role.reached(stored.tick);
        Ok(())
    }

    /// What was read again waits as it did, unless a message has become unreadable since: then its rows are lost, or not observed after all.
    pub(super) fn settle_reread(&mut self) {
        let (then, now) = (self.balance.pending, self.waiting.pending());
        if self.removed && now < then {
            tracing::info!(
                rows = then - now,
                "forecasts of catchments that the definition no longer has are not scored"
            );
            self.balance.reject(Reason::UnknownStation, then - now);
            self.balance.pending = now;
            return;
        }
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
        self.balance.check(&self.dependencies.metrics.role)?;
        let here = self.inputs.here();
        let (mark, newest) = self.waiting.oldest().map_or((here, &*self.newest), |o| (o.mark, &*o.newest));
        let mut columns = ColumnsBuilder::new(self.index.catchments().iter().map(String::as_str));
        self.climate.store(&mut columns);
        let issuers = self.performances.store(&mut columns);
        let known =
            |catchment: usize| newest[catchment].value().map(|value| (newest[catchment].valid_time_us(), value));
        columns.i64("newest.time", |catchment| known(catchment).map(|(time, _)| time));
        columns.f32("newest.discharge_m3_s", |catchment| known(catchment).map(|(_, value)| value as f32));
        let recent = |catchment: usize| self.gauges.recent[catchment].iter();
        columns.i64("recent.time", |catchment| recent(catchment).map(|(time, _)| time.0).collect::<Vec<_>>());
        columns.f64("recent.discharge_m3_s", |catchment| {
            recent(catchment).map(|(_, reading)| reading.discharge_m3_s).collect::<Vec<_>>()
        });
        columns.i64("recent.flag", |catchment| {
            recent(catchment).map(|(_, reading)| i64::from(reading.flag as u8)).collect::<Vec<_>>()
        });
        let columns = columns.finish()?;
        let stored: Stored = Versioned::Current(StoredScores {
            step_s: self.step_s,
            partitions: self.partitions,
            catchments: self.index.catchments().to_vec(),
            tick: self.tick,
            mark,
            balance: self.balance.clone(),
            origin: self.inputs.forecasts.origin,
            shadow: (self.inputs.shadow_forecasts.origin, self.inputs.shadow_forecasts.received),
            issuers,
        });
        outbox.settle().await?;
        self.dependencies.snapshots.save(self.tick.0, &stored, &columns).await?;
        self.dependencies.metrics.role.snapshots.inc();
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
    Ok(Mark {
        forecast: first(Contract::Forecast).await?,
        shadow_forecast: first(Contract::ShadowForecast).await?,
        observation: first(Contract::Observation).await?,
    })
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 3]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let needed = snapshot.and_then(|s| Some(s.content.current()?.mark));
    Ok(needed.map(|m| {
        [
            (Contract::Forecast, m.forecast),
            (Contract::ShadowForecast, m.shadow_forecast),
            (Contract::Observation, m.observation),
        ]
    }))
}

#[cfg(test)]
mod tests;
