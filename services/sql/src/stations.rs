//! Stations: the tables `station` and `threshold`, of the definition.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray},
    error::ArrowError,
};
use nilometer_definitions::{Catchment, ThresholdKind};

/// A row a catchment.
pub(crate) fn stations(catchments: &[Catchment]) -> Result<RecordBatch, ArrowError> {
    let text =
        |of: fn(&Catchment) -> Option<&str>| Arc::new(catchments.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let number =
        |of: fn(&Catchment) -> Option<f64>| Arc::new(catchments.iter().map(of).collect::<Float64Array>()) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([
        ("id", text(|of| Some(&of.id)), false),
        ("station", text(|of| Some(of.station())), false),
        ("name", text(|of| Some(of.name())), false),
        ("river", text(|of| of.river.as_deref()), true),
        ("latitude", number(|of| of.latitude), true),
        ("longitude", number(|of| of.longitude), true),
        ("timezone", text(|of| of.timezone.as_deref()), true),
        ("datum", text(|of| of.datum.as_deref()), true),
        ("area_km2", number(|of| Some(of.area_km2)), false),
        ("downstream", text(|of| of.downstream.as_ref().map(|next| next.id.as_str())), true),
    ])
}

/// A row a threshold, its value in m³ s⁻¹ or in m above the datum.
pub(crate) fn thresholds(catchments: &[Catchment]) -> Result<RecordBatch, ArrowError> {
    let all = || catchments.iter().flat_map(|of| of.thresholds.iter().map(move |threshold| (of, threshold)));
    let kind = |kind| if kind == ThresholdKind::Flow { "flow" } else { "stage" };
    let text = |texts: StringArray| Arc::new(texts) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([
        ("catchment", text(all().map(|(of, _)| Some(of.id.as_str())).collect()), false),
        ("threshold", text(all().map(|(_, threshold)| Some(threshold.id.as_str())).collect()), false),
        ("name", text(all().map(|(_, threshold)| Some(threshold.name())).collect()), false),
        ("kind", text(all().map(|(_, threshold)| Some(kind(threshold.kind))).collect()), false),
        (
            "value",
            Arc::new(all().map(|(_, threshold)| threshold.canonical()).collect::<Float64Array>()) as ArrayRef,
            false,
        ),
        ("unit", text(all().map(|(_, threshold)| Some(threshold.kind.variable().unit().name())).collect()), false),
        (
            "below",
            Arc::new(all().map(|(_, threshold)| Some(threshold.below)).collect::<BooleanArray>()) as ArrayRef,
            false,
        ),
    ])
}
