//! Scores of one catchment at one lead time.

use std::collections::BTreeMap;

use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::{
    FloodEvents, brier_score, crps_quantiles, exceedance_of_quantiles, high_flow_bias, kge_2009, low_flow_bias, mean,
    mnse, nse, pbias, peak_timing_error, quantile_of_sorted,
};

use super::baselines::{Baseline, HIGH};

/// Columns and what the table calls them, in the order of [`Scores::values`].
pub const METRICS: [(&str, &str); 18] = [
    ("nse", "NSE"),
    ("kge", "KGE (2009)"),
    ("mnse", "modified NSE, j = 1"),
    ("abs_fhv_percent", "|bias of the highest 2 %|, %"),
    ("flv_percent", "bias of the lowest 30 % (log), %"),
    ("pbias_percent", "bias, 100 (o - s) / o, %"),
    ("peak_timing_steps", "peak timing, steps"),
    ("crps_m3_s", "CRPS, m3/s"),
    ("crps_over_mean", "CRPS over mean observed flow"),
    ("coverage_90", "share in the 90 % interval"),
    ("width_90_over_mean", "width of it over mean flow"),
    ("nse_persistence", "NSE of persistence"),
    ("crps_persistence_over_mean", "CRPS of persistence over mean flow"),
    ("crps_climatology_over_mean", "CRPS of climatology over mean flow"),
    ("brier_high", "Brier score of the highest 2 %"),
    ("flood_f1", "F1 of floods (the same), 2 steps off"),
    ("nse_simulated", "NSE of the simulation, uncorrected"),
    ("kge_simulated", "KGE of the same"),
];
/// Where the share in the interval stands in [`METRICS`].
pub const COVERAGE: usize = 9;
/// How far apart an observed and a forecast flood may begin, in steps.
const FLOOD_TOLERANCE: usize = 2;
/// How far a simulated peak is looked for on either side, in steps.
const PEAK_WINDOW: usize = 3;

/// Scores; none where one is undefined, as the NSE of a dry river.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// forecasts that met an observation
    pub pairs: usize,
    /// by [`METRICS`]
    pub values: [Option<f64>; METRICS.len()],
    /// whether the CRPS of the forecasts that persistence knew a value for is below its own
    pub below_persistence: Option<bool>,
    /// the same of the climatology
    pub below_climatology: Option<bool>,
}

/// Forecasts and what came, m³ s⁻¹.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    valid: BTreeMap<Timestamp, (f64, f64)>,
    crps: Vec<f64>,
    widths: Vec<f64>,
    covered: usize,
    persisted: BTreeMap<Timestamp, (f64, f64)>,
    /// observed, and what the models simulated before any correction
    simulated: BTreeMap<Timestamp, (f64, f64)>,
    /// of the forecast and of persistence, of those that both have
    beside_persistence: [Vec<f64>; 2],
    /// the same of the climatology
    beside_climatology: [Vec<f64>; 2],
    brier: Vec<f64>,
}

impl Pairs {
    /// Adds one forecast; of two for one time the later one counts in series scores.
    pub fn add(
        &mut self,
        valid_time: Timestamp,
        observed: f64,
        (mean, simulated): (f64, Option<f64>),
        quantiles: &[f64; QUANTILE_LEVELS.len()],
        baseline: Baseline,
    ) {
        self.valid.insert(valid_time, (observed, mean));
        if let Some(simulated) = simulated {
            self.simulated.insert(valid_time, (observed, simulated));
        }
        let (lower, upper) = (quantiles[0], quantiles[QUANTILE_LEVELS.len() - 1]);
        let crps = crps_quantiles(&QUANTILE_LEVELS, quantiles, observed).ok();
        self.crps.extend(crps);
        self.widths.push(upper - lower);
        self.covered += usize::from(lower <= observed && observed <= upper);
        if let Some(persisted) = baseline.persisted {
            self.persisted.insert(valid_time, (observed, persisted));
        }
        let of_persistence = baseline.persisted.map(|persisted| (persisted - observed).abs());
        for (beside, of_baseline) in
            [(&mut self.beside_persistence, of_persistence), (&mut self.beside_climatology, baseline.climatology_crps)]
        {
            if let (Some(crps), Some(of_baseline)) = (crps, of_baseline) {
                beside[0].push(crps);
                beside[1].push(of_baseline);
            }
        }
        self.brier.extend(baseline.high_flow.and_then(|flood| {
            let exceedance = exceedance_of_quantiles(&QUANTILE_LEVELS, quantiles, flood).ok()?;
            brier_score(&[exceedance], &[observed >= flood]).ok()
        }));
    }

