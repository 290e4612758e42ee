//! From a gauge to the cells that drain to it, on a D8 grid of flow directions.
//!
//! Upstream areas: O'Callaghan and Mark (1984), counted in topological order, so that a loop in the data ends the count
//! instead of the program.

use serde::{Deserialize, Serialize};

use crate::{GeoReference, RasterGrid};

/// Column and row steps of the codes 1 to 8, clockwise from north.
const STEPS: [(i64, i64); 8] = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)];

/// A gauge, as its agency publishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// identifier of the gauge and of its catchment
    pub id: String,
    /// easting in the grid's reference system, m
    pub x: f64,
    /// northing, m
    pub y: f64,
    /// published catchment area, km²
    pub area_km2: f64,
}

/// How a gauge finds its cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceOptions {
    /// cells to each side of the gauge's own in which to look for the outlet; default 1
    pub snap_radius_cells: u32,
    /// accepted relative difference between traced and published area; default 0.10
    pub area_tolerance: f64,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { snap_radius_cells: 1, area_tolerance: 0.10 }
    }
}

/// Why a gauge has no catchment on a grid.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CatchmentError {
    /// The raster holds something else than directions.
    #[error(
        "flow direction of column {column}, row {row} is {found}; accepted is 1 (north) to 8 (north-west) clockwise"
    )]
    Direction { column: usize, row: usize, found: f32 },
    /// The gauge is not on the grid, or on none of its land.
    #[error("gauge {id} at x {x}, y {y} has no cell with a flow direction; the grid is {grid}")]
    Outside { id: String, x: f64, y: f64, grid: GeoReference },
    /// No cell near the gauge drains about the published area.
    #[error(
        "gauge {id}: the best cell within {radius_cells} cells drains {found_km2:.1} km2; expected {expected_km2:.1} km2 \
         within {tolerance_percent:.0} %: check x and y, or raise snap_radius_cells or area_tolerance"
    )]
    Area { id: String, radius_cells: u32, found_km2: f64, expected_km2: f64, tolerance_percent: f64 },
}

/// A D8 grid with the number of cells that drain through each cell, itself included.
#[derive(Debug, Clone)]
pub struct FlowDirections {
    georeference: GeoReference,
    /// code of each cell, 0 where there is none
    codes: Vec<u8>,
    /// cells upstream, 0 where there is no direction or a loop
    upstream: Vec<u32>,
}

/// The cells that drain to a gauge, on the grid of flow directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catchment {
    /// identifier of the gauge
    pub id: String,
    /// area of the cells, km²
    pub area_km2: f64,
    /// cell that the gauge was put on, `row × width + column`
    pub outlet: u32,
    /// cells of the catchment, `row × width + column`, ascending
    pub cells: Vec<u32>,
    /// the grid of flow directions
    pub georeference: GeoReference,
}

impl FlowDirections {
    /// Reads codes from a raster (missing cells have no direction) and counts what drains through each cell. O(cells).
    ///
    /// # Errors
    /// [`CatchmentError::Direction`] when a value is neither missing nor 1 to 8.
    pub fn new(raster: &RasterGrid) -> Result<Self, CatchmentError> {
        let width = raster.georeference.width as usize;
        let code = |(cell, value): (usize, &f32)| match *value {
            v if !v.is_finite() => Ok(0),
            v if (1.0..=8.0).contains(&v) && v.fract() == 0.0 => Ok(v as u8),
            found => Err(CatchmentError::Direction { column: cell % width, row: cell / width, found }),
        };
        let codes: Vec<u8> = raster.values.iter().enumerate().map(code).collect::<Result<_, _>>()?;
        let mut flow = Self { georeference: raster.georeference.clone(), upstream: vec![0; codes.len()], codes };
        flow.count_upstream();
        Ok(flow)
    }

