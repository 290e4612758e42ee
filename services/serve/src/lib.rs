//! Serve: the service that people and programs ask. It follows the log and holds its newest part in memory; what is older comes from the archive.
//!
//! ```text
//!                              ┌─▶ /api/v1: stations, forecasts, rows, alerts, models; /edr, /FewsWebServices: the same by standards
//! log ─▶ role ─▶ Site: tails ──┼─▶ /api/v1/events: server-sent events, WebSocket, with resume
//!                newest        ├─▶ /: the page
//!                              └─▶ /ready
//! archive ──── what is older ──▶ rows of a station
//! log, snapshots ─▶ sandbox of the forecast role ─▶ explain, what-if
//! POST /api/v1/alerts/…  ──▶ store: operator/ ──▶ the next tick of ingest ──▶ operator.v1
//! ```
//!
//! Invariants:
//! - the newest forecast is answered from memory alone;
//! - memory is bounded by `serve.memory_mib`, and a slow client holds none of it;
//! - nothing is written without a token of scope `operate`; nothing is written to the log, only to the store, as `nilometer alerts` does;
//! - the role holds up nothing: retention does not wait for it, and it keeps no snapshot.

#![allow(unused_qualifications, reason = "the macro of utoipa writes them")]

mod access;
mod answer;
mod api;
mod map;
mod memory;
mod metrics;
mod newest;
mod page;
mod problem;
mod rates;
mod role;
mod sandboxes;
mod series;
mod site;
mod standards;
mod stream;
mod tail;

use std::net::IpAddr;

use axum::Router;
use nilometer_engine::LogError;
use utoipa_axum::router::OpenApiRouter;

pub use access::{ACCESS, Access, AccessError, Scope, Token, Tokens};
pub use answer::{Format, printable};
pub use api::{document, station_metrics};
pub use map::{Map, MapCatchment, MapReach};
pub use memory::{HeldMessage, Memory};
pub use metrics::ServeMetrics;
pub use problem::Problem;
pub use role::{Dependencies, run};
pub use sandboxes::Partitions;
pub use site::Site;

/// Why the role cannot go on. A request that fails is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// the log failed
    #[error("the log cannot be read")]
    Log(#[from] LogError),
}

/// Routes below `/api/v1` that another crate adds for readers, with their part of the document.
pub type Routes = OpenApiRouter<Site>;

/// Every route of the service, with `more` for readers. `listening` is where it is reached.
pub fn router(site: Site, listening: IpAddr, more: Routes) -> Router {
    let access = Access::of_site(&site, listening);
    api::router(site, access, more).merge(page::router())
}
