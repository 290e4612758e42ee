//! Map: catchments and rivers of the definition's flow directions, for the page.

use nilometer_definitions::Pipeline;
use nilometer_serve::{Map, MapCatchment, MapReach};

use crate::intake;

/// Rivers drain at least this, km².
const RIVER_KM2: f64 = 4.0;
/// And this share of the largest catchment.
const RIVER_SHARE: f64 = 0.01;
/// Points of a map at most: a page draws it on a phone.
const POINTS: usize = 200_000;

/// The map of a definition; none where it has no flow directions, or they say too much to be drawn.
pub fn of(pipeline: &Pipeline) -> Option<Map> {
    let network = pipeline.network.as_ref()?;
    let (directions, catchments) = match intake::traced(pipeline, network) {
        Ok(traced) => traced,
        Err(error) => {
            tracing::warn!("{error:#}: the map has no catchments");
            return None;
        }
    };
    let largest = catchments.iter().map(|catchment| catchment.area_km2).fold(0.0, f64::max);
    let rivers = directions.rivers(&catchments, RIVER_KM2.max(RIVER_SHARE * largest));
    let place = |id: &str| {
        let catchment = pipeline.catchments.iter().find(|catchment| catchment.id == id)?;
        Some([catchment.outlet_x_m?, catchment.outlet_y_m?])
    };
    let map = Map {
        crs: catchments.first()?.georeference.crs.clone(),
        catchments: catchments
            .iter()
            .filter_map(|catchment| {
                Some(MapCatchment {
                    station: catchment.id.clone(),
                    gauge: place(&catchment.id)?,
                    outlines: catchment.outlines(),
                })
            })
            .collect(),
        rivers: rivers.into_iter().map(|reach| MapReach { area_km2: reach.area_km2, line: reach.line }).collect(),
    };
    let points = map.catchments.iter().flat_map(|of| &of.outlines).map(Vec::len).sum::<usize>()
        + map.rivers.iter().map(|reach| reach.line.len()).sum::<usize>();
    if points > POINTS {
        tracing::warn!(points, "the map has no catchments: accepted are {POINTS} points");
        return None;
    }
    Some(map)
}