    /// The catchment of a gauge: of the cells around it, the one whose upstream area is nearest to the published one
    /// (the nearer cell when equal), and everything that drains to it.
    ///
    /// # Errors
    /// [`CatchmentError::Outside`] or [`CatchmentError::Area`].
    pub fn trace(&self, gauge: &Gauge, options: &TraceOptions) -> Result<Catchment, CatchmentError> {
        let cell_km2 = self.georeference.cell_area_m2() * 1e-6;
        let area_km2 = |cell: usize| f64::from(self.upstream[cell]) * cell_km2;
        let outside = || CatchmentError::Outside {
            id: gauge.id.clone(),
            x: gauge.x,
            y: gauge.y,
            grid: self.georeference.clone(),
        };
        let (column, row) = self.georeference.cell_at(gauge.x, gauge.y).ok_or_else(outside)?;
        let radius = i64::from(options.snap_radius_cells);
        let around = (-radius..=radius).flat_map(|dy| (-radius..=radius).map(move |dx| (dx, dy)));
        let outlet = around
            .filter_map(|(dx, dy)| Some((self.at(i64::from(column) + dx, i64::from(row) + dy)?, dx * dx + dy * dy)))
            .filter(|(cell, _)| self.upstream[*cell] > 0)
            .min_by(|(a, a_distance), (b, b_distance)| {
                let miss = |cell| (area_km2(cell) - gauge.area_km2).abs();
                miss(*a).total_cmp(&miss(*b)).then(a_distance.cmp(b_distance)).then(a.cmp(b))
            })
            .map(|(cell, _)| cell)
            .ok_or_else(outside)?;
        if (area_km2(outlet) - gauge.area_km2).abs() > options.area_tolerance * gauge.area_km2 {
            return Err(CatchmentError::Area {
                id: gauge.id.clone(),
                radius_cells: options.snap_radius_cells,
                found_km2: area_km2(outlet),
                expected_km2: gauge.area_km2,
                tolerance_percent: options.area_tolerance * 100.0,
            });
        }
        let cells = self.upstream_of(outlet);
        Ok(Catchment {
            id: gauge.id.clone(),
            area_km2: cells.len() as f64 * cell_km2,
            outlet: outlet as u32,
            cells,
            georeference: self.georeference.clone(),
        })
    }

    pub(crate) const fn georeference(&self) -> &GeoReference {
        &self.georeference
    }

    /// Cells that drain through a cell, itself included.
    pub(crate) fn upstream_cells(&self, cell: u32) -> u32 {
        self.upstream[cell as usize]
    }

    /// The cell that a cell drains to.
    pub(crate) fn downstream_cell(&self, cell: u32) -> Option<u32> {
        self.downstream(cell as usize).map(|below| below as u32)
    }

    /// Every cell that drains to `outlet`, itself included, ascending.
    fn upstream_of(&self, outlet: usize) -> Vec<u32> {
        let mut cells = vec![outlet as u32];
        let mut next = 0;
        // A cell has one way down, so it is met once; a cell with upstream > 0 is on no loop, nor is what drains to it.
        while next < cells.len() {
            let cell = cells[next] as usize;
            next += 1;
            cells.extend(self.neighbours(cell).filter(|n| self.downstream(*n) == Some(cell)).map(|n| n as u32));
        }
        cells.sort_unstable();
        cells
    }

    /// Kahn's topological order: a cell counts once everything above it has; cells on a loop never do.
    fn count_upstream(&mut self) {
        let mut inflows = vec![0_u8; self.codes.len()];
        for below in (0..self.codes.len()).filter_map(|cell| self.downstream(cell)) {
            inflows[below] += 1;
        }
        let has_direction = |cell: &usize| self.codes[*cell] > 0;
        let mut ready: Vec<usize> = (0..self.codes.len()).filter(|c| inflows[*c] == 0).filter(has_direction).collect();
        let mut upstream = vec![0_u32; self.codes.len()];
        while let Some(cell) = ready.pop() {
            upstream[cell] += 1;
            if let Some(below) = self.downstream(cell) {
                upstream[below] += upstream[cell];
                inflows[below] -= 1;
                if inflows[below] == 0 {
                    ready.push(below);
                }
            }
        }
        // Cells that never became ready hold a part of their inflow only.
        for (cell, count) in upstream.iter_mut().enumerate() {
            if inflows[cell] > 0 {
                *count = 0;
            }
        }
        self.upstream = upstream;
    }

    /// The cell that a cell drains to, when that one has a direction too.
    fn downstream(&self, cell: usize) -> Option<usize> {
        let (dx, dy) = STEPS[usize::from(self.codes[cell].checked_sub(1)?)];
        let width = self.georeference.width as usize;
        self.at((cell % width) as i64 + dx, (cell / width) as i64 + dy).filter(|below| self.codes[*below] > 0)
    }

