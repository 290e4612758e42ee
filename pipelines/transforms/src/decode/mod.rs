//! From bytes to values. Whatever cannot be read becomes an error or a dead letter, never a panic.

mod clock;
mod field;
#[cfg(feature = "geotiff")]
mod geotiff;
pub mod layout;
mod qualifier;
mod stations;
pub mod table;
mod time;

use nilometer_schemas::{DeadLetterRow, Grids, Reason};

pub use field::{DecodeError, GridDecoding, MAX_CELLS, Range};
pub use layout::{ForecastLayout, StationLayout, TableLayout, TextLayout, TimeLayout};
pub use qualifier::QualifierFlag;
pub use stations::{Station, Stations};
pub use table::{DecodedTable, RawRows, table};
pub use time::{BadTime, ReadTime, TimeFormat, Times};

use crate::{Conversion, Payload, RasterGrid, RawBatch, check::possible_range_over, grid::same_crs};

/// One decoded field and what was masked in it.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedGrid {
    /// one row
    pub grids: Grids,
    /// cells without a value
    pub missing_cells: u64,
    /// cells whose value was outside the possible range, now missing
    pub out_of_range_cells: u64,
}

/// Reads the field of a batch. It may lie elsewhere than the one before it: whether it covers the catchments is the average's to say.
///
/// # Errors
/// The batch as a dead letter: `undecodable`, `grid_shape`, or what the connector said of an unreadable one.
pub fn grid(batch: &RawBatch, decoding: &GridDecoding) -> Result<DecodedGrid, Box<DeadLetterRow>> {
    let refuse = |reason, detail| Box::new(batch.dead_letter(reason, detail));
    let (valid_time, period_s, bytes) = match &batch.payload {
        Payload::Grid { valid_time, period_s, bytes } => (*valid_time, *period_s, bytes),
        Payload::Unreadable { reason, detail, .. } => return Err(refuse(*reason, detail.clone())),
        Payload::Lines(_) | Payload::Columns(_) => {
            return Err(refuse(Reason::Undecodable, "a table where a field was expected".to_owned()));
        }
    };
    let field = geotiff(bytes, decoding, period_s).map_err(|error| refuse(error.reason(), crate::sentence(&error)))?;
    let (missing_cells, out_of_range_cells) = (field.missing_cells, field.out_of_range_cells);
    let grids = field
        .into_grids(decoding.variable, valid_time, period_s, &batch.source, batch.arrival)
        .map_err(|error| refuse(Reason::Undecodable, error.to_string()))?;
    Ok(DecodedGrid { grids, missing_cells, out_of_range_cells })
}

/// Reads a field: `value = sample × scale`, converted to the variable's canonical unit (rates × `period_s`). No-data and
/// non-finite samples, and values outside `valid_range` (when there is none: impossible ones), are missing.
///
/// # Errors
/// [`DecodeError`].
pub fn geotiff(bytes: &[u8], decoding: &GridDecoding, period_s: i64) -> Result<RasterGrid, DecodeError> {
    let conversion = Conversion::new(decoding.unit, decoding.variable, period_s)?.scaled(decoding.scale);
    let mut field = read(bytes, decoding.max_cells, &|sample| conversion.apply(sample))?;
    if let Some(crs) = &decoding.crs {
        if !same_crs(crs, &field.georeference.crs) {
            return Err(DecodeError::Crs { found: field.georeference.crs, expected: crs.clone() });
        }
        field.georeference.crs.clone_from(crs);
    }
    let range = decoding.valid_range.unwrap_or_else(|| possible_range_over(decoding.variable, period_s));
    for value in field.values.iter_mut().filter(|v| v.is_finite() && !range.contains(f64::from(**v))) {
        *value = f32::NAN;
        field.out_of_range_cells += 1;
    }
    field.missing_cells += field.out_of_range_cells;
    Ok(field)
}

/// Reads a file's samples as they are: flow directions, masks.
///
/// # Errors
/// [`DecodeError`], as [`geotiff`].
pub fn raster(bytes: &[u8], max_cells: u64) -> Result<RasterGrid, DecodeError> {
    read(bytes, max_cells, &|sample| sample)
}

#[cfg(feature = "geotiff")]
use self::geotiff::read;

#[cfg(not(feature = "geotiff"))]
fn read(_: &[u8], _: u64, _: &dyn Fn(f64) -> f64) -> Result<RasterGrid, DecodeError> {
    Err(DecodeError::Absent)
}
