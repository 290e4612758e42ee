//! Lead: what a forecast says of one lead time of a catchment.

use nilometer_schemas::Timestamp;
use nilometer_statistics::Distribution;

/// One lead time of a catchment's forecast.
pub(crate) struct Lead {
    /// 0 is the first step after the issue time
    pub(crate) lead: usize,
    pub(crate) valid_time: Timestamp,
    pub(crate) distribution: Distribution,
    /// what the models say before any correction, m³ s⁻¹
    pub(crate) simulated: f64,
}
