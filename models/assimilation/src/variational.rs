//! Variational assimilation: the first state of a window that best fits the background and the observations after it.

use crate::descent::Descent;
use crate::error::{AssimilationError, require, require_length};
use crate::minimum::{CatchmentMinimum, ControlRow, VariationalOptions};
use crate::report::RowIncrement;

/// What one minimisation did. Reuse one report: its buffers keep their size between windows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VariationalReport {
    /// One entry per catchment, in index order.
    pub minima: Vec<CatchmentMinimum>,
    /// One entry per free row of each catchment, by catchment, then by state. There is one state and no ensemble: the
    /// mean increment is the increment. The minimum is sought within the bounds, so nothing is clipped afterwards and
    /// `mean_clipped` is 0.
    pub increments: Vec<RowIncrement>,
}

/// Minimises, for each catchment by itself and all in one batch,
/// `J(dx) = ½ Σ_k (dx_k / sigma_k)² + misfit(x_b + dx)` over the increments dx of a state `[S, C]` at the begin of a
/// window. With the misfit `½ d' R⁻¹ d` of a linear model the minimum is the mean of the Kalman filter or smoother.
///
/// Adam (Kingma & Ba 2015) with a rate per catchment: where the total loss rises, that catchment goes back, and its
/// rate is divided by ten (Nearing et al. 2022, HESS 26, 5493, who have no background term). One catchment has no
/// influence on another. Beside the misfit, a step costs O(S C) and allocates nothing.
#[derive(Debug)]
pub struct Variational {
    options: VariationalOptions,
    rows: Vec<ControlRow>,
    catchments: usize,
    descent: Descent,
    misfit: Vec<f32>,
    gradient: Vec<f32>,
}

impl Variational {
    /// A minimisation of states `[S, C]`, with S `rows` and C `catchments`.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a rate is not in 1e-12 to 10, a background standard deviation is negative,
    /// NaN or infinite; [`AssimilationError::Bounds`] where bounds hold no value.
    pub fn new(
        options: VariationalOptions,
        rows: Vec<ControlRow>,
        catchments: usize,
    ) -> Result<Self, AssimilationError> {
        let usable = |rate: f64| (1e-12..=10.0).contains(&rate);
        require("rate of the descent", options.rate, "1e-12 to 10", usable)?;
        require("smallest rate of the descent", options.smallest_rate, "1e-12 to 10", usable)?;
        for row in &rows {
            let accepted = |v: f64| v >= 0.0 && v.is_finite();
            require("background standard deviation", row.background_std, "finite and at least 0", accepted)?;
            row.bounds.check()?;
        }
        let descent = Descent::new(options, rows.len(), catchments);
        let gradient = vec![0.0; rows.len() * catchments];
        Ok(Self { options, rows, catchments, descent, misfit: vec![0.0; catchments], gradient })
    }

    /// Replaces the background `state` `[S, C]`, catchment fastest, by the best state found, and fills `report`.
    ///
    /// `misfit(state [S, C], loss [C], gradient [S, C])` fills the misfit of every catchment and its gradient by that
    /// catchment's state: a window of the model and of its adjoint, such as an exported gradient graph. It is called at
    /// most `iterations + 1` times; the entries of rows that are not free are not read.
    ///
    /// # Errors
    /// [`AssimilationError::Length`] where the state is of another shape, and what `misfit` refuses. The state is then
    /// as it was, the report empty.
    pub fn minimise<E: From<AssimilationError>>(
        &mut self,
        state: &mut [f32],
        mut misfit: impl FnMut(&[f32], &mut [f32], &mut [f32]) -> Result<(), E>,
        report: &mut VariationalReport,
    ) -> Result<(), E> {
        report.minima.clear();
        report.increments.clear();
        require_length("control vector", state.len(), self.rows.len() * self.catchments)?;
        let outcome = self.descend(state, &mut misfit);
        match &outcome {
            Ok(()) => self.tell(state, report),
            Err(_) => self.descent.restore(state),
        }
        outcome
    }

    fn descend<E>(
        &mut self,
        state: &mut [f32],
        misfit: &mut impl FnMut(&[f32], &mut [f32], &mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.descent.begin(state, &self.rows);
        misfit(state, &mut self.misfit, &mut self.gradient)?;
        self.descent.judge_background(&self.rows, &self.misfit, &self.gradient);
        for _ in 0..self.options.iterations {
            if !self.descent.step(state, &self.rows) {
                break;
            }
            misfit(state, &mut self.misfit, &mut self.gradient)?;
            self.descent.judge(&self.rows, &self.misfit, &self.gradient);
        }
        self.descent.finish(state, &self.rows);
        Ok(())
    }

    fn tell(&self, state: &[f32], report: &mut VariationalReport) {
        report.minima.extend(self.descent.minima());
        for catchment in 0..self.catchments {
            for (row, _) in self.rows.iter().enumerate().filter(|(_, row)| row.is_free()) {
                let mean_increment = self.descent.increment(state, row * self.catchments + catchment);
                report.increments.push(RowIncrement { catchment, state: row, mean_increment, mean_clipped: 0.0 });
            }
        }
    }
}
