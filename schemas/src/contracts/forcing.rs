//! Forcings: what drives a catchment's model.

use super::{check_values, contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{
        FlagCode, Float32, OptionalFloat64, OptionalInt32, OptionalIssueTime, PeriodEnd, Seconds, Text, Time,
        VariableName,
    },
};

contract! {
    /// What drives a catchment's model: one value of one variable over one period.
    Forcings,
    /// One forcing row, borrowing its words.
    ForcingRow, ForcingsBuilder: Contract::Forcing, checked by check;
    beside {}
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// [`crate::Variable`] name
        variable: VariableName,
        /// end of the period
        valid_time: PeriodEnd,
        /// length of the period in seconds, above 0
        period_s: Seconds,
        /// value in `unit`; null exactly when the flag is 9
        value: OptionalFloat64,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// share of the catchment's area with valid cells, 0 to 1
        valid_weight_fraction: Float32 ["unit": "1", "standard_name": "area_fraction"],
        /// QARTOD flag
        flag: FlagCode,
        /// who set the flag
        flag_source: Text,
        /// ensemble member of the product, null when there is one
        member: OptionalInt32,
        /// reference time of the product, null for an observed one
        issue_time: OptionalIssueTime,
        /// name of the source
        source: Text,
        /// when the row reached us
        ingest_time: Time,
    }
}

fn check(f: &Forcings) -> Result<(), SchemaError> {
    check_values(Contract::Forcing, f.variable(), f.unit(), f.value(), f.flag())?;
    match f.period_s().values().iter().position(|p| *p <= 0) {
        Some(row) => Err(refuse(Contract::Forcing, "period_s", row, f.period_s().value(row), "above 0")),
        None => Ok(()),
    }
}
