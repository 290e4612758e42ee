//! Standards: the same forecasts and readings as other systems ask for them.

pub(crate) mod covjson;
pub(crate) mod edr;
pub(crate) mod fews;
