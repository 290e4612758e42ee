//! GeoTIFF: strips or tiles, any numeric sample, one band, north up.
//!
//! Sources: TIFF 6.0; OGC 19-008r4 GeoTIFF 1.1 (tags 33550, 33922, 34735, 34737; keys 1025, 1026, 3072, 3073); GDAL's
//! `GDAL_NODATA` (tag 42113).

use std::io::Cursor;

use tiff::{
    TiffError,
    decoder::{Decoder, DecodingResult, Limits, ifd::Value},
    tags::Tag,
};

use super::field::{DecodeError, MAX_COMPRESSION};
use crate::{GeoReference, RasterGrid};

/// Largest value of one tag, bytes: the strip offsets of a file with one row a strip.
const MAX_TAG_BYTES: usize = 16 << 20;

/// Reads a file, each sample as the value that `value_of` makes of it.
pub(super) fn read(bytes: &[u8], max_cells: u64, value_of: &dyn Fn(f64) -> f64) -> Result<RasterGrid, DecodeError> {
    File::open(bytes, max_cells)?.read(value_of)
}

/// A file whose header has been read and believed.
struct File<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    georeference: GeoReference,
    no_data: Option<f64>,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8], max_cells: u64) -> Result<Self, DecodeError> {
        let buffer = usize::try_from(max_cells).unwrap_or(usize::MAX).saturating_mul(8);
        let mut limits = Limits::default();
        limits.decoding_buffer_size = buffer;
        limits.intermediate_buffer_size = buffer;
        limits.ifd_value_size = MAX_TAG_BYTES;
        let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(unreadable)?.with_limits(limits);
        let (width, height) = decoder.dimensions().map_err(unreadable)?;
        let cells = u64::from(width) * u64::from(height);
        if cells > max_cells || cells > (bytes.len() as u64).saturating_mul(MAX_COMPRESSION) {
            return Err(DecodeError::TooLarge { width, height, bytes: bytes.len(), max_cells });
        }
        let samples = find(&mut decoder, Tag::SamplesPerPixel)?.and_then(|v| v.into_u64().ok()).unwrap_or(1);
        if cells == 0 || samples != 1 {
            return Err(DecodeError::Bands { width, height, samples });
        }
        let no_data = find(&mut decoder, Tag::GdalNodata)?
            .and_then(|v| v.into_string().ok())
            .and_then(|text| text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).parse().ok());
        let georeference = georeference(&mut decoder, width, height)?;
        Ok(Self { decoder, georeference, no_data })
    }

    fn read(mut self, value_of: impl Fn(f64) -> f64) -> Result<RasterGrid, DecodeError> {
        let samples = self.decoder.read_image().map_err(unreadable)?;
        let values = masked(&samples, self.no_data, value_of);
        if values.len() != self.georeference.cells() {
            let GeoReference { width, height, .. } = self.georeference;
            return Err(DecodeError::Bands {
                width,
                height,
                samples: (values.len() / self.georeference.cells()) as u64,
            });
        }
        let missing_cells = values.iter().filter(|v| !v.is_finite()).count() as u64;
        Ok(RasterGrid { georeference: self.georeference, values, missing_cells, out_of_range_cells: 0 })
    }
}

/// Samples of any type as values, not a number where they hold no data.
fn masked(samples: &DecodingResult, no_data: Option<f64>, value_of: impl Fn(f64) -> f64) -> Vec<f32> {
    let value = |sample: f64, is_no_data: bool| {
        let value = if is_no_data { f32::NAN } else { value_of(sample) as f32 };
        if value.is_finite() { value } else { f32::NAN }
    };
    macro_rules! values {
        ($samples:expr, $to_f64:expr) => {
            $samples.iter().map(|s| $to_f64(*s)).map(|s: f64| value(s, Some(s) == no_data)).collect()
        };
    }
    // A single-precision file's no-data text is often rounded differently than its samples.
    let single = no_data.map(|n| n as f32);
    match samples {
        DecodingResult::U8(s) => values!(s, f64::from),
        DecodingResult::U16(s) => values!(s, f64::from),
        DecodingResult::U32(s) => values!(s, f64::from),
        DecodingResult::U64(s) => values!(s, |v| v as f64),
        DecodingResult::I8(s) => values!(s, f64::from),
        DecodingResult::I16(s) => values!(s, f64::from),
        DecodingResult::I32(s) => values!(s, f64::from),
        DecodingResult::I64(s) => values!(s, |v| v as f64),
        DecodingResult::F16(s) => values!(s, f64::from),
        DecodingResult::F32(s) => s.iter().map(|s| value(f64::from(*s), Some(*s) == single)).collect(),
        DecodingResult::F64(s) => values!(s, |v| v),
    }
}

