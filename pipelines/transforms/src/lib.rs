//! From the bytes of a connector to rows that a model can use: decode, convert, check, average. Pure: no I/O, no clock.
//!
//! ```text
//!                     ┌─ rows ──▶ RawRows ──check──▶ Observations
//! RawBatch ──Decode───┤              └─ rejected ──▶ dead letters
//!                     └─ fields ─▶ Grids ──average──▶ Forcings
//!                                             ▲
//!         flow directions + gauge ──trace──▶ Catchment
//! ```
//!
//! Invariants:
//! - bytes from outside never panic and never allocate more than their header is allowed to ask for: they become rows,
//!   missing cells that are counted, or dead letters with their bytes and a reason;
//! - `received = accepted + rejected`, asserted on every batch; a row that was generated (a gap) is counted apart;
//! - the same bytes and the same state give the same rows, however they are cut into batches in time order;
//! - memory is bounded: 48 points a series, 16 sets of weights, [`decode::MAX_CELLS`] a field.
//!
//! ```
//! use bytes::Bytes;
//! use nilometer_schemas::{Flag, Unit, Variable};
//! use nilometer_transforms::{
//!     Conversion, Lines, Payload, RawBatch, TableLayout,
//!     check::{CheckOptions, CheckRules, CheckState, check},
//!     decode::{self, StationLayout, TimeFormat, TimeLayout},
//! };
//!
//! let station = StationLayout::Constant("V3524010".into());
//! let time = TimeLayout::Column { name: "time".into(), format: TimeFormat::Rfc3339, zone: None };
//! let conversion = Conversion::new(Unit::LitrePerSecond, Variable::Discharge, 0)?;
//! let layout = TableLayout { missing: vec![-99.0], ..TableLayout::new(station, time, "flow", conversion) };
//! let batch = RawBatch {
//!     source: "hydrometry".into(),
//!     locator: "flow.csv".into(),
//!     arrival: "2014-11-04T20:05:00Z".parse()?,
//!     payload: Payload::Lines(Lines {
//!         header: Some(Bytes::from_static(b"time,flow")),
//!         lines: Bytes::from_static(b"2014-11-04T19:00:00Z,317380\n2014-11-04T20:00:00Z,broken\n"),
//!         first_line: 2,
//!         start: None,
//!         times: None,
//!         delay_s: None,
//!     }),
//! };
//! let table = decode::table(&batch, &layout);
//! assert_eq!(table.dead_letters[0].locator, "flow.csv:3");
//!
//! let rules = CheckRules::new(&CheckOptions::default(), [("V3524010".to_owned(), CheckOptions::default())]);
//! let checked = check(&table.rows, &rules, &mut CheckState::default())?;
//! assert_eq!(checked.observations.value().value(0), 317.38);
//! assert_eq!(checked.observations.flag_of(0), Flag::Pass);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails where its input is refused"))]

mod alignment;
pub mod average;
pub mod catchment;
pub mod check;
mod convert;
pub mod decode;
mod grid;
mod outline;
mod payload;
mod rate;
mod span;

pub use alignment::{Alignment, weighted};
pub use average::{AverageError, AverageOptions, Averager};
pub use catchment::{Catchment, CatchmentError, FlowDirections, Gauge, TraceOptions};
pub use convert::{CUBIC_METRE_PER_CUBIC_FOOT, Conversion, ConvertError};
pub use decode::{Decode, Decoded, Format, GridDecoding, Range, TableLayout};
pub use grid::{GeoReference, RasterGrid};
pub use outline::{Line, Reach};
pub use payload::{Columns, Lines, Payload, Period, RawBatch, Whole, lines_of};
pub use rate::rate;
pub use span::{Span, SpanError};

/// An error and what caused it, in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
