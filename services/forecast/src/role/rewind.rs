//! Rewind: what comes late is given its place. The state goes back to a snapshot that is older than the row, and takes every tick since
//! again, with the row where it belongs; the forecast of this tick then says which one it takes the place of, and why.
//!
//! ```text
//! tick ──late_rows──▶ late ──foundation──▶ an older snapshot ──place, then tick by tick──▶ the state as if it had been on time
//! ```
//!
//! The ticks taken again are those of the log, so the result is that of a run in which the row had been on time, to the last bit.
//! Forecasts that went out in between stay as they are: at their issue time nobody knew. The snapshots on the way are replaced when what the
//! rewind led to has been appended: one that is cut off before that is begun again, as they know nothing of the late rows yet.

use std::collections::BTreeSet;

use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
};
use nilometer_engine::{Partition, Stop};
use nilometer_schemas::{Analyses, Contract, DeadLetterRow, Flag, Forcings, Observations, Reason, Timestamp, Variable};

use super::{
    Outputs, Role, Tick,
    kept::{Kept, input},
    rows::{in_words, is_withdrawal},
};
use crate::{
    Fate, ForecastError, PeriodForcing, Waiting,
    journal::{About, LateContent, LateRow},
};

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
        let counts = |valid_time: i64| {
            let valid_time = Timestamp(valid_time);
            valid_time <= self.kept.state_time && valid_time.plus_s(lateness_s) >= tick.time
        };
        let mut add = |at, content: LateContent| {
            if !self.kept.journal.has(content.topic(), at) {
                late.push(LateRow { at, arrived: tick.time, content });
            }
        };
        for record in &tick.observations {
            let Ok(rows) = Observations::try_from(record.batch.clone()) else { continue };
            for row in (0..rows.len()).filter(|r| counts(rows.valid_time().value(*r))) {
                let content = match self.observation(&rows, row) {
                    Ok(observation) => LateContent::Observation(observation),
                    Err(_) if is_withdrawal(&rows, row) => {
                        let Some(about) = self.subject(&rows, row) else { continue };
                        LateContent::Withdrawal(about)
                    }
                    Err(_) => continue,
                };
                add((record.position, row), content);
            }
        }
        for record in &tick.forcings {
            let Ok(rows) = Forcings::try_from(record.batch.clone()) else { continue };
            for row in (0..rows.len()).filter(|r| counts(rows.valid_time().value(*r))) {
                let catchment = self.place_of_catchment.get(rows.catchment().value(row));
                let variable = rows
                    .variable()
                    .value(row)
                    .parse::<Variable>()
                    .ok()
                    .filter(|v| self.kept.align.variables().contains(v));
                if rows.issue_time().is_valid(row) {
                    continue; // a forecast is never late for what it is about
                }
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

    /// The newest state that is older than every late row, knows or can still be given those that came before, and holds nothing that a late row
    /// takes the place of. None when there is none: then the rows stay late.
    pub(super) async fn foundation(&mut self, late: &[LateRow]) -> Result<Option<Foundation>, ForecastError> {
        let Some(oldest) = late.iter().map(|row| row.content.valid_time()).min() else { return Ok(None) };
        let journal = &self.kept.journal;
        let serves = |kept: &Kept| {
            let knows = |row: &LateRow| {
                row.content.valid_time() > kept.tick
                    || row.arrived <= kept.tick
                    || kept.journal.has(row.content.topic(), row.at)
            };
            let holds = |row: &LateRow| match &row.content {
                LateContent::Forcing(forcing) => kept.align.holds_forcing(forcing),
                LateContent::Observation(observation) => kept.align.holds_observation(&observation.subject()),
                LateContent::Withdrawal(about) => kept.align.holds_observation(about),
            };
            journal.rows().iter().all(knows) && !late.iter().any(holds)
        };
        if let Some(snapshot) = self.dependencies.snapshots.newest_before::<Kept>(oldest.0, serves).await? {
            return Ok(Some(Foundation(Some((snapshot.content, snapshot.numbers)))));
        }
        // The very first state serves as long as no late row has been forgotten since.
        let log = &self.dependencies.log;
        let from_the_start = self.pipeline.time.from >= self.kept.tick.plus_s(-self.journal_s())
            && log.bounds(self.forcings.partition()).await?.start == 0
            && log.bounds(self.observations.partition()).await?.start == 0;
        Ok(from_the_start.then_some(Foundation(None)))
    }

    /// For how long late rows are remembered: no state that is older is gone back to.
    pub(super) fn journal_s(&self) -> i64 {
        let forecast = &self.pipeline.forecast;
        let apart_s = i64::from(self.pipeline.log.snapshot_every) * self.pipeline.time.tick_s();
        3 * forecast.lateness.seconds() + apart_s
    }

    /// Goes back to `foundation` and takes every tick up to `to` again, each late row in the tick of its time; what the snapshots on the way
    /// would have been is kept at hand. None when it was stopped on the way: then nothing more may be saved.
    pub(super) async fn rewind(
        mut self: Box<Self>,
        foundation: Foundation,
        late: Vec<LateRow>,
        to: Timestamp,
        stop: &Stop,
    ) -> Result<(Box<Self>, Option<Outputs>), ForecastError> {
        let (was, rows) = (self.kept.state_time, late.len());
        let (mut foundation, mut added) = (foundation, late);
        self.rewinding_to = Some(to);
        'again: loop {
            let from = self.go_back(foundation, &added);
            self.remade.clear();
            tracing::info!(%from, %to, rows = added.len(), "rewinding");
            let there = self.dependencies.snapshots.ordinals().await?;
            let (mut dead_letters, mut analyses) = (Vec::new(), Vec::new());
            while let Some(tick) = self.next_tick(stop).await? {
                // What comes on time now may let a step be taken before another row that once came just in time.
                let more = self.late_rows(&tick)?;
                if let Some(older) = self.foundation(&more).await? {
                    (foundation, added) = (older, more);
                    continue 'again;
                }
                let last = tick.time >= to;
                let unplaced: BTreeSet<String> = more.iter().map(|row| self.locator(row)).collect();
                let (back, mut outputs) = self.walk(tick).await?;
                self = back;
                if let Some(rows) = outputs.analyses.take() {
                    analyses.push(self.of_late_rows(rows, to, last)?);
                }
                dead_letters.append(&mut outputs.displaced);
                if last {
                    outputs.dead_letters.extend(dead_letters);
                    outputs.analyses = joined(analyses)?;
                    self.rewinding_to = None;
                    let metrics = &self.dependencies.metrics;
                    metrics.rewinds.inc();
                    metrics.late_rows.inc_by(rows as u64);
                    metrics.rewound_s.observe(was.seconds_since(from.max(self.pipeline.time.from)) as f64);
                    return Ok((self, Some(outputs)));
                }
                let packed = self.pack().filter(|(ordinal, _)| there.binary_search(ordinal).is_ok());
                if let Some((ordinal, numbers)) = packed {
                    self.remade.push((ordinal, self.kept.clone(), numbers));
                }
                // What was appended stays; new are rows that have just lost their place, to a late one or because no state is old enough.
                let new = |dead_letter: &DeadLetterRow| {
                    dead_letter.reason == Reason::Superseded || unplaced.contains(&dead_letter.locator)
                };
                dead_letters.extend(outputs.dead_letters.into_iter().filter(new));
            }
            return Ok((self, None));
        }
    }

    /// Takes up an older state with the rows of the journal that it does not have; gives the time that it has reached.
    fn go_back(&mut self, foundation: Foundation, late: &[LateRow]) -> Timestamp {
        let journal = std::mem::take(&mut self.kept.journal);
        let (kept, numbers) = match foundation.0 {
            Some((kept, numbers)) => (kept, Some(numbers)),
            None => (self.first.clone(), None),
        };
        self.kept = kept;
        self.kept.journal.extend(journal.rows().iter().chain(late).cloned());
        (self.resumed, self.state_is_current) = (numbers, false);
        self.forcings = input(&self.dependencies, Contract::Forcing, self.kept.forcing);
        self.observations = input(&self.dependencies, Contract::Observation, self.kept.observation);
        self.kept.state_time
    }

    /// Gives the journal's rows of this tick their place, behind what the tick brought by itself; `displaced` are those that have none.
    pub(super) fn place_due(&mut self, time: Timestamp, displaced: &mut Vec<DeadLetterRow>) {
        if self.kept.journal.rows().is_empty() {
            return;
        }
        let waiting = Waiting { reached: self.kept.state_time, limit: Timestamp(i64::MAX) };
        let journal = std::mem::take(&mut self.kept.journal);
        let due = |row: &&LateRow| {
            let valid_time = row.content.valid_time();
            valid_time > self.kept.tick && valid_time <= time && row.arrived > time
        };
        let due: Vec<&LateRow> = journal.rows().iter().filter(due).collect();
        for row in due {
            let (topic, about) = (row.content.topic(), row.content.about());
            let balance = &mut self.kept.balance;
            balance.received += 1;
            if let Some(newer) = journal.in_place_of(topic, row.at, &about) {
                balance.reject(Reason::Superseded, 1);
                if self.rewinding_to == Some(newer.arrived) {
                    displaced.push(self.late_row_dead_letter(row, Reason::Superseded, time));
                }
                continue;
            }
            let fate = match &row.content {
                LateContent::Observation(observation) => self.kept.align.add_observation(*observation, waiting),
                LateContent::Forcing(forcing) => self.kept.align.add_forcing(*forcing, waiting),
                LateContent::Withdrawal(_) => {
                    balance.missing += 1;
                    continue;
                }
            };
            let reason = match fate {
                Fate::Pending => continue,
                Fate::Late => {
                    balance.late += 1;
                    Reason::Late
                }
                Fate::Rejected(reason) => {
                    balance.reject(reason, 1);
                    reason
                }
            };
            if self.rewinding_to == Some(row.arrived) {
                displaced.push(self.late_row_dead_letter(row, reason, time));
            }
        }
        self.kept.journal = journal;
    }

    /// Where a late row stands in the log.
    fn locator(&self, row: &LateRow) -> String {
        let partition = Partition::new(row.content.topic(), self.dependencies.partition);
        format!("{partition}@{}#{}", row.at.0, row.at.1)
    }

    /// A row of the journal as a dead letter; its message stands in the log at the place that the dead letter names.
    fn late_row_dead_letter(&self, row: &LateRow, reason: Reason, time: Timestamp) -> DeadLetterRow {
        let name = &self.catchments[row.content.catchment()];
        let what = match &row.content {
            LateContent::Observation(row) => {
                format!("{} of {name}, {} {}", row.variable, row.value, row.variable.unit())
            }
            LateContent::Withdrawal(about) => format!("withdrawal of the {} of {name}", about.variable),
            LateContent::Forcing(row) => format!("{} of {name}, {} {}", row.variable, row.value, row.variable.unit()),
        };
        let detail = format!("{what}, valid at {}, which came at {}", row.content.valid_time(), row.arrived);
        in_words(reason, self.locator(row), detail, time)
    }

    /// Of the analyses of a tick that was taken again, those of the rows that this rewind is for; of the last tick all.
    fn of_late_rows(&self, rows: Analyses, to: Timestamp, last: bool) -> Result<Analyses, ForecastError> {
        let late = |row: usize| {
            let (station, valid_time) = (rows.station().value(row), Timestamp(rows.valid_time().value(row)));
            let mut of_rewind = self.kept.journal.rows().iter().filter(|late| late.arrived == to);
            of_rewind.any(|late| match late.content.about() {
                About::Observed(about) => {
                    about.valid_time == valid_time
                        && about.variable.name() == rows.variable().value(row)
                        && self.pipeline.catchments[about.catchment].station() == station
                }
                About::Forcing(..) => false,
            })
        };
        let mask: BooleanArray = (0..rows.len()).map(|row| Some(last || late(row))).collect();
        Ok(Analyses::try_from(filter_record_batch(rows.batch(), &mask)?)?)
    }

    /// What came late in a tick, in a sentence: the first row, and how many more.
    pub(super) fn late_of(&self, tick: Timestamp) -> Option<String> {
        let mut late = self.kept.journal.rows().iter().filter(|row| row.arrived == tick);
        let first = late.next()?;
        let name = &self.catchments[first.content.catchment()];
        let what = match &first.content {
            LateContent::Observation(_) => "observation",
            LateContent::Withdrawal(_) => "withdrawal of the observation",
            LateContent::Forcing(forcing) => forcing.variable.name(),
        };
        let others = late.count();
        let more = if others > 0 { format!(" and {others} more rows") } else { String::new() };
        Some(format!("late {what} of {name}, {}{more}", first.content.valid_time()))
    }
}

fn joined(analyses: Vec<Analyses>) -> Result<Option<Analyses>, ForecastError> {
    let batches: Vec<RecordBatch> = analyses.into_iter().map(Analyses::into_batch).collect();
    let rows = Analyses::try_from(concat_batches(&Contract::Analysis.schema(), &batches)?)?;
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}
