//! What an archive tells: how good its forecasts were, and why one moved.
//!
//! ```text
//! archive ──readings, forecasts──▶ verify: scores by catchment and lead time, and their medians
//!    │                      └────▶ report: a table, scores.csv and charts of one definition
//!    ├──state.v1──▶ snow: what a model's snow is beside what was observed
//!    ├──readings──▶ return_periods: floods and low flows that come once in so many years
//!    └──analysis.v1, forecast.v1──▶ explain: what one observation did
//! ```

mod explain;
mod report;
mod return_periods;
mod snow;
mod verify;

pub use explain::{Request as Explanation, explain};
pub use report::{Issue, Request as Reporting, report};
pub use return_periods::{Family, Request as ReturnPeriods, return_periods};
pub use snow::{Request as Snow, snow};
pub use verify::{Request as Verification, verify};
