//! Floods: whether they were forecast in time, and how far their peaks were off. Counted as they come, each once enough is known about the
//! steps around it.

use std::collections::BTreeMap;

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;
use nilometer_statistics::{FloodEvents, peak_offset};

use crate::metrics::class;

/// Steps that decide about the one in their middle: two of tolerance on either side, and one before to come from below.
const WINDOW: usize = 7;
/// What a catchment and lead time has counted of its peaks: how many, and the steps between these and those of the forecasts.
const OF_PEAKS: usize = 2;
/// Hits, misses, false alarms.
const OUTCOMES: usize = 3;

/// What forecasts of a catchment with flood thresholds said of its floods.
struct Gauge {
    thresholds: Vec<f64>,
    /// time of the last step of the windows; none before the first
    newest: Option<Timestamp>,
    /// m³ s⁻¹, NaN where there is no value
    observed: [f32; WINDOW],
    /// `[L]`, the forecasts' means of the same steps
    predicted: Vec<[f32; WINDOW]>,
    /// `[L, OF_PEAKS]`
    peaks: Vec<f32>,
    /// `[L, T, OUTCOMES]`
    outcomes: Vec<f32>,
}

/// All catchments with flood thresholds, by their places.
pub(crate) struct Floods {
    step_s: i64,
    leads: usize,
    gauges: BTreeMap<usize, Gauge>,
    /// counts that metrics do not show yet
    pub(crate) unreported: BTreeMap<&'static str, FloodCounts>,
}

/// What the metrics of one lead class gain.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FloodCounts {
    /// hits, misses, false alarms
    pub(crate) outcomes: [u64; OUTCOMES],
    pub(crate) peaks: u64,
    pub(crate) timing_steps: u64,
}

impl FloodCounts {
    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(sum, count)| *sum += count);
        self.peaks += other.peaks;
        self.timing_steps += other.timing_steps;
    }
}

impl Floods {
    /// `thresholds` of each catchment, m³ s⁻¹; `leads` lead times, a step apart.
    pub(crate) fn new(thresholds: &[Vec<f64>], leads: usize, step_s: i64) -> Self {
        let with_thresholds = thresholds.iter().enumerate().filter(|(_, thresholds)| !thresholds.is_empty());
        let gauge = |thresholds: &Vec<f64>| Gauge {
            thresholds: thresholds.clone(),
            newest: None,
            observed: [f32::NAN; WINDOW],
            predicted: vec![[f32::NAN; WINDOW]; leads],
            peaks: vec![0.0; leads * OF_PEAKS],
            outcomes: vec![0.0; leads * thresholds.len() * OUTCOMES],
        };
        let gauges = with_thresholds.map(|(catchment, thresholds)| (catchment, gauge(thresholds))).collect();
        Self { step_s, leads, gauges, unreported: BTreeMap::new() }
    }

    /// Takes in the first usable value of a time for which there had been forecasts (`forecast`), or that is whole steps from such a one.
    pub(crate) fn observe(&mut self, catchment: usize, time: Timestamp, discharge_m3_s: f64, forecast: bool) {
        let (step_s, leads) = (self.step_s, self.leads);
        let Some(gauge) = self.gauges.get_mut(&catchment) else { return };
        let newest = match gauge.newest {
            Some(newest) => newest,
            None if forecast => *gauge.newest.insert(time),
            None => return,
        };
        let after_s = time.seconds_since(newest);
        if after_s % step_s != 0 {
            return;
        }
        for _ in 0..(after_s / step_s).min(WINDOW as i64) {
            for lead in 0..leads {
                gauge.settle(lead, self.unreported.entry(class((lead + 1) as i64 * step_s)).or_default());
            }
            gauge.move_on();
        }
        gauge.newest = Some(newest.max(time));
        if let Some(at) = gauge.place(time, step_s).filter(|at| gauge.observed[*at].is_nan()) {
            gauge.observed[at] = discharge_m3_s as f32;
        }
    }

    /// Takes in what a forecast said of a time that [`observe`](Self::observe) has taken in.
    pub(crate) fn forecast(&mut self, catchment: usize, lead: usize, time: Timestamp, mean_m3_s: f32) {
        let step_s = self.step_s;
        let Some(gauge) = self.gauges.get_mut(&catchment) else { return };
        if let Some(at) = gauge.place(time, step_s) {
            gauge.predicted[lead][at] = mean_m3_s;
        }
    }

    /// Hits, misses and false alarms so far at one of the catchment's thresholds.
    pub(crate) fn outcomes(&self, catchment: usize, lead: usize, threshold: usize) -> [u64; OUTCOMES] {
        let Some(gauge) = self.gauges.get(&catchment) else { return [0; OUTCOMES] };
        let from = (lead * gauge.thresholds.len() + threshold) * OUTCOMES;
        std::array::from_fn(|outcome| gauge.outcomes[from + outcome] as u64)
    }

