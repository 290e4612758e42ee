//! What a variational minimum is sought with, and what is found of each catchment.

use crate::options::Bounds;

/// How a [`Variational`](crate::Variational) descends. The default is that of Nearing et al. (2022, HESS 26, 5493).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VariationalOptions {
    /// Most steps; each evaluates the misfit once, and the background is evaluated before. 100 by default.
    pub iterations: usize,
    /// First rate of Adam, in background standard deviations of each row: about the largest change of one step. 0.1 by
    /// default.
    pub rate: f64,
    /// A catchment whose rate has fallen below is done. 1e-5 by default.
    pub smallest_rate: f64,
}

impl Default for VariationalOptions {
    fn default() -> Self {
        Self { iterations: 100, rate: 0.1, smallest_rate: 1e-5 }
    }
}

/// How far a row of the control vector may move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlRow {
    /// Standard deviation sigma of the background error, in the unit of the row; 0 keeps the row as it is.
    pub background_std: f64,
    /// Limits in the unit of the row.
    pub bounds: Bounds,
}

impl ControlRow {
    pub(crate) fn is_free(&self) -> bool {
        self.background_std > 0.0
    }
}

/// How the descent of a catchment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescentOutcome {
    /// No step down was left that a rate above the smallest takes.
    Converged,
    /// Still descending at the last step; the best point so far is kept.
    OutOfIterations,
    /// A background, a loss or a gradient was NaN or infinite: the background is kept to the last bit.
    NotFinite,
}

/// The total loss of one catchment, `½ Σ (dx / sigma)² + misfit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CatchmentMinimum {
    /// The catchment.
    pub catchment: usize,
    /// At the background (moved within its bounds); NaN or infinite where that is what was found.
    pub loss_before: f64,
    /// At the state that is kept, never above `loss_before`.
    pub loss_after: f64,
    /// How the descent ended.
    pub outcome: DescentOutcome,
}
