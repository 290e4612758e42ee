//! Events: what a forecast says of each threshold of each station.

use arrow::array::Array as _;

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{
        Boolean, Float64, Float64List, Int32, IssueTime, OptionalFloat64, OptionalIssueTime, OptionalText,
        OptionalTime, Text, Time, UInt64, UInt64List, VariableName,
    },
};

contract! {
    /// What a forecast says of a threshold over its whole horizon, from trajectories: one issue, station and threshold.
    Events,
    /// What one forecast says of one threshold, borrowing its words.
    EventRow, EventsBuilder: Contract::Event, checked by check;
    beside {
        /// what it says of each lead time, ascending
        by_lead: &'a [LeadProbability],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// the station that the threshold is of
        station: Text,
        /// identifier of the threshold
        threshold: Text,
        /// what people call it
        threshold_name: Text,
        /// [`crate::Variable`] that it is a level of: discharge or stage
        variable: VariableName,
        /// the level, in the variable's canonical unit
        level: Float64,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// the level as a flow, m³ s⁻¹: that of the rating where it is a stage
        level_m3_s: Float64 ["unit": "m3 s-1"],
        /// whether it is reached from above, as a low flow is
        below: Boolean,
        /// the forecast's reference time
        issue_time: IssueTime,
        /// end of the horizon
        until: Time,
        /// probability that it is reached within the horizon
        probability: Float64 ["unit": "1"],
        /// lead times of `probability_by_lead`, s
        lead_times_s: UInt64List ["unit": "s"] = row.by_lead.iter().map(|lead| lead.lead_time_s),
        /// probability that the river is at or beyond it at each lead time
        probability_by_lead: Float64List ["unit": "1"] = row.by_lead.iter().map(|lead| lead.probability),
        /// when it is reached first: quantile at 0.1 of the trajectories that reach it; null where none does
        crossing_q10: OptionalTime,
        /// the same, the median
        crossing_q50: OptionalTime,
        /// the same at 0.9
        crossing_q90: OptionalTime,
        /// the highest flow, or the lowest where it is reached from above: quantile at 0.05, m³ s⁻¹
        peak_q05: Float64 ["unit": "m3 s-1"],
        /// the same, the median
        peak_q50: Float64 ["unit": "m3 s-1"],
        /// the same at 0.95
        peak_q95: Float64 ["unit": "m3 s-1"],
        /// when that is: quantile at 0.1
        peak_time_q10: Time,
        /// the same, the median
        peak_time_q50: Time,
        /// the same at 0.9
        peak_time_q90: Time,
        /// how long the river is beyond it: quantile at 0.1 of the trajectories that reach it, s; null where none does
        duration_s_q10: OptionalFloat64 ["unit": "s"],
        /// the same, the median
        duration_s_q50: OptionalFloat64 ["unit": "s"],
        /// the same at 0.9
        duration_s_q90: OptionalFloat64 ["unit": "s"],
        /// water beyond it in that time: quantile at 0.1 of the trajectories that reach it, m³; null where none does
        volume_m3_q10: OptionalFloat64 ["unit": "m3"],
        /// the same, the median
        volume_m3_q50: OptionalFloat64 ["unit": "m3"],
        /// the same at 0.9
        volume_m3_q90: OptionalFloat64 ["unit": "m3"],
        /// fastest rise from one lead time to the next, the median, m³ s⁻¹ an hour
        rise_q50: Float64 ["unit": "m3 s-1 h-1"],
        /// the same at 0.95
        rise_q95: Float64 ["unit": "m3 s-1 h-1"],
        /// trajectories behind all of that
        trajectories: Int32,
        /// future-rain scenario
        scenario: Text,
        /// newest time that the model state had reached
        state_time: Time,
        /// model package
        model: Text,
        /// its version
        model_version: Text,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: Text,
        /// log position of observation.v1 that the forecast had read up to (exclusive)
        observation_position: UInt64,
        /// log position of forcing.v1 that the forecast had read up to (exclusive)
        forcing_position: UInt64,
        /// issue time of the forecast whose place this one takes; mostly null
        supersedes: OptionalIssueTime,
        /// what came late; mostly null
        reason: OptionalText,
    }
}

/// What an event says of one lead time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeadProbability {
    /// s after the issue time
    pub lead_time_s: u64,
    /// that the river is at or beyond the threshold
    pub probability: f64,
}

fn check(events: &Events) -> Result<(), SchemaError> {
    for (row, probability) in events.probability().values().iter().enumerate() {
        if !(0.0..=1.0).contains(probability) {
            return Err(refuse(Contract::Event, "probability", row, probability, "0 to 1"));
        }
        let (leads, by_lead) = (events.lead_times_s().value(row).len(), events.probability_by_lead().value(row).len());
        if leads != by_lead {
            return Err(refuse(Contract::Event, "probability_by_lead", row, by_lead, "one for each of lead_times_s"));
        }
        if !events.level().value(row).is_finite() || !events.level_m3_s().value(row).is_finite() {
            return Err(refuse(Contract::Event, "level", row, events.level().value(row), "a finite number"));
        }
    }
    Ok(())
}
