use nilometer_schemas::{GridField, GridsBuilder};
use proptest::prelude::*;

use super::*;

fn place(width: u32, height: u32, west: f64, north: f64, cell: f64) -> GeoReference {
    GeoReference { crs: "EPSG:2154".to_owned(), width, height, west, north, cell_width: cell, cell_height: cell }
}

fn catchment(cells: &[u32], georeference: GeoReference) -> Catchment {
    Catchment { id: "c".to_owned(), area_km2: 0.0, outlet: cells[0], cells: cells.to_vec(), georeference }
}

fn field(place: &GeoReference, values: &[f32]) -> Grids {
    let mut b = GridsBuilder::new();
    b.push(GridField {
        variable: Variable::Precipitation,
        valid_time: Timestamp(3_600_000_000),
        period_s: 3600,
        crs: &place.crs,
        width: place.width as i32,
        height: place.height as i32,
        west: place.west,
        north: place.north,
        cell_width: place.cell_width,
        cell_height: place.cell_height,
        values,
        source: "radar",
        ingest_time: Timestamp(5),
    });
    b.finish().unwrap()
}

fn average(catchment: &Catchment, place: &GeoReference, values: &[f32]) -> Forcings {
    Averager::new(vec![catchment.clone()], AverageOptions::default()).average(&field(place, values)).unwrap()
}

#[test]
fn aligned_cells_of_one_size_average_plainly() {
    let place = place(2, 2, 0.0, 2000.0, 1000.0);
    let rows = average(&catchment(&[0, 1, 3], place.clone()), &place, &[1.0, 2.0, 50.0, 6.0]);
    assert_eq!((rows.len(), rows.value().value(0), rows.valid_weight_fraction().value(0)), (1, 3.0, 1.0));
    assert_eq!((rows.flag().value(0), rows.flag_source().value(0)), (1, "pass"));
    assert_eq!((rows.period_s().value(0), rows.source().value(0), rows.ingest_time().value(0)), (3600, "radar", 5));
}

#[test]
fn a_shifted_coarse_grid_weighs_by_overlap() {
    // One catchment cell of 1 km over four source cells of 2 km whose corner is at (250 m, 400 m) of it.
    let own = place(1, 1, 0.0, 1000.0, 1000.0);
    let coarse = place(2, 2, -1750.0, 2400.0, 2000.0);
    let weights = Weights::new(&[catchment(&[0], own.clone())], &coarse).unwrap();
    let areas: Vec<(u32, f64)> = weights.of(0).collect();
    assert_eq!(areas, [(0, 150_000.0), (1, 450_000.0), (2, 100_000.0), (3, 300_000.0)]);
    let rows = average(&catchment(&[0], own), &coarse, &[1.0, 2.0, 3.0, 4.0]);
    assert!((rows.value().value(0) - 2.55).abs() < 1e-12, "0.15·1 + 0.45·2 + 0.1·3 + 0.3·4");
}

#[test]
fn masked_cells_lower_the_fraction_until_the_mean_is_missing() {
    let place = place(10, 1, 0.0, 1000.0, 1000.0);
    let basin = catchment(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], place.clone());
    for (masked, flag, source) in
        [(0, 1, "pass"), (1, 3, "partial_coverage"), (2, 3, "partial_coverage"), (3, 9, "coverage")]
    {
        let values: Vec<f32> = (0..10).map(|i| if i < masked { f32::NAN } else { 2.0 }).collect();
        let rows = average(&basin, &place, &values);
        assert_eq!((rows.flag().value(0), rows.flag_source().value(0)), (flag, source), "{masked} masked");
        let value = (flag != 9).then_some(2.0);
        assert_eq!(rows.value().iter().next().flatten(), value);
        assert!((rows.valid_weight_fraction().value(0) - (10 - masked) as f32 / 10.0).abs() < 1e-6);
    }
}

#[test]
fn area_off_the_grid_counts_as_invalid_and_other_systems_are_refused() {
    let own = place(4, 1, 0.0, 1000.0, 1000.0);
    let basin = catchment(&[0, 1, 2, 3], own.clone());
    let rows = average(&basin, &place(2, 1, 0.0, 1000.0, 1000.0), &[1.0, 1.0]);
    assert_eq!((rows.flag().value(0), rows.valid_weight_fraction().value(0)), (9, 0.5));
    let far = average(&basin, &place(2, 1, 1e6, 1000.0, 1000.0), &[1.0, 1.0]);
    assert_eq!((far.flag().value(0), far.valid_weight_fraction().value(0)), (9, 0.0));
    let other = GeoReference { crs: "EPSG:27700".to_owned(), ..own };
    let error = Weights::new(&[basin], &other).unwrap_err().to_string();
    assert!(error.contains("EPSG:27700") && error.contains("EPSG:2154"), "{error}");
}

#[test]
fn weights_are_computed_once_a_grid() {
    let place = place(2, 1, 0.0, 1000.0, 1000.0);
    let mut averager = Averager::new(vec![catchment(&[0, 1], place.clone())], AverageOptions::default());
    for k in 0..40 {
        let mut moved = place.clone();
        averager.average(&field(&place, &[1.0, 2.0])).unwrap();
        assert!(averager.kept.iter().filter(|(g, _)| *g == place).count() == 1);
        moved.west = f64::from(k);
        averager.average(&field(&moved, &[1.0, 2.0])).unwrap();
        assert!(averager.kept.len() <= KEPT_GRIDS);
    }
}

proptest! {
    #[test]
    fn weights_sum_to_the_area_and_means_stay_between_the_cells(
        west in -900.0..900.0_f64,
        north in -900.0..900.0_f64,
        cell in 300.0..2500.0_f64,
        values in proptest::collection::vec(prop_oneof![4 => 0.0..50.0_f32, 1 => Just(f32::NAN)], 40 * 40),
    ) {
        let own = place(5, 4, 0.0, 4000.0, 1000.0);
        let grid = place(40, 40, west - 4000.0, 8000.0 + north, cell.max(450.0));
        let basin = catchment(&[0, 3, 7, 8, 12, 19], own);
        let weights = Weights::new(std::slice::from_ref(&basin), &grid).unwrap();
        let sum: f64 = weights.of(0).map(|(_, a)| a).sum();
        prop_assert!((sum - 6e6).abs() < 1e-3, "{sum}");
        let rows = average(&basin, &grid, &values);
        let cells: Vec<f64> = weights.of(0).map(|(c, _)| f64::from(values[c as usize])).filter(|v| v.is_finite()).collect();
        if let Some(mean) = rows.value().iter().next().flatten() {
            let min = cells.iter().copied().fold(f64::INFINITY, f64::min);
            let max = cells.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(mean >= min - 1e-9 && mean <= max + 1e-9);
        }
    }
}
