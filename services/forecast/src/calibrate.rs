//! Calibrate: each gauge's distributions learn from the forecasts that have come true, one calibrator a lead time and stage of the
//! river.
//!
//! A recession teaches nothing about a flood, so low, usual and high flow have their own.

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{Calibrator, Issued};

use crate::{
    ForecastError,
    outstanding::{Outstanding, SlotTimes},
};

/// Numbers of one forecast that waits: what it is judged against, and its stage of the river.
const FIELDS: usize = Issued::NUMBERS + 1;

/// Flow over the gauge's mean at which the river passes from one stage to the next.
const STAGES_BEGIN: [f64; STAGES - 1] = [0.5, 2.0];
const STAGES: usize = 3;
const USUAL: usize = 1;

/// Calibrators `[C, L, stage]`, each gauge's mean flow, and the forecasts that wait for their observation.
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
            calibrators: vec![Calibrator::default(); catchments * leads * STAGES],
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
        let stage = if flow.observations > 0.0 { STAGES_BEGIN.iter().filter(passed).count() } else { USUAL };
        let calibrator = &self.calibrators[place(self.leads, catchment, lead, stage)];
        let mut waiting = [stage as f32; FIELDS];
        let issued = calibrator.apply(quantiles_m3_s, self.epsilon_m3_s[catchment])?;
        waiting[..Issued::NUMBERS].copy_from_slice(&issued.numbers());
        self.issued.keep(valid_time, catchment, lead, waiting);
        Ok(())
    }

    /// Learns from the observation of a catchment at `valid_time`; every lead that had forecast it learns once.
    pub(crate) fn observe(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let (leads, rate) = (self.leads, self.rate);
        let log = (discharge_m3_s + self.epsilon_m3_s[catchment]).ln();
        for (lead, [issued @ .., stage]) in self.issued.take(valid_time, catchment) {
            let issued = Issued::from_numbers(issued);
            self.calibrators[place(leads, catchment, lead, stage as usize)].learn(log, &issued, rate, lead + 1);
        }
        let flow = &mut self.flows[catchment];
        flow.observations += 1.0;
        flow.m3_s += (discharge_m3_s as f32 - flow.m3_s) / flow.observations;
    }

    /// Everything that a snapshot needs: numbers, and which times they are about.
    pub(crate) fn save(&self) -> (Vec<f32>, SlotTimes) {
        let learned = self.calibrators.iter().flat_map(Calibrator::numbers);
        let flows = self.flows.iter().flat_map(|flow| [flow.m3_s, flow.observations]);
        (learned.chain(flows).chain(self.issued.numbers().iter().copied()).collect(), self.issued.times().clone())
    }

    /// Takes up what [`Calibration::save`] gave and returns the numbers behind it; `None` when it is of another size.
    pub(crate) fn restore<'a>(&mut self, numbers: &'a [f32], times: &SlotTimes) -> Option<&'a [f32]> {
        let (learned, behind) = numbers.split_at_checked(Calibrator::NUMBERS * self.calibrators.len())?;
        let (flows, behind) = behind.split_at_checked(2 * self.flows.len())?;
        for (calibrator, numbers) in self.calibrators.iter_mut().zip(learned.as_chunks().0) {
            *calibrator = Calibrator::from_numbers(numbers);
        }
        for (flow, [m3_s, observations]) in self.flows.iter_mut().zip(flows.as_chunks().0) {
            *flow = MeanFlow { m3_s: *m3_s, observations: *observations };
        }
        self.issued.restore(behind, times)
    }
}

const fn place(leads: usize, catchment: usize, lead: usize, stage: usize) -> usize {
    (catchment * leads + lead) * STAGES + stage
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
    fn a_snapshot_goes_on_where_it_was_taken() {
        let mut c = Calibration::new(vec![0.01], 3, HOUR, 0.1);
        c.observe(hour(0), 0, 10.0);
        c.issue(hour(5), 0, 2, &mut flat(10.0)).unwrap();
        let (numbers, times) = c.save();
        let mut again = Calibration::new(vec![0.01], 3, HOUR, 0.1);
        assert_eq!(again.restore(&numbers, &times), Some(&[][..]));
        for one in [&mut c, &mut again] {
            one.observe(hour(5), 0, 1.0);
        }
        assert_eq!(c.calibrators, again.calibrators);
        assert_eq!(c.flows, again.flows);
        assert_ne!(c.calibrators[place(3, 0, 2, 1)], Calibrator::default());
        assert!(Calibration::new(vec![0.01; 2], 3, HOUR, 0.1).restore(&numbers, &times).is_none(), "of another size");
    }
}
