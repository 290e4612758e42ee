//! States: what the stores of a model hold.

use super::{contract, finite, refuse};
use crate::{
    Contract, SchemaError,
    columns::{Float64, Int32, PeriodEnd, Text, Time},
};

/// Levels of the quantiles of `state.v1`.
pub const STATE_LEVELS: [f64; 5] = [0.05, 0.25, 0.50, 0.75, 0.95];

/// Where water is held, of what is judged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// in the soil
    RootZone,
    /// as snow, and as the melt water in it
    Snow,
}

impl Held {
    /// Of a store by its name; none for what is neither soil nor snow.
    #[must_use]
    pub fn of_store(store: &str) -> Option<Self> {
        match store {
            "snow_store" | "melt_water_store" => Some(Self::Snow),
            store if store.contains("soil") => Some(Self::RootZone),
            _ => None,
        }
    }
}

contract! {
    /// What the stores of a model hold at the end of a step, behind what the gauges read there.
    States,
    /// What one store of one model holds in one catchment, borrowing its words.
    StateRow, StatesBuilder: Contract::State, checked by check;
    beside {
        /// over the members, at [`STATE_LEVELS`], mm
        quantiles: [f64; STATE_LEVELS.len()],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// end of the step
        valid_time: PeriodEnd,
        /// the tick at which it was known
        analysis_time: Time,
        /// the store, as the model's card names it
        store: Text,
        /// what it is measured in
        unit: Text = "mm",
        /// mean over the members
        mean: Float64 ["unit": "mm"],
        /// quantile at 0.05 over the members; the value itself of a model that runs once
        q05: Float64 ["unit": "mm"] = row.quantiles[0],
        /// the same at 0.25
        q25: Float64 ["unit": "mm"] = row.quantiles[1],
        /// the same, the median
        q50: Float64 ["unit": "mm"] = row.quantiles[2],
        /// the same at 0.75
        q75: Float64 ["unit": "mm"] = row.quantiles[3],
        /// the same at 0.95
        q95: Float64 ["unit": "mm"] = row.quantiles[4],
        /// members behind that
        members: Int32,
        /// model package
        model: Text,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: Text,
    }
}

fn check(states: &States) -> Result<(), SchemaError> {
    let quantiles = [states.q05(), states.q25(), states.q50(), states.q75(), states.q95()];
    finite(Contract::State, &[("mean", states.mean()), ("q05", states.q05()), ("q95", states.q95())])?;
    for row in 0..states.len() {
        if !quantiles.iter().map(|q| q.value(row)).is_sorted() {
            return Err(refuse(Contract::State, "q05", row, states.q05().value(row), "quantiles that never cross"));
        }
    }
    Ok(())
}
