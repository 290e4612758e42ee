//! Grids: fields of satellites, radars and weather models.

use arrow::{
    array::{Array as _, Float32Array},
    datatypes::DataType,
};

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{CellList, Float64, Int32, PeriodEnd, Seconds, Text, Time, VariableName},
};

contract! {
    /// Fields on regular grids, one a row, cells row by row from the north-west corner; a null cell is missing.
    Grids,
    /// One field on a regular grid, borrowing its cells: `height × width` from the north-west corner; not finite means missing.
    GridField, GridsBuilder: Contract::Grid, checked by check;
    beside {}
    columns of row {
        /// [`crate::Variable`] name
        variable: VariableName,
        /// end of the period
        valid_time: PeriodEnd,
        /// length of the period in seconds
        period_s: Seconds,
        /// the variable's canonical unit
        unit: Text = row.variable.unit().name(),
        /// coordinate reference system, as the file names it
        crs: Text,
        /// cells from west to east
        width: Int32,
        /// cells from north to south
        height: Int32,
        /// western edge of the first cell
        west: Float64 ["unit": "m", "standard_name": "projection_x_coordinate"],
        /// northern edge of the first cell
        north: Float64 ["unit": "m", "standard_name": "projection_y_coordinate"],
        /// cell size from west to east
        cell_width: Float64 ["unit": "m", "standard_name": "projection_x_coordinate"],
        /// cell size from north to south
        cell_height: Float64 ["unit": "m", "standard_name": "projection_y_coordinate"],
        /// `height × width` values
        values: CellList,
        /// name of the source
        source: Text,
        /// when the field reached us
        ingest_time: Time,
    }
}

impl Grids {
    /// The cells of one field, `height × width` from the north-west corner; a null is a missing cell.
    #[must_use]
    pub fn cells(&self, row: usize) -> Float32Array {
        self.values()
            .value(row)
            .as_any()
            .downcast_ref::<Float32Array>()
            .cloned()
            .unwrap_or_else(|| Float32Array::new_null(0))
    }
}

fn check(g: &Grids) -> Result<(), SchemaError> {
    for row in 0..g.len() {
        let cells = i64::from(g.width().value(row)) * i64::from(g.height().value(row));
        if i64::from(g.values().value_length(row)) != cells {
            return Err(refuse(Contract::Grid, "values", row, g.values().value_length(row), "height × width cells"));
        }
        if !matches!(g.values().value_type(), DataType::Float32)
            || g.cell_width().value(row) <= 0.0
            || g.cell_height().value(row) <= 0.0
        {
            return Err(refuse(Contract::Grid, "cell_width", row, g.cell_width().value(row), "above 0"));
        }
    }
    Ok(())
}
