//! Late rows: which rows of a tick come behind the state, and where those of an earlier tick that have been given a place belong.

use std::cmp::Ordering;

use nilometer_alignment::{Fate, Waiting};
use nilometer_schemas::{Reason, Timestamp};

use super::{PartitionState, StoredState, admission::text_dead_letter};
use crate::{
    ForecastError,
    late_rows::{LateContent, LateRow},
    tick::Tick,
};

impl PartitionState {
    /// The rows of a tick that come behind the state but within the lateness that is allowed.
    pub(crate) fn late_in(&self, tick: &Tick) -> Vec<LateRow> {
        let lateness_s = self.setting.pipeline.forecast.lateness.seconds();
        if lateness_s == 0 || self.progress.tick == Timestamp::MIN {
            return Vec::new();
        }
        let observations = tick.observations.iter().flat_map(|message| message.rows());
        let observations = observations.filter_map(|(at, row)| Some((at, LateContent::of_observation(row)?)));
        let forcings = tick.forcings.iter().flat_map(|message| message.rows());
        let forcings = forcings.filter_map(|(at, row)| Some((at, LateContent::of_forcing(row)?)));
        let late = |(at, content): &((u64, usize), LateContent)| {
            let valid_time = content.valid_time();
            let known = match content {
                LateContent::Forcing(forcing) => self.alignment.variables().contains(&forcing.variable),
                LateContent::Observation(_) | LateContent::Withdrawal(_) => true,
            };
            let within = valid_time <= self.progress.state_time && valid_time.plus_s(lateness_s) >= tick.time;
            known && within && !self.late_rows.has(content.topic(), *at)
        };
        let row = |(at, content)| LateRow { at, arrived: tick.time, content };
        observations.chain(forcings).filter(late).map(row).collect()
    }

    /// Remembers rows, each to be placed in the tick of its time.
    pub(crate) fn remember_late(&mut self, rows: impl IntoIterator<Item = LateRow>) {
        self.late_rows.extend(rows);
    }

    /// Gives the late rows of this tick their place, behind what the tick brought by itself.
    pub(super) fn place_late_rows(&mut self, time: Timestamp) -> Result<(), ForecastError> {
        if self.late_rows.rows().is_empty() {
            return Ok(());
        }
        let waiting = Waiting { reached: self.progress.state_time, limit: Timestamp(i64::MAX) };
        let late_rows = std::mem::take(&mut self.late_rows);
        let due = |row: &&LateRow| {
            let valid_time = row.content.valid_time();
            valid_time > self.progress.tick && valid_time <= time && row.arrived > time
        };
        let due: Vec<&LateRow> = late_rows.rows().iter().filter(due).collect();
        for row in due {
            self.accounts.balance.received += 1;
            let newer = late_rows.in_place_of(row.content.topic(), row.at, &row.content.about());
            let fate = match (newer, &row.content) {
                (Some(_), _) => Fate::Rejected(Reason::Superseded),
                (None, LateContent::Observation(observation)) => self.alignment.add_observation(*observation, waiting),
                (None, LateContent::Forcing(forcing)) => self.alignment.add_forcing(*forcing, waiting),
                (None, LateContent::Withdrawal(_)) => {
                    self.accounts.balance.missing += 1;
                    continue;
                }
            };
            let caused = newer.unwrap_or(row).arrived;
            self.accounts.settle(fate, caused, |reason| {
                let what = row.content.described(self.setting.index.catchment(row.content.catchment()));
                let detail = format!("{what}, valid at {}, which came at {}", row.content.valid_time(), row.arrived);
                Ok(text_dead_letter(reason, row.locator(self.setting.partition), detail, time))
            })?;
        }
        self.late_rows = late_rows;
        Ok(())
    }

    /// Forgets late rows that no state is gone back behind any more.
    pub(crate) fn forget_late_rows(&mut self) {
        self.late_rows.forget_before(self.progress.tick.plus_s(-self.setting.memory_of_late_rows_s()));
    }

    /// The late rows that a tick brought, in a sentence: the first, and how many more.
    pub(super) fn late_rows_of(&self, tick: Timestamp) -> Option<String> {
        let mut late = self.late_rows.rows().iter().filter(|row| row.arrived == tick);
        let first = late.next()?;
        let name = self.setting.index.catchment(first.content.catchment());
        let what = match &first.content {
            LateContent::Observation(_) => "observation",
            LateContent::Withdrawal(_) => "withdrawal of the observation",
            LateContent::Forcing(forcing) => forcing.variable.name(),
        };
        let others = late.count();
        let more = if others > 0 { format!(" and {others} more rows") } else { String::new() };
        Some(format!("late {what} of {name}, {}{more}", first.content.valid_time()))
    }

    /// The forecasts between the last tick and this one, in a sentence: ticks that were missed are not always made.
    pub(super) fn passed_over(&self, tick: Timestamp) -> Option<String> {
        let every_s = self.setting.pipeline.forecast.every.seconds();
        let last_tick = Some(self.progress.tick).filter(|last| *last > Timestamp::MIN)?;
        let first = last_tick.floor_s(every_s).plus_s(every_s);
        let last = Timestamp(tick.0 - 1).floor_s(every_s);
        match first.cmp(&last) {
            Ordering::Less => Some(format!("forecasts of {first} to {last} were not made")),
            Ordering::Equal => Some(format!("the forecast of {first} was not made")),
            Ordering::Greater => None,
        }
    }
}

impl StoredState {
    /// Whether rows of `catchments` can be placed behind it: it knows, or can still be given, the late rows that were `known` before, and holds nothing
    /// that a late row takes the place of.
    pub(crate) fn serves(&self, catchments: &[String], late: &[LateRow], known: &[LateRow]) -> bool {
        let from = self.places_of(catchments);
        let (late_rows, alignment) = (self.late_rows.select(&from), self.alignment.select(&from));
        let knows = |row: &LateRow| {
            row.content.valid_time() > self.progress.tick
                || row.arrived <= self.progress.tick
                || late_rows.has(row.content.topic(), row.at)
        };
        let holds = |row: &LateRow| match &row.content {
            LateContent::Forcing(forcing) => alignment.holds_forcing(forcing),
            LateContent::Observation(observation) => alignment.holds_observation(&observation.subject()),
            LateContent::Withdrawal(about) => alignment.holds_observation(about),
        };
        known.iter().all(knows) && !late.iter().any(holds)
    }
}
