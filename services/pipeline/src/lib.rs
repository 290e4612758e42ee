//! A pipeline in a process: from a checked definition to roles that run, on a store that is ours, and what a store tells without running.
//!
//! ```text
//! Pipeline ──Opening::of──▶ Opening: the lease ──Run::new──▶ Run: log, mended; roles of each partition ──until_the_end──▶ the end, in the order of the flow
//! ```

mod assemble;
mod compaction;
mod coverage;
mod disk;
mod exposition;
mod flow;
mod hindcast;
mod http;
mod intake;
mod inventory;
mod kind;
mod map;
mod mending;
mod operators;
mod progress;
mod publishing;
mod retention;
mod role;
mod role_kind;
mod roles;
mod sandbox;
mod sources_status;
#[cfg_attr(not(feature = "sql"), path = "without_sql.rs")]
mod sql;
mod state;
mod storage;
mod store_check;
#[cfg_attr(not(feature = "kafka"), path = "without_kafka.rs")]
mod topics;

pub use assemble::{Accept, Opening, Run};
pub use compaction::compact_store;
pub use coverage::without_rows;
pub use hindcast::{begin_where_forcing_does, hindcast};
pub use intake::Mode;
pub use inventory::{Inventory, inventory};
pub use operators::{Operation, alerts, operate, tokens};
pub use publishing::{Publication, publish};
pub use role_kind::RoleKind;
pub use roles::rehearse;
pub use sandbox::{issued, sandbox};
pub use sources_status::status;
pub use sql::query;
pub use state::{diff, show};
pub use storage::{archive, is_remote};
pub use store_check::check as check_store;
pub use topics::{check as check_topics, copy as copy_log, create as create_topics};
