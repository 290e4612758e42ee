//! From bytes to values. Whatever cannot be read becomes an error or a dead letter, never a panic.

mod clock;
mod field;
pub(crate) mod format;
#[cfg(feature = "geotiff")]
mod geotiff;
pub mod layout;
mod qualifier;
mod raster;
mod stations;
pub mod table;
pub(crate) mod time;

use nilometer_schemas::{DeadLetterRow, Grids, Reason};

pub use field::{DecodeError, GridDecoding, MAX_CELLS, Range};
pub use format::Format;
pub use layout::{ForecastLayout, StationLayout, TableLayout, TextLayout, TimeLayout};
pub use qualifier::QualifierFlag;
pub use raster::{geotiff, raster};
pub use stations::{Station, Stations};
pub use table::{DecodedTable, RawRows, TableHead, table};
pub use time::{BadTime, ReadTime, TimeFormat, Times};

use crate::{
    Payload, RawBatch,
    payload::{Period, Whole},
};

/// How the bytes of one source become fields or rows; each format has its own.
pub trait Decode: Send + Sync {
    /// Reads a batch. What cannot be read is a dead letter.
    fn decode(&self, batch: &RawBatch) -> Decoded;
}

/// What a batch holds.
pub enum Decoded {
    /// fields, to be averaged over catchments; or why one cannot be used
    Fields(Vec<Result<DecodedGrid, Box<DeadLetterRow>>>),
    /// rows of stations, or of catchments where the variable drives the model
    Rows(Box<DecodedTable>),
}

impl Decode for GridDecoding {
    fn decode(&self, batch: &RawBatch) -> Decoded {
        Decoded::Fields(vec![grid(batch, self)])
    }
}

impl Decode for TableLayout {
    fn decode(&self, batch: &RawBatch) -> Decoded {
        Decoded::Rows(Box::new(table(batch, self)))
    }
}

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
    let (Period { valid_time, period_s }, bytes) = match &batch.payload {
        Payload::Whole(Whole { format: Format::GEOTIFF, bytes, period: Some(period) }) => (*period, bytes),
        Payload::Whole(Whole { format: Format::GEOTIFF, .. }) => {
            return Err(refuse(Reason::BadTime, "a field whose time is not known".to_owned()));
        }
        Payload::Unreadable { reason, detail, .. } => return Err(refuse(*reason, detail.clone())),
        Payload::Whole(_) | Payload::Lines(_) | Payload::Columns(_) => {
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
