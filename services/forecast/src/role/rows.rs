//! Rows of a tick: each waits for its step, or is booked as late, missing or rejected. No row leaves without a word.

use arrow::array::{Array, RecordBatch};
use nilometer_assimilation::RATED;
use nilometer_engine::{Balance, Record, to_ipc};
use nilometer_schemas::{
    Contract, DeadLetterRow, Flag, Forcings, Observations, Reason, SchemaError, Timestamp, Variable,
};

use super::{PRODUCER, Role, Tick};
use crate::{Fate, ForecastError, Observation, PeriodForcing, Subject, Waiting, journal::About};

/// Where quality control says that a value was taken back.
const WITHDRAWN: &str = "withdrawn";

impl Role {
    pub(super) fn account_lost(&mut self, tick: &Tick, dead_letters: &mut Vec<DeadLetterRow>) {
        for (partition, lost) in &tick.lost {
            self.kept.balance.received += lost.rows;
            self.kept.balance.reject(Reason::DamagedSegment, lost.rows);
            dead_letters.push(DeadLetterRow {
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
        dead_letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let locate = |row| format!("{}@{}#{row}", self.forcings.partition(), record.position);
        let rows = match Forcings::try_from(record.batch.clone()) {
            Ok(rows) => rows,
            Err(error) => return self.refuse_batch(record, locate(0), &error, tick, dead_letters),
        };
        let limit = tick.plus_s(self.pipeline.foresight_s() + 2 * 86_400);
        let waiting = Waiting { reached: self.kept.state_time, limit };
        for row in 0..rows.len() {
            let at = (record.position, row);
            if self.kept.journal.has(Contract::Forcing, at) {
                continue;
            }
            self.kept.balance.received += 1;
            let mut known_before = false;
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
                    let forcing = PeriodForcing { variable, catchment, valid_time, period_s, value };
                    if rows.issue_time().is_valid(row) {
                        let issue_time = Timestamp(rows.issue_time().value(row));
                        let member = rows.member().is_valid(row).then(|| rows.member().value(row));
                        let fate = match issue_time > tick {
                            true => Fate::Rejected(Reason::BadTime),
                            false => self.kept.foreseen.add(forcing, issue_time, member, waiting),
                        };
                        // What is taken again in a rewind was said when it came.
                        known_before = self.rewinding_to.is_some_and(|to| tick < to);
                        // It has done what it can: forecasts from now on meet it.
                        self.kept.balance.used += u64::from(fate == Fate::Pending);
                        fate
                    } else {
                        match self.kept.journal.in_place_of(Contract::Forcing, at, &About::of(&forcing)) {
                            Some(newer) => {
                                known_before = self.rewinding_to != Some(newer.arrived);
                                Fate::Rejected(Reason::Superseded)
                            }
                            None => self.kept.align.add_forcing(forcing, waiting),
                        }
                    }
                }
            };
            if fate == Fate::Pending {
                continue;
            }
            let detail = format!(
                "{variable} of {} at {valid_time}; the state has reached {}",
                rows.catchment().value(row),
                self.kept.state_time
            );
            let dead_letter = settle(&mut self.kept.balance, fate, rows.batch(), row, locate(row), detail, tick)?;
            dead_letters.extend(dead_letter.filter(|_| !known_before));
        }
        Ok(())
    }

    pub(super) fn add_observations(
        &mut self,
        record: &Record,
        tick: Timestamp,
        dead_letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let partition = self.observations.partition();
        let locate = |row| format!("{partition}@{}#{row}", record.position);
        let rows = match Observations::try_from(record.batch.clone()) {
            Ok(rows) => rows,
            Err(error) => return self.refuse_batch(record, locate(0), &error, tick, dead_letters),
        };
        // Nothing has been read of what has not been yet.
        let waiting = Waiting { reached: self.kept.state_time, limit: tick };
        for row in 0..rows.len() {
            let at = (record.position, row);
            if self.kept.journal.has(Contract::Observation, at) {
                continue;
            }
            self.kept.balance.received += 1;
            let replaced = self.replace_waiting(&rows, row, at, locate(row), tick);
            dead_letters.extend(replaced.filter(|_| self.rewinding_to.is_none()));
            let mut known_before = false;
            let fate = match self.observation(&rows, row) {
                Err(None) => {
                    self.kept.balance.missing += 1;
                    continue;
                }
                Err(Some(reason)) => Fate::Rejected(reason),
                Ok(observation) => {
                    let about = About::Observed(observation.subject());
                    match self.kept.journal.in_place_of(Contract::Observation, at, &about) {
                        Some(newer) => {
                            known_before = self.rewinding_to != Some(newer.arrived);
                            Fate::Rejected(Reason::Superseded)
                        }
                        None => self.kept.align.add_observation(observation, waiting),
                    }
                }
            };
            if fate == Fate::Pending {
                continue;
            }
            let (value, station) = (rows.value().value(row), rows.station().value(row));
            let valid_time = Timestamp(rows.valid_time().value(row));
            let variable = rows.variable().value(row);
            let state_time = self.kept.state_time;
            let detail =
                format!("{variable} of {station} at {valid_time} is {value}; the state has reached {state_time}");
            let dead_letter = settle(&mut self.kept.balance, fate, rows.batch(), row, locate(row), detail, tick)?;
            dead_letters.extend(dead_letter.filter(|_| !known_before));
        }
        Ok(())
    }

    /// A row about what another one that still waits has said: corrected or withdrawn, that one loses its place.
    fn replace_waiting(
        &mut self,
        rows: &Observations,
        row: usize,
        at: (u64, usize),
        locator: String,
        tick: Timestamp,
    ) -> Option<DeadLetterRow> {
        let speaks = self.observation(rows, row).is_ok() || is_withdrawal(rows, row);
        let about = self.subject(rows, row).filter(|_| speaks)?;
        // Its step is taken, though its analysis is not: a second value is too late to count, and the first one is not lost for it.
        if about.valid_time <= self.kept.state_time && !is_withdrawal(rows, row) {
            return None;
        }
        if self.kept.journal.in_place_of(Contract::Observation, at, &About::Observed(about)).is_some() {
            return None;
        }
        let before = self.kept.align.take_waiting(&about)?;
        self.kept.balance.reject(Reason::Superseded, 1);
        let detail = format!(
            "{} of {} at {} was {}; the row named here came in its place before it was used",
            about.variable,
            rows.station().value(row),
            about.valid_time,
            before.value
        );
        Some(in_words(Reason::Superseded, locator, detail, tick))
    }

    /// What a row is about, where that is something that this pipeline observes.
    pub(super) fn subject(&self, rows: &Observations, row: usize) -> Option<Subject> {
        let (name, station) = (rows.variable().value(row), rows.station().value(row));
        let options = &self.pipeline.assimilation;
        let variable = match name.parse() {
            Ok(Variable::Discharge) => Variable::Discharge,
            Ok(snow @ Variable::SnowWaterEquivalent) if options.snow.is_some() => snow,
            Ok(cover @ Variable::SnowCoveredFraction) if options.snow_cover.is_some() => cover,
            Ok(soil @ Variable::SoilMoisture) if options.soil_moisture.is_some() => soil,
            _ => return None,
        };
        // Snow and soil are of a catchment, whoever has measured them.
        let of_catchment = self.place_of_catchment.get(station).filter(|_| variable != Variable::Discharge);
        let &catchment = of_catchment.or_else(|| self.place_of_station.get(station))?;
        Some(Subject { catchment, variable, valid_time: Timestamp(rows.valid_time().value(row)) })
    }

    /// A row as an observation of a catchment, or why it is none; nothing where it has no value.
    pub(super) fn observation(&self, rows: &Observations, row: usize) -> Result<Observation, Option<Reason>> {
        let flag = rows.flag_of(row);
        if flag == Flag::Missing {
            return Err(None);
        }
        let value = rows.value().value(row);
        let qualifier = rows.qualifier().is_valid(row).then(|| rows.qualifier().value(row));
        let about = self.subject(rows, row).ok_or(Some(Reason::UnknownStation))?;
        let error_factor = self.error_factors.factor(flag, qualifier, false).filter(|_| value >= 0.0);
        let Subject { catchment, variable, valid_time } = about;
        let rated = qualifier.is_some_and(|words| words.contains(RATED));
        let of_rating = if rated { self.rating_factor(catchment, valid_time, value) } else { 1.0 };
        let error_factor = error_factor.ok_or(Some(Reason::GrossRange))? * of_rating;
        Ok(Observation { catchment, variable, valid_time, value, flag, error_factor })
    }

    /// How many times the standard error of a discharge that was measured is that of one that a rating curve gave.
    fn rating_factor(&self, catchment: usize, valid_time: Timestamp, discharge_m3_s: f64) -> f64 {
        let station = self.pipeline.catchments[catchment].station();
        let curve = self.pipeline.ratings.get(station).and_then(|ratings| ratings.at(valid_time));
        let (Some(curve), Some(stage)) = (curve, &self.stages[catchment]) else { return 1.0 };
        let rated = stage.observe(curve, curve.stage_m(discharge_m3_s));
        let measured = stage.discharge().observe(discharge_m3_s);
        let variances = rated.ok().zip(measured.ok());
        variances.map_or(1.0, |(rated, measured)| (rated.log_discharge.error_variance / measured.error_variance).sqrt())
    }

    /// A whole message that does not keep its contract.
    fn refuse_batch(
        &mut self,
        record: &Record,
        locator: String,
        error: &SchemaError,
        tick: Timestamp,
        dead_letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), ForecastError> {
        let rows = record.batch.num_rows() as u64;
        self.kept.balance.received += rows;
        self.kept.balance.reject(Reason::BrokenContract, rows);
        dead_letters.push(dead_letter(&record.batch, locator, Reason::BrokenContract, error.to_string(), tick)?);
        Ok(())
    }
}

/// A dead letter of one row that is no longer at hand as it came: its detail says what it was.
pub(super) fn in_words(reason: Reason, locator: String, detail: String, tick: Timestamp) -> DeadLetterRow {
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
    dead_letter(&batch.slice(row, 1), locator, reason, detail, tick).map(Some)
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

/// Whether a row takes a value back.
pub(super) fn is_withdrawal(rows: &Observations, row: usize) -> bool {
    rows.flag_of(row) == Flag::Missing && rows.flag_source().value(row) == WITHDRAWN
}
