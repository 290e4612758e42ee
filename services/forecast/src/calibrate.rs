//! Calibrate: each gauge's distributions learn from the forecasts that have come true. Neighbouring lead times and flows share what they have
//! learned, so that a correction has no jump that the ensemble does not have.
//!
//! A recession teaches nothing about a flood, so low, usual and high flow have their own calibrators; between them, and between the lead times that
//! have some, a forecast is corrected by the weighted mean of its neighbours'. A calibrator learns from the lead times since the one before it, not
//! from longer ones, so that a longer horizon changes nothing at the lead times that were there before.

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{Calibrator, Distribution, Issued, ScoreCorrelation};

use nilometer_engine::{ColumnsBuilder, KeyedColumns};

use crate::{ForecastError, outstanding::Outstanding};

/// Numbers of one forecast that waits: what it is judged against, its flow regime, and the normal score that the same forecast had at the lead time
/// before.
const FIELDS: usize = Issued::NUMBERS + 2;
/// Of version 4 of the snapshot: seven quantiles and their scores, and the flow regime.
const FIELDS_4: usize = 15;

/// Flow regimes: low, usual and high.
const REGIMES: usize = 3;
const USUAL: f64 = 1.0;
/// Flow over the gauge's mean at which the high regime begins, and at which it is the only one; the low one is as far below the mean.
const HIGH_FLOW: [f64; 2] = [2.0, 4.0];

/// Calibrators `[C, knot, regime]`, correlations `[C, L]`, each gauge's mean flow, and the forecasts that wait for their observation.
#[derive(Clone)]
pub(crate) struct Calibration {
    leads: usize,
    step_s: i64,
    rate: f64,
    epsilon_m3_s: Vec<f64>,
    knots: Vec<Knot>,
    calibrators: Vec<Calibrator>,
    /// of the scores of each lead time with those of the one before it
    correlations: Vec<ScoreCorrelation>,
    flows: Vec<MeanFlow>,
    /// time of each gauge's newest reading
    newest: Vec<Option<Timestamp>>,
    /// age of a newest reading from which on a gauge says less than usual, s
    late_after_s: i64,
    issued: Outstanding<FIELDS>,
}

/// A lead time that has calibrators, with the weight that they have at each lead time: a hat in the logarithm of lead time.
#[derive(Debug, Clone, PartialEq)]
struct Knot {
    lead: usize,
    weights: Vec<f64>,
}

