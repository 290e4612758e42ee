//! A linear case: one catchment whose first p rows are observed, and the Kalman filter it is compared with.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and fails where an input is refused")]

use nalgebra::{DMatrix, DVector};
use nilometer_assimilation::{
    AnalysisReport, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions, Method, Purpose,
    UpdatableRow, stream,
};

#[derive(Debug, Clone)]
pub struct LinearCase {
    pub states: usize,
    pub members: usize,
    /// `[S, 1, M]`.
    pub values: Vec<f32>,
    /// `[p]`, p at most S.
    pub observed: Vec<f64>,
    /// `[p]`.
    pub error_variance: Vec<f64>,
    pub inflation: f64,
}

pub fn options(method: Method) -> FilterOptions {
    FilterOptions { method, ..Default::default() }
}

impl LinearCase {
    pub fn shape(&self) -> EnsembleShape {
        EnsembleShape { states: self.states, catchments: 1, members: self.members }
    }

    pub fn predicted(&self) -> Vec<f64> {
        self.values[..self.observed.len() * self.members].iter().copied().map(f64::from).collect()
    }

    /// The analysis `[S, 1, M]` with every row updatable within `bounds`.
    pub fn analyse(&self, options: FilterOptions, bounds: Bounds) -> (Vec<f32>, AnalysisReport) {
        let mut values = self.values.clone();
        let mut report = AnalysisReport::default();
        let rows: Vec<UpdatableRow> = (0..self.states).map(|state| UpdatableRow { state, bounds }).collect();
        Filter::new(options)
            .unwrap()
            .assimilate(
                &mut EnsembleMut::new(&mut values, self.shape()).unwrap(),
                &[CatchmentObservation {
                    catchment: 0,
                    predicted: &self.predicted(),
                    observed: &self.observed,
                    error_variance: &self.error_variance,
                    inflation: self.inflation,
                    rows: &rows,
                }],
                &mut stream(11, Purpose::ObservationPerturbation, 0),
                &mut report,
            )
            .unwrap();
        (values, report)
    }

    fn operator(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.observed.len(), self.states, |i, j| if i == j { 1.0 } else { 0.0 })
    }

    /// The Kalman gain `[S, p]` of a prior covariance `[S, S]`.
    pub fn gain(&self, covariance: &DMatrix<f64>) -> DMatrix<f64> {
        let operator = self.operator();
        let error = DMatrix::from_diagonal(&DVector::from_column_slice(&self.error_variance));
        let total = &operator * covariance * operator.transpose() + error;
        covariance * operator.transpose() * total.try_inverse().unwrap()
    }

    /// Mean and covariance of the Kalman filter with the prior moments of the ensemble, anomalies inflated by
    /// `inflation`.
    pub fn kalman(&self, inflation: f64) -> (DVector<f64>, DMatrix<f64>) {
        let (mean, covariance) = moments(&self.values, self.states);
        let covariance = covariance * inflation.powi(2);
        let operator = self.operator();
        let gain = self.gain(&covariance);
        let innovation = DVector::from_column_slice(&self.observed) - &operator * &mean;
        let identity = DMatrix::identity(self.states, self.states);
        (mean + &gain * innovation, (identity - gain * operator) * covariance)
    }
}

/// Mean `[S]` and covariance `[S, S]` (M - 1) of `[S, 1, M]`.
pub fn moments(values: &[f32], states: usize) -> (DVector<f64>, DMatrix<f64>) {
    let members = values.len() / states;
    let matrix = DMatrix::from_row_iterator(states, members, values.iter().copied().map(f64::from));
    let mean = matrix.column_mean();
    let anomalies = DMatrix::from_fn(states, members, |i, j| matrix[(i, j)] - mean[i]);
    let covariance = &anomalies * anomalies.transpose() / f64::from(u32::try_from(members - 1).unwrap());
    (mean, covariance)
}
