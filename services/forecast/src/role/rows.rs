//! Rows of a tick: each waits for its step, or is booked as late, missing or rejected. No row leaves without a word.

use arrow::array::RecordBatch;
use nilometer_engine::{Balance, Record, to_ipc};
use nilometer_schemas::{DeadLetterRow, Flag, Forcings, Observations, Reason, SchemaError, Timestamp, Variable};

use super::{PRODUCER, Role, Tick};
use crate::{Fate, ForecastError, GaugeObservation, PeriodForcing, Waiting};

impl Role {
    pub(super) fn account_lost(&mut self, tick: &Tick, letters: &mut Vec<DeadLetterRow>) {
        for (partition, lost) in &tick.lost {
            self.kept.balance.received += lost.rows;
            self.kept.balance.reject(Reason::DamagedSegment, lost.rows);
            letters.push(DeadLetterRow {
                source: PRODUCER.to_owned(),
                locator: format!("{partition}@{}", lost.damage.position),
                reason: Reason::DamagedSegment,
                detail: lost.damage.detail.clone(),
                rows: lost.rows,
                content_type: "application/vnd.apache.arrow.stream",
                bytes: lost.damage.bytes.to_vec(),
                ingest_time: tick.time,
            });
        }
    }

    pub(super) fn add_forcings(
        &mut self,
        record: &Record,
        tick: Timestamp,
        letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let locate = |row| format!("{}@{}#{row}", self.forcings.partition(), record.position);
        let rows = match Forcings::try_from(record.batch.clone()) {
            Ok(rows) => rows,
            Err(error) => return self.refuse_batch(record, locate(0), &error, tick, letters),
        };
        let limit = tick.plus_s(self.pipeline.forecast.horizon.seconds() + 2 * 86_400);
        let waiting = Waiting { reached: self.kept.state_time, limit };
        for row in 0..rows.len() {
            self.kept.balance.received += 1;
            if Flag::try_from(rows.flag().value(row))? == Flag::Missing {
                self.kept.balance.missing += 1;
                continue;
            }
            let variable: Variable = rows.variable().value(row).parse()?;
            let valid_time = Timestamp(rows.valid_time().value(row));
            let fate = match self.place_of_catchment.get(rows.catchment().value(row)) {
                None => Fate::Rejected(Reason::UnknownStation),
                Some(&catchment) => {
                    let (period_s, value) = (rows.period_s().value(row), rows.value().value(row));
                    self.kept
                        .align
                        .add_forcing(PeriodForcing { variable, catchment, valid_time, period_s, value }, waiting)
                }
            };
            if fate == Fate::Pending {
                continue;
            }
            let detail = format!(
                "{variable} of {} at {valid_time}, state at {}",
                rows.catchment().value(row),
                self.kept.state_time
            );
            letters.extend(settle(&mut self.kept.balance, fate, rows.batch(), row, locate(row), detail, tick)?);
        }
        Ok(())
    }

    pub(super) fn add_observations(
        &mut self,
        record: &Record,
        tick: Timestamp,
        letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let locate = |row| format!("{}@{}#{row}", self.observations.partition(), record.position);
        let rows = match Observations::try_from(record.batch.clone()) {
            Ok(rows) => rows,
            Err(error) => return self.refuse_batch(record, locate(0), &error, tick, letters),
        };
        let limit = tick.plus_s(self.pipeline.time.step.seconds());
        let waiting = Waiting { reached: self.kept.state_time, limit };
        for row in 0..rows.len() {
            self.kept.balance.received += 1;
            let flag = rows.flag_of(row);
            if flag == Flag::Missing {
                self.kept.balance.missing += 1;
                continue;
            }
            let valid_time = Timestamp(rows.valid_time().value(row));
            let discharge_m3_s = rows.value().value(row);
            let known = rows.variable().value(row) == Variable::Discharge.name();
            let station = rows.station().value(row);
            let fate = match self.place_of_station.get(station).filter(|_| known) {
                None => Fate::Rejected(Reason::UnknownStation),
                Some(_) if flag == Flag::Fail || discharge_m3_s < 0.0 => Fate::Rejected(Reason::GrossRange),
                Some(&catchment) => {
                    let observation =
                        GaugeObservation { catchment, valid_time, discharge_m3_s, suspect: flag == Flag::Suspect };
                    self.kept.align.add_observation(observation, waiting)
                }
            };
            if fate == Fate::Pending {
                continue;
            }
            let detail = format!("{discharge_m3_s} at {station}, {valid_time}, state at {}", self.kept.state_time);
            letters.extend(settle(&mut self.kept.balance, fate, rows.batch(), row, locate(row), detail, tick)?);
        }
        Ok(())
    }

    /// A whole message that does not keep its contract.
    fn refuse_batch(
        &mut self,
        record: &Record,
        locator: String,
        error: &SchemaError,
        tick: Timestamp,
        letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let rows = record.batch.num_rows() as u64;
        self.kept.balance.received += rows;
        self.kept.balance.reject(Reason::BrokenContract, rows);
        letters.push(letter(&record.batch, locator, Reason::BrokenContract, error.to_string(), tick)?);
        Ok(())
    }
}

/// Books one row; a row that is not used becomes a dead letter.
fn settle(
    balance: &mut Balance,
    fate: Fate,
    batch: &RecordBatch,
    row: usize,
    locator: String,
    detail: String,
    tick: Timestamp,
) -> Result<Option<DeadLetterRow>, ForecastError> {
    let reason = match fate {
        Fate::Pending => return Ok(None),
        Fate::Late => {
            balance.late += 1;
            Reason::Late
        }
        Fate::Rejected(reason) => {
            balance.reject(reason, 1);
            reason
        }
    };
    letter(&batch.slice(row, 1), locator, reason, detail, tick).map(Some)
}

fn letter(
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
