//! Rewind: what comes late is given its place. The state goes back to a snapshot that is older than the row, and takes every tick since
//! again, with the row where it belongs; the forecast of this tick then says which one it takes the place of, and why.
//!
//! ```text
//! tick ──late_rows──▶ late ──foundation──▶ an older snapshot ──place, then tick by tick──▶ the state as if it had been on time
//! ```
//!
//! The ticks taken again are those of the log, so the result is that of a run in which the row had been on time, to the last bit.
//! Forecasts that went out in between stay as they are: at their issue time nobody knew. A rewind that is cut off leaves its snapshots as
//! they were, and is begun again.

use nilometer_engine::Stop;
use nilometer_schemas::{Contract, Flag, Forcings, Observations, Reason, Timestamp, Variable};

use super::{Kept, Outputs, Role, Tick, input};
use crate::{
    Fate, ForecastError, PeriodForcing, Waiting,
    journal::{Journal, LateContent, LateRow},
};

/// Where quality control says that a value was taken back.
pub(super) const WITHDRAWN: &str = "withdrawn";

/// A state to begin again from: none is the one before the first tick.
pub(super) struct Foundation(Option<(Kept, Vec<f32>)>);

impl Role {
    /// The rows of a tick that came behind the state but within the lateness that is allowed. Nothing changes.
    pub(super) fn late_rows(&self, tick: &Tick) -> Result<Vec<LateRow>, ForecastError> {
        let lateness_s = self.pipeline.forecast.lateness.seconds();
        let mut late = Vec::new();
        if lateness_s == 0 || self.kept.state_time == Timestamp::MIN {
            return Ok(late);
        }
        let counts = |valid_time: i64, ingest_time: i64| {
            let valid_time = Timestamp(valid_time);
            valid_time <= self.kept.state_time
                && valid_time.plus_s(lateness_s) >= tick.time
                && Timestamp(ingest_time) <= tick.time
        };
        let mut add = |at, content| late.push(LateRow { at, arrived: tick.time, content });
        for record in &tick.observations {
            let Ok(rows) = Observations::try_from(record.batch.clone()) else { continue };
            for row in (0..rows.len()).filter(|r| counts(rows.valid_time().value(*r), rows.ingest_time().value(*r))) {
                let content = match self.observation(&rows, row) {
                    Ok(observation) => LateContent::Observation(observation),
                    Err(_) if rows.flag_of(row) == Flag::Missing && rows.flag_source().value(row) == WITHDRAWN => {
                        let Some(&catchment) = self.place_of_station.get(rows.station().value(row)) else { continue };
                        LateContent::Withdrawal { catchment, valid_time: Timestamp(rows.valid_time().value(row)) }
                    }
                    Err(_) => continue,
                };
                add((record.position, row), content);
            }
        }
        let inputs = self.state.as_ref().map(|state| state.inputs().to_vec()).unwrap_or_default();
        for record in &tick.forcings {
            let Ok(rows) = Forcings::try_from(record.batch.clone()) else { continue };
            for row in (0..rows.len()).filter(|r| counts(rows.valid_time().value(*r), rows.ingest_time().value(*r))) {
                let catchment = self.place_of_catchment.get(rows.catchment().value(row));
                let variable = rows.variable().value(row).parse::<Variable>().ok().filter(|v| inputs.contains(v));
                if let (Some(&catchment), Some(variable)) = (catchment, variable)
                    && Flag::try_from(rows.flag().value(row)).is_ok_and(|flag| flag != Flag::Missing)
                {
                    let (valid_time, period_s) = (Timestamp(rows.valid_time().value(row)), rows.period_s().value(row));
                    let value = rows.value().value(row);
                    let forcing = PeriodForcing { variable, catchment, valid_time, period_s, value };
                    add((record.position, row), LateContent::Forcing(forcing));
                }
            }
        }
        Ok(late)
    }

    /// The newest state that is older than every late row and knows, or can be given, those that came before. None when there is none:
    /// then the rows stay late.
    pub(super) async fn foundation(&mut self, late: &[LateRow]) -> Result<Option<Foundation>, ForecastError> {
        let Some(oldest) = late.iter().map(|row| row.content.valid_time()).min() else { return Ok(None) };
        let mut journal = self.kept.journal.clone();
        journal.extend(late.iter().cloned());
        let serves = |kept: &Kept| {
            let knows = |row: &LateRow| row.arrived <= kept.tick || kept.journal.has(row.content.topic(), row.at);
            // What waits in it for its step cannot be taken out again.
            let spoilt = |row: &LateRow| {
                row.content.valid_time() > kept.tick
                    && journal.in_place_of(row.content.topic(), row.at, &row.content.about()).is_some()
            };
            journal.rows().iter().all(|row| row.content.valid_time() > kept.tick || knows(row))
                && !kept.journal.rows().iter().any(spoilt)
        };
        let ordinal = u64::try_from(oldest.0).unwrap_or(0);
        if let Some(snapshot) = self.dependencies.snapshots.newest_before::<Kept>(ordinal, serves).await? {
            return Ok(Some(Foundation(Some((snapshot.content, snapshot.numbers)))));
        }
        let log = &self.dependencies.log;
        let from_the_start = log.bounds(self.forcings.partition()).await?.start == 0
            && log.bounds(self.observations.partition()).await?.start == 0;
        Ok(from_the_start.then_some(Foundation(None)))
    }

