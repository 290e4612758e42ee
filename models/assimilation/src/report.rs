//! What an analysis did: increments for the water budget, innovations for the diagnosis of the filter.

/// Change of one row of one catchment, as an ensemble mean in the unit of the row (mm for a store).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowIncrement {
    /// The catchment.
    pub catchment: usize,
    /// The row.
    pub state: usize,
    /// Mean over members of (stored after - stored before), clipping included: the "analysis increment" of the budget.
    pub mean_increment: f64,
    /// The part of `mean_increment` that the bounds caused: positive where they added, negative where they removed.
    pub mean_clipped: f64,
}

/// How far one observation lay from its prediction, in the unit of the observation (log discharge for
/// [`crate::DischargeOperator`]), before any inflation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Innovation {
    /// The catchment.
    pub catchment: usize,
    /// Position among the observations of the catchment.
    pub observation: usize,
    /// Observed value minus the ensemble mean of the prediction.
    pub innovation: f64,
    /// Standard deviation of the prediction over members (M - 1).
    pub spread: f64,
    /// Standard deviation of the observation error.
    pub error_std: f64,
    /// Factor on the anomalies that the analysis used, prior and catchment inflation together.
    pub inflation: f64,
}

impl Innovation {
    /// Innovation over its expected standard deviation, `d / sqrt(spread^2 + error_std^2)`: mean zero and variance one
    /// over many steps if the ensemble and the errors are consistent (Desroziers et al. 2005).
    #[must_use]
    pub fn normalised(&self) -> f64 {
        self.innovation / self.spread.hypot(self.error_std)
    }
}

/// How many members of a catchment the observations left standing before they were resampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampled {
    /// The catchment.
    pub catchment: usize,
    /// Effective number of members, `1 / Σ w²`: M where all fit equally well, 1 where a single one does.
    pub effective_members: f64,
}

/// What one batch did. Reuse one report: its buffers keep their size between batches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnalysisReport {
    /// One entry per updated row, by catchment, then by state.
    pub increments: Vec<RowIncrement>,
    /// One entry per observation, by catchment, then in the order given.
    pub innovations: Vec<Innovation>,
    /// One entry per catchment that [`crate::Method::Particle`] resampled; empty for other methods.
    pub resampled: Vec<Resampled>,
}

impl AnalysisReport {
    pub(crate) fn clear(&mut self) {
        self.increments.clear();
        self.innovations.clear();
        self.resampled.clear();
    }
}
