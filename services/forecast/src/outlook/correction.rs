//! Correction: what the weeks that have come have taught about those to come, of each gauge. Pure.

use nilometer_alignment::StepReading;
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{Distribution, STANDARD_NORMAL, TAIL_NORMAL};

use super::{
    WEEK_S,
    regression::{PREDICTORS, Regression},
    season::Season,
};
use crate::{ForecastError, outstanding::Outstanding};

/// Seasons and regressions `[C, W]` of a partition's gauges, and what was said of the weeks to come.
pub(super) struct Correction {
    weeks: usize,
    /// what a flow's logarithm begins at, m³ s⁻¹
    epsilon_m3_s: Vec<f64>,
    gauges: Vec<Gauge>,
    regressions: Vec<Regression>,
    said: Outstanding<PREDICTORS>,
}

#[derive(Debug, Clone, Default)]
struct Gauge {
    simulated: Season,
    read: Season,
    /// end of the newest week, and its anomalies as it was simulated and, where the gauge read it, as it came
    newest: Option<(Timestamp, f64, Option<f64>)>,
}

impl Correction {
    pub(super) fn new(epsilon_m3_s: Vec<f64>, weeks: usize) -> Self {
        let catchments = epsilon_m3_s.len();
        Self {
            weeks,
            epsilon_m3_s,
            gauges: vec![Gauge::default(); catchments],
            regressions: vec![Regression::default(); catchments * weeks],
            said: Outstanding::new(catchments, weeks, WEEK_S),
        }
    }

    /// Takes in the week that ends at `week_end`: what was simulated, `[C]` m³ s⁻¹, and what was read.
    pub(super) fn observe(&mut self, week_end: Timestamp, simulated_m3_s: &[f64], read: &[StepReading]) {
        for (catchment, simulated_m3_s) in simulated_m3_s.iter().enumerate() {
            let log = self.log(catchment, *simulated_m3_s);
            let gauge = &mut self.gauges[catchment];
            // It is held against the years before.
            let usual = gauge.simulated.usual(week_end);
            gauge.newest = usual.map(|usual| (week_end, usual.anomaly(log), None));
            gauge.simulated.add(week_end, log);
        }
        for reading in read {
            let catchment = reading.catchment;
            let log = self.log(catchment, reading.discharge_m3_s);
            let gauge = &mut self.gauges[catchment];
            if let Some(anomaly) = gauge.read.usual(week_end).map(|usual| usual.anomaly(log)) {
                if let Some((.., read)) = &mut gauge.newest {
                    *read = Some(anomaly);
                }
                for (week, predictors) in self.said.take(week_end, catchment) {
                    self.regressions[catchment * self.weeks + week].learn(predictors.map(f64::from), anomaly);
                }
            }
            gauge.read.add(week_end, log);
        }
    }

    /// Anomalies of the week that ends at the issue time, as it was simulated and, where the gauge read it, as it came. Where its last steps are still to
    /// come they are of what there is `so_far`, m³ s⁻¹, or else of the week before. None while too little is known.
    fn now(
        &self,
        issue_time: Timestamp,
        catchment: usize,
        so_far: Option<(f64, Option<f64>)>,
    ) -> Option<(f64, Option<f64>)> {
        let gauge = &self.gauges[catchment];
        let newest = |age_s: i64| {
            let (_, simulated, read) = gauge.newest.filter(|(end, ..)| *end == issue_time.plus_s(-age_s))?;
            Some((simulated, read))
        };
        let provisional = || {
            let (simulated_m3_s, read_m3_s) = so_far?;
            let simulated = gauge.simulated.usual(issue_time)?.anomaly(self.log(catchment, simulated_m3_s));
            let usual = gauge.read.usual(issue_time);
            Some((simulated, usual.zip(read_m3_s).map(|(usual, m3_s)| usual.anomaly(self.log(catchment, m3_s)))))
        };
        newest(0).or_else(provisional).or_else(|| newest(WEEK_S))
    }

    /// The distribution of a week's flow, of which `trajectories_m3_s` is what the models say; it waits for what comes. None while too little is known.
    pub(super) fn distribution(
        &mut self,
        issue_time: Timestamp,
        week_end: Timestamp,
        (catchment, week): (usize, usize),
        trajectories_m3_s: &[f64],
        so_far: Option<(f64, Option<f64>)>,
    ) -> Result<Option<Distribution>, ForecastError> {
        let gauge = &self.gauges[catchment];
        let Some((simulated, read)) = self.now(issue_time, catchment, so_far) else { return Ok(None) };
        let Some((of_model, of_gauge)) = gauge.simulated.usual(week_end).zip(gauge.read.usual(week_end)) else {
            return Ok(None);
        };
        let anomalies = trajectories_m3_s.iter().map(|m3_s| of_model.anomaly(self.log(catchment, *m3_s)));
        let mean = anomalies.sum::<f64>() / trajectories_m3_s.len() as f64;
        // A gauge that is silent is taken to be where the model is.
        let predictors = [mean, read.unwrap_or(simulated), simulated];
        self.said.keep(week_end, catchment, week, predictors.map(|x| x as f32));
        let expected = self.regressions[catchment * self.weeks + week].expected(week, predictors);
        let epsilon = self.epsilon_m3_s[catchment];
        let at = |score: f64| {
            let log = of_gauge.log(expected.mean + expected.deviation * score);
            (log.exp() - epsilon).max(0.0)
        };
        let quantiles: [f64; QUANTILE_LEVELS.len()] = STANDARD_NORMAL.map(at);
        Ok(Some(Distribution::new(&quantiles, &TAIL_NORMAL.map(at))?))
    }

