//! Analyses: the ledger of the assimilation.

use super::{contract, finite};
use crate::{
    Contract, SchemaError,
    columns::{FlagCode, Float64, Float64List, OptionalFloat64, PeriodEnd, Text, TextList, Time, VariableName},
};

contract! {
    /// What each observation did to the state: the ledger of the assimilation.
    Analyses,
    /// What one observation did to one model's state, borrowing its words.
    AnalysisRow, AnalysesBuilder: Contract::Analysis, checked by check;
    beside {
        /// store and what it gained, mm
        increments: &'a [(&'a str, f64)],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// whose observation it was
        station: Text,
        /// [`crate::Variable`] name
        variable: VariableName,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// end of the period observed
        valid_time: PeriodEnd,
        /// the tick at which it moved the state
        analysis_time: Time,
        /// what was observed, in `unit`
        observed: Float64,
        /// what the members expected on average, in `unit`
        predicted: Float64,
        /// observed minus predicted: of discharge in its logarithm, else in `unit`
        innovation: Float64,
        /// the members' standard deviation there; null for a single one
        spread: OptionalFloat64,
        /// the observation's standard error there
        error_std: Float64,
        /// quality flag of the observation
        flag: FlagCode,
        /// how it moved the state; `ignored` for a suspect reading that did not, `gauge_shift` for one of a shifted gauge
        method: Text,
        /// the stores that hold water
        store: TextList = row.increments.iter().map(|(store, _)| *store),
        /// what each gained, mean over the members, mm over the catchment
        increment_mm: Float64List = row.increments.iter().map(|(_, increment_mm)| *increment_mm),
        /// what the output error gained, in the logarithm of discharge; null where there is none
        output_error_increment: OptionalFloat64 ["unit": "1"],
        /// model package
        model: Text,
        /// SHA-256 of its weights
        weights_sha256: Text,
    }
}

fn check(a: &Analyses) -> Result<(), SchemaError> {
    let columns = [
        ("observed", a.observed()),
        ("predicted", a.predicted()),
        ("innovation", a.innovation()),
        ("spread", a.spread()),
        ("error_std", a.error_std()),
        ("output_error_increment", a.output_error_increment()),
    ];
    finite(Contract::Analysis, &columns)
}
