//! Raster: a grid file as values, in the unit of its source or as it is.

use super::field::{DecodeError, GridDecoding};
use crate::{Conversion, RasterGrid, check::possible_range_over, grid::same_crs};

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
use super::geotiff::read;

#[cfg(not(feature = "geotiff"))]
fn read(_: &[u8], _: u64, _: &dyn Fn(f64) -> f64) -> Result<RasterGrid, DecodeError> {
    Err(DecodeError::Absent)
}
