//! Admission: each row of a tick waits for its step, or is accounted for as missing, late or rejected.

use arrow::array::RecordBatch;
use nilometer_alignment::{Fate, ForcingContent, ObservationContent, Waiting};
use nilometer_engine::to_ipc;
use nilometer_schemas::{Contract, DeadLetterRow, Reason, SchemaError, Timestamp, Variable};

use super::PartitionState;
use crate::{
    ForecastError, PRODUCER,
    late_rows::About,
    tick::{Received, Tick},
};

const DAY_S: i64 = 86_400;

impl PartitionState {
    /// Rows of messages that cannot be read.
    pub(super) fn admit_lost(&mut self, tick: &Tick) {
        for (partition, lost) in &tick.lost {
            self.accounts.balance.received += lost.rows;
            let dead_letter = DeadLetterRow {
                source: PRODUCER.to_owned(),
                locator: format!("{partition}@{}", lost.damage.position),
                reason: Reason::DamagedSegment,
                detail: lost.damage.detail.clone(),
                rows: lost.rows,
                content_type: "application/vnd.apache.arrow.stream",
                bytes: lost.damage.bytes.to_vec(),
                ingest_time: tick.time,
            };
            self.accounts.refuse(Some(tick.time), dead_letter);
        }
    }

    pub(super) fn admit_forcings(
        &mut self,
        message: &Received<ForcingContent>,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        if let Err(error) = &message.rows {
            return self.refuse_message(message, error, tick);
        }
        let limit = tick.plus_s(self.setting.pipeline.foresight_s() + 2 * DAY_S);
        let waiting = Waiting { reached: self.progress.state_time, limit };
        for (at, content) in message.rows() {
            if self.late_rows.has(Contract::Forcing, at) {
                continue;
            }
            self.accounts.balance.received += 1;
            let (fate, caused) = match *content {
                ForcingContent::Missing => {
                    self.accounts.balance.missing += 1;
                    continue;
                }
                ForcingContent::Rejected(reason) => (Fate::Rejected(reason), tick),
                ForcingContent::Forecast { issue_time, .. } if issue_time > tick => {
                    (Fate::Rejected(Reason::BadTime), tick)
                }
                ForcingContent::Forecast { forcing, issue_time, member } => {
                    let fate = self.weather.add(forcing, issue_time, member, waiting);
                    // It has done what it can: forecasts from now on meet it.
                    self.accounts.balance.used += u64::from(fate == Fate::Pending);
                    (fate, tick)
                }
                ForcingContent::Observed(forcing) => {
                    match self.late_rows.in_place_of(Contract::Forcing, at, &About::of(&forcing)) {
                        Some(newer) => (Fate::Rejected(Reason::Superseded), newer.arrived),
                        None => (self.alignment.add_forcing(forcing, waiting), tick),
                    }
                }
            };
            self.accounts.settle(fate, caused, |reason| {
                let detail = described_forcing(&message.batch, at.1, self.progress.state_time)?;
                row_dead_letter(message, at.1, reason, detail, tick)
            })?;
        }
        Ok(())
    }

    pub(super) fn admit_observations(
        &mut self,
        message: &Received<ObservationContent>,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        if let Err(error) = &message.rows {
            return self.refuse_message(message, error, tick);
        }
        // What is valid later has not been measured yet.
        let waiting = Waiting { reached: self.progress.state_time, limit: tick };
        for (at, content) in message.rows() {
            if self.late_rows.has(Contract::Observation, at) {
                continue;
            }
            self.accounts.balance.received += 1;
            self.replace_waiting(content, at, message.locator(at.1), tick)?;
            let (fate, caused) = match *content {
                ObservationContent::Missing | ObservationContent::Withdrawal(_) => {
                    self.accounts.balance.missing += 1;
                    continue;
                }
                ObservationContent::Rejected(reason) => (Fate::Rejected(reason), tick),
                ObservationContent::Value(observation) => {
                    let about = About::Observed(observation.subject());
                    match self.late_rows.in_place_of(Contract::Observation, at, &about) {
                        Some(newer) => (Fate::Rejected(Reason::Superseded), newer.arrived),
                        None => (self.alignment.add_observation(observation, waiting), tick),
                    }
                }
            };
            self.accounts.settle(fate, caused, |reason| {
                let detail = described_observation(&message.batch, at.1, self.progress.state_time)?;
                row_dead_letter(message, at.1, reason, detail, tick)
            })?;
        }
        Ok(())
    }

