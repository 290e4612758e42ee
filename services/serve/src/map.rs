//! Map: what the page draws of catchments and rivers, where the definition has flow directions.

use serde::Serialize;
use utoipa::ToSchema;

/// Catchments and rivers, in the reference system of the flow directions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Map {
    /// reference system, easting and northing in m
    #[schema(example = "EPSG:2154")]
    pub crs: String,
    /// of each station
    pub catchments: Vec<MapCatchment>,
    /// where enough drains through
    pub rivers: Vec<MapReach>,
}

/// A catchment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MapCatchment {
    /// identifier of the catchment
    pub station: String,
    /// easting and northing of its gauge
    #[schema(value_type = Vec<f64>)]
    pub gauge: [f64; 2],
    /// closed borders, points of easting and northing, the longest first
    #[schema(value_type = Vec<Vec<Vec<f64>>>)]
    pub outlines: Vec<Vec<[f64; 2]>>,
}

/// A reach of a river.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MapReach {
    /// what drains through its lowest cell, km²
    pub area_km2: f64,
    /// points of easting and northing, downstream
    #[schema(value_type = Vec<Vec<f64>>)]
    pub line: Vec<[f64; 2]>,
}
