//! Droughts: how rare a day, or a month, is for its season.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{Int32, OptionalFloat64, OptionalText, OptionalTime, PeriodEnd, Text, Time},
};

/// Words of the classes of drought, from the mildest on.
pub const CLASS_WORDS: [&str; 5] = ["D0", "D1", "D2", "D3", "D4"];

contract! {
    /// How rare what a catchment has is for its season: a day and index each, and a month's when the month has ended.
    Droughts,
    /// What one index says of one catchment, borrowing its words.
    DroughtRow, DroughtsBuilder: Contract::Drought, checked by check;
    beside {}
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// the station
        station: Text,
        /// what is judged: streamflow, root_zone, snow or precipitation of a day; spi_N, spei_N, ssi_N or ssmi_N of N months
        index: Text,
        /// end of the day, or of the month
        valid_time: PeriodEnd,
        /// the tick at which it was known
        analysis_time: Time,
        /// what there is, in `unit`; null where nothing is known
        value: OptionalFloat64,
        /// unit of the value
        unit: Text,
        /// where the value lies among those of its season in the years before, %; null while there are too few
        percentile: OptionalFloat64 ["unit": "%"],
        /// the same as a normal score
        score: OptionalFloat64 ["unit": "1"],
        /// years that it is held against
        years: Int32,
        /// class of the drought that there is, behind its persistence: D0 to D4; null where there is none, and of months
        class: OptionalText,
        /// what became of it: develops, persists, improves, ends or none
        change: Text,
        /// since when the catchment is in this class
        since: OptionalTime,
        /// days that the drought has lasted
        duration_days: Int32,
        /// water that the river has been short of in the drought, m³: below the flow that is exceeded in 80 % of the season; of streamflow
        deficit_m3: OptionalFloat64 ["unit": "m3"],
        /// lowest mean flow of seven days in the drought, m³ s⁻¹; of streamflow
        lowest_flow_m3_s: OptionalFloat64 ["unit": "m3 s-1"],
    }
}

fn check(rows: &Droughts) -> Result<(), SchemaError> {
    use arrow::array::Array as _;
    for row in 0..rows.len() {
        let percentile = rows.percentile();
        if percentile.is_valid(row) && !(0.0..=100.0).contains(&percentile.value(row)) {
            return Err(refuse(Contract::Drought, "percentile", row, percentile.value(row), "0 to 100"));
        }
        let class = rows.class();
        if class.is_valid(row) && !CLASS_WORDS.contains(&class.value(row)) {
            return Err(refuse(Contract::Drought, "class", row, class.value(row), "D0 to D4"));
        }
    }
    Ok(())
}
