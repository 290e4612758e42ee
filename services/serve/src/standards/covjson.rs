//! CoverageJSON: series of one station as a PointSeries, a parameter a quantile. A fifth axis for the levels would be read by few clients.

use serde_json::{Map, Value, json};

use crate::series::Series;

/// What discharge is called.
pub(crate) const DISCHARGE: &str = "http://vocab.nerc.ac.uk/standard_name/water_volume_transport_in_river_channel/";
/// The system of places.
pub(crate) const CRS84: &str = "http://www.opengis.net/def/crs/OGC/1.3/CRS84";

/// Name of the parameter of a level: `discharge_q50`; of readings `discharge`.
pub(crate) fn parameter_name(level: Option<&str>) -> String {
    level.map_or_else(|| "discharge".to_owned(), |level| format!("discharge_{level}"))
}

/// What a level means.
pub(crate) fn said(level: Option<&str>) -> String {
    match level.and_then(|level| level.strip_prefix('q')).map(|percent| percent.trim_start_matches('0')) {
        Some("50") => "median of the forecast".to_owned(),
        Some(percent) => format!("{percent} % of the forecast's distribution lie below"),
        None => "reading of the gauge".to_owned(),
    }
}

/// The coverage of series at a place, ° east and ° north, which have the same times.
pub(crate) fn coverage(id: &str, (x, y): (f64, f64), series: &[Series]) -> Value {
    let (mut parameters, mut ranges) = (Map::new(), Map::new());
    for of in series {
        let name = parameter_name(of.level.as_deref());
        parameters.insert(name.clone(), parameter(of.level.as_deref()));
        let range = json!({
            "type": "NdArray", "dataType": "float", "axisNames": ["t"], "shape": [of.values.len()], "values": of.values,
        });
        ranges.insert(name, range);
    }
    let times: Vec<String> =
        series.first().map_or_else(Vec::new, |of| of.times.iter().map(ToString::to_string).collect());
    json!({
        "type": "Coverage",
        "id": id,
        "domain": {
            "type": "Domain",
            "domainType": "PointSeries",
            "axes": {"x": {"values": [x]}, "y": {"values": [y]}, "t": {"values": times}},
            "referencing": [
                {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": CRS84}},
                {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}},
            ],
        },
        "parameters": parameters,
        "ranges": ranges,
    })
}

/// A parameter as CoverageJSON has it.
fn parameter(level: Option<&str>) -> Value {
    json!({
        "type": "Parameter",
        "description": {"en": said(level)},
        "unit": {
            "label": {"en": "cubic metre per second"},
            "symbol": {"value": "m3/s", "type": "http://www.opengis.net/def/uom/UCUM/"},
        },
        "observedProperty": {"id": DISCHARGE, "label": {"en": "discharge"}},
    })
}