    fn neighbours(&self, cell: usize) -> impl Iterator<Item = usize> {
        let width = self.georeference.width as usize;
        let (column, row) = ((cell % width) as i64, (cell / width) as i64);
        STEPS.iter().filter_map(move |(dx, dy)| self.at(column + dx, row + dy))
    }

    fn at(&self, column: i64, row: i64) -> Option<usize> {
        let (width, height) = (i64::from(self.georeference.width), i64::from(self.georeference.height));
        ((0..width).contains(&column) && (0..height).contains(&row)).then_some((row * width + column) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: u32, codes: &[u8]) -> RasterGrid {
        RasterGrid {
            georeference: GeoReference {
                crs: "EPSG:2154".to_owned(),
                width,
                height: codes.len() as u32 / width,
                west: 0.0,
                north: 1000.0 * (codes.len() as u32 / width) as f64,
                cell_width: 1000.0,
                cell_height: 1000.0,
            },
            values: codes.iter().map(|c| if *c == 0 { f32::NAN } else { f32::from(*c) }).collect(),
            missing_cells: 0,
            out_of_range_cells: 0,
        }
    }

    fn gauge(x: f64, y: f64, area_km2: f64) -> Gauge {
        Gauge { id: "g".to_owned(), x, y, area_km2 }
    }

    /// Two arms join in the middle and leave to the south:
    /// ```text
    /// → ↓ ←
    /// → ↓ ·
    /// ↗ ↓ ←
    /// ```
    const ARMS: [u8; 9] = [3, 5, 7, 3, 5, 0, 2, 5, 7];

    #[test]
    fn traces_a_hand_made_river() {
        let flow = FlowDirections::new(&grid(3, &ARMS)).unwrap();
        assert_eq!(flow.upstream, [1, 3, 1, 1, 6, 0, 1, 8, 1]);
        let catchment = flow.trace(&gauge(1500.0, 500.0, 8.0), &TraceOptions::default()).unwrap();
        assert_eq!((catchment.area_km2, catchment.outlet), (8.0, 7));
        assert_eq!(catchment.cells, [0, 1, 2, 3, 4, 6, 7, 8]);
        let upper = flow.trace(&gauge(1500.0, 500.0, 6.0), &TraceOptions::default()).unwrap();
        assert_eq!((upper.outlet, upper.cells.len()), (4, 6), "snaps to the cell with the published area");
    }

    #[test]
    fn refuses_a_gauge_whose_area_is_elsewhere() {
        let flow = FlowDirections::new(&grid(3, &ARMS)).unwrap();
        let options = TraceOptions { snap_radius_cells: 0, ..TraceOptions::default() };
        let error = flow.trace(&gauge(1500.0, 500.0, 6.0), &options).unwrap_err().to_string();
        assert!(error.contains("8.0 km2") && error.contains("expected 6.0 km2") && error.contains("10 %"), "{error}");
        assert!(matches!(flow.trace(&gauge(-1.0, 0.0, 1.0), &options), Err(CatchmentError::Outside { .. })));
        assert!(matches!(flow.trace(&gauge(2500.0, 1500.0, 1.0), &options), Err(CatchmentError::Outside { .. })));
        let mut other = grid(3, &ARMS);
        other.values[4] = 9.0;
        assert!(FlowDirections::new(&other).unwrap_err().to_string().contains("column 1, row 1 is 9"));
    }

    #[test]
    fn a_loop_ends_the_count_and_what_it_feeds_has_no_area() {
        // 0 ⇄ 1 is a loop, 2 drains into it; 3 drains out of the grid.
        let flow = FlowDirections::new(&grid(4, &[3, 7, 7, 3])).unwrap();
        assert_eq!(flow.upstream, [0, 0, 1, 1]);
        let options = TraceOptions { snap_radius_cells: 0, ..TraceOptions::default() };
        assert!(flow.trace(&gauge(500.0, 500.0, 1.0), &options).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_grid_of_codes_ends_and_areas_agree(codes in proptest::collection::vec(0_u8..=8, 36)) {
            let flow = FlowDirections::new(&grid(6, &codes)).unwrap();
            for cell in (0..36).filter(|c| flow.upstream[*c] > 0) {
                proptest::prop_assert_eq!(flow.upstream_of(cell).len(), flow.upstream[cell] as usize);
            }
        }
    }
}
