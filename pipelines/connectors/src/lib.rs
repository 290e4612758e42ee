//! File sources: series of GeoTIFFs, tables and folders of many catchments, read by the time at which their rows reached us.
//!
//! ```text
//! options ──problems──▶ (every mistake at once)
//!    └─────open──────▶ Source ──read(cursor, until)──▶ RawBatch … + next cursor ──▶ nilometer_transforms::decode
//! ```
//!
//! Invariants:
//! - in a replay `read` gives what arrived in `(cursor, tick]`, in order of arrival; the same cursor and tick give the same
//!   rows, so a crash costs a redo and nothing else, and how time is cut into reads changes nothing;
//! - a cursor is the source's own: roles keep it and give it back;
//! - in operations ([`Arrival::WhenSeen`]) it gives what the cursor does not have yet and what [counts](Look::counts) in the tick, so that
//!   ticks that were missed get the rows that they would have had, whatever file or batch brings them;
//! - nothing is dropped: what cannot be read becomes a [`Payload::Unreadable`](nilometer_transforms::Payload) with its
//!   bytes, and a row whose time cannot be read is delivered once, at the start of the window (in operations at once);
//! - a missing file of a series yields nothing; downstream finds the gap;
//! - locators are relative to the data root, so the same data give the same rows wherever they lie.
//!
//! ```
//! use nilometer_connectors::{Arrival, Connector as _, Cursor, Look, Source, TableOptions, Window};
//!
//! let root = tempfile::tempdir()?;
//! std::fs::write(root.path().join("flow.csv"), "201411041900\n310.2\n317.38\n-99\n")?;
//! let options: TableOptions = toml::from_str(
//!     r#"
//!     path = "flow.csv"
//!     station = { constant = "V3524010" }
//!     time = { first_line = { format = "%Y%m%d%H%M", step = "1h" } }
//!     variable = "discharge"
//!     unit = "m3 s-1"
//!     missing = [-99.0]
//!     "#,
//! )?;
//! assert!(options.problems(root.path()).is_empty());
//! let window = Window { from: "2014-11-04".parse()?, until: "2014-11-05".parse()? };
//! let mut source = options.open("hydrometry", Arrival::Delay { delay: "10min".parse()? }, root.path(), window)?;
//! let (batches, next) = source.read(&Cursor::default(), Look::at("2014-11-04T20:10:00Z".parse()?))?;
//! assert_eq!(batches.iter().map(|b| b.rows()).sum::<u64>(), 2);
//! assert_eq!(source.read(&next, Look::at("2014-11-05".parse()?))?.0.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails where its input is refused"))]

mod connector;
mod delivered;
mod file;
pub mod folder;
mod geotiff;
mod source;
mod table;
mod template;
mod text_table;
mod zone;

pub use connector::{CONNECTORS, Connector, ConnectorVisitor, OptionProblem, visit_connector};
pub use folder::{FolderLayout, FolderOptions, FolderSeries, FolderSource};
pub use geotiff::{GeotiffOptions, Recurring, TimeLabel};
pub use source::{Arrival, Cursor, Look, PositionedSource, Source, SourceError, Window};
pub use table::{ForecastOption, MissingValue, OtherStations, StationOption, TableFormat, TableOptions, TimeOption};
pub use template::{Template, TemplateError};
pub use text_table::read_text_table;

use delivered::Delivered;