fn unreadable(error: TiffError) -> DecodeError {
    DecodeError::Tiff(Box::new(error))
}

fn find(decoder: &mut Decoder<Cursor<&[u8]>>, tag: Tag) -> Result<Option<Value>, DecodeError> {
    decoder.find_tag(tag).map_err(unreadable)
}

/// Numbers of a tag, none when it is absent or of another type.
fn numbers(decoder: &mut Decoder<Cursor<&[u8]>>, tag: Tag) -> Result<Vec<f64>, DecodeError> {
    Ok(find(decoder, tag)?.and_then(|v| v.into_f64_vec().ok()).unwrap_or_default())
}

fn georeference(decoder: &mut Decoder<Cursor<&[u8]>>, width: u32, height: u32) -> Result<GeoReference, DecodeError> {
    let scale = numbers(decoder, Tag::ModelPixelScaleTag)?;
    let tie = numbers(decoder, Tag::ModelTiepointTag)?;
    let keys = find(decoder, Tag::GeoKeyDirectoryTag)?.and_then(|v| v.into_u16_vec().ok()).unwrap_or_default();
    let words = find(decoder, Tag::GeoAsciiParamsTag)?.and_then(|v| v.into_string().ok()).unwrap_or_default();
    let (cell_width, cell_height) = match scale.as_slice() {
        [w, h, ..] if *w > 0.0 && *h > 0.0 && w.is_finite() && h.is_finite() => (*w, *h),
        other => {
            let accepted = "a cell width and height above 0 (a rotated grid is not read)";
            return Err(DecodeError::Place { tag: "ModelPixelScale", found: format!("{other:?}"), accepted });
        }
    };
    let [column, row, _, x, y, _] = match <[f64; 6]>::try_from(tie.as_slice()) {
        Ok(tie) if tie.iter().all(|t| t.is_finite()) => tie,
        _ => {
            let accepted = "one point of six finite numbers";
            return Err(DecodeError::Place { tag: "ModelTiepoint", found: format!("{tie:?}"), accepted });
        }
    };
    // Key 1025: 1 ties the corner of a cell, 2 its centre.
    let half = if short_key(&keys, 1025) == Some(2) { 0.5 } else { 0.0 };
    Ok(GeoReference {
        crs: crs(&keys, &words),
        width,
        height,
        west: x - (column + half) * cell_width,
        north: y + (row + half) * cell_height,
        cell_width,
        cell_height,
    })
}

/// `EPSG:<code>` of key 3072, else the citation of key 3073 or 1026, else `unknown`.
fn crs(keys: &[u16], words: &str) -> String {
    match short_key(keys, 3072) {
        Some(code) if code != 0 && code != 32767 => format!("EPSG:{code}"),
        _ => [3073, 1026].iter().find_map(|k| text_key(keys, words, *k)).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// Entries of the directory: key, tag that holds the value (0: the entry itself), count, value or offset.
fn entry(keys: &[u16], key: u16) -> Option<&[u16]> {
    keys.chunks_exact(4).skip(1).find(|e| e[0] == key)
}

fn short_key(keys: &[u16], key: u16) -> Option<u16> {
    entry(keys, key).filter(|e| e[1] == 0).map(|e| e[3])
}

fn text_key(keys: &[u16], words: &str, key: u16) -> Option<String> {
    let e = entry(keys, key).filter(|e| e[1] == 34737)?;
    let text = words.get(usize::from(e[3])..usize::from(e[3]) + usize::from(e[2]))?;
    let text = text.trim_end_matches(['|', '\0']).trim();
    (!text.is_empty()).then(|| text.to_owned())
}
