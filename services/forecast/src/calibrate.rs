//! Calibrate: each gauge's intervals learn from the forecasts that have come true, one scale a lead time and regime.
//!
//! A recession teaches nothing about a flood, so dry and wet forecasts have their own scales.

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::TailScale;
use serde::{Deserialize, Serialize};

use crate::ForecastError;

/// Numbers of one waiting interval: lower end, upper end, regime. A NaN lower end means that none waits.
const FIELDS: usize = 3;
const REGIMES: usize = 2;

/// Scales, and the intervals that wait for their observation. Both are float32 arrays that go into the snapshot as they
/// are: scales `[C, L, regime, tail]`, intervals `[valid step modulo L + 1, C, L, field]`.
pub(crate) struct Calibration {
    catchments: usize,
    leads: usize,
    step_s: i64,
    rate: f64,
    scales: Vec<TailScale>,
    waiting: Vec<f32>,
    times: SlotTimes,
}

/// Which valid time each slot of the ring holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SlotTimes(Vec<Option<Timestamp>>);

impl Calibration {
    /// Scales of 1, nothing waiting. `rate` 0 leaves every distribution as it is.
    pub(crate) fn new(catchments: usize, leads: usize, step_s: i64, rate: f64) -> Self {
        Self {
            catchments,
            leads,
            step_s,
            rate,
            scales: vec![TailScale::default(); catchments * leads * REGIMES],
            waiting: vec![f32::NAN; (leads + 1) * catchments * leads * FIELDS],
            times: SlotTimes(vec![None; leads + 1]),
        }
    }

    /// Scales the distribution of one lead (0 is the first step after the issue time) and keeps its 90 % interval until
    /// the observation of `valid_time` comes.
    pub(crate) fn issue(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
        lead: usize,
        wet: bool,
        quantiles: &mut [f64; QUANTILE_LEVELS.len()],
        epsilon: f64,
    ) -> Result<(), ForecastError> {
        self.scale(catchment, lead, wet).apply(&QUANTILE_LEVELS, quantiles, epsilon)?;
        let slot = self.slot(valid_time);
        if self.times.0[slot] != Some(valid_time) {
            let length = self.catchments * self.leads * FIELDS;
            self.waiting[slot * length..][..length].fill(f32::NAN);
            self.times.0[slot] = Some(valid_time);
        }
        let regime = if wet { 1.0 } else { 0.0 };
        let at = self.at(slot, catchment, lead);
        self.waiting[at..at + FIELDS].copy_from_slice(&[
            quantiles[0] as f32,
            quantiles[QUANTILE_LEVELS.len() - 1] as f32,
            regime,
        ]);
        Ok(())
    }

    /// Learns from the observation of a catchment at `valid_time`; every lead that had forecast it learns once.
    pub(crate) fn observe(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let slot = self.slot(valid_time);
        if self.times.0[slot] != Some(valid_time) {
            return;
        }
        for lead in 0..self.leads {
            let at = self.at(slot, catchment, lead);
            let (lower, upper, regime) = (self.waiting[at], self.waiting[at + 1], self.waiting[at + 2]);
            if !lower.is_nan() {
                let rate = self.rate;
                let (lower, upper) = (f64::from(lower), f64::from(upper));
                self.scale(catchment, lead, regime > 0.5).learn(discharge_m3_s, lower, upper, QUANTILE_LEVELS[0], rate);
                self.waiting[at] = f32::NAN;
            }
        }
    }

    /// Everything that a snapshot needs: numbers, and which times they are about.
    pub(crate) fn save(&self) -> (Vec<f32>, SlotTimes) {
        let scales = self.scales.iter().flat_map(|s| [s.log_lower, s.log_upper]);
        (scales.chain(self.waiting.iter().copied()).collect(), self.times.clone())
    }

    /// Takes up what [`Calibration::save`] gave; `false` when it is of another size.
    pub(crate) fn restore(&mut self, numbers: &[f32], times: &SlotTimes) -> bool {
        let split = 2 * self.scales.len();
        if numbers.len() != split + self.waiting.len() || times.0.len() != self.times.0.len() {
            return false;
        }
        for (scale, pair) in self.scales.iter_mut().zip(numbers[..split].as_chunks::<2>().0) {
            *scale = TailScale { log_lower: pair[0], log_upper: pair[1] };
        }
        self.waiting.copy_from_slice(&numbers[split..]);
        self.times.clone_from(times);
        true
    }

    fn scale(&mut self, catchment: usize, lead: usize, wet: bool) -> &mut TailScale {
        &mut self.scales[(catchment * self.leads + lead) * REGIMES + usize::from(wet)]
    }

    fn slot(&self, valid_time: Timestamp) -> usize {
        let step = valid_time.seconds_since(Timestamp(0)).div_euclid(self.step_s);
        usize::try_from(step.rem_euclid(self.leads as i64 + 1)).unwrap_or(0)
    }

    const fn at(&self, slot: usize, catchment: usize, lead: usize) -> usize {
        ((slot * self.catchments + catchment) * self.leads + lead) * FIELDS
    }
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
    fn only_the_forecasts_of_that_hour_and_regime_learn() {
        let mut c = Calibration::new(2, 3, HOUR, 0.1);
        for lead in 0..3 {
            let mut q = flat(10.0);
            c.issue(hour(5), 1, lead, true, &mut q, 0.01).unwrap();
            assert!((q[0] - 9.0).abs() < 1e-9, "the first forecast is as it was");
        }
        c.observe(hour(4), 1, 50.0);
        assert_eq!(*c.scale(1, 0, true), TailScale::default(), "another hour");
        c.observe(hour(5), 1, 50.0);
        c.observe(hour(5), 1, 50.0);
        for lead in 0..3 {
            assert!((c.scale(1, lead, true).log_upper - 0.095).abs() < 1e-6, "a miss, learnt once");
            assert!((c.scale(1, lead, true).log_lower + 0.005).abs() < 1e-6, "no miss");
            assert_eq!(*c.scale(1, lead, false), TailScale::default());
            assert_eq!(*c.scale(0, lead, true), TailScale::default());
        }
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken() {
        let mut c = Calibration::new(1, 3, HOUR, 0.1);
        c.issue(hour(5), 0, 2, false, &mut flat(10.0), 0.01).unwrap();
        let (numbers, times) = c.save();
        let mut again = Calibration::new(1, 3, HOUR, 0.1);
        assert!(again.restore(&numbers, &times));
        for one in [&mut c, &mut again] {
            one.observe(hour(5), 0, 1.0);
        }
        assert_eq!(c.scales, again.scales);
        assert!(c.scales[4].log_lower > 0.09);
        assert!(!Calibration::new(2, 3, HOUR, 0.1).restore(&numbers, &times), "of another size");
    }
}
