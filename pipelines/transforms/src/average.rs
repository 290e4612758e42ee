//! From a grid to the mean over each catchment, by sparse area weights.
//!
//! `mean = Σ w v / Σ w` over valid cells, with `w` the overlap of a source cell with the catchment in m². Both grids are
//! north-up in one projected system; they need be neither aligned nor of one cell size.

use std::sync::Arc;

use nilometer_schemas::{Flag, ForcingRow, Forcings, ForcingsBuilder, Grids, SchemaError, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use crate::{Catchment, GeoReference, grid::same_crs};

/// Geo-references whose weights are kept: one a source is usual.
const KEPT_GRIDS: usize = 16;

/// How much of a catchment must be covered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AverageOptions {
    /// below this share of the catchment's area with valid cells the mean is missing (flag 9); default 0.8
    pub min_valid_fraction: f32,
    /// from this share on the mean passes, below it is suspect; default 0.95
    pub pass_valid_fraction: f32,
}

impl Default for AverageOptions {
    fn default() -> Self {
        Self { min_valid_fraction: 0.8, pass_valid_fraction: 0.95 }
    }
}

impl AverageOptions {
    /// Every problem: key and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let (min, pass) = (self.min_valid_fraction, self.pass_valid_fraction);
        let mut problems = Vec::new();
        if !(min > 0.0 && min <= 1.0) {
            problems.push(("min_valid_fraction".to_owned(), format!("is {min}; accepted is above 0 and up to 1")));
        }
        if !(pass >= min && pass <= 1.0) {
            let accepted = "min_valid_fraction up to 1";
            problems.push(("pass_valid_fraction".to_owned(), format!("is {pass}; accepted is {accepted}")));
        }
        problems
    }
}

/// Why a grid cannot be averaged.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AverageError {
    /// Grid and catchments are in two reference systems.
    #[error("grid is in {grid}, catchment {catchment} in {expected}: reproject the grid, or correct the source's crs")]
    Crs { grid: String, catchment: String, expected: String },
    /// A row breaks its contract (a field without a period, for one).
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Sparse weights of every catchment on one grid (compressed rows).
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// where each catchment's cells start; one more than there are catchments
    offsets: Vec<usize>,
    /// source cells, ascending within a catchment
    cells: Vec<u32>,
    /// overlaps in m², as long as `cells`
    areas_m2: Vec<f64>,
    /// area of each catchment in m², also what lies off the grid
    totals_m2: Vec<f64>,
}

impl Weights {
    /// Overlaps of the cells of each catchment with those of `grid`.
    ///
    /// # Errors
    /// [`AverageError::Crs`].
    pub fn new(catchments: &[Catchment], grid: &GeoReference) -> Result<Self, AverageError> {
        let mut weights = Self { offsets: vec![0], cells: Vec::new(), areas_m2: Vec::new(), totals_m2: Vec::new() };
        for catchment in catchments {
            let own = &catchment.georeference;
            if !same_crs(&own.crs, &grid.crs) {
                return Err(AverageError::Crs {
                    grid: grid.crs.clone(),
                    catchment: catchment.id.clone(),
                    expected: own.crs.clone(),
                });
            }
            let mut overlaps: Vec<(u32, f64)> = catchment.cells.iter().flat_map(|c| overlaps(own, *c, grid)).collect();
            overlaps.sort_by_key(|(cell, _)| *cell);
            for (cell, area_m2) in overlaps {
                match weights.cells.last() {
                    Some(last) if *last == cell && weights.cells.len() > weights.offsets[weights.offsets.len() - 1] => {
                        let at = weights.areas_m2.len() - 1;
                        weights.areas_m2[at] += area_m2;
                    }
                    _ => {
                        weights.cells.push(cell);
                        weights.areas_m2.push(area_m2);
                    }
                }
            }
            weights.offsets.push(weights.cells.len());
            weights.totals_m2.push(catchment.cells.len() as f64 * own.cell_area_m2());
        }
        Ok(weights)
    }

    /// Source cells and overlaps (m²) of one catchment.
    pub fn of(&self, catchment: usize) -> impl Iterator<Item = (u32, f64)> {
        let range = self.offsets[catchment]..self.offsets[catchment + 1];
        self.cells[range.clone()].iter().copied().zip(self.areas_m2[range].iter().copied())
    }

    /// Area of one catchment in m², also what lies off the grid.
    #[must_use]
    pub fn total_m2(&self, catchment: usize) -> f64 {
        self.totals_m2[catchment]
    }

    /// Mean over a catchment and the share of its area with valid cells; `value` gives a cell's value, if it has one.
    fn mean(&self, catchment: usize, value: impl Fn(usize) -> Option<f64>) -> (Option<f64>, f32) {
        let (mut sum, mut valid_m2) = (0.0, 0.0);
        for (cell, area_m2) in self.of(catchment) {
            if let Some(value) = value(cell as usize) {
                sum += area_m2 * value;
                valid_m2 += area_m2;
            }
        }
        let fraction = (valid_m2 / self.totals_m2[catchment]).min(1.0) as f32;
        ((valid_m2 > 0.0).then(|| sum / valid_m2), fraction)
    }
}

