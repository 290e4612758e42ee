//! GeoTIFFs that this file writes: every sample type, strips and tiles, damage of every kind.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use std::io::Cursor;

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp, Unit, Variable};
use nilometer_transforms::{
    Format, GridDecoding, Payload, Period, Range, RawBatch, Whole,
    decode::{DecodeError, MAX_CELLS, geotiff, grid, raster},
};
use proptest::prelude::*;
use tiff::{
    encoder::{Compression, TiffEncoder, TiffValue, colortype},
    tags::Tag,
};

/// A file of 4 x 3 cells of 1000 m from west 807000, north 6484000, EPSG:2154, no-data 65535.
fn file<C: colortype::ColorType>(samples: &[C::Inner], compression: Compression, no_data: &str) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    let mut out = Cursor::new(Vec::new());
    let mut tiff = TiffEncoder::new(&mut out).unwrap().with_compression(compression);
    let mut image = tiff.new_image::<C>(4, 3).unwrap();
    image.rows_per_strip(2).unwrap();
    let tags = image.encoder();
    tags.write_tag(Tag::ModelPixelScaleTag, &[1000.0_f64, 1000.0, 0.0][..]).unwrap();
    tags.write_tag(Tag::ModelTiepointTag, &[0.0_f64, 0.0, 0.0, 807_000.0, 6_484_000.0, 0.0][..]).unwrap();
    tags.write_tag(Tag::GeoKeyDirectoryTag, &[1_u16, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 2154][..]).unwrap();
    tags.write_tag(Tag::GdalNodata, no_data).unwrap();
    image.write_data(samples).unwrap();
    out.into_inner()
}

fn rain() -> GridDecoding {
    GridDecoding {
        variable: Variable::Precipitation,
        unit: Unit::Millimetre,
        scale: 0.1,
        valid_range: Some(Range { min: 0.0, max: 200.0 }),
        crs: None,
        max_cells: MAX_CELLS,
    }
}

const SAMPLES: [i32; 12] = [0, 1, 2, 65535, 4, 5, -1, 7, 8, 9999, 10, 11];

#[test]
fn tenths_of_a_millimetre_with_no_data_and_impossible_cells() {
    for compression in [Compression::Uncompressed, Compression::Packbits, Compression::Lzw] {
        let field = geotiff(&file::<colortype::GrayI32>(&SAMPLES, compression, "65535"), &rain(), 3600).unwrap();
        let place = &field.georeference;
        assert_eq!((place.width, place.height, place.west, place.north), (4, 3, 807_000.0, 6_484_000.0));
        assert_eq!((place.crs.as_str(), place.cell_width, place.cell_height), ("EPSG:2154", 1000.0, 1000.0));
        let expected = [0.0, 0.1, 0.2, f32::NAN, 0.4, 0.5, f32::NAN, 0.7, 0.8, f32::NAN, 1.0, 1.1];
        for (value, expected) in field.values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6 || (value.is_nan() && expected.is_nan()), "{value} {expected}");
        }
        assert_eq!((field.missing_cells, field.out_of_range_cells), (3, 2));
    }
}

#[test]
fn what_cannot_fall_on_earth_is_missing_without_a_range_too() {
    let decoding = GridDecoding { valid_range: None, ..rain() };
    let bytes = file::<colortype::GrayI32>(&SAMPLES, Compression::Uncompressed, "65535");
    let hourly = geotiff(&bytes, &decoding, 3_600).unwrap();
    assert_eq!(hourly.out_of_range_cells, 2, "-0.1 mm and 999.9 mm in an hour");
    let daily = geotiff(&bytes, &decoding, 86_400).unwrap();
    assert_eq!(daily.out_of_range_cells, 1, "999.9 mm have fallen in a day");
}

#[test]
fn every_sample_type_gives_the_same_values() {
    fn check(bytes: &[u8]) {
        let field = raster(bytes, MAX_CELLS).unwrap();
        assert_eq!(field.missing_cells, 1);
        assert!(field.values.iter().enumerate().all(|(i, v)| if i == 3 { v.is_nan() } else { *v == i as f32 }));
    }
    macro_rules! types {
        ($($colour:ident: $sample:ty),*) => {$(
            let samples: Vec<$sample> = (0..12_u8).map(|i| (if i == 3 { 99 } else { i }) as $sample).collect();
            check(&file::<colortype::$colour>(&samples, Compression::Uncompressed, "99"));
        )*};
    }
    types!(Gray8: u8, Gray16: u16, Gray32: u32, Gray64: u64, GrayI8: i8, GrayI16: i16, GrayI32: i32, GrayI64: i64);
    types!(Gray32Float: f32, Gray64Float: f64);
    let not_finite: Vec<f32> = (0..12_u8).map(|i| if i == 3 { f32::INFINITY } else { f32::from(i) }).collect();
    check(&file::<colortype::Gray32Float>(&not_finite, Compression::Uncompressed, "nan"));
    let rounded: Vec<f32> = (0..12_u8).map(|i| if i == 3 { -3.4e38 } else { f32::from(i) }).collect();
    check(&file::<colortype::Gray32Float>(&rounded, Compression::Uncompressed, " -3.4e+38 "));
}

#[test]
fn rates_become_depths_of_the_period() {
    let samples: Vec<f64> = vec![2.4; 12];
    let bytes = file::<colortype::Gray64Float>(&samples, Compression::Uncompressed, "-99");
    let pet = GridDecoding {
        variable: Variable::PotentialEvapotranspiration,
        unit: Unit::MillimetrePerDay,
        scale: 1.0,
        ..rain()
    };
    assert!((geotiff(&bytes, &pet, 86_400).unwrap().values[0] - 2.4).abs() < 1e-6);
    assert!((geotiff(&bytes, &pet, 3_600).unwrap().values[0] - 0.1).abs() < 1e-6);
    assert!(matches!(geotiff(&bytes, &pet, 0), Err(DecodeError::Unit(_))));
}

