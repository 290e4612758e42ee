//! SQL over a log in memory and an archive in memory: each row once, only what reads, within limits, by every protocol.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod hostile;
mod limits;
mod once;
mod world;
