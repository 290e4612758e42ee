//! What an archive tells: how good its forecasts were, and what an observation did.
//!
//! ```text
//! archive ──readings, forecasts──▶ verify: scores by catchment and lead time, and their medians
//!    │                      └────▶ report: a table, scores.csv and charts of one definition
//!    ├──state.v1──▶ snow: what a model's snow is beside what was observed
//!    ├──readings──▶ return_periods: floods and low flows that come once in so many years
//!    └──analysis.v1, forecast.v1──▶ ledger: what one observation did
//! ```

mod ledger;
mod report;
mod return_periods;
mod snow;
mod verify;

pub use ledger::{Request as LedgerRequest, ledger, say as say_analysis};
pub use report::{Issue, Request as Reporting, report};
pub use return_periods::{Family, Request as ReturnPeriods, return_periods};
pub use snow::{Request as Snow, snow};
pub use verify::{Request as Verification, verify};
