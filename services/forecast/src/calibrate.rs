//! Calibrate: each gauge's distributions learn from the forecasts that have come true, one calibrator a lead time and flow
//! regime.
//!
//! A recession teaches nothing about a flood, so low, usual and high flow have their own.

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{Calibrator, Issued};

use nilometer_engine::{ColumnsBuilder, KeyedColumns};

use crate::{ForecastError, outstanding::Outstanding};

/// Numbers of one forecast that waits: what it is judged against, and its flow regime.
const FIELDS: usize = Issued::NUMBERS + 1;

/// Flow over the gauge's mean at which the river passes from one regime to the next.
const REGIMES_BEGIN: [f64; REGIMES - 1] = [0.5, 2.0];
const REGIMES: usize = 3;
const USUAL: usize = 1;

/// Calibrators `[C, L, regime]`, each gauge's mean flow, and the forecasts that wait for their observation.
#[derive(Clone)]
pub(crate) struct Calibration {
    leads: usize,
    rate: f64,
    epsilon_m3_s: Vec<f64>,
    calibrators: Vec<Calibrator>,
    flows: Vec<MeanFlow>,
    issued: Outstanding<FIELDS>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct MeanFlow {
    m3_s: f32,
    observations: f32,
}

impl Calibration {
    /// Nothing learned, nothing waiting. `rate` 0 leaves every distribution as it is; `epsilon_m3_s` `[C]` is what a flow's logarithm
    /// begins at.
    pub(crate) fn new(epsilon_m3_s: Vec<f64>, leads: usize, step_s: i64, rate: f64) -> Self {
        let catchments = epsilon_m3_s.len();
        Self {
            leads,
            rate,
            epsilon_m3_s,
            calibrators: vec![Calibrator::default(); catchments * leads * REGIMES],
            flows: vec![MeanFlow::default(); catchments],
            issued: Outstanding::new(catchments, leads, step_s),
        }
    }

    /// Corrects the distribution of one lead (0 is the first step after the issue time), which waits for the observation of
    /// `valid_time`.
    pub(crate) fn issue(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
        lead: usize,
        quantiles_m3_s: &mut [f64; QUANTILE_LEVELS.len()],
    ) -> Result<(), ForecastError> {
        let (median, flow) = (quantiles_m3_s[QUANTILE_LEVELS.len() / 2], self.flows[catchment]);
        let passed = |begin: &&f64| median > **begin * f64::from(flow.m3_s);
        let regime = if flow.observations > 0.0 { REGIMES_BEGIN.iter().filter(passed).count() } else { USUAL };
        let calibrator = &self.calibrators[place(self.leads, catchment, lead, regime)];
        let mut waiting = [regime as f32; FIELDS];
        let issued = calibrator.apply(quantiles_m3_s, self.epsilon_m3_s[catchment])?;
        waiting[..Issued::NUMBERS].copy_from_slice(&issued.numbers());
        self.issued.keep(valid_time, catchment, lead, waiting);
        Ok(())
    }

    /// Learns from the observation of a catchment at `valid_time`; every lead that had forecast it learns once.
    pub(crate) fn observe(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let (leads, rate) = (self.leads, self.rate);
        let log = (discharge_m3_s + self.epsilon_m3_s[catchment]).ln();
        for (lead, [issued @ .., regime]) in self.issued.take(valid_time, catchment) {
            let issued = Issued::from_numbers(issued);
            self.calibrators[place(leads, catchment, lead, regime as usize)].learn(log, &issued, rate, lead + 1);
        }
        let flow = &mut self.flows[catchment];
        flow.observations += 1.0;
        flow.m3_s += (discharge_m3_s as f32 - flow.m3_s) / flow.observations;
    }

    /// Adds the columns of what was learned `[L, flow regime, number]`, of the mean flow, and of the forecasts that wait.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        let of_catchment = self.leads * REGIMES;
        columns.f32("calibration.learned", |catchment| {
            let own = &self.calibrators[catchment * of_catchment..][..of_catchment];
            own.iter().flat_map(Calibrator::numbers).collect::<Vec<_>>()
        });
        columns.f32("calibration.flow", |catchment| [self.flows[catchment].m3_s, self.flows[catchment].observations]);
        self.issued.store("calibration.issued", columns);
    }