    /// Flood peaks so far, and how many steps those of the forecasts were off on average.
    pub(crate) fn peaks(&self, catchment: usize, lead: usize) -> (u64, Option<f64>) {
        let Some(gauge) = self.gauges.get(&catchment) else { return (0, None) };
        let [count, steps] = [0, 1].map(|at| f64::from(gauge.peaks[lead * OF_PEAKS + at]));
        (count as u64, (count > 0.0).then(|| steps / count))
    }

    /// Adds the columns of what is remembered of each gauge with thresholds, and of what was counted.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        columns.i64("floods.time", |catchment| {
            self.gauges.get(&catchment).and_then(|gauge| gauge.newest).map(|newest| newest.0)
        });
        columns.f64("floods.thresholds_m3_s", |catchment| {
            self.gauges.get(&catchment).map(|gauge| gauge.thresholds.clone()).unwrap_or_default()
        });
        let mut numbers = |name: &str, of: fn(&Gauge) -> &[f32]| {
            columns
                .f32(name, |catchment| self.gauges.get(&catchment).map(|gauge| of(gauge).to_vec()).unwrap_or_default());
        };
        numbers("floods.observed_m3_s", |gauge| &gauge.observed);
        numbers("floods.predicted_m3_s", |gauge| gauge.predicted.as_flattened());
        numbers("floods.peaks", |gauge| &gauge.peaks);
        numbers("floods.outcomes", |gauge| &gauge.outcomes);
    }

    /// Takes up what [`store`](Self::store) gave of the catchments that were there, as many lead times as both have; a threshold that is new begins
    /// to count.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        for (catchment, gauge) in &mut self.gauges {
            let Some([newest]) = rows.i64("floods.time", *catchment) else { continue };
            gauge.newest = Some(Timestamp(*newest));
            let numbers = |name: &str| rows.f32(name, *catchment).unwrap_or_default();
            copy(&mut gauge.observed, numbers("floods.observed_m3_s"));
            copy(gauge.predicted.as_flattened_mut(), numbers("floods.predicted_m3_s"));
            copy(&mut gauge.peaks, numbers("floods.peaks"));
            let before = rows.f64("floods.thresholds_m3_s", *catchment).unwrap_or_default();
            let counted = numbers("floods.outcomes").chunks_exact((before.len() * OUTCOMES).max(1));
            let of_leads = gauge.outcomes.chunks_exact_mut(gauge.thresholds.len() * OUTCOMES);
            for (own, counted) in of_leads.zip(counted) {
                for (own, threshold) in own.as_chunks_mut::<OUTCOMES>().0.iter_mut().zip(&gauge.thresholds) {
                    if let Some(at) = before.iter().position(|other| other == threshold) {
                        own.copy_from_slice(&counted[at * OUTCOMES..][..OUTCOMES]);
                    }
                }
            }
        }
    }
}

/// As many numbers as both have.
fn copy(into: &mut [f32], from: &[f32]) {
    into.iter_mut().zip(from).for_each(|(into, from)| *into = *from);
}

impl Gauge {
    /// Where a time stands in the windows, unless it has left them.
    fn place(&self, time: Timestamp, step_s: i64) -> Option<usize> {
        let before_s = self.newest?.seconds_since(time);
        let steps = usize::try_from(before_s / step_s).ok().filter(|_| before_s % step_s == 0)?;
        (WINDOW - 1).checked_sub(steps)
    }

    /// Counts what the windows say about the step in their middle.
    fn settle(&mut self, lead: usize, unreported: &mut FloodCounts) {
        let observed = self.observed.map(f64::from);
        let predicted = self.predicted[lead].map(f64::from);
        let of_lead = self.thresholds.len() * OUTCOMES;
        let sums = self.outcomes[lead * of_lead..][..of_lead].as_chunks_mut::<OUTCOMES>().0;
        for (threshold, sums) in self.thresholds.iter().zip(sums) {
            // As coarse as the values, so that one that is at the threshold stays so.
            let events = FloodEvents::in_the_middle(&observed, &predicted, f64::from(*threshold as f32));
            let found = [events.observed_hit, events.observed - events.observed_hit, events.judged - events.judged_hit];
            for ((sum, total), found) in sums.iter_mut().zip(&mut unreported.outcomes).zip(found) {
                *sum += found as f32;
                *total += found as u64;
            }
        }
        let lowest = self.thresholds.iter().copied().fold(f64::INFINITY, f64::min);
        if let Some(offset) = peak_offset(&observed, &predicted).filter(|_| observed[WINDOW / 2] >= lowest) {
            let peaks = &mut self.peaks[lead * OF_PEAKS..][..OF_PEAKS];
            peaks[0] += 1.0;
            peaks[1] += offset as f32;
            unreported.peaks += 1;
            unreported.timing_steps += offset as u64;
        }
    }