    fn log(&self, catchment: usize, flow_m3_s: f64) -> f64 {
        (flow_m3_s.max(0.0) + self.epsilon_m3_s[catchment]).ln()
    }

    pub(super) fn store(&self, columns: &mut ColumnsBuilder) {
        Season::store(|at| &self.gauges[at].simulated, "season.simulated", columns);
        Season::store(|at| &self.gauges[at].read, "season.read", columns);
        columns.i64("newest.week", |at| self.gauges[at].newest.map(|(week, ..)| week.0));
        columns.f64("newest.anomalies", |at| {
            let newest = self.gauges[at].newest;
            newest.map_or_else(Vec::new, |(_, simulated, read)| vec![simulated, read.unwrap_or(f64::NAN)])
        });
        columns.f64("regressions", |at| {
            let own = &self.regressions[at * self.weeks..][..self.weeks];
            own.iter().flat_map(Regression::numbers).collect::<Vec<f64>>()
        });
        self.said.store("said", columns);
    }

    /// Takes up what [`Correction::store`] gave of the catchments that were there, as many weeks as both have.
    pub(super) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        for (at, gauge) in self.gauges.iter_mut().enumerate() {
            gauge.simulated.restore(rows, "season.simulated", at);
            gauge.read.restore(rows, "season.read", at);
            if let (Some([week]), Some([simulated, read])) =
                (rows.i64("newest.week", at), rows.f64("newest.anomalies", at))
            {
                gauge.newest = Some((Timestamp(*week), *simulated, Some(*read).filter(|read| !read.is_nan())));
            }
            let stored = rows.f64("regressions", at).unwrap_or_default().as_chunks().0;
            let own = &mut self.regressions[at * self.weeks..][..self.weeks];
            own.iter_mut().zip(stored).for_each(|(own, numbers)| *own = Regression::from_numbers(numbers));
        }
        self.said.restore("said", rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * WEEK_S)
    }

    /// A model that has half of the river's water in each season, and whose trajectories know nothing of what comes.
    #[test]
    fn what_the_model_lacks_in_every_season_is_made_up_for_and_a_snapshot_goes_on() {
        let season = |n: i64| 10.0 + 5.0 * (n as f64 / 52.18 * std::f64::consts::TAU).sin();
        let year = |n: i64| 1.0 + 0.2 * ((n / 52 % 5) as f64 - 2.0);
        let river = |n: i64| season(n) * year(n);
        let mut correction = Correction::new(vec![0.01], 2);
        let live = |correction: &mut Correction, weeks: std::ops::Range<i64>| {
            let mut medians = Vec::new();
            for n in weeks {
                let read = StepReading { step: week(n), catchment: 0, discharge_m3_s: river(n) };
                correction.observe(week(n), &[0.5 * river(n)], &[read]);
                let said = [0.45, 0.5, 0.55].map(|share| share * river(n + 1));
                let distribution = correction.distribution(week(n), week(n + 1), (0, 0), &said, None).unwrap();
                medians.extend(distribution.map(|of| (of.median() / river(n + 1), of.quantiles())));
            }
            medians
        };
        let all = live(&mut correction, 1..52 * 12);
        assert!(all.len() < 52 * 12 - 52, "nothing is said in the first years");
        let late = &all[all.len() - 52..];
        let off = late.iter().map(|(ratio, _)| (ratio.ln()).abs()).sum::<f64>() / 52.0;
        assert!(off < 0.12, "{off}");
        let mut columns = ColumnsBuilder::new(["gauge"]);
        correction.store(&mut columns);
        let mut again = Correction::new(vec![0.01], 2);
        again.restore(&columns.finish().unwrap().keyed(["gauge"]));
        assert_eq!(live(&mut again, 52 * 12..52 * 13), live(&mut correction, 52 * 12..52 * 13));
    }

    #[test]
    fn a_state_that_lags_behind_has_an_outlook_of_the_week_so_far() {
        let river = |n: i64| 10.0 + (n % 7) as f64;
        let mut correction = Correction::new(vec![0.01], 2);
        for n in 1..52 * 6 {
            let read = StepReading { step: week(n), catchment: 0, discharge_m3_s: river(n) };
            correction.observe(week(n), &[river(n)], &[read]);
        }
        let last = 52 * 6 - 1;
        let mut median = |n: i64, so_far: Option<(f64, Option<f64>)>| {
            let of = correction.distribution(week(n), week(n + 1), (0, 0), &[12.0; 3], so_far).unwrap();
            of.map(|distribution| distribution.median())
        };
        let whole = median(last, None).unwrap();
        assert_eq!(median(last, Some((99.0, Some(99.0)))), Some(whole), "the week is over, so nothing is so far");
        let [dry, wet] = [2.0, 40.0].map(|m3_s| median(last + 1, Some((m3_s, Some(m3_s)))).unwrap());
        assert!(dry < wet, "{dry} {wet}");
        assert!(median(last + 1, None).is_some(), "of the week before");
        assert_eq!(median(last + 2, None), None, "that is too long ago");
    }
}
