//! Satellite soil moisture as an observation of a model's soil store: seasonal matching of cumulative distributions.

use std::{collections::BTreeMap, ops::Range};

use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{AssimilationError, require, require_each},
    moments::count,
    observed::Observed,
    quantile_map::QuantileMap,
    season::Season,
};

/// Standard error of a satellite's soil moisture in m3/m3: the requirement of SMAP (Entekhabi et al. 2010, Proc. IEEE
/// 98, 704).
pub const SOIL_MOISTURE_ERROR_M3_M3: f64 = 0.04;

/// Soil moisture at one valid time, as observed and as the model had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoilMoisturePair {
    /// The valid time.
    pub time: Timestamp,
    /// Observed soil moisture, m3/m3.
    pub observed_m3_m3: f64,
    /// The model's soil store, in its unit, usually mm.
    pub modelled: f64,
}

/// Matching of observed soil moisture to the climatology of a model's soil store, `x' = F_model^-1(F_obs(x))` (Reichle &
/// Koster 2004, Geophys. Res. Lett. 31, L19501), one map for each season of the valid time and one for the year.
///
/// It is fitted on a training window alone, which it remembers, so that it can be kept and its use be checked against
/// it. As TOML it comes back bit for bit; JSON needs a reader that rounds correctly (`float_roundtrip`). Flagged,
/// frozen and densely vegetated values are for the caller to leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fit")]
pub struct CdfMatching(Fit);

/// What is kept of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fit {
    training: Range<Timestamp>,
    year: QuantileMap,
    /// A season without one is served by the year's.
    seasons: BTreeMap<Season, QuantileMap>,
}

impl CdfMatching {
    /// A matching of the `pairs` within the `training` window, its end excluded; pairs outside are not looked at. A
    /// season with fewer than `minimum_pairs`, or in which a series does not vary, uses the whole year.
    ///
    /// # Errors
    /// [`AssimilationError::Element`], counted within the window, where a pair is NaN or infinite; [`AssimilationError::Value`] where the window
    /// holds fewer than `minimum_pairs` or 2, or a series does not vary in it.
    pub fn fit(
        pairs: &[SoilMoisturePair],
        training: Range<Timestamp>,
        minimum_pairs: usize,
    ) -> Result<Self, AssimilationError> {
        let select = |season: Option<Season>| -> (Vec<f64>, Vec<f64>) {
            pairs
                .iter()
                .filter(|pair| training.contains(&pair.time))
                .filter(|pair| season.is_none_or(|season| season == Season::of(pair.time)))
                .map(|pair| (pair.observed_m3_m3, pair.modelled))
                .unzip()
        };
        let (observed, modelled) = select(None);
        require("number of training pairs", count(observed.len()), "at least minimum_pairs", |_| {
            observed.len() >= minimum_pairs
        })?;
        require_each("observed soil moisture in m3/m3", &observed, "finite", f64::is_finite)?;
        require_each("modelled soil moisture", &modelled, "finite", f64::is_finite)?;
        let of_season = |season| {
            let (observed, modelled) = select(Some(season));
            let enough = observed.len() >= minimum_pairs;
            // Every value is finite: what a season can be refused for is that it does not vary.
            Some((season, enough.then(|| QuantileMap::fit(observed, modelled).ok()).flatten()?))
        };
        let seasons = Season::ALL.into_iter().filter_map(of_season).collect();
        Ok(Self(Fit { year: QuantileMap::fit(observed, modelled)?, training, seasons }))
    }

    /// The training window, its end excluded.
    #[must_use]
    pub fn training(&self) -> &Range<Timestamp> {
        &self.0.training
    }

    /// Whether the season of a valid time has a map of its own.
    #[must_use]
    pub fn is_seasonal(&self, time: Timestamp) -> bool {
        self.0.seasons.contains_key(&Season::of(time))
    }

    /// An observed soil moisture in m3/m3 in the unit of the model's store.
    #[must_use]
    pub fn matched(&self, time: Timestamp, observed_m3_m3: f64) -> f64 {
        self.map(time).map(observed_m3_m3)
    }

    /// The observation in the unit of the model's store, which is its own prediction. Its error is `error_m3_m3`
    /// (usually [`SOIL_MOISTURE_ERROR_M3_M3`]) times the ratio of the standard deviations, model over observations.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the soil moisture is not finite, or the error not finite and positive.
    pub fn observe(
        &self,
        time: Timestamp,
        observed_m3_m3: f64,
        error_m3_m3: f64,
    ) -> Result<Observed, AssimilationError> {
        require("observed soil moisture in m3/m3", observed_m3_m3, "finite", f64::is_finite)?;
        require("soil moisture error in m3/m3", error_m3_m3, "finite and positive", |v| v > 0.0 && v.is_finite())?;
        let map = self.map(time);
        Ok(Observed { value: map.map(observed_m3_m3), error_variance: (error_m3_m3 * map.spread_ratio()).powi(2) })
    }