impl Knot {
    /// How much the calibrators learn from a lead time.
    fn learns(&self, lead: usize) -> f64 {
        if lead <= self.lead { self.weights[lead] } else { 0.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct MeanFlow {
    m3_s: f32,
    observations: f32,
}

impl Calibration {
    /// Nothing learned, nothing waiting. `rate` 0 leaves every distribution as it is; `epsilon_m3_s` `[C]` is what a flow's logarithm
    /// begins at; a gauge whose newest reading is older than `late_after_s` is as far ahead of its forecasts as that.
    pub(crate) fn new(epsilon_m3_s: Vec<f64>, leads: usize, step_s: i64, rate: f64, late_after_s: i64) -> Self {
        let (catchments, knots) = (epsilon_m3_s.len(), knots(leads, &[]));
        Self {
            leads,
            step_s,
            rate,
            epsilon_m3_s,
            calibrators: vec![Calibrator::default(); catchments * knots.len() * REGIMES],
            knots,
            correlations: vec![ScoreCorrelation::default(); catchments * leads],
            flows: vec![MeanFlow::default(); catchments],
            newest: vec![None; catchments],
            late_after_s,
            issued: Outstanding::new(catchments, leads, step_s),
        }
    }

    /// The distribution of one lead (0 is the first step after the issue time), of which `quantiles_m3_s` is what the models say; it waits for the
    /// observation of `valid_time`.
    pub(crate) fn issue(
        &mut self,
        valid_time: Timestamp,
        catchment: usize,
        lead: usize,
        quantiles_m3_s: &[f64; QUANTILE_LEVELS.len()],
    ) -> Result<Distribution, ForecastError> {
        let regime = self.regime(catchment, quantiles_m3_s[QUANTILE_LEVELS.len() / 2]);
        let as_far_ahead = self.as_far_ahead(valid_time, catchment, lead);
        // Two knots at most, and two regimes of each.
        let (mut calibrators, mut count) = ([(0.0, &self.calibrators[0]); 4], 0);
        for (knot, weight) in self.knots.iter().enumerate().map(|(at, knot)| (at, knot.weights[as_far_ahead])) {
            for (of_regime, share) in regime_weights(regime).into_iter().enumerate() {
                if weight * share > 0.0 {
                    calibrators[count] = (weight * share, &self.calibrators[self.place(catchment, knot, of_regime)]);
                    count += 1;
                }
            }
        }
        let epsilon_m3_s = self.epsilon_m3_s[catchment];
        let (distribution, issued) = Calibrator::correct(&calibrators[..count], quantiles_m3_s, epsilon_m3_s)?;
        let mut waiting = [f32::NAN; FIELDS];
        waiting[..Issued::NUMBERS].copy_from_slice(&issued.numbers());
        waiting[Issued::NUMBERS] = regime as f32;
        self.issued.keep(valid_time, catchment, lead, waiting);
        Ok(distribution)
    }

    /// The lead time whose errors a forecast is likely to have: its own, and that much more as the gauge has been silent for.
    fn as_far_ahead(&self, valid_time: Timestamp, catchment: usize, lead: usize) -> usize {
        let Some(newest) = self.newest[catchment] else { return lead };
        let issued = valid_time.plus_s(-(lead as i64 + 1) * self.step_s);
        let silent_s = issued.seconds_since(newest) - self.late_after_s;
        (lead + usize::try_from(silent_s / self.step_s).unwrap_or(0)).min(self.leads - 1)
    }

    /// Knows that a gauge has read, and learns nothing from it.
    pub(crate) fn hear(&mut self, valid_time: Timestamp, catchment: usize) {
        self.newest[catchment] = self.newest[catchment].max(Some(valid_time));
    }

    /// Learns from the observation of a catchment at `valid_time`; every lead that had forecast it learns once.
    pub(crate) fn observe(&mut self, valid_time: Timestamp, catchment: usize, discharge_m3_s: f64) {
        let log = (discharge_m3_s + self.epsilon_m3_s[catchment]).ln();
        self.hear(valid_time, catchment);
        let verified: Vec<(usize, [f32; FIELDS])> = self.issued.take(valid_time, catchment).collect();
        for (at, knot) in self.knots.iter().enumerate() {
            // Several lead times may learn of one observation: together they count as one.
            let total: f64 = verified.iter().map(|(lead, _)| knot.learns(*lead)).sum::<f64>().max(1.0);
            for (lead, [issued @ .., regime, _]) in &verified {
                let (issued, weight) = (Issued::from_numbers(*issued), knot.learns(*lead) / total);
                for (of_regime, share) in regime_weights(f64::from(*regime)).into_iter().enumerate() {
                    let place = (catchment * self.knots.len() + at) * REGIMES + of_regime;
                    self.calibrators[place].learn(log, &issued, self.rate, knot.lead + 1, weight * share);
                }
            }
        }
        for (lead, [issued @ .., _, before]) in verified {
            let score = Issued::from_numbers(issued).normal_score(log);
            if !before.is_nan() && !score.is_nan() {
                self.correlations[catchment * self.leads + lead].learn(before.into(), score);
            }
            // The same forecast's next lead time.
            for later in lead + 1..self.leads {
                let valid_time = valid_time.plus_s((later - lead) as i64 * self.step_s);
                if let Some([.., before]) = self.issued.waiting_mut(valid_time, catchment, later) {
                    *before = score as f32;
                    break;
                }
            }
        }
        let flow = &mut self.flows[catchment];
        flow.observations += 1.0;
        flow.m3_s += (discharge_m3_s as f32 - flow.m3_s) / flow.observations;
    }

    /// The correlation of a forecast's normal scores at a lead time with those at the one before it.
    pub(crate) fn correlation(&self, catchment: usize, lead: usize) -> f64 {
        self.correlations[catchment * self.leads + lead].value()
    }

    /// Where between low (0), usual (1) and high (2) a flow lies.
    fn regime(&self, catchment: usize, median_m3_s: f64) -> f64 {
        let flow = self.flows[catchment];
        if flow.observations == 0.0 {
            return USUAL;
        }
        let ratio =
            (median_m3_s + self.epsilon_m3_s[catchment]) / (f64::from(flow.m3_s) + self.epsilon_m3_s[catchment]);
        let [begins, holds] = HIGH_FLOW.map(f64::ln);
        let off = ((ratio.ln().abs() - begins) / (holds - begins)).clamp(0.0, 1.0);
        USUAL + off.copysign(ratio.ln())
    }

    /// Adds the columns of what was learned `[knot, flow regime, number]`, of the correlations, of the mean flow, and of the forecasts that wait.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        let of_catchment = self.knots.len() * REGIMES;
        columns.i64("calibration.knots", |_| self.knots.iter().map(|knot| knot.lead as i64).collect::<Vec<_>>());
        columns.f32("calibration.of_knots", |catchment| {
            let own = &self.calibrators[catchment * of_catchment..][..of_catchment];
            own.iter().flat_map(Calibrator::numbers).collect::<Vec<_>>()
        });
        columns.f32("calibration.correlations", |catchment| {
            let own = &self.correlations[catchment * self.leads..][..self.leads];
            own.iter().flat_map(ScoreCorrelation::numbers).collect::<Vec<_>>()
        });
        columns.f32("calibration.flow", |catchment| [self.flows[catchment].m3_s, self.flows[catchment].observations]);
        columns.i64("calibration.newest", |catchment| self.newest[catchment].map(|time| time.0));
        self.issued.store("calibration.distributions", columns);
    }

    /// Takes up what [`Calibration::store`] gave of the catchments that were there, as many lead times as both have.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        let stored = (0..self.flows.len()).find_map(|catchment| rows.i64("calibration.knots", catchment));
        let stored = stored.unwrap_or_default().iter().filter_map(|lead| usize::try_from(*lead).ok());
        self.knots = knots(self.leads, &stored.collect::<Vec<_>>());
        self.calibrators = vec![Calibrator::default(); self.flows.len() * self.knots.len() * REGIMES];
        for catchment in 0..self.flows.len() {
            self.restore_calibrators(rows, catchment);
            let correlations = rows.f32("calibration.correlations", catchment).unwrap_or_default();
            let own = &mut self.correlations[catchment * self.leads..][..self.leads];
            for (correlation, numbers) in own.iter_mut().zip(correlations.as_chunks().0) {
                *correlation = ScoreCorrelation::from_numbers(*numbers);
            }
            if let Some([m3_s, observations]) = rows.f32("calibration.flow", catchment) {
                self.flows[catchment] = MeanFlow { m3_s: *m3_s, observations: *observations };
            }
            if let Some([newest]) = rows.i64("calibration.newest", catchment) {
                self.newest[catchment] = Some(Timestamp(*newest));
            }
        }
        self.issued.restore("calibration.distributions", rows);
        self.restore_issued_4(rows);
    }

    /// The calibrators of a catchment: each knot takes up those of the stored lead time that is nearest.
    fn restore_calibrators(&mut self, rows: &KeyedColumns<'_>, catchment: usize) {
        let leads = rows.i64("calibration.knots", catchment).unwrap_or_default();
        let numbers = rows.f32("calibration.of_knots", catchment).unwrap_or_default();
        let mut stored: Vec<(usize, Calibrator)> = Vec::new();
        for (lead, of_lead) in leads.iter().zip(numbers.chunks_exact(REGIMES * Calibrator::NUMBERS)) {
            let lead = usize::try_from(*lead).unwrap_or(0);
            stored.extend(of_lead.as_chunks().0.iter().map(|numbers| (lead, Calibrator::from_numbers(numbers))));
        }
        // Up to version 4 each lead time had its own.
        let of_leads = rows.f32("calibration.learned", catchment).unwrap_or_default().as_chunks().0;
        stored.extend(
            of_leads.iter().enumerate().map(|(at, numbers)| (at / REGIMES, Calibrator::without_tails(numbers))),
        );
        for (at, knot) in self.knots.iter().enumerate() {
            let off = |of: &&[(usize, Calibrator)]| of[0].0.abs_diff(knot.lead);
            let Some(nearest) = stored.chunks_exact(REGIMES).min_by_key(off) else { return };
            // What is further ahead than anything that was forecast has learned nothing.
            if knot.lead <= stored.last().map_or(0, |(lead, _)| *lead) {
                let own = &mut self.calibrators[(catchment * self.knots.len() + at) * REGIMES..][..REGIMES];
                own.iter_mut().zip(nearest).for_each(|(own, (_, stored))| *own = *stored);
            }
        }
    }

    /// Forecasts of a snapshot of version 4 that wait, which had no tails: their observations teach as those of others do.
    fn restore_issued_4(&mut self, rows: &KeyedColumns<'_>) {
        let mut old = Outstanding::<FIELDS_4>::new(self.flows.len(), self.leads, self.step_s);
        old.restore("calibration.issued", rows);
        for catchment in 0..self.flows.len() {
            for (valid_time, of_leads) in old.waiting(catchment) {
                for (lead, [issued @ .., regime]) in of_leads.iter().enumerate().filter(|(_, n)| !n[0].is_nan()) {
                    let mut waiting = [f32::NAN; FIELDS];
                    waiting[..Issued::NUMBERS].copy_from_slice(&Issued::without_tails(*issued).numbers());
                    waiting[Issued::NUMBERS] = *regime;
                    self.issued.keep(valid_time, catchment, lead, waiting);
                }
            }
        }
    }

    const fn place(&self, catchment: usize, knot: usize, regime: usize) -> usize {
        (catchment * self.knots.len() + knot) * REGIMES + regime
    }
}

/// Knots at lead times 1, 2, 4, 8, … steps and at the last of `leads`; where there are some at `stored` leads (0 is the first step) these, and
/// what lies beyond.
fn knots(leads: usize, stored: &[usize]) -> Vec<Knot> {
    let mut at: Vec<usize> = stored.iter().map(|lead| lead + 1).collect();
    if at.is_empty() {
        at.push(1);
    }
    while let Some(last) = at.last().copied().filter(|last| *last < leads) {
        at.push((2 * last).min(leads));
    }
    let log = |lead: usize| (lead as f64).ln();
    let knot = |of: usize| {
        let weight = |lead: usize| {
            let between = |neighbour: usize| {
                ((log(lead) - log(at[neighbour])) / (log(at[of]) - log(at[neighbour]))).clamp(0.0, 1.0)
            };
            match lead.cmp(&at[of]) {
                std::cmp::Ordering::Less if of > 0 => between(of - 1),
                std::cmp::Ordering::Greater if of + 1 < at.len() => between(of + 1),
                _ => 1.0,
            }
        };
        Knot { lead: at[of] - 1, weights: (1..=leads).map(weight).collect() }
    };
    (0..at.len()).map(knot).collect()
}

/// How much each flow regime counts where a flow lies at `regime`, 0 to 2.
fn regime_weights(regime: f64) -> [f64; REGIMES] {
    std::array::from_fn(|of| (1.0 - (regime - of as f64).abs()).max(0.0))
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

    fn untouched(calibration: &Calibration, catchment: usize, regimes: &[usize]) -> bool {
        let places = (0..calibration.knots.len()).flat_map(|knot| regimes.iter().map(move |regime| (knot, *regime)));
        places.into_iter().all(|(knot, regime)| {
            calibration.calibrators[calibration.place(catchment, knot, regime)] == Calibrator::default()
        })
    }

    #[test]
    fn only_the_forecasts_of_that_hour_and_flow_regime_learn() {
        let mut c = Calibration::new(vec![0.01; 2], 3, HOUR, 0.1, 2 * HOUR);
        c.observe(hour(0), 1, 10.0);
        for lead in 0..3 {
            let issued = c.issue(hour(5), 1, lead, &flat(10.0)).unwrap();
            assert_eq!(issued.quantiles(), flat(10.0), "the first forecast is as it was");
        }
        c.observe(hour(4), 1, 50.0);
        assert!(untouched(&c, 1, &[0, 1, 2]), "another hour");
        c.observe(hour(5), 1, 50.0);
        let learned = c.calibrators.clone();
        c.observe(hour(5), 1, 50.0);
        assert_eq!(c.calibrators, learned, "learned once");
        assert!(untouched(&c, 1, &[0, 2]) && untouched(&c, 0, &[0, 1, 2]));
        assert!((0..3).all(|knot| c.calibrators[c.place(1, knot, 1)].numbers().last() == Some(1.0)), "each knot once");
        let flood = c.issue(hour(7), 1, 0, &flat(1_000.0)).unwrap().quantiles();
        assert!((flood[0] - 900.0).abs() < 1e-9, "a flood has not been seen yet");
        let usual = c.issue(hour(6), 1, 0, &flat(25.0)).unwrap().quantiles();
        assert!(usual[9] > 25.0 && usual[18] > 27.6, "it was too low: {usual:?}");
    }

    #[test]
    fn a_silent_gauge_is_corrected_as_what_is_further_ahead() {
        let mut c = Calibration::new(vec![0.01], 8, HOUR, 0.1, 2 * HOUR);
        assert_eq!(c.as_far_ahead(hour(9), 0, 0), 0, "it has never read");
        c.observe(hour(0), 0, 10.0);
        // Issued at hours 1 to 10, for the hour behind.
        let found: Vec<usize> = (1..=10).map(|issued| c.as_far_ahead(hour(issued + 1), 0, 0)).collect();
        assert_eq!(found, [0, 0, 1, 2, 3, 4, 5, 6, 7, 7]);
        assert_eq!(c.as_far_ahead(hour(7), 0, 2), 4, "issued at hour 4, for hour 7");
    }

    #[test]
    fn weights_are_hats_that_sum_to_one_and_pass_without_a_jump() {
        let knots = knots(24, &[]);
        assert_eq!(knots.iter().map(|knot| knot.lead + 1).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 24]);
        for lead in 0..24 {
            let sum: f64 = knots.iter().map(|knot| knot.weights[lead]).sum();
            assert!((sum - 1.0).abs() < 1e-12);
        }
        assert!(
            (knots[2].weights[5] - (8.0_f64 / 6.0).log2()).abs() < 1e-12,
            "six steps ahead, between four and eight"
        );
        assert_eq!(super::knots(1, &[]).len(), 1);
        let longer = super::knots(60, &knots.iter().map(|knot| knot.lead).collect::<Vec<_>>());
        assert_eq!(longer.iter().map(|knot| knot.lead + 1).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 24, 48, 60]);
        for (before, after) in knots.iter().zip(&longer) {
            assert_eq!(before.weights, after.weights[..24], "a longer horizon leaves them as they are");
        }
        let mut c = Calibration::new(vec![0.01], 1, HOUR, 0.1, 2 * HOUR);
        c.observe(hour(0), 0, 10.0);
        let regimes = [1.0, 2.5, 5.0, 10.0, 20.0, 28.0, 40.0, 90.0].map(|median| c.regime(0, median));
        assert!(regimes.is_sorted() && regimes[0] == 0.0 && regimes[3] == USUAL && regimes[7] == 2.0, "{regimes:?}");
        assert!(regimes[4] < 1.01 && regimes[6] > 1.99 && regimes[5] > 1.3 && regimes[5] < 1.7, "{regimes:?}");
        assert_eq!(regime_weights(1.25), [0.0, 0.75, 0.25]);
    }

    #[test]
    fn corrections_of_neighbouring_lead_times_hang_together() {
        let mut c = Calibration::new(vec![0.01], 24, HOUR, 0.03, 2 * HOUR);
        // Errors grow with lead time, and come in an order without pattern.
        for t in 0..2_000 {
            for lead in 0..24 {
                c.issue(hour(t + lead as i64 + 1), 0, lead, &flat(10.0)).unwrap();
            }
            let noise = (f64::from(t as i32) * 0.618_033_988_749_895).fract() - 0.5;
            c.observe(hour(t + 1), 0, 10.0 * (0.8 * noise).exp());
        }
        let upper: Vec<f64> =
            (0..24).map(|lead| c.issue(hour(9_000), 0, lead, &flat(10.0)).unwrap().quantiles()[18].ln()).collect();
        let bends = upper.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs());
        assert!(bends.fold(0.0, f64::max) < 0.02, "{upper:?}");
    }

    #[test]
    fn a_forecast_remembers_how_it_did_at_the_lead_time_before() {
        let mut c = Calibration::new(vec![0.01], 4, HOUR, 0.03, 2 * HOUR);
        // Whole forecasts are off, one up and the next down: what is off at one lead time is off at the next.
        for start in (0..400).map(|n| 4 * n) {
            for lead in [0, 1, 3] {
                c.issue(hour(start + lead as i64 + 1), 0, lead, &flat(10.0)).unwrap();
            }
            for lead in [1, 2, 4] {
                c.observe(hour(start + lead), 0, if start % 8 == 0 { 10.5 } else { 9.6 });
            }
        }
        assert!(c.correlation(0, 1) > 0.95 && c.correlation(0, 3) > 0.95, "{}", c.correlation(0, 3));
        assert!((c.correlation(0, 2) - ScoreCorrelation::default().value()).abs() < 1e-6, "never forecast");
    }

    #[test]
    fn a_snapshot_goes_on_with_another_catchment_and_a_longer_horizon() {
        let mut before = Calibration::new(vec![0.01], 3, HOUR, 0.1, 2 * HOUR);
        before.observe(hour(0), 0, 10.0);
        before.issue(hour(4), 0, 1, &flat(10.0)).unwrap();
        before.observe(hour(4), 0, 12.0);
        before.issue(hour(5), 0, 2, &flat(10.0)).unwrap();
        let mut columns = ColumnsBuilder::new(["gauge"]);
        before.store(&mut columns);
        let mut after = Calibration::new(vec![0.01; 2], 5, HOUR, 0.1, 2 * HOUR);
        after.restore(&columns.finish().unwrap().keyed(["new", "gauge"]));
        before.observe(hour(5), 0, 1.0);
        after.observe(hour(5), 1, 1.0);
        assert_eq!(before.flows[0], after.flows[1]);
        for (knot, regime) in (0..3).flat_map(|knot| (0..REGIMES).map(move |regime| (knot, regime))) {
            let (ours, theirs) = (after.place(1, knot, regime), before.place(0, knot, regime));
            assert_eq!(after.calibrators[ours], before.calibrators[theirs]);
        }
        assert_ne!(after.calibrators[after.place(1, 2, 1)], Calibrator::default());
        assert_eq!(after.calibrators[after.place(1, 3, 1)], Calibrator::default(), "further ahead than before");
        assert!(untouched(&after, 0, &[0, 1, 2]));
        assert_eq!(after.flows[0], MeanFlow::default());
    }

    #[test]
    fn calibrators_of_each_lead_time_of_before_become_those_of_the_knots() {
        let mut columns = ColumnsBuilder::new(["gauge"]);
        let of_lead = |lead: usize| {
            let scale = 1.0 + lead as f32;
            [-1.6, -1.0, -0.5, 0.0, 0.5, 1.0, 1.6, scale, 100.0]
        };
        columns.f32("calibration.learned", |_| {
            (0..6).flat_map(|lead| (0..REGIMES).flat_map(move |_| of_lead(lead))).collect::<Vec<f32>>()
        });
        let mut after = Calibration::new(vec![0.01], 6, HOUR, 0.1, 2 * HOUR);
        after.restore(&columns.finish().unwrap().keyed(["gauge"]));
        for (knot, lead) in [0, 1, 3, 5].into_iter().enumerate() {
            let calibrator = &after.calibrators[after.place(0, knot, 2)];
            assert_eq!(*calibrator, Calibrator::without_tails(&of_lead(lead)));
        }
    }
}