    /// Goes back to `foundation` and takes every tick up to `to` again with the late rows in their places; the snapshots on the way are
    /// replaced by what they would have been. None when it was stopped on the way: then nothing more may be saved.
    pub(super) async fn rewind(
        mut self: Box<Self>,
        foundation: Foundation,
        late: Vec<LateRow>,
        to: Timestamp,
        stop: &Stop,
    ) -> Result<(Box<Self>, Option<Outputs>), ForecastError> {
        let (was, rows) = (self.kept.state_time, late.len());
        let mut journal = std::mem::take(&mut self.kept.journal);
        journal.extend(late);
        let (kept, numbers) = match foundation.0 {
            Some((kept, numbers)) => (kept, Some(numbers)),
            None => (self.first.clone(), None),
        };
        self.kept = kept;
        (self.resumed, self.state_is_current) = (numbers, false);
        self.forcings = input(&self.dependencies, Contract::Forcing, self.kept.forcing);
        self.observations = input(&self.dependencies, Contract::Observation, self.kept.observation);
        self.rewinding_to = Some(to);
        self.place_late_rows(journal);
        let from = self.kept.state_time;
        tracing::info!(%from, %to, rows, "rewinding");
        let outdated = self.dependencies.snapshots.ordinals().await?;
        let mut letters = Vec::new();
        while let Some(tick) = self.next_tick(stop).await? {
            let last = tick.time >= to;
            let (back, outputs) = self.walk(tick).await?;
            self = back;
            let Some(mut outputs) = outputs else { break };
            if last {
                outputs.letters.extend(letters);
                self.rewinding_to = None;
                let metrics = &self.dependencies.metrics;
                metrics.rewinds.inc();
                metrics.late_rows.inc_by(rows as u64);
                metrics.rewound_s.observe(was.seconds_since(from.max(self.pipeline.time.from)) as f64);
                return Ok((self, Some(outputs)));
            }
            if let Some((ordinal, numbers)) = self.pack().filter(|(ordinal, _)| outdated.binary_search(ordinal).is_ok())
            {
                self.dependencies.snapshots.replace(ordinal, &self.kept, &numbers).await?;
            }
            // What was appended stays; only rows that have just lost their place to a late one are new.
            letters.extend(outputs.letters.into_iter().filter(|letter| letter.reason == Reason::Superseded));
        }
        Ok((self, None))
    }

    /// Gives every row of the journal that the state does not know its place.
    fn place_late_rows(&mut self, journal: Journal) {
        let waiting = Waiting { reached: self.kept.state_time, limit: Timestamp(i64::MAX) };
        for row in journal.rows() {
            let (topic, about) = (row.content.topic(), row.content.about());
            if row.arrived <= self.kept.tick || self.kept.journal.has(topic, row.at) {
                continue;
            }
            let balance = &mut self.kept.balance;
            balance.received += 1;
            if journal.in_place_of(topic, row.at, &about).is_some() {
                balance.reject(Reason::Superseded, 1);
                continue;
            }
            let fate = match &row.content {
                LateContent::Observation(observation) => self.kept.align.add_observation(*observation, waiting),
                LateContent::Forcing(forcing) => self.kept.align.add_forcing(*forcing, waiting),
                LateContent::Withdrawal { .. } => {
                    balance.missing += 1;
                    continue;
                }
            };
            match fate {
                Fate::Pending => {}
                Fate::Late => balance.late += 1,
                Fate::Rejected(reason) => balance.reject(reason, 1),
            }
        }
        self.kept.journal = journal;
    }

    /// What came late in a tick, in a sentence: the first row, and how many more.
    pub(super) fn late_of(&self, tick: Timestamp) -> Option<String> {
        let mut late = self.kept.journal.rows().iter().filter(|row| row.arrived == tick);
        let first = late.next()?;
        let name = &self.catchments[first.content.catchment()];
        let what = match &first.content {
            LateContent::Observation(_) => "observation",
            LateContent::Withdrawal { .. } => "withdrawal of the observation",
            LateContent::Forcing(forcing) => forcing.variable.name(),
        };
        let others = late.count();
        let more = if others > 0 { format!(" and {others} more rows") } else { String::new() };
        Some(format!("late {what} of {name}, {}{more}", first.content.valid_time()))
    }
}