    /// All scores.
    pub fn scores(&self) -> Scores {
        let (observed, simulated): (Vec<f64>, Vec<f64>) = self.valid.values().copied().unzip();
        let mean_observed = mean(&observed).ok().filter(|m| *m > 0.0);
        let crps = mean(&self.crps).ok();
        let over_mean = |value: Option<f64>| Some(value? / mean_observed?);
        let count = self.widths.len();
        let (beside, uncorrected): (Vec<f64>, Vec<f64>) = self.simulated.values().copied().unzip();
        let (before, persisted): (Vec<f64>, Vec<f64>) = self.persisted.values().copied().unzip();
        let below =
            |[of_forecast, of_baseline]: &[Vec<f64>; 2]| Some(mean(of_forecast).ok()? < mean(of_baseline).ok()?);
        Scores {
            pairs: count,
            below_persistence: below(&self.beside_persistence),
            below_climatology: below(&self.beside_climatology),
            values: [
                nse(&observed, &simulated).ok(),
                kge_2009(&observed, &simulated).ok(),
                mnse(&observed, &simulated).ok(),
                high_flow_bias(&observed, &simulated).ok().map(f64::abs),
                low_flow_bias(&observed, &simulated).ok(),
                pbias(&observed, &simulated).ok(),
                self.peak_timing(),
                crps,
                over_mean(crps),
                (count > 0).then(|| self.covered as f64 / count as f64),
                over_mean(mean(&self.widths).ok()),
                nse(&before, &persisted).ok(),
                over_mean(mean(&self.beside_persistence[1]).ok()),
                over_mean(mean(&self.beside_climatology[1]).ok()),
                mean(&self.brier).ok(),
                self.flood_f1(),
                nse(&beside, &uncorrected).ok(),
                kge_2009(&beside, &uncorrected).ok(),
            ],
        }
    }

    fn peak_timing(&self) -> Option<f64> {
        let (observed, simulated) = self.even()?;
        peak_timing_error(&observed, &simulated, PEAK_WINDOW).ok()?
    }

    /// Each series by its own threshold, so that a biased model is judged by its own floods.
    fn flood_f1(&self) -> Option<f64> {
        let (observed, simulated) = self.even()?;
        let threshold = |of: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = self.valid.values().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            quantile_of_sorted(&values, HIGH).ok()
        };
        let (of_observed, of_simulated) = (threshold(|pair| pair.0)?, threshold(|pair| pair.1)?);
        let events = FloodEvents::count(&observed, of_observed, &simulated, of_simulated, FLOOD_TOLERANCE).ok()?;
        Some(events.f1())
    }

    /// Observed and forecast on an even axis of the shortest step between two pairs, gaps as NaN.
    fn even(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let times: Vec<Timestamp> = self.valid.keys().copied().collect();
        let step_s = times.windows(2).map(|pair| pair[1].seconds_since(pair[0])).min()?;
        let (first, last) = (*times.first()?, *times.last()?);
        let length = usize::try_from(last.seconds_since(first) / step_s).ok()? + 1;
        let (mut observed, mut simulated) = (vec![f64::NAN; length], vec![f64::NAN; length]);
        for (time, (o, s)) in &self.valid {
            let at = usize::try_from(time.seconds_since(first) / step_s).ok()?;
            (observed[at], simulated[at]) = (*o, *s);
        }
        Some((observed, simulated))
    }
}