    fn map(&self, time: Timestamp) -> &QuantileMap {
        self.0.seasons.get(&Season::of(time)).unwrap_or(&self.0.year)
    }
}

impl TryFrom<Fit> for CdfMatching {
    type Error = AssimilationError;

    fn try_from(fit: Fit) -> Result<Self, AssimilationError> {
        fit.seasons.values().chain([&fit.year]).try_for_each(QuantileMap::check)?;
        Ok(Self(fit))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Daily pairs of a year; the store is 200 times the observation in winter, 100 times in the other seasons.
    fn year() -> Vec<SoilMoisturePair> {
        (0..365)
            .map(|day| {
                let time = at("2021-01-01").plus_s(day * DAY_S);
                let observed_m3_m3 = 0.1 + 0.3 * ((day * 37 % 101) as f64 / 101.0);
                let factor = if Season::of(time) == Season::Djf { 200.0 } else { 100.0 };
                SoilMoisturePair { time, observed_m3_m3, modelled: factor * observed_m3_m3 }
            })
            .collect()
    }

    fn fit(pairs: &[SoilMoisturePair], minimum_pairs: usize) -> Result<CdfMatching, AssimilationError> {
        CdfMatching::fit(pairs, at("2021-01-01")..at("2022-01-01"), minimum_pairs)
    }

    #[test]
    fn each_season_has_its_map_and_its_error() {
        let matching = fit(&year(), 60).unwrap();
        let (winter, summer) = (at("2025-01-15"), at("2025-07-15"));
        assert!(matching.is_seasonal(winter) && matching.is_seasonal(summer));
        assert!((matching.matched(winter, 0.25) - 50.0).abs() < 1e-9);
        assert!((matching.matched(summer, 0.25) - 25.0).abs() < 1e-9);
        let observed = matching.observe(summer, 0.25, SOIL_MOISTURE_ERROR_M3_M3).unwrap();
        assert!((observed.error_variance - 16.0).abs() < 1e-9); // 0.04 m3/m3 times 100
        assert!(matching.observe(summer, f64::NAN, 0.04).is_err() && matching.observe(summer, 0.2, 0.0).is_err());
    }

    #[test]
    fn a_season_of_few_pairs_or_without_variation_uses_the_year() {
        let mut pairs = year();
        for pair in pairs.iter_mut().filter(|pair| Season::of(pair.time) == Season::Mam) {
            pair.modelled = 7.0;
        }
        let matching = fit(&pairs, 91).unwrap();
        // 90 winter days are too few, the spring does not vary, summer and autumn have 92 and 91 days.
        let seasonal = ["2025-01-15", "2025-04-15", "2025-07-15", "2025-10-15"].map(|t| matching.is_seasonal(at(t)));
        assert_eq!(seasonal, [false, false, true, true]);
        assert_eq!(matching.matched(at("2025-01-15"), 0.2), matching.matched(at("2025-04-15"), 0.2));
    }

    #[test]
    fn only_the_training_window_counts() {
        let mut pairs = year();
        let matching = fit(&pairs, 60).unwrap();
        pairs.push(SoilMoisturePair { time: at("2022-01-01"), observed_m3_m3: f64::NAN, modelled: 1e9 });
        assert_eq!(fit(&pairs, 60).unwrap(), matching);
        assert_eq!(matching.training().end, at("2022-01-01"));
    }

    #[test]
    fn constant_few_and_nan_series_are_refused() {
        let constant: Vec<_> = year().into_iter().map(|p| SoilMoisturePair { observed_m3_m3: 0.2, ..p }).collect();
        assert!(fit(&constant, 60).is_err());
        assert!(fit(&year()[..20], 60).is_err());
        assert!(fit(&[], 0).is_err());
        let mut pairs = year();
        pairs[4].modelled = f64::NAN;
        assert_eq!(fit(&pairs, 60).unwrap_err().to_string(), "modelled soil moisture [4] is NaN; accepted: finite");
    }

    #[test]
    fn a_kept_matching_is_the_same_and_a_broken_one_is_refused() {
        let matching = fit(&year(), 60).unwrap();
        let text = toml::to_string(&matching).unwrap();
        assert_eq!(toml::from_str::<CdfMatching>(&text).unwrap(), matching);
        let json = serde_json::to_string(&matching).unwrap();
        assert_eq!(serde_json::from_str::<CdfMatching>(&json).unwrap().training(), matching.training());
        let broken = text.replacen("spread_ratio = ", "spread_ratio = -", 1);
        let message = toml::from_str::<CdfMatching>(&broken).unwrap_err().to_string();
        assert!(message.contains("ratio of standard deviations is -"), "{message}");
    }
}
