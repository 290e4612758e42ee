//! CoverageJSON: series of one station as a PointSeries, a parameter a quantile. A fifth axis for the levels would be read by few clients.

use nilometer_schemas::Timestamp;
use serde_json::{Map, Value, json};

/// What discharge is called.
pub(crate) const DISCHARGE: &str = "http://vocab.nerc.ac.uk/standard_name/water_volume_transport_in_river_channel/";
/// The system of places.
pub(crate) const CRS84: &str = "http://www.opengis.net/def/crs/OGC/1.3/CRS84";
const UCUM: &str = "http://www.opengis.net/def/uom/UCUM/";

/// A quantity that is given by time.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// in a sentence
    pub(crate) said: String,
    /// in words, and as UCUM has it
    pub(crate) unit: (&'static str, &'static str),
    /// identifier and name of what is observed
    pub(crate) observed: (&'static str, &'static str),
}

impl Parameter {
    /// A level of discharge: `discharge_q50`; of readings `discharge`.
    pub(crate) fn of_level(level: Option<&str>) -> Self {
        let name = level.map_or_else(|| "discharge".to_owned(), |level| format!("discharge_{level}"));
        let said = match level.and_then(|level| level.strip_prefix('q')).map(|percent| percent.trim_start_matches('0'))
        {
            Some("50") => "median of the forecast".to_owned(),
            Some(percent) => format!("{percent} % of the forecast's distribution lie below"),
            None => "reading of the gauge".to_owned(),
        };
        Self { name, said, unit: ("cubic metre per second", "m3/s"), observed: (DISCHARGE, "discharge") }
    }

    /// As a collection describes it.
    pub(crate) fn described(&self) -> Value {
        let (label, symbol) = self.unit;
        let (id, observed) = self.observed;
        json!({
            "type": "Parameter", "id": self.name, "description": self.said, "data-type": "float",
            "unit": {"label": label, "symbol": {"value": symbol, "type": UCUM}},
            "observedProperty": {"id": id, "label": observed},
        })
    }

    /// As a coverage has it.
    fn of_coverage(&self) -> Value {
        let (label, symbol) = self.unit;
        let (id, observed) = self.observed;
        json!({
            "type": "Parameter",
            "description": {"en": self.said},
            "unit": {"label": {"en": label}, "symbol": {"value": symbol, "type": UCUM}},
            "observedProperty": {"id": id, "label": {"en": observed}},
        })
    }
}

/// Parameters of one station, each with a value a time.
pub(crate) struct Coverage {
    /// its identifier
    pub(crate) id: String,
    pub(crate) times: Vec<Timestamp>,
    pub(crate) ranges: Vec<(Parameter, Vec<Option<f64>>)>,
}

impl Coverage {
    /// As CoverageJSON, at a place, ° east and ° north.
    pub(crate) fn document(&self, (x, y): (f64, f64)) -> Value {
        let (mut parameters, mut ranges) = (Map::new(), Map::new());
        for (parameter, values) in &self.ranges {
            parameters.insert(parameter.name.clone(), parameter.of_coverage());
            let range = json!({
                "type": "NdArray", "dataType": "float", "axisNames": ["t"], "shape": [values.len()], "values": values,
            });
            ranges.insert(parameter.name.clone(), range);
        }
        let times: Vec<String> = self.times.iter().map(ToString::to_string).collect();
        json!({
            "type": "Coverage",
            "id": self.id,
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
}

/// Several coverages as one document.
pub(crate) fn collection(coverages: &[Coverage], place: (f64, f64)) -> Value {
    let all: Vec<Value> = coverages.iter().map(|coverage| coverage.document(place)).collect();
    json!({"type": "CoverageCollection", "domainType": "PointSeries", "coverages": all})
}
