//! Where a regular grid lies, and one field on it.

use std::fmt;

use nilometer_schemas::{GridField, Grids, GridsBuilder, SchemaError, Timestamp, Variable};
use serde::{Deserialize, Serialize};

/// Shape and place of a regular north-up grid in projected metres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeoReference {
    /// coordinate reference system: `EPSG:<code>`, or the file's own words
    pub crs: String,
    /// cells from west to east
    pub width: u32,
    /// cells from north to south
    pub height: u32,
    /// western edge of the first cell, m
    pub west: f64,
    /// northern edge of the first cell, m
    pub north: f64,
    /// cell size from west to east, m
    pub cell_width: f64,
    /// cell size from north to south, m
    pub cell_height: f64,
}

impl GeoReference {
    /// Number of cells.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Area of one cell, m².
    #[must_use]
    pub const fn cell_area_m2(&self) -> f64 {
        self.cell_width * self.cell_height
    }

    /// Column and row of the cell that holds a point, if it lies on the grid.
    #[must_use]
    pub fn cell_at(&self, x: f64, y: f64) -> Option<(u32, u32)> {
        let column = ((x - self.west) / self.cell_width).floor();
        let row = ((self.north - y) / self.cell_height).floor();
        let inside = column >= 0.0 && row >= 0.0 && column < f64::from(self.width) && row < f64::from(self.height);
        inside.then_some((column as u32, row as u32))
    }
}

/// False only when both name an EPSG code and the codes differ: words cannot be compared.
pub(crate) fn same_crs(a: &str, b: &str) -> bool {
    !(a.starts_with("EPSG:") && b.starts_with("EPSG:")) || a == b
}

impl fmt::Display for GeoReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} x {} cells of {} x {} m from west {}, north {} ({})",
            self.width, self.height, self.cell_width, self.cell_height, self.west, self.north, self.crs
        )
    }
}

/// One field: `height × width` values from the north-west corner, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct RasterGrid {
    /// shape and place
    pub georeference: GeoReference,
    /// values in the field's unit, not a number where missing
    pub values: Vec<f32>,
    /// cells that hold no data
    pub missing_cells: u64,
    /// cells outside the possible range, now missing (counted in `missing_cells` too)
    pub out_of_range_cells: u64,
}

impl RasterGrid {
    /// The field as a batch of one row.
    ///
    /// # Errors
    /// [`SchemaError`] when the values are not `height × width`.
    pub fn into_grids(
        self,
        variable: Variable,
        valid_time: Timestamp,
        period_s: i64,
        source: &str,
        ingest_time: Timestamp,
    ) -> Result<Grids, SchemaError> {
        let place = &self.georeference;
        let mut fields = GridsBuilder::new();
        fields.push(GridField {
            variable,
            valid_time,
            period_s,
            crs: &place.crs,
            width: i32::try_from(place.width).unwrap_or(i32::MAX),
            height: i32::try_from(place.height).unwrap_or(i32::MAX),
            west: place.west,
            north: place.north,
            cell_width: place.cell_width,
            cell_height: place.cell_height,
            values: &self.values,
            source,
            ingest_time,
        });
        fields.finish()
    }
}
