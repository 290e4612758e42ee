//! Scores: how good each forecast was.

use super::{contract, finite};
use crate::{
    Contract, SchemaError,
    columns::{
        Boolean, FlagCode, Float64, Float64List, Int64, IssueTime, OptionalBoolean, OptionalFloat64, OptionalText,
        PeriodEnd, Text, Time, UInt64, UInt64List, VariableName,
    },
};

contract! {
    /// How good each forecast was, once what it was about had been observed.
    Scores,
    /// How good one forecast was, borrowing its words.
    ScoreRow, ScoresBuilder: Contract::Score, checked by check;
    beside {
        /// of the levels 0.05, 0.50 and 0.95
        pinball: [f64; 3],
        /// what it said of each flood threshold
        thresholds: &'a [ThresholdScore],
        /// whether a shadow made the forecast
        shadow: bool,
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// [`crate::Variable`] name
        variable: VariableName,
        /// reference time of the forecast
        issue_time: IssueTime,
        /// end of the period that it was about
        valid_time: PeriodEnd,
        /// `valid_time − issue_time` in seconds
        lead_time_s: Int64 ["unit": "s", "standard_name": "forecast_period"] = row.valid_time.seconds_since(row.issue_time),
        /// the tick that brought the observation; of two rows about one forecast that with the later one counts: its observation was corrected
        score_time: Time,
        /// what was observed, m³ s⁻¹
        observed: Float64 ["unit": "m3 s-1"],
        /// quality flag of the observation
        flag: FlagCode,
        /// what the forecast said on average, m³ s⁻¹
        mean: Float64 ["unit": "m3 s-1"],
        /// continuous ranked probability score, m³ s⁻¹
        crps: Float64 ["unit": "m3 s-1"],
        /// pinball losses of the levels 0.05, 0.50 and 0.95, m³ s⁻¹
        pinball_05: Float64 ["unit": "m3 s-1"] = row.pinball[0],
        /// see `pinball_05`
        pinball_50: Float64 ["unit": "m3 s-1"] = row.pinball[1],
        /// see `pinball_05`
        pinball_95: Float64 ["unit": "m3 s-1"] = row.pinball[2],
        /// probability that the forecast gave to less than what was observed
        pit: Float64 ["unit": "1"],
        /// width of the 90 % interval, m³ s⁻¹
        width_90: Float64 ["unit": "m3 s-1"],
        /// whether the observation lay in it
        covered_90: Boolean,
        /// score of persistence: the newest value that was known at the issue time; null where there was none
        crps_persistence: OptionalFloat64 ["unit": "m3 s-1"],
        /// score of the climatology: the same time of the year in years before; null in a gauge's first year
        crps_climatology: OptionalFloat64 ["unit": "m3 s-1"],
        /// the catchment's flood thresholds, m³ s⁻¹
        threshold: Float64List = row.thresholds.iter().map(|of| of.threshold),
        /// the probability that the forecast gave to each being reached
        exceedance: Float64List = row.thresholds.iter().map(|of| of.exceedance),
        /// Brier score of each
        brier: Float64List = row.thresholds.iter().map(|of| of.brier),
        /// floods so far at each threshold that forecasts of this catchment and lead time saw to two steps
        flood_hits: UInt64List = row.thresholds.iter().map(|of| of.floods[0]),
        /// floods that they did not
        flood_misses: UInt64List = row.thresholds.iter().map(|of| of.floods[1]),
        /// floods that they saw and that did not come
        flood_false_alarms: UInt64List = row.thresholds.iter().map(|of| of.floods[2]),
        /// flood peaks so far that they can be compared with
        peaks: UInt64,
        /// mean distance of their peaks from these, steps; null before the first
        peak_timing_steps: OptionalFloat64 ["unit": "1"],
        /// forecasts of this catchment and lead time scored so far, this one included
        pairs: UInt64,
        /// Nash-Sutcliffe efficiency of their means; null while it is not defined
        nse: OptionalFloat64 ["unit": "1"],
        /// Kling-Gupta efficiency (2009) of their means; null while it is not defined
        kge: OptionalFloat64 ["unit": "1"],
        /// weather scenario
        scenario: Text,
        /// model package
        model: Text,
        /// SHA-256 of its weights
        weights_sha256: Text,
        /// the unit of `observed`, `mean`, thresholds, losses and widths; null in rows of version 1, where it is m³ s⁻¹
        unit: OptionalText = Some(row.variable.unit().name()),
        /// whether a shadow made the forecast; null in rows of version 1 and 2, where none did
        shadow: OptionalBoolean = Some(row.shadow),
    }
}

/// What a forecast said of one flood threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdScore {
    /// the threshold, m³ s⁻¹
    pub threshold: f64,
    /// the probability of reaching it
    pub exceedance: f64,
    /// its Brier score
    pub brier: f64,
    /// hits, misses and false alarms so far
    pub floods: [u64; 3],
}

fn check(s: &Scores) -> Result<(), SchemaError> {
    let columns = [
        ("observed", s.observed()),
        ("mean", s.mean()),
        ("crps", s.crps()),
        ("pinball_05", s.pinball_05()),
        ("pinball_50", s.pinball_50()),
        ("pinball_95", s.pinball_95()),
        ("pit", s.pit()),
        ("width_90", s.width_90()),
        ("crps_persistence", s.crps_persistence()),
        ("crps_climatology", s.crps_climatology()),
        ("nse", s.nse()),
        ("kge", s.kge()),
    ];
    finite(Contract::Score, &columns)
}
