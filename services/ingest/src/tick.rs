//! One tick: from raw batches to rows. No I/O.

use std::collections::BTreeMap;

use arrow::{array::TimestampMicrosecondArray, compute::concat_batches};
use nilometer_assimilation::Ratings;
use nilometer_engine::Balance;
use nilometer_schemas::{
    Contract, DeadLetterRow, DeadLetters, DeadLettersBuilder, Flag, ForcingRow, Forcings, ForcingsBuilder,
    Observations, Reason, Timestamp,
};
use nilometer_transforms::{
    AverageError, Averager, Decode, Decoded, Payload, RawBatch,
    check::{CheckRules, CheckState, check, possible_range_over},
    decode::{DecodedGrid, RawRows},
    rate,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{IngestError, SourceTallies, SourceTally};

/// What decoding, checks and averages remember from tick to tick.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    checks: CheckState,
    /// what earlier versions kept of each source's grid
    #[serde(default, rename = "references", skip_serializing)]
    _references: IgnoredAny,
    /// where every row went
    pub balance: Balance,
    /// the same by source
    #[serde(default)]
    pub sources: SourceTallies,
}

/// How sources are decoded, checked and averaged.
pub struct Lines {
    /// by source name
    pub decoders: BTreeMap<String, Box<dyn Decode>>,
    /// of the stations that report stage
    pub ratings: BTreeMap<String, Ratings>,
    /// of the pipeline's stations
    pub rules: CheckRules,
    /// of the pipeline's catchments
    pub averager: Averager,
}

/// What one tick gave.
pub(crate) struct Rows {
    pub(crate) observations: Observations,
    pub(crate) forcings: Forcings,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
}

impl Intake {
    /// Takes every batch of a tick.
    pub(crate) fn take(&mut self, batches: &[RawBatch], lines: &mut Lines) -> Result<Rows, IngestError> {
        let (mut observations, mut forcings, mut dead_letters) = (Vec::new(), Vec::new(), Vec::new());
        for batch in batches {
            self.sources.of(&batch.source).arrived(batch.arrival);
            let Some(decoder) = lines.decoders.get(&*batch.source) else {
                self.balance.received += batch.rows();
                let dead_letter = match &batch.payload {
                    Payload::Unreadable { reason, detail, .. } => batch.dead_letter(*reason, detail.clone()),
                    _ => batch.dead_letter(Reason::UnknownStation, "no decoding for this source".to_owned()),
                };
                self.reject(dead_letter, &mut dead_letters);
                continue;
            };
            match decoder.decode(batch) {
                Decoded::Fields(fields) => {
                    for field in fields {
                        self.balance.received += 1;
                        let tally = self.sources.of(&batch.source);
                        match average_grid(batch, field, &mut lines.averager, tally)? {
                            Ok(rows) => {
                                self.used(batch, 1, newest(rows.valid_time()));
                                forcings.push(rows.into_batch());
                            }
                            Err(dead_letter) => self.reject(*dead_letter, &mut dead_letters),
                        }
                    }
                }
                Decoded::Rows(table) => {
                    let table = rate(*table, &lines.ratings);
                    self.balance.received += table.received - table.skipped;
                    self.balance.skipped += table.skipped;
                    for dead_letter in table.dead_letters {
                        self.reject(dead_letter, &mut dead_letters);
                    }
                    if table.rows.variable.is_forcing() && table.rows.is_forecast {
                        let (rows, impossible) = weather_forecasts(&table.rows)?;
                        self.used(batch, rows.len() as u64, newest(rows.valid_time()));
                        for dead_letter in impossible {
                            self.reject(dead_letter, &mut dead_letters);
                        }
                        forcings.push(rows.into_batch());
                        continue;
                    }
                    let checked = check(&table.rows, &lines.rules, &mut self.checks)?;
                    self.used(batch, checked.counts.accepted, newest(checked.observations.valid_time()));
                    for dead_letter in checked.dead_letters {
                        self.reject(dead_letter, &mut dead_letters);
                    }
                    if table.rows.variable.is_forcing() {
                        forcings.push(as_forcings(&checked.observations)?.into_batch());
                    } else {
                        observations.push(checked.observations.into_batch());
                    }
                }
            }
        }
        Ok(Rows {
            observations: concat_batches(&Contract::Observation.schema(), &observations)?.try_into()?,
            forcings: concat_batches(&Contract::Forcing.schema(), &forcings)?.try_into()?,
            dead_letters,
        })
    }

    fn used(&mut self, batch: &RawBatch, rows: u64, newest_valid_time: Option<Timestamp>) {
        self.balance.used += rows;
        self.sources.of(&batch.source).used(rows, newest_valid_time);
    }

