//! Quality-control options.

use std::collections::BTreeMap;

use nilometer_schemas::Variable;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MEMORY;
use crate::{Range, Span};

/// Tests on what gauges measure. Limits are in its unit, so the weather has none of them: only what is possible on Earth, and gaps.
/// Only the gross range has a default ([`possible_range`]); a test without options is not run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckOptions {
    /// values outside are rejected; default: what is possible on Earth
    pub gross_range: Option<Range>,
    /// jump away from the two values before: suspect
    pub spike: Option<SpikeOptions>,
    /// change an hour: suspect
    pub rate: Option<RateOptions>,
    /// values that do not move: suspect
    pub flat_line: Option<FlatLineOptions>,
    /// missing steps become rows with flag 9
    pub gap: Option<GapOptions>,
    /// how far a reading may lie ahead of its arrival, for clocks that differ; further ahead it is a dead letter; default `10min`
    pub future_tolerance: Option<Span>,
    /// whether the forecast role holds each discharge against what its models expect; default: true
    pub first_guess: Option<bool>,
    /// what a suspect discharge does, whichever check flagged it; default: "downweight"
    pub suspect: Option<SuspectUse>,
    /// when suspect readings are a shift of the gauge
    pub gauge_shift: Option<GaugeShiftOptions>,
}

/// What a suspect discharge does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuspectUse {
    /// it is assimilated with a larger error
    #[default]
    Downweight,
    /// it moves nothing; the ledger `analysis.v1` keeps it
    Ignore,
}

/// A gauge is shifted when its readings are suspect one after the other on one side of the forecast, in a steady ratio to it: its datum,
/// rating or unit has changed. They are then not assimilated until one fits again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GaugeShiftOptions {
    /// consecutive suspect readings, 2 to 1000
    pub readings: u32,
    /// how long after the first of them readings are believed and taken again
    pub accept_after: Span,
}

impl Default for GaugeShiftOptions {
    fn default() -> Self {
        Self { readings: 6, accept_after: Span::from_seconds(30 * 86_400) }
    }
}

/// Suspect when `|x_n − mean(x_{n−1}, x_{n−2})| > threshold`. QARTOD's test 6 judges x_{n−1} once x_n is there; a flag
/// that has gone out is never rewritten, so this one judges x_n by the past alone and cannot tell a spike from a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpikeOptions {
    /// in the variable's canonical unit, above 0
    pub threshold: f64,
}

/// Suspect when `|x_n − x_{n−1}| / hours between > max_per_hour` (QARTOD test 7; suspect only).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateOptions {
    /// in the variable's canonical unit an hour, above 0
    pub max_per_hour: f64,
}

/// Suspect when the newest `count` values, none missing between, lie within `tolerance` (QARTOD test 8).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlatLineOptions {
    /// values that make a flat line, 2 to 48
    pub count: usize,
    /// largest minus smallest, in the variable's canonical unit; above 0, for 0 would never flag rounded values
    pub tolerance: f64,
}

/// A step that has no row becomes a row without a value, with flag 9 and flag source `gap` (QARTOD test 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GapOptions {
    /// time between two rows of a station
    pub step: Span,
    /// rows that one gap makes at most, the newest ones; default 744 (a month of hours)
    #[serde(default = "gap_rows")]
    pub max_rows: u32,
}

/// How far ahead of its arrival the weather may lie, seconds: as far as it is forecast.
pub const FARTHEST_S: i64 = 16 * 86_400;

/// How far ahead of its arrival a reading may lie when the definition does not say, seconds.
const TOLERANCE_S: i64 = 600;
/// Stations that a message names.
const SHOWN: usize = 10;

const fn gap_rows() -> u32 {
    744
}

/// What is possible on Earth, in the canonical unit: the default gross range.
#[must_use]
pub const fn possible_range(variable: Variable) -> Range {
    let (min, max) = variable.possible_range();
    Range { min, max }
}

/// What a value of a period can be on Earth: as [`possible_range`], and no more rain than the envelope of the world's records,
/// 425 mm × (hours)^0.47: the published fit through them, recalled and not opened again.
#[must_use]
pub fn possible_range_over(variable: Variable, period_s: i64) -> Range {
    let range = possible_range(variable);
    if variable != Variable::Precipitation {
        return range;
    }
    let hours = (period_s.max(60) as f64) / 3_600.0;
    Range { min: range.min, max: range.max.min(425.0 * hours.powf(0.47)) }
}

