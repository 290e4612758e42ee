//! The water budget of one catchment: every millimetre has a name.

use serde::{Deserialize, Serialize};

/// Ensemble-mean depths since the state began, mm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WaterBudget {
    /// water in the stores when the state began
    pub initial_mm: f64,
    /// rain that the members got, perturbation included
    pub precipitation_mm: f64,
    /// water that evaporated
    pub evapotranspiration_mm: f64,
    /// water that left the stores towards the river
    pub outflow_mm: f64,
    /// water that observations added (removed when negative): the analysis increments
    pub increment_mm: f64,
    /// the part of the increments that bounds caused
    pub clipped_mm: f64,
    /// water that the stores' noise added (removed when negative)
    pub noise_mm: f64,
}

impl WaterBudget {
    /// What is unexplained of `storage_mm`, the water in the stores now.
    #[must_use]
    pub fn residual_mm(&self, storage_mm: f64) -> f64 {
        let explained =
            self.precipitation_mm - self.evapotranspiration_mm - self.outflow_mm + self.increment_mm + self.noise_mm;
        storage_mm - self.initial_mm - explained
    }

    /// How large a residual rounding can explain: float32 stores of some hundred mm round by 3·10⁻⁵ mm a step and
    /// member, which the mean over members halves at least.
    #[must_use]
    pub fn tolerance_mm(steps: u64) -> f64 {
        1e-3 + 5e-5 * steps as f64
    }
}
