//! Quality control of gauge rows: causal, deterministic, with a bounded state for each station and variable.
//!
//! Source of the tests: IOOS QARTOD manual for water level v2.1, with two changes for rivers, which legitimately jump:
//! spike and rate of change never fail a row, and the spike test is causal (see [`SpikeOptions`]).

mod options;
mod state;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nilometer_schemas::{
    DeadLetterRow, Flag, ObservationRow, Observations, ObservationsBuilder, Reason, SchemaError, Timestamp,
};

pub use options::{
    CheckOptions, CheckRules, FARTHEST_S, FlatLineOptions, GapOptions, GaugeShiftOptions, RateOptions, SpikeOptions,
    SuspectUse, possible_range, possible_range_over,
};
pub use state::{CheckState, MEMORY};

use crate::{Span, decode::RawRows};
use verdict::Verdict;

/// What the rows of one batch became.
#[derive(Debug, Clone)]
pub struct Checked {
    /// accepted rows and generated gap rows, in order of valid time
    pub observations: Observations,
    /// rejected rows
    pub dead_letters: Vec<DeadLetterRow>,
    /// how many of each
    pub counts: Counts,
}

/// The row balance of a batch, and what the tests said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// rows that came in
    pub received: u64,
    /// rows that went out, generated ones not counted
    pub accepted: u64,
    /// rows that became dead letters
    pub rejected: BTreeMap<Reason, u64>,
    /// rows that were written for missing steps
    pub gap_rows: u64,
    /// missing steps, also those beyond the limit on rows of one gap
    pub missing_steps: u64,
    /// accepted rows without a value
    pub missing_values: u64,
    /// accepted rows flagged suspect
    pub suspect: u64,
    /// accepted rows older than the newest seen of their series
    pub out_of_order: u64,
    /// accepted rows that correct or withdraw a value of an earlier batch
    pub corrections: u64,
}

impl Counts {
    /// Rows that became dead letters, whatever the reason.
    #[must_use]
    pub fn rejected_rows(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Asserts that no row was lost: `received = accepted + rejected`, and `accepted + generated` rows went out.
    pub fn assert_balance(&self, checked: &Checked) {
        assert_eq!(self.received, self.accepted + self.rejected_rows(), "rows received are accepted or rejected");
        assert_eq!(
            self.accepted + self.gap_rows,
            checked.observations.len() as u64,
            "rows accepted or generated are out"
        );
        assert_eq!(self.rejected_rows(), checked.dead_letters.len() as u64, "rows rejected are dead letters");
    }
}

/// Checks the rows of one batch, in order of valid time (rows of one time in the order in which they came), against
/// what was seen before. A rejected row does not enter the state, so its hour shows as a gap.
///
/// # Errors
/// [`SchemaError`] when rows break the contract of `observation.v1`, which decoded rows do not.
pub fn check(rows: &RawRows, rules: &CheckRules, state: &mut CheckState) -> Result<Checked, SchemaError> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows.time[*row]);
    let mut out = ObservationsBuilder::new();
    let mut dead_letters = Vec::new();
    let mut counts = Counts { received: rows.len() as u64, ..Counts::default() };
    for row in order {
        let (station, time, value) = (rows.station.value(row), rows.time[row], rows.value[row]);
        let verdict = match rules.of(station) {
            None => {
                let detail = format!(
                    "{} of {station:?}, which no catchment has as its station or id; accepted are of {}",
                    rows.variable,
                    rules.names()
                );
                Verdict::Reject(Reason::UnknownStation, detail)
            }
            // Were it remembered, everything that is true would be out of order behind it.
            Some(options) if time > rows.ingest_time[row].plus_s(options.ahead_s(rows.variable)) => Verdict::Reject(
                Reason::BadTime,
                format!(
                    "{} of {station} at {time} is ahead of the arrival of the row at {}; accepted is up to {} (checks.future_tolerance)",
                    rows.variable,
                    rows.ingest_time[row],
                    Span::from_seconds(options.ahead_s(rows.variable))
                ),
            ),
            Some(options) => {
                let series = state.series(station, rows.variable);
                series.judge(time, value, rows.variable, &options.of(rows.variable), rows.ingest_time[row])
            }
        };
        let accepted = match verdict {
            Verdict::Accept(accepted) => accepted,
            Verdict::Reject(reason, detail) => {
                *counts.rejected.entry(reason).or_default() += 1;
                dead_letters.push(rows.dead_letter(row, reason, detail));
                continue;
            }
        };
        let mut push = |time: Timestamp, value, flag, flag_source, qualifier| {
            out.push(ObservationRow {
                station,
                variable: rows.variable,
                valid_time: time,
                period_s: rows.period_s,
                value,
                flag,
                flag_source,
                qualifier,
                source: &rows.source,
                ingest_time: rows.ingest_time[row],
            });
        };
        for missing in accepted.gap.times() {
            push(missing, None, Flag::Missing, "gap", None);
        }
        let qualifier = arrow::array::Array::is_valid(&rows.qualifier, row).then(|| rows.qualifier.value(row));
        let (flag, flag_source) = rows.with_qualifier(row, accepted.flag, accepted.flag_source);
        push(time, value, flag, flag_source, qualifier);
        counts.accepted += 1;
        counts.gap_rows += accepted.gap.rows;
        counts.missing_steps += accepted.gap.missing_steps;
        counts.missing_values += u64::from(flag == Flag::Missing);
        counts.suspect += u64::from(flag == Flag::Suspect);
        counts.out_of_order += u64::from(accepted.out_of_order);
        counts.corrections += u64::from(accepted.corrects);
    }
    let checked = Checked { observations: out.finish()?, dead_letters, counts };
    checked.counts.assert_balance(&checked);
    Ok(checked)
}
