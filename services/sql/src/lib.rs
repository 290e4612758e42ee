//! SQL: read-only questions about what the archive and the service's memory have, over HTTP, the PostgreSQL protocol and Flight SQL.
//!
//! ```text
//! POST /api/v1/sql ─┐
//! PostgreSQL ───────┼─▶ statement: the allow-list ─▶ session: tables, limits ─▶ query: a task on threads of its own ─▶ Rows
//! Flight SQL ───────┘                                     │
//!                                                         ▼
//!                                   table ─▶ view: messages in memory + objects of the archive, each message once
//! ```
//!
//! Invariants:
//! - a query sees one view: memory as it was when the query began, and of each day of the archive one content, however often it is scanned;
//! - a row is counted once: a message that memory and the archive both have is read from one of them ([`view`](self));
//! - nothing is written: only statements of an allow-list are planned, whichever protocol they come by, and no file store is registered;
//! - a query has a limit of memory, of time and of rows, and ends when its client has gone.

mod bounds;
mod engine;
mod error;
mod flight;
mod flight_prepared;
mod flight_schema;
mod http;
mod parameters;
mod postgres;
mod postgres_connection;
mod postgres_settings;
mod query;
mod statement;
mod stations;
mod store;
mod table;
mod tables;
mod view;
mod wanted;

pub use engine::{Engine, Limits, Source};
pub use error::SqlError;
pub use flight::serve as serve_flight;
pub use http::{encode, routes};
pub use postgres_connection::serve as serve_postgres;
pub use query::Rows;
