//! Calibrate: each gauge's intervals learn from the forecasts that have come true, one scale a lead time and regime.
//!
//! A recession teaches nothing about a flood, so dry and wet forecasts have their own scales.

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::TailScale;

use crate::{
    ForecastError,
    outstanding::{Outstanding, SlotTimes},
};

/// Numbers of one waiting interval: lower end, upper end, regime. A NaN lower end means that none waits.
const FIELDS: usize = 3;
const REGIMES: usize = 2;

/// Scales `[C, L, regime, tail]`, and the intervals that wait for their observation.
pub(crate) struct Calibration {
    leads: usize,
    rate: f64,
    scales: Vec<TailScale>,
    issued: Outstanding<FIELDS>,
}

impl Calibration {
    /// Scales of 1, nothing waiting. `rate` 0 leaves every distribution as it is.
    pub(crate) fn new(catchments: usize, leads: usize, step_s: i64, rate: f64) -> Self {
        let scales = vec![TailScale::default(); catchments * leads * REGIMES];
        Self { leads, rate, scales, issued: Outstanding::new(catchments, leads, step_s) }
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
        let at = self.scale(catchment, lead, wet);
        self.scales[at].apply(&QUANTILE_LEVELS, quantiles, epsilon)?;
        let regime = if wet { 1.0 } else { 0.0 };
        let interval = [quantiles[0] as f32, quantiles[QUANTILE_LEVELS.len() - 1] as f32, regime];
        self.issued.keep(valid_time, catchment, lead, interval);
        Ok(())
    }

    /// Learns from the observation of a catchment at `valid_time`; every lead that had forecast it learns once.
    pub(crate) fn observe(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let (leads, rate) = (self.leads, self.rate);
        for (lead, [lower, upper, regime]) in self.issued.take(valid_time, catchment) {
            let scale = &mut self.scales[place(leads, catchment, lead, regime > 0.5)];
            scale.learn(discharge_m3_s, f64::from(lower), f64::from(upper), QUANTILE_LEVELS[0], rate);
        }
    }

    /// Everything that a snapshot needs: numbers, and which times they are about.
    pub(crate) fn save(&self) -> (Vec<f32>, SlotTimes) {
        let scales = self.scales.iter().flat_map(|s| [s.log_lower, s.log_upper]);
        (scales.chain(self.issued.numbers().iter().copied()).collect(), self.issued.times().clone())
    }

    /// Takes up what [`Calibration::save`] gave and returns the numbers behind it; `None` when it is of another size.
    pub(crate) fn restore<'a>(&mut self, numbers: &'a [f32], times: &SlotTimes) -> Option<&'a [f32]> {
        let (scales, behind) = numbers.split_at_checked(2 * self.scales.len())?;
        for (scale, pair) in self.scales.iter_mut().zip(scales.as_chunks::<2>().0) {
            *scale = TailScale { log_lower: pair[0], log_upper: pair[1] };
        }
        self.issued.restore(behind, times)
    }

    const fn scale(&self, catchment: usize, lead: usize, wet: bool) -> usize {
        place(self.leads, catchment, lead, wet)
    }
}

const fn place(leads: usize, catchment: usize, lead: usize, wet: bool) -> usize {
    (catchment * leads + lead) * REGIMES + wet as usize
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
        assert_eq!(c.scales[c.scale(1, 0, true)], TailScale::default(), "another hour");
        c.observe(hour(5), 1, 50.0);
        c.observe(hour(5), 1, 50.0);
        for lead in 0..3 {
            assert!((c.scales[c.scale(1, lead, true)].log_upper - 0.095).abs() < 1e-6, "a miss, learnt once");
            assert!((c.scales[c.scale(1, lead, true)].log_lower + 0.005).abs() < 1e-6, "no miss");
            assert_eq!(c.scales[c.scale(1, lead, false)], TailScale::default());
            assert_eq!(c.scales[c.scale(0, lead, true)], TailScale::default());
        }
    }

    #[test]
    fn a_snapshot_goes_on_where_it_was_taken() {
        let mut c = Calibration::new(1, 3, HOUR, 0.1);
        c.issue(hour(5), 0, 2, false, &mut flat(10.0), 0.01).unwrap();
        let (numbers, times) = c.save();
        let mut again = Calibration::new(1, 3, HOUR, 0.1);
        assert_eq!(again.restore(&numbers, &times), Some(&[][..]));
        for one in [&mut c, &mut again] {
            one.observe(hour(5), 0, 1.0);
        }
        assert_eq!(c.scales, again.scales);
        assert!(c.scales[4].log_lower > 0.09);
        assert!(Calibration::new(2, 3, HOUR, 0.1).restore(&numbers, &times).is_none(), "of another size");
    }
}
