//! Alignment: what the rows of the log say of catchments, and of which step of the model. Pure: no log, no clock, no state of a model.
//!
//! ```text
//! batch ──CatchmentIndex──▶ ForcingContent, ObservationContent ──StepAlignment──▶ the forcing [F, C] and the observations of a step
//!                                    │                                                          └──StepReadings──▶ discharge at its end
//!                                    └── weather forecasts ──WeatherForecasts──▶ a series of steps for each member
//! ```
//!
//! Invariants:
//! - a row is read once: what comes out of [`CatchmentIndex`] names catchments by their place on the catchment axis;
//! - no forcing is counted twice, and none is lost: a depth is spread over the steps that its period covers;
//! - a row that cannot wait for its step says why ([`Fate`]), and the caller accounts for it.

mod catchment_index;
mod content;
mod observation;
mod step_alignment;
mod step_readings;
mod weather_forecasts;

pub use catchment_index::{CatchmentIndex, discharge_operators};
pub use content::{ForcingContent, ObservationContent};
pub use observation::{Observation, Subject};
pub use step_alignment::{Fate, PeriodForcing, StepAlignment, StepForcing, Waiting};
pub use step_readings::{StepReading, StepReadings};
pub use weather_forecasts::WeatherForecasts;