    /// Takes up what [`Calibration::store`] gave of the catchments that were there, as many lead times as both have.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        let of_catchment = self.leads * REGIMES;
        for (catchment, flow) in self.flows.iter_mut().enumerate() {
            let learned = rows.f32("calibration.learned", catchment).unwrap_or_default();
            let own = &mut self.calibrators[catchment * of_catchment..][..of_catchment];
            for (calibrator, numbers) in own.iter_mut().zip(learned.as_chunks().0) {
                *calibrator = Calibrator::from_numbers(numbers);
            }
            if let Some([m3_s, observations]) = rows.f32("calibration.flow", catchment) {
                *flow = MeanFlow { m3_s: *m3_s, observations: *observations };
            }
        }
        self.issued.restore("calibration.issued", rows);
    }
}

const fn place(leads: usize, catchment: usize, lead: usize, regime: usize) -> usize {
    (catchment * leads + lead) * REGIMES + regime
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn hour(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * HOUR)
    }

    fn flat(value: f64) -> [f64; QUANTILE_LEVELS.len()] {
        std::array::from_fn(|i| value * (1.0 + 0.1 * (i as f64 - 9.0) / 9.0))
    }

    #[test]
    fn only_the_forecasts_of_that_hour_and_stage_learn() {
        let mut c = Calibration::new(vec![0.01; 2], 3, HOUR, 0.1);
        c.observe(hour(0), 1, 10.0);
        for lead in 0..3 {
            let mut q = flat(10.0);
            c.issue(hour(5), 1, lead, &mut q).unwrap();
            assert!((q[0] - 9.0).abs() < 1e-9, "the first forecast is as it was");
        }
        c.observe(hour(4), 1, 50.0);
        assert_eq!(c.calibrators[place(3, 1, 0, 1)], Calibrator::default(), "another hour");
        c.observe(hour(5), 1, 50.0);
        c.observe(hour(5), 1, 50.0);
        for lead in 0..3 {
            assert_eq!(c.calibrators[place(3, 1, lead, 1)].numbers().last(), Some(1.0), "learnt once");
            assert_eq!(c.calibrators[place(3, 1, lead, 0)], Calibrator::default());
            assert_eq!(c.calibrators[place(3, 1, lead, 2)], Calibrator::default());
            assert_eq!(c.calibrators[place(3, 0, lead, 1)], Calibrator::default());
        }
        let mut q = flat(100.0);
        c.issue(hour(7), 1, 0, &mut q).unwrap();
        assert!((q[0] - 90.0).abs() < 1e-9, "a flood has not been seen yet");
        let mut q = flat(25.0);
        c.issue(hour(6), 1, 0, &mut q).unwrap();
        assert!(q[9] > 25.0 && q[18] > 28.0, "it was too low: {q:?}");
    }

    #[test]
    fn a_snapshot_goes_on_with_another_catchment_and_a_longer_horizon() {
        let mut before = Calibration::new(vec![0.01], 3, HOUR, 0.1);
        before.observe(hour(0), 0, 10.0);
        before.issue(hour(4), 0, 1, &mut flat(10.0)).unwrap();
        before.observe(hour(4), 0, 12.0);
        before.issue(hour(5), 0, 2, &mut flat(10.0)).unwrap();
        let mut columns = ColumnsBuilder::new(["gauge"]);
        before.store(&mut columns);
        let mut after = Calibration::new(vec![0.01; 2], 5, HOUR, 0.1);
        after.restore(&columns.finish().unwrap().keyed(["new", "gauge"]));
        before.observe(hour(5), 0, 1.0);
        after.observe(hour(5), 1, 1.0);
        assert_eq!(before.flows[0], after.flows[1]);
        for lead in 0..3 {
            for regime in 0..REGIMES {
                assert_eq!(before.calibrators[place(3, 0, lead, regime)], after.calibrators[place(5, 1, lead, regime)]);
            }
        }
        assert_ne!(after.calibrators[place(5, 1, 2, 1)], Calibrator::default());
        assert_eq!(after.calibrators[place(5, 0, 2, 1)], Calibrator::default());
        assert_eq!(after.flows[0], MeanFlow::default());
    }
}