/// Cells of `grid` under one cell of another grid, with their overlap in m².
fn overlaps(own: &GeoReference, cell: u32, grid: &GeoReference) -> impl Iterator<Item = (u32, f64)> {
    let (column, row) = (cell % own.width, cell / own.width);
    let along_x = shares(
        (own.west - grid.west) + f64::from(column) * own.cell_width,
        own.cell_width,
        grid.cell_width,
        grid.width,
    );
    let along_y = shares(
        (grid.north - own.north) + f64::from(row) * own.cell_height,
        own.cell_height,
        grid.cell_height,
        grid.height,
    );
    let width = grid.width;
    along_y.flat_map(move |(row, height_m)| {
        along_x.clone().map(move |(column, width_m)| (row * width + column, width_m * height_m))
    })
}

/// Cells of size `size` along one axis (the first starts at 0) that `[start, start + length)` touches, and by how much.
/// Slivers below a billionth of a cell are rounding, not overlap.
fn shares(start: f64, length: f64, size: f64, count: u32) -> impl Iterator<Item = (u32, f64)> + Clone {
    let end = start + length;
    let clamp = |v: f64| v.clamp(0.0, f64::from(count)) as u32;
    (clamp((start / size).floor())..clamp((end / size).ceil())).filter_map(move |index| {
        let from = start.max(f64::from(index) * size);
        let to = end.min(f64::from(index + 1) * size);
        (to - from > 1e-9 * size).then_some((index, to - from))
    })
}

/// Averages the grids of any number of sources over the same catchments. Weights are computed once a geo-reference.
#[derive(Debug, Clone)]
pub struct Averager {
    catchments: Arc<[Catchment]>,
    options: AverageOptions,
    kept: Vec<(GeoReference, Weights)>,
}

impl Averager {
    /// For these catchments.
    #[must_use]
    pub fn new(catchments: impl Into<Arc<[Catchment]>>, options: AverageOptions) -> Self {
        Self { catchments: catchments.into(), options, kept: Vec::new() }
    }

    /// The catchments, in the order of the rows of each field.
    #[must_use]
    pub fn catchments(&self) -> &[Catchment] {
        &self.catchments
    }

    /// The mean of each field over each catchment: `fields × catchments` rows, field by field, without member and issue
    /// time. Flag sources: `pass`, `partial_coverage` (suspect), `coverage` (missing).
    ///
    /// # Errors
    /// [`AverageError`] when a field is in another reference system or has no period.
    pub fn average(&mut self, grids: &Grids) -> Result<Forcings, AverageError> {
        let mut rows = ForcingsBuilder::new();
        for field in 0..grids.len() {
            let at = self.weights_of(grids, field)?;
            let (weights, cells) = (&self.kept[at].1, grids.cells(field));
            let variable: Variable = grids.variable().value(field).parse()?;
            let value = |cell: usize| arrow::array::Array::is_valid(&cells, cell).then(|| f64::from(cells.value(cell)));
            for (index, catchment) in self.catchments.iter().enumerate() {
                let (mean, valid_weight_fraction) = weights.mean(index, value);
                let covered = mean.filter(|_| valid_weight_fraction >= self.options.min_valid_fraction);
                let (flag, flag_source) = match covered {
                    None => (Flag::Missing, "coverage"),
                    Some(_) if valid_weight_fraction >= self.options.pass_valid_fraction => (Flag::Pass, "pass"),
                    Some(_) => (Flag::Suspect, "partial_coverage"),
                };
                rows.push(ForcingRow {
                    catchment: &catchment.id,
                    variable,
                    valid_time: Timestamp(grids.valid_time().value(field)),
                    period_s: grids.period_s().value(field),
                    value: covered,
                    valid_weight_fraction,
                    flag,
                    flag_source,
                    member: None,
                    issue_time: None,
                    source: grids.source().value(field),
                    ingest_time: Timestamp(grids.ingest_time().value(field)),
                });
            }
        }
        Ok(rows.finish()?)
    }

    /// Where the weights of a field's grid are kept.
    fn weights_of(&mut self, grids: &Grids, field: usize) -> Result<usize, AverageError> {
        let here = |kept: &GeoReference| {
            kept.width as i32 == grids.width().value(field)
                && kept.height as i32 == grids.height().value(field)
                && kept.west == grids.west().value(field)
                && kept.north == grids.north().value(field)
                && kept.cell_width == grids.cell_width().value(field)
                && kept.cell_height == grids.cell_height().value(field)
                && kept.crs == grids.crs().value(field)
        };
        if let Some(at) = self.kept.iter().position(|(kept, _)| here(kept)) {
            return Ok(at);
        }
        let georeference = GeoReference {
            crs: grids.crs().value(field).to_owned(),
            width: grids.width().value(field).unsigned_abs(),
            height: grids.height().value(field).unsigned_abs(),
            west: grids.west().value(field),
            north: grids.north().value(field),
            cell_width: grids.cell_width().value(field),
            cell_height: grids.cell_height().value(field),
        };
        let weights = Weights::new(&self.catchments, &georeference)?;
        if self.kept.len() == KEPT_GRIDS {
            self.kept.remove(0);
        }
        self.kept.push((georeference, weights));
        Ok(self.kept.len() - 1)
    }
}

#[cfg(test)]
mod tests;
