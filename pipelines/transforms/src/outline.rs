//! Outlines: what a map shows of a grid of flow directions, the border of a catchment and the rivers in it, in the grid's reference system.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Catchment, FlowDirections, GeoReference};

/// A line of points, easting and northing, m.
pub type Line = Vec<[f64; 2]>;

/// A reach of a river, from its head or a confluence down.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// what drains through its lowest cell above a confluence, km²
    pub area_km2: f64,
    /// centres of its cells, downstream, with that of the confluence
    pub line: Line,
}

impl Catchment {
    /// Its borders, closed, the longest first: the edges of its cells that no other of its cells shares.
    #[must_use]
    pub fn outlines(&self) -> Vec<Line> {
        let width = self.georeference.width;
        let cells: BTreeSet<(i64, i64)> =
            self.cells.iter().map(|cell| (i64::from(cell % width), i64::from(cell / width))).collect();
        // Each edge runs with the catchment to its right, from corner to corner. A corner where two cells touch has two.
        let mut edges: BTreeMap<(i64, i64), Vec<(i64, i64)>> = BTreeMap::new();
        for &(x, y) in &cells {
            let sides = [
                ((x, y - 1), (x, y), (x + 1, y)),
                ((x + 1, y), (x + 1, y), (x + 1, y + 1)),
                ((x, y + 1), (x + 1, y + 1), (x, y + 1)),
                ((x - 1, y), (x, y + 1), (x, y)),
            ];
            for (beyond, from, to) in sides {
                if !cells.contains(&beyond) {
                    edges.entry(from).or_default().push(to);
                }
            }
        }
        let mut outlines = Vec::new();
        while let Some((&first, _)) = edges.first_key_value() {
            let (mut corners, mut at) = (vec![first], first);
            while let Some(ends) = edges.get_mut(&at) {
                let Some(next) = ends.pop() else { break };
                if ends.is_empty() {
                    edges.remove(&at);
                }
                corners.push(next);
                at = next;
                if at == first {
                    break;
                }
            }
            outlines.push(
                straightened(&corners).into_iter().map(|corner| point(&self.georeference, corner, 0.0)).collect(),
            );
        }
        outlines.sort_by_key(|line: &Line| std::cmp::Reverse(line.len()));
        outlines
    }
}

impl FlowDirections {
    /// The rivers of catchments, where at least `least_km2` drain through a cell.
    #[must_use]
    pub fn rivers(&self, catchments: &[Catchment], least_km2: f64) -> Vec<Reach> {
        let georeference = self.georeference();
        let (width, cell_km2) = (georeference.width, georeference.cell_area_m2() * 1e-6);
        let area_km2 = |cell: u32| f64::from(self.upstream_cells(cell)) * cell_km2;
        let inside: BTreeSet<u32> = catchments.iter().flat_map(|catchment| catchment.cells.iter().copied()).collect();
        let river: BTreeSet<u32> = inside.into_iter().filter(|cell| area_km2(*cell) >= least_km2).collect();
        let below = |cell: u32| self.downstream_cell(cell).filter(|below| river.contains(below));
        let mut inflows: BTreeMap<u32, usize> = BTreeMap::new();
        river.iter().filter_map(|cell| below(*cell)).for_each(|below| *inflows.entry(below).or_default() += 1);
        let is_head = |cell: &u32| inflows.get(cell).copied().unwrap_or(0) != 1;
        let reach = |head: &u32| {
            let (mut cells, mut at) = (vec![*head], *head);
            while let Some(next) = below(at) {
                cells.push(next);
                // The cell where it meets another is that one's.
                if inflows.get(&next).copied().unwrap_or(0) != 1 {
                    break;
                }
                at = next;
            }
            let line =
                cells.iter().map(|cell| point(georeference, (i64::from(cell % width), i64::from(cell / width)), 0.5));
            Reach { area_km2: area_km2(at), line: line.collect() }
        };
        river.iter().filter(|cell| is_head(cell)).map(reach).filter(|reach| reach.line.len() > 1).collect()
    }
}

/// Where a corner of a cell is, or what lies `within` it.
fn point(georeference: &GeoReference, (column, row): (i64, i64), within: f64) -> [f64; 2] {
    [
        georeference.west + (column as f64 + within) * georeference.cell_width,
        georeference.north - (row as f64 + within) * georeference.cell_height,
    ]
}

/// Corners at which a line turns, and its ends.
fn straightened(corners: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let turns = |at: usize| {
        let [before, here, behind] = [corners[at - 1], corners[at], corners[at + 1]];
        (here.0 - before.0, here.1 - before.1) != (behind.0 - here.0, behind.1 - here.1)
    };
    let last = corners.len() - 1;
    (0..corners.len()).filter(|at| *at == 0 || *at == last || turns(*at)).map(|at| corners[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gauge, RasterGrid, TraceOptions};

    /// Two brooks of a 3 × 3 grid of 1 km meet in its middle and leave to the south.
    fn traced() -> (FlowDirections, Catchment) {
        let georeference = GeoReference {
            crs: "EPSG:2154".to_owned(),
            width: 3,
            height: 3,
            west: 0.0,
            north: 3_000.0,
            cell_width: 1_000.0,
            cell_height: 1_000.0,
        };
        let codes = [4.0, f32::NAN, 6.0, 3.0, 5.0, 7.0, f32::NAN, 5.0, f32::NAN];
        let directions = FlowDirections::new(&RasterGrid {
            georeference,
            values: codes.to_vec(),
            missing_cells: 3,
            out_of_range_cells: 0,
        })
        .unwrap();
        let gauge = Gauge { id: "a".to_owned(), x: 1_500.0, y: 500.0, area_km2: 6.0 };
        let catchment = directions.trace(&gauge, &TraceOptions::default()).unwrap();
        (directions, catchment)
    }

    #[test]
    fn a_catchment_has_a_closed_border_around_its_cells() {
        let (_, catchment) = traced();
        assert_eq!(catchment.cells, [0, 2, 3, 4, 5, 7]);
        let outlines = catchment.outlines();
        let [outline] = outlines.as_slice() else { panic!("{outlines:?}") };
        assert_eq!(outline.first(), outline.last());
        let doubled: f64 = outline.windows(2).map(|w| w[0][0] * w[1][1] - w[1][0] * w[0][1]).sum();
        assert_eq!(doubled.abs() / 2.0, 6.0e6, "its area is that of six cells");
    }

    #[test]
    fn rivers_run_from_their_heads_to_where_they_meet_and_on() {
        let (directions, catchment) = traced();
        let reaches = directions.rivers(std::slice::from_ref(&catchment), 1.0);
        assert_eq!(reaches.len(), 5, "{reaches:?}");
        let last = reaches.iter().find(|reach| reach.area_km2 == 6.0).unwrap();
        assert_eq!(last.line, [[1_500.0, 1_500.0], [1_500.0, 500.0]]);
        assert_eq!(directions.rivers(&[catchment], 5.0).len(), 1, "brooks are no rivers");
    }
}
