//! Verification scores of hydrographs, ensembles, quantiles and intervals, what forecasts have to beat, and the
//! calibration of their intervals.
//!
//! ```text
//!  observed [T] ───┐
//!                  ├─▶ paired ─▶ nse, mnse, kge, pbias, high and low flow    one number per series
//!  simulated [T] ──┤             RunningScore                                the same, pair by pair
//!                  └─▶ peak_timing_error, FloodEvents                        when floods come; peak_offset for one of them
//!
//!  members [M] ──────▶ crps_ensemble (biased or fair), rank ─▶ flatness      ┐
//!        └▶ quantiles ▶ pinball, crps_quantiles, pit_of_quantiles            ├─▶ mean   one number per forecast, then their mean
//!               ├─────▶ interval_score, coverage                             ┘
//!               └─────▶ exceedance ─▶ brier_score, brier_parts, Contingency  whether a threshold is passed
//!
//!  Climatology, Persistence ─▶ mean and quantiles                            scored as a forecast is
//!
//!  trajectories [L, M] ─▶ energy_score, variogram_score                      how well values at several times go together
//!                     └─▶ crossing ─▶ whether and when a level is reached, for how long, how high the water comes
//!
//!  annual extremes [Y] ─▶ Gev, LogPearson3 ─▶ Frequency::quantile, interval  what is reached once in so many years
//!
//!  quantiles ─▶ Calibrator::correct ─▶ issued ─▶ observed ─▶ learn ─┐         one a gauge, lead time and flow regime
//!                    ▲ └▶ Distribution ─▶ mean, members ────────────┘
//! ```
//!
//! # Invariants
//! - Nothing is skipped in silence: a NaN, an infinity, an empty series or unequal lengths is an error. Only [`paired`]
//!   drops pairs, and it says how many; peaks, events and persistence need evenly spaced series, and say what a gap does.
//! - A score with a zero denominator, such as the NSE of a constant observed series, is an error and not a NaN.
//! - Pure functions of their arguments: no clock, no random state, no order but that of the slices. What is remembered from
//!   one forecast to the next is a small value that the caller keeps.
//! - Scores per forecast allocate nothing once the caller's buffer has grown.
//!
//! # Example
//! ```
//! use nilometer_statistics::{
//!     CrpsEstimator, brier_score, crps_ensemble, exceedance_of_members, kge_2009, nse, paired,
//! };
//!
//! # fn main() -> Result<(), nilometer_statistics::StatisticsError> {
//! let observed_m3_s = [1.0, 2.0, f64::NAN, 4.0, 3.0];
//! let simulated_m3_s = [1.2, 1.8, 2.2, 3.5, 3.2];
//! let pairs = paired(&observed_m3_s, &simulated_m3_s)?;
//! assert_eq!(pairs.dropped, 1);
//! assert!(nse(&pairs.observed, &pairs.simulated)? > 0.9);
//! assert!(kge_2009(&pairs.observed, &pairs.simulated)? > 0.7);
//!
//! let members_m3_s = [0.5, 1.5, 2.0, 0.0, 1.2];
//! let mut buffer = Vec::new();
//! let score = crps_ensemble(&members_m3_s, 1.0, CrpsEstimator::Fair, &mut buffer)?;
//! assert!((score - 0.14).abs() < 1e-12);
//!
//! let flood = exceedance_of_members(&members_m3_s, 1.5)?;
//! assert!((brier_score(&[flood], &[true])? - 0.36).abs() < 1e-12);
//! # Ok(())
//! # }
//! ```

mod baseline;
mod calibration;
mod contingency;
mod correlation;
mod crossing;
mod distribution;
mod drought;
mod duration;
mod energy;
mod ensemble;
mod error;
mod event;
mod extremes;
mod frequency;
mod hydrograph;
mod interval;
mod levels;
mod peak;
mod quantile;
mod rank;
mod running;
mod series;
mod standardized;
mod threshold;
mod verification;

pub use baseline::{Climatology, Persistence, day_of_year};
pub use calibration::{Calibrator, Issued};
pub use contingency::Contingency;
pub use correlation::ScoreCorrelation;
pub use crossing::{CROSSING_LEVELS, Crossing, Level, PEAK_LEVELS, RISE_LEVELS, Reached, crossing};
pub use distribution::{Distribution, couple, scores_of_members};
pub use drought::{
    CLASS_PERCENTILES, DroughtChange, DroughtClass, PERSISTENCE_DAYS, class_of, percentile, percentile_of_score,
    score_of_percentile,
};
pub use duration::{high_flow_bias, low_flow_bias};
pub use energy::{energy_score, variogram_score};
pub use ensemble::{CrpsEstimator, crps_ensemble, crps_of_sorted};
pub use error::StatisticsError;
pub use event::FloodEvents;
pub use extremes::{Extreme, annual_extremes, year_and_month};
pub use frequency::{Frequency, Gev, LogPearson3, below_in_a_year};
pub use hydrograph::{kge_2009, kge_2012, mnse, nse, pbias};
pub use interval::{coverage, interval_score};
pub use levels::{CALIBRATED_LEVELS, STANDARD_NORMAL, TAIL_LEVELS, TAIL_NORMAL};
pub use peak::{peak_offset, peak_timing_error};
pub use quantile::{crps_quantiles, pinball, quantile_of_sorted, quantiles, quantiles_of_sorted};
pub use rank::{Flatness, flatness, pit_of_members, pit_of_quantiles, rank, seeded_uniform};
pub use running::RunningScore;
pub use series::{Paired, mean, paired};
pub use standardized::{Family, LARGEST_SCORE, Standardized, WATER_BALANCE_OFFSET_MM, accumulated};
pub use threshold::{
    BrierParts, brier_parts, brier_score, exceedance_of_members, exceedance_of_quantiles, ranked_probability_score,
};
pub use verification::{Newest, climate_of_day, counts, day_that_ends};
