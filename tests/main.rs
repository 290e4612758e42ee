//! The pipeline as a user runs it, end to end: one binary, a file a concern.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod support;

mod alerts;
mod bad_input;
mod changes;
mod clients;
mod commands;
mod compaction;
mod crash;
mod damage;
mod drought;
mod first_guess;
mod flood_night;
mod frozen;
mod hindcast;
mod kafka_log;
mod lease;
mod live;
mod off_the_hour;
mod outage;
mod page;
mod partitions;
mod processes;
mod river;
mod rules;
mod s3;
mod sandbox;
mod serve;
mod silence;
mod simulation;
mod six_hourly;
mod sql;
mod stage;
mod stores;
mod tables;
#[cfg(feature = "traces")]
mod traces;
mod verification;
mod weather;
