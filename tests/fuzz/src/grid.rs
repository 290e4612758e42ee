use bytes::Bytes;
use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Format, GridDecoding, Payload, Period, RawBatch, Whole,
    decode::{self, raster},
};

use crate::{assert_described, delivery::assert_dead_letter};

/// So few cells that a file which is refused as too large is small.
const MAX_CELLS: u64 = 1 << 16;

/// A GeoTIFF as a field and as a raster of flow directions.
pub(crate) fn grid(bytes: &[u8]) {
    let decoding = GridDecoding {
        variable: Variable::Precipitation,
        unit: Unit::Millimetre,
        scale: 0.1,
        valid_range: None,
        crs: None,
        max_cells: MAX_CELLS,
    };
    let time = Timestamp(1_414_800_000_000_000);
    let payload = Payload::Whole(Whole {
        format: Format::GEOTIFF,
        bytes: Bytes::copy_from_slice(bytes),
        period: Some(Period { valid_time: time, period_s: 3_600 }),
    });
    let batch = RawBatch { source: "fuzz".into(), locator: "rain.tif".into(), arrival: time, payload };
    let field = decode::grid(&batch, &decoding);
    match raster(bytes, MAX_CELLS) {
        Ok(found) => {
            assert_eq!(found.values.len(), found.georeference.cells());
            assert_eq!(found.missing_cells, found.values.iter().filter(|value| !value.is_finite()).count() as u64);
        }
        Err(error) => {
            assert_described(&error);
            assert!(field.is_err(), "a file that is no raster is no field");
        }
    }
    match field {
        Ok(field) => {
            assert_eq!(field.grids.len(), 1);
            assert!(field.out_of_range_cells <= field.missing_cells && field.missing_cells <= MAX_CELLS);
        }
        Err(letter) => assert_dead_letter(&letter),
    }
}
