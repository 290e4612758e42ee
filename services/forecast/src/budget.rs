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

/// A term of a budget.
type Term = fn(&mut WaterBudget) -> &mut f64;

impl WaterBudget {
    /// Every term by its name.
    pub(crate) const TERMS: [(&'static str, Term); 7] = [
        ("initial_mm", |budget| &mut budget.initial_mm),
        ("precipitation_mm", |budget| &mut budget.precipitation_mm),
        ("evapotranspiration_mm", |budget| &mut budget.evapotranspiration_mm),
        ("outflow_mm", |budget| &mut budget.outflow_mm),
        ("increment_mm", |budget| &mut budget.increment_mm),
        ("clipped_mm", |budget| &mut budget.clipped_mm),
        ("noise_mm", |budget| &mut budget.noise_mm),
    ];

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
