//! From bytes to values. Whatever cannot be read becomes an error or a dead letter, never a panic.

mod clock;
mod field;
#[cfg(feature = "geotiff")]
mod geotiff;
pub mod layout;
mod qualifier;
mod raster;
mod stations;
pub mod table;
mod time;

use nilometer_schemas::{DeadLetterRow, Grids, Reason};

pub use field::{DecodeError, GridDecoding, MAX_CELLS, Range};
pub use layout::{ForecastLayout, StationLayout, TableLayout, TextLayout, TimeLayout};
pub use qualifier::QualifierFlag;
pub use raster::{geotiff, raster};
pub use stations::{Station, Stations};
pub use table::{DecodedTable, RawRows, table};
pub use time::{BadTime, ReadTime, TimeFormat, Times};

use crate::{Payload, RawBatch};

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