    /// Makes room for the next step.
    fn move_on(&mut self) {
        for window in self.predicted.iter_mut().chain([&mut self.observed]) {
            window.rotate_left(1);
            window[WINDOW - 1] = f32::NAN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn hour(hour: usize) -> Timestamp {
        Timestamp(0).plus_s(hour as i64 * HOUR)
    }

    /// Hourly flows, and what was said of them one and two hours before.
    fn follow(flows: &[f64], said: [&[f32]; 2]) -> Floods {
        let mut floods = Floods::new(&[vec![], vec![10.0]], 2, HOUR);
        for (at, flow) in flows.iter().enumerate() {
            floods.observe(1, hour(at), *flow, true);
            for (lead, said) in said.iter().enumerate() {
                floods.forecast(1, lead, hour(at), said[at]);
            }
        }
        floods.observe(0, hour(0), 99.0, true);
        floods
    }

    #[test]
    fn a_flood_is_a_hit_within_two_steps_and_a_miss_or_a_false_alarm_beyond() {
        let flows = [1.0, 1.0, 2.0, 3.0, 12.0, 15.0, 8.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let two_later = [1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 12.0, 15.0, 8.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let five_later = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 12.0, 15.0, 8.0, 2.0, 1.0, 1.0, 1.0];
        let floods = follow(&flows, [&two_later, &five_later]);
        assert_eq!(floods.outcomes(1, 0, 0), [1, 0, 0]);
        assert_eq!(floods.outcomes(1, 1, 0), [0, 1, 1]);
        assert_eq!(floods.peaks(1, 0), (1, Some(2.0)));
        assert_eq!(floods.peaks(1, 1), (1, Some(3.0)), "the highest of the window is as far as it can be");
        assert_eq!((floods.outcomes(0, 0, 0), floods.peaks(0, 0)), ([0; 3], (0, None)), "no thresholds");
        assert_eq!(floods.unreported["1h"], FloodCounts { outcomes: [1, 0, 0], peaks: 1, timing_steps: 2 });
        assert_eq!(floods.unreported["6h"], FloodCounts { outcomes: [0, 1, 1], peaks: 1, timing_steps: 3 });
    }

    #[test]
    fn what_was_late_counts_where_it_belongs_and_a_gap_judges_nothing() {
        let mut floods = Floods::new(&[vec![10.0]], 1, HOUR);
        for at in [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10] {
            floods.observe(0, hour(at), if at == 4 { 12.0 } else { 2.0 }, true);
            floods.forecast(0, 0, hour(at), if at == 4 { 11.0 } else { 1.0 });
        }
        assert_eq!((floods.outcomes(0, 0, 0), floods.peaks(0, 0)), ([1, 0, 0], (1, Some(0.0))));
        // Forecast alone in a gap of observations: not known.
        floods.forecast(0, 0, hour(10), 11.0);
        floods.observe(0, hour(40), 2.0, true);
        floods.observe(0, hour(40).plus_s(600), 2.0, true);
        floods.observe(0, hour(60), 2.0, true);
        assert_eq!(floods.outcomes(0, 0, 0), [1, 0, 0]);
    }

    #[test]
    fn a_restart_goes_on_as_if_nothing_had_been() {
        let flows: Vec<f64> = (0..60).map(|at| 10.0 + 5.0 * (f64::from(at) / 4.0).sin()).collect();
        let said: Vec<f32> = (0..60).map(|at| (10.0 + 5.0 * ((f64::from(at) - 1.0) / 4.0).sin()) as f32).collect();
        let whole = follow(&flows, [&said, &said]);
        let columns = |floods: &Floods| {
            let mut columns = ColumnsBuilder::new(["dry", "gauge"]);
            floods.store(&mut columns);
            columns.finish().unwrap()
        };
        let stored = columns(&follow(&flows[..31], [&said, &said]));
        let mut resumed = Floods::new(&[vec![], vec![10.0]], 2, HOUR);
        resumed.restore(&stored.keyed(["dry", "gauge"]));
        for at in 31..60 {
            resumed.observe(1, hour(at), flows[at], true);
            (0..2).for_each(|lead| resumed.forecast(1, lead, hour(at), said[at]));
        }
        let counted = |floods: &Floods| [0, 1].map(|lead| (floods.outcomes(1, lead, 0), floods.peaks(1, lead)));
        assert_eq!(counted(&resumed), counted(&whole));
        assert!(whole.outcomes(1, 0, 0)[0] > 1);

        // A catchment before it, a threshold below its own, and a lead time more.
        let mut changed = Floods::new(&[vec![], vec![], vec![8.0, 10.0]], 3, HOUR);
        changed.restore(&columns(&whole).keyed(["new", "dry", "gauge"]));
        assert_eq!([0, 1].map(|lead| (changed.outcomes(2, lead, 1), changed.peaks(2, lead))), counted(&whole));
        assert_eq!((changed.outcomes(2, 0, 0), changed.outcomes(2, 2, 1)), ([0; 3], [0; 3]));
    }
}