    /// A row about the same as another one that still waits: corrected or withdrawn, that one loses its place.
    fn replace_waiting(
        &mut self,
        content: &ObservationContent,
        at: (u64, usize),
        locator: String,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        let Some(about) = content.subject() else { return Ok(()) };
        let withdrawn = matches!(content, ObservationContent::Withdrawal(_));
        // Its step is taken, though its analysis is not: a second value is too late to count, and the first one is not lost for it.
        if about.valid_time <= self.progress.state_time && !withdrawn {
            return Ok(());
        }
        if self.late_rows.in_place_of(Contract::Observation, at, &About::Observed(about)).is_some() {
            return Ok(());
        }
        let Some(before) = self.alignment.take_waiting(&about) else { return Ok(()) };
        self.accounts.settle(Fate::Rejected(Reason::Superseded), tick, |reason| {
            let detail = format!(
                "{} of {} at {} was {}; the row named here came in its place before it was used",
                about.variable,
                self.setting.index.station(about.catchment),
                about.valid_time,
                before.value
            );
            Ok(text_dead_letter(reason, locator, detail, tick))
        })
    }

    /// A whole message that breaks its contract.
    pub(super) fn refuse_message<T>(
        &mut self,
        message: &Received<T>,
        error: &SchemaError,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        self.accounts.balance.received += message.batch.num_rows() as u64;
        let dead_letter =
            dead_letter(&message.batch, message.locator(0), Reason::BrokenContract, error.to_string(), tick)?;
        self.accounts.refuse(Some(tick), dead_letter);
        Ok(())
    }
}

/// A dead letter of a row that is at hand only in words.
pub(super) fn text_dead_letter(reason: Reason, locator: String, detail: String, tick: Timestamp) -> DeadLetterRow {
    DeadLetterRow {
        source: PRODUCER.to_owned(),
        locator,
        reason,
        rows: 1,
        content_type: "text/plain",
        bytes: detail.clone().into_bytes(),
        detail,
        ingest_time: tick,
    }
}

fn described_forcing(batch: &RecordBatch, row: usize, state_time: Timestamp) -> Result<String, ForecastError> {
    let rows = nilometer_schemas::Forcings::try_from(batch.slice(row, 1))?;
    let variable: Variable = rows.variable().value(0).parse()?;
    let valid_time = Timestamp(rows.valid_time().value(0));
    Ok(format!("{variable} of {} at {valid_time}; the state has reached {state_time}", rows.catchment().value(0)))
}

fn described_observation(batch: &RecordBatch, row: usize, state_time: Timestamp) -> Result<String, ForecastError> {
    let rows = nilometer_schemas::Observations::try_from(batch.slice(row, 1))?;
    let (variable, station) = (rows.variable().value(0), rows.station().value(0));
    let (valid_time, value) = (Timestamp(rows.valid_time().value(0)), rows.value().value(0));
    Ok(format!("{variable} of {station} at {valid_time} is {value}; the state has reached {state_time}"))
}

pub(super) fn row_dead_letter<T>(
    message: &Received<T>,
    row: usize,
    reason: Reason,
    detail: String,
    tick: Timestamp,
) -> Result<DeadLetterRow, ForecastError> {
    dead_letter(&message.batch.slice(row, 1), message.locator(row), reason, detail, tick)
}

fn dead_letter(
    batch: &RecordBatch,
    locator: String,
    reason: Reason,
    detail: String,
    tick: Timestamp,
) -> Result<DeadLetterRow, ForecastError> {
    Ok(DeadLetterRow {
        source: PRODUCER.to_owned(),
        locator,
        reason,
        detail,
        rows: batch.num_rows() as u64,
        content_type: "application/vnd.apache.arrow.stream",
        bytes: to_ipc(batch, &[])?,
        ingest_time: tick,
    })
}
