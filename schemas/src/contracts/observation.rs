//! Observations: gauge rows.

use super::{check_values, contract};
use crate::{
    Contract, Flag, SchemaError,
    columns::{FlagCode, OptionalFloat64, OptionalText, PeriodEnd, Seconds, Text, Time, VariableName},
};

contract! {
    /// Gauge rows: one value of one variable at one station.
    Observations,
    /// One gauge row, borrowing its words.
    ObservationRow, ObservationsBuilder: Contract::Observation, checked by check;
    beside {}
    columns of row {
        /// station identifier
        station: Text,
        /// [`crate::Variable`] name
        variable: VariableName,
        /// instant, or end of the period
        valid_time: PeriodEnd,
        /// length of the period in seconds, 0 for an instant
        period_s: Seconds,
        /// value in `unit`; null exactly when the flag is 9
        value: OptionalFloat64,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// QARTOD flag
        flag: FlagCode,
        /// who set the flag
        flag_source: Text,
        /// the agency's own qualifier
        qualifier: OptionalText,
        /// name of the source in the pipeline definition
        source: Text,
        /// when the row reached us
        ingest_time: Time,
    }
}

impl Observations {
    /// Quality flag of a row.
    #[must_use]
    pub fn flag_of(&self, row: usize) -> Flag {
        Flag::try_from(self.flag().value(row)).unwrap_or(Flag::Fail)
    }
}

fn check(o: &Observations) -> Result<(), SchemaError> {
    check_values(Contract::Observation, o.variable(), o.unit(), o.value(), o.flag())
}