impl CheckOptions {
    /// These options where `over` says nothing, `over` where it does.
    #[must_use]
    pub fn overridden_by(&self, over: &Self) -> Self {
        Self {
            gross_range: over.gross_range.or(self.gross_range),
            spike: over.spike.or(self.spike),
            rate: over.rate.or(self.rate),
            flat_line: over.flat_line.or(self.flat_line),
            gap: over.gap.or(self.gap),
            future_tolerance: over.future_tolerance.or(self.future_tolerance),
            first_guess: over.first_guess.or(self.first_guess),
            suspect: over.suspect.or(self.suspect),
            gauge_shift: over.gauge_shift.or(self.gauge_shift),
        }
    }

    /// How far a row may lie ahead of its arrival, seconds: a reading as far as clocks differ, the weather as far as it is forecast.
    #[must_use]
    pub fn ahead_s(&self, variable: Variable) -> i64 {
        if variable.is_forcing() { FARTHEST_S } else { self.future_tolerance.map_or(TOLERANCE_S, Span::seconds) }
    }

    /// What of these holds for `variable`.
    #[must_use]
    pub fn of(&self, variable: Variable) -> Self {
        if variable.is_of_gauges() {
            return self.clone();
        }
        // What satellites observe is there when one has passed: nothing is missing in between.
        let gap = self.gap.filter(|_| variable.is_forcing());
        Self { gap, future_tolerance: self.future_tolerance, ..Self::default() }
    }

    /// Every problem: key and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &str, found: String, accepted: &str| {
            if !holds {
                problems.push((key.to_owned(), format!("is {found}; accepted is {accepted}")));
            }
        };
        let above_0 = |v: f64| v.is_finite() && v > 0.0;
        if let Some(r) = self.gross_range {
            require(r.min < r.max, "gross_range", format!("{} to {}", r.min, r.max), "min below max");
        }
        if let Some(s) = self.spike {
            require(above_0(s.threshold), "spike.threshold", s.threshold.to_string(), "above 0");
        }
        if let Some(r) = self.rate {
            require(above_0(r.max_per_hour), "rate.max_per_hour", r.max_per_hour.to_string(), "above 0");
        }
        if let Some(f) = self.flat_line {
            require((2..=MEMORY).contains(&f.count), "flat_line.count", f.count.to_string(), "2 to 48");
            require(above_0(f.tolerance), "flat_line.tolerance", f.tolerance.to_string(), "above 0");
        }
        if let Some(t) = self.future_tolerance {
            require(t.seconds() >= 0, "future_tolerance", t.to_string(), "0s or more");
        }
        if let Some(g) = self.gap {
            require(g.step.seconds() > 0, "gap.step", g.step.to_string(), "a time above 0 s, as 1h");
            require(g.max_rows > 0, "gap.max_rows", g.max_rows.to_string(), "1 or more");
        }
        if let Some(g) = self.gauge_shift {
            require((2..=1_000).contains(&g.readings), "gauge_shift.readings", g.readings.to_string(), "2 to 1000");
            let (after, accepted) = (g.accept_after, "a time above 0 s, as 30d");
            require(after.seconds() > 0, "gauge_shift.accept_after", after.to_string(), accepted);
        }
        problems
    }
}

/// The stations of a pipeline and the tests on each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckRules {
    stations: BTreeMap<String, CheckOptions>,
}

impl CheckRules {
    /// `options` for every station, with each station's own overrides.
    #[must_use]
    pub fn new(options: &CheckOptions, stations: impl IntoIterator<Item = (String, CheckOptions)>) -> Self {
        Self { stations: stations.into_iter().map(|(name, over)| (name, options.overridden_by(&over))).collect() }
    }

    /// The stations, as many as a message takes.
    pub(super) fn names(&self) -> String {
        let shown: Vec<&str> = self.stations.keys().take(SHOWN).map(String::as_str).collect();
        let more = if self.stations.len() > SHOWN { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    }

    /// Tests on a station; none when the pipeline does not have it.
    #[must_use]
    pub fn of(&self, station: &str) -> Option<&CheckOptions> {
        self.stations.get(station)
    }
}
