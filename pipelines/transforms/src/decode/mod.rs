//! From bytes to values. Whatever cannot be read becomes an error or a dead letter, never a panic.

pub mod geotiff;
pub mod layout;
pub mod table;

use nilometer_schemas::{DeadLetterRow, Grids, Reason};

pub use geotiff::{DecodeError, GridDecoding, Range, geotiff, raster};
pub use layout::{ForecastLayout, StationLayout, TableLayout, TimeFormat, TimeLayout};
pub use table::{DecodedTable, RawRows, table};

use crate::{GeoReference, Payload, RawBatch};

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

/// Reads the field of a batch. `expected` is the source's geo-reference: the first accepted field sets it, and every
/// other field must agree. Keep it in the snapshot, so that a replay refuses the same files.
///
/// # Errors
/// The batch as a dead letter: `undecodable`, `grid_shape`, or what the connector said of an unreadable one.
pub fn grid(
    batch: &RawBatch,
    decoding: &GridDecoding,
    expected: &mut Option<GeoReference>,
) -> Result<DecodedGrid, Box<DeadLetterRow>> {
    let refuse = |reason, detail| Box::new(batch.dead_letter(reason, detail));
    let (valid_time, period_s, bytes) = match &batch.payload {
        Payload::Grid { valid_time, period_s, bytes } => (*valid_time, *period_s, bytes),
        Payload::Unreadable { reason, detail, .. } => return Err(refuse(*reason, detail.clone())),
        Payload::Lines(_) | Payload::Columns(_) => {
            return Err(refuse(Reason::Undecodable, "a table where a field was expected".to_owned()));
        }
    };
    let field = geotiff(bytes, decoding, period_s, expected.as_ref())
        .map_err(|error| refuse(error.reason(), crate::sentence(&error)))?;
    expected.get_or_insert_with(|| field.georeference.clone());
    let (missing_cells, out_of_range_cells) = (field.missing_cells, field.out_of_range_cells);
    let grids = field
        .into_grids(decoding.variable, valid_time, period_s, &batch.source, batch.arrival)
        .map_err(|error| refuse(Reason::Undecodable, error.to_string()))?;
    Ok(DecodedGrid { grids, missing_cells, out_of_range_cells })
}