/// A little-endian TIFF of 3 x 2 cells in tiles of 16 x 16, u8, tied at the centre of its first cell.
fn tiled() -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let (entries, data) = (13_u32, 8 + 2 + 13 * 12 + 4);
    let (scale, tie, keys, tile) = (data, data + 24, data + 72, data + 96);
    bytes.extend((entries as u16).to_le_bytes());
    for (tag, kind, count, value) in [
        (256_u16, 3_u16, 1, 3),
        (257, 3, 1, 2),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 3, 1, 16),
        (323, 3, 1, 16),
        (324, 4, 1, tile),
        (325, 4, 1, 256),
        (33550, 12, 3, scale),
        (33922, 12, 6, tie),
        (34735, 3, 12, keys),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((count as u32).to_le_bytes());
        bytes.extend((value as u32).to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend([10.0_f64, 20.0, 0.0].iter().chain(&[0.0, 0.0, 0.0, 105.0, 190.0, 0.0]).flat_map(|v| v.to_le_bytes()));
    bytes.extend([1_u16, 1, 0, 2, 1025, 0, 1, 2, 3072, 0, 1, 32767].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((0..256_u32).map(|i| (i / 16 * 3 + i % 16) as u8));
    bytes
}

#[test]
fn tiles_are_put_together_and_a_centre_tie_point_moves_the_corner() {
    let field = raster(&tiled(), MAX_CELLS).unwrap();
    assert_eq!(field.values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!((field.georeference.west, field.georeference.north), (100.0, 200.0));
    assert_eq!(field.georeference.crs, "unknown");
}

fn batch(bytes: Vec<u8>) -> RawBatch {
    RawBatch {
        source: "radar".into(),
        locator: "a.tif".to_owned(),
        arrival: Timestamp(7),
        payload: Payload::Whole(Whole {
            format: Format::GEOTIFF,
            bytes: Bytes::from(bytes),
            period: Some(Period { valid_time: Timestamp(0), period_s: 3600 }),
        }),
    }
}

#[test]
fn a_field_lies_where_its_file_says() {
    let good = file::<colortype::GrayI32>(&SAMPLES, Compression::Packbits, "65535");
    let dead_letter = grid(&batch(good[..40].to_vec()), &rain()).unwrap_err();
    assert_eq!((dead_letter.reason, dead_letter.bytes.len(), dead_letter.rows), (Reason::Undecodable, 40, 1));
    let field = grid(&batch(good.clone()), &rain()).unwrap();
    assert_eq!((field.grids.len(), field.grids.ingest_time().value(0), field.missing_cells), (1, 7, 3));

    // The tie point's easting moves by one cell; the file is otherwise the same.
    let at = good.windows(8).position(|w| w == 807_000.0_f64.to_le_bytes()).unwrap();
    let mut moved = good.clone();
    moved[at..at + 8].copy_from_slice(&808_000.0_f64.to_le_bytes());
    let elsewhere = grid(&batch(moved), &rain()).unwrap();
    assert_eq!(elsewhere.grids.west().value(0) - field.grids.west().value(0), 1_000.0);

    let elsewhere = GridDecoding { crs: Some("EPSG:27700".to_owned()), ..rain() };
    let dead_letter = grid(&batch(good), &elsewhere).unwrap_err();
    assert!(
        dead_letter.reason == Reason::GridShape && dead_letter.detail.contains("EPSG:2154"),
        "{}",
        dead_letter.detail
    );
}

#[test]
fn a_header_that_promises_too_much_is_refused_before_memory_is_taken() {
    let good = file::<colortype::GrayI32>(&SAMPLES, Compression::Uncompressed, "65535");
    assert!(matches!(raster(&good, 11), Err(DecodeError::TooLarge { .. })));
    let mut vast = tiled();
    for entry in [0, 1, 6, 7] {
        let at = 10 + 12 * entry + 8;
        vast[at..at + 4].copy_from_slice(&60_000_u32.to_le_bytes());
    }
    let error = raster(&vast, u64::MAX).unwrap_err().to_string();
    assert!(error.contains("60000 x 60000"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutations_and_truncations_never_panic(
        which in 0_usize..4,
        keep in 0.0..=1.0_f64,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let mut bytes = match which {
            0 => file::<colortype::GrayI32>(&SAMPLES, Compression::Packbits, "65535"),
            1 => file::<colortype::Gray64Float>(&[1.5; 12], Compression::Lzw, "-99"),
            2 => file::<colortype::Gray8>(&[3; 12], Compression::Uncompressed, "0"),
            _ => tiled(),
        };
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        if let Ok(field) = geotiff(&bytes, &GridDecoding { max_cells: 100_000, ..rain() }, 3600) {
            prop_assert_eq!(field.values.len(), field.georeference.cells());
            prop_assert!(field.values.iter().all(|v| v.is_nan() || (0.0..=200.0).contains(v)));
        }
    }

    #[test]
    fn every_truncation_of_the_pixels_is_an_error(cut in 1_usize..48) {
        let bytes = file::<colortype::Gray64Float>(&[1.5; 12], Compression::Uncompressed, "-99");
        prop_assert!(raster(&bytes[..cut], MAX_CELLS).is_err());
    }
}
