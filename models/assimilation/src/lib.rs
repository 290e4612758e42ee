//! Ensemble and variational data assimilation of discharge into catchment model stores.
//!
//! The ensemble of one partition is a contiguous `f32` array `state[S, C, M]`: S rows (model stores and augmented
//! rows), C catchments, M members, the member fastest. This crate corrects the stores of each observed catchment, keeps
//! them within their bounds, says how much water the correction added, and draws the noise that keeps the ensemble
//! apart.
//!
//! ```text
//!  (seed, purpose, time) ─▶ stream ─▶ Ar1 ─▶ PrecipitationPerturbation ─▶ forcing [C, M] ─▶ model step
//!                                                                                               │
//!       gauge discharge ─▶ DischargeOperator::observe ──┐                                       ▼
//!     member discharges ─▶ DischargeOperator::predict ──┼▶ CatchmentObservation        state[S, C, M]
//!     those of the past ─▶ StoredPredictions ───────────┤         │                         │   ▲
//!                          AdaptiveInflation::factor ───┘         └─▶ Filter::assimilate ◀──┘   │
//!                                  ▲                                  check ▶ transform ▶ row ──┘
//!                                  │                                              │
//!                                  └── learn ◀── AnalysisReport (increments, clipping, innovations)
//! ```
//!
//! | method | what it assumes | where it fits |
//! |---|---|---|
//! | [`Method::Etkf`] | Gaussian | the default: exact mean and covariance, no noise |
//! | [`Method::Denkf`] | Gaussian | as cheap, keeps more spread: few members, sure gauges |
//! | [`Method::StochasticEnkf`] | Gaussian | skewed ensembles that a square root would keep skewed |
//! | [`Method::Particle`] | nothing | strongly nonlinear models and hundreds of members |
//! | [`StoredPredictions`] with any of them | | gauges that report late |
//! | [`Variational`] | Gaussian errors, a gradient of the model | one state without an ensemble, a window at a time |
//!
//! Other gauges and satellites come in through the same door, each with its own operator:
//! - [`StageOperator`]: stage through a versioned [`RatingCurve`], as log discharge;
//! - [`SnowOperator`]: snow water equivalent, or the snow-covered fraction through a depletion curve;
//! - [`CdfMatching`]: satellite soil moisture in the climatology of the model's soil store, season by season;
//! - [`ErrorFactors`]: how far a quality flag and an agency's qualifier widen an error;
//! - [`FirstGuessCheck`]: whether a reading is suspect in the light of its forecast, and whether its gauge has shifted;
//! - [`RiverDistances`]: how far upstream a gauge counts, by the distance along the river.
//!
//! # Invariants
//! - Every input of a batch is checked before the first store changes: a refused batch leaves the ensemble as it was.
//! - A row is changed only where the caller lists it, and it ends finite and within its bounds.
//! - The reported increment is the difference of what is stored, clipping included, so a water budget closes with it.
//! - Noise is a pure function of (seed, purpose, time): there is no generator state to save or to restore.
//! - What is learned or kept (predictions, factors) is saved and restored as plain numbers of one size.
//! - Catchments are processed in index order with a fixed order of summation: equal inputs give equal bits, and one
//!   catchment has no influence on another but for the order of its random numbers.
//! - Arithmetic is `f64`, storage `f32`. One observation per catchment (p = 1) allocates nothing once buffers have
//!   grown.
//!
//! # Example
//! ```
//! use nilometer_assimilation::{
//!     AnalysisReport, Bounds, CatchmentObservation, DischargeOperator, EnsembleMut, EnsembleShape, Filter,
//!     FilterOptions, Purpose, UpdatableRow, stream,
//! };
//!
//! # fn main() -> Result<(), nilometer_assimilation::AssimilationError> {
//! // One routing store (mm) of one catchment, four members, and the discharge (m3/s) each member predicts.
//! let mut stores_mm = [10.0_f32, 14.0, 18.0, 22.0];
//! let discharge_m3_s = [5.0_f32, 7.0, 9.0, 11.0];
//!
//! let gauge = DischargeOperator::new(0.1, 0.10, 0.05)?;
//! let observed = gauge.observe(10.0)?;
//! let mut predicted = [0.0; 4];
//! gauge.predict(&discharge_m3_s, None, &mut predicted)?;
//!
//! let shape = EnsembleShape { states: 1, catchments: 1, members: 4 };
//! let mut ensemble = EnsembleMut::new(&mut stores_mm, shape)?;
//! let mut filter = Filter::new(FilterOptions::default())?;
//! let mut report = AnalysisReport::default();
//! let mut noise = stream(42, Purpose::ObservationPerturbation, 1_700_000_000_000_000);
//! filter.assimilate(
//!     &mut ensemble,
//!     &[CatchmentObservation {
//!         catchment: 0,
//!         predicted: &predicted,
//!         observed: &[observed.value],
//!         error_variance: &[observed.error_variance],
//!         inflation: 1.0,
//!         rows: &[UpdatableRow { state: 0, bounds: Bounds::NON_NEGATIVE }],
//!     }],
//!     &mut noise,
//!     &mut report,
//! )?;
//!
//! assert!(report.increments[0].mean_increment > 0.0); // more water was seen than predicted
//! assert!(report.innovations[0].innovation > 0.0);
//! # Ok(())
//! # }
//! ```

mod descent;
mod discharge;
mod ensemble;
mod error;
mod error_scale;
mod filter;
mod first_guess;
mod inflation;
mod localisation;
mod minimum;
mod moments;
mod noise;
mod observation;
mod observed;
mod options;
mod output_error;
mod output_updating;
mod precipitation;
mod quality;
mod quantile_map;
mod rating;
mod rating_shape;
mod report;
mod resampling;
mod row;
mod season;
mod snow;
mod soil_moisture;
mod stage;
mod stored;
mod transform;
mod variational;
mod weights;
mod whitened;

pub use discharge::{DischargeOperator, LogDischarge};
pub use ensemble::{Ensemble, EnsembleMut, EnsembleShape};
pub use error::AssimilationError;
pub use error_scale::ErrorScales;
pub use filter::Filter;
pub use first_guess::{
    Departure, FirstGuess, FirstGuessCheck, ShiftEvent, ShiftOptions, likely_cause, suspect_error_std,
};
pub use inflation::AdaptiveInflation;
pub use localisation::{Influence, RiverDistances, RiverReach, gaspari_cohn};
pub use minimum::{CatchmentMinimum, ControlRow, DescentOutcome, VariationalOptions};
pub use noise::{Ar1, NoiseSource, Purpose, catchment_streams, stream, stream_number};
pub use observation::{CatchmentObservation, UpdatableRow};
pub use observed::{Observed, is_informative};
pub use options::{Bounds, FilterOptions, Method};
pub use output_error::{ErrorRegime, OutputError};
pub use output_updating::{ErrorRegression, Explanation, carried_error};
pub use precipitation::PrecipitationPerturbation;
pub use quality::{ErrorFactorOptions, ErrorFactors, RATED, unknown_words};
pub use rating::{Rated, RatingCurve, RatingOptions, Ratings};
pub use rating_shape::{RatingSegment, RatingShape};
pub use report::{AnalysisReport, Innovation, Resampled, RowIncrement};
pub use snow::{DepletionCurve, SnowOperator, SnowRow};
pub use soil_moisture::{CdfMatching, SOIL_MOISTURE_ERROR_M3_M3, SoilMoisturePair};
pub use stage::{StageObservation, StageOperator};
pub use stored::StoredPredictions;
pub use variational::{Variational, VariationalReport};