    fn reject(&mut self, dead_letter: DeadLetterRow, dead_letters: &mut Vec<DeadLetterRow>) {
        self.balance.reject(dead_letter.reason, dead_letter.rows);
        self.sources.reject(&dead_letter);
        dead_letters.push(dead_letter);
    }
}

fn newest(times: &TimestampMicrosecondArray) -> Option<Timestamp> {
    times.values().iter().max().copied().map(Timestamp)
}

/// A field of a batch averaged over the catchments, or the batch as a dead letter.
fn average_grid(
    batch: &RawBatch,
    field: Result<DecodedGrid, Box<DeadLetterRow>>,
    averager: &mut Averager,
    tally: &mut SourceTally,
) -> Result<Result<Forcings, Box<DeadLetterRow>>, IngestError> {
    let decoded = match field {
        Ok(decoded) => decoded,
        Err(dead_letter) => return Ok(Err(dead_letter)),
    };
    if tally.out_of_range(decoded.out_of_range_cells) {
        tracing::warn!(
            source = &*batch.source,
            locator = batch.locator,
            cells = decoded.out_of_range_cells,
            "cells outside the possible range count as missing; later ones are counted in sources status"
        );
    }
    let forcings = match averager.average(&decoded.grids) {
        Err(error @ AverageError::Crs { .. }) => {
            return Ok(Err(Box::new(batch.dead_letter(Reason::GridShape, error.to_string()))));
        }
        forcings => forcings?,
    };
    if forcings.flag().values().iter().all(|flag| *flag == Flag::Missing as u8) {
        let detail = format!(
            "no catchment has enough valid cells: {} missing, {} outside the possible range",
            decoded.missing_cells, decoded.out_of_range_cells
        );
        return Ok(Err(Box::new(batch.dead_letter(Reason::NoValidCells, detail))));
    }
    Ok(Ok(forcings))
}

/// Rows that name a catchment as their station, as that catchment's forcing.
fn as_forcings(rows: &Observations) -> Result<Forcings, IngestError> {
    let mut forcings = ForcingsBuilder::new();
    for row in 0..rows.len() {
        forcings.push(ForcingRow {
            catchment: rows.station().value(row),
            variable: rows.variable().value(row).parse()?,
            valid_time: Timestamp(rows.valid_time().value(row)),
            period_s: rows.period_s().value(row),
            value: arrow::array::Array::is_valid(rows.value(), row).then(|| rows.value().value(row)),
            valid_weight_fraction: 1.0,
            flag: rows.flag_of(row),
            flag_source: rows.flag_source().value(row),
            member: None,
            issue_time: None,
            source: rows.source().value(row),
            ingest_time: Timestamp(rows.ingest_time().value(row)),
        });
    }
    Ok(forcings.finish()?)
}

/// Rows of a weather forecast, and those that cannot be on Earth. Nothing has been observed yet that they could be checked against.
fn weather_forecasts(rows: &RawRows) -> Result<(Forcings, Vec<DeadLetterRow>), IngestError> {
    let (mut forcings, mut impossible) = (ForcingsBuilder::new(), Vec::new());
    let range = possible_range_over(rows.variable, rows.period_s);
    for row in 0..rows.len() {
        let (value, forecast) = (rows.value[row], rows.forecast[row]);
        if let Some(value) = value.filter(|value| !(range.min..=range.max).contains(value)) {
            let detail = format!("{} is {value}; accepted is {} to {}", rows.variable, range.min, range.max);
            impossible.push(rows.dead_letter(row, Reason::GrossRange, detail));
            continue;
        }
        let (flag, flag_source) =
            if value.is_some() { (Flag::NotEvaluated, "forecast") } else { (Flag::Missing, "missing") };
        forcings.push(ForcingRow {
            catchment: rows.station.value(row),
            variable: rows.variable,
            valid_time: rows.time[row],
            period_s: rows.period_s,
            value,
            valid_weight_fraction: 1.0,
            flag,
            flag_source,
            member: forecast.and_then(|forecast| forecast.member),
            issue_time: forecast.map(|forecast| forecast.issue_time),
            source: &rows.source,
            ingest_time: rows.ingest_time[row],
        });
    }
    Ok((forcings.finish()?, impossible))
}

/// Dead letters as one batch.
pub(crate) fn dead_letters_batch(dead_letters: &[DeadLetterRow]) -> Result<DeadLetters, IngestError> {
    let mut builder = DeadLettersBuilder::new();
    dead_letters.iter().for_each(|dead_letter| builder.push(dead_letter));
    Ok(builder.finish()?)
}
