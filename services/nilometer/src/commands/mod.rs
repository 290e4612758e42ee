//! The commands, a file each with its arguments.

mod again;
mod alerts;
mod config;
mod definition;
mod explain;
mod hindcast;
mod ledger;
mod log;
mod metrics;
mod models;
mod query;
mod replay;
mod report;
mod run;
mod snow;
mod sources;
mod state;
mod store;
mod subscribe;
mod thresholds;
mod token;
mod topics;
mod validate;
mod verify;
mod what_if;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Follow the wall clock: read what arrives, forecast, publish, until SIGTERM
    Run(run::Arguments),
    /// Replay the definition's window as live streams, faster than real time; resumes from its snapshot
    Replay(replay::Arguments),
    /// Replay a window into a fresh store, without serving: the same code over the same log as operations
    Hindcast(hindcast::Arguments),
    /// Score every forecast of an archive: a row a catchment and lead time, and the medians
    Verify(verify::Arguments),
    /// Say why a forecast differs from an earlier one: what weather, gauges, calibration and model each changed, by making it again
    Explain(explain::Arguments),
    /// Say what a forecast would be under other rain, from the state that it was made from
    WhatIf(what_if::Arguments),
    /// Say what an observation did: what it was held against, what each store gained, and the forecasts before and behind it
    Ledger(ledger::Arguments),
    /// Say how good the archived forecasts were: a table, scores.csv and a plot a gauge
    Report(report::Arguments),
    /// What deserves attention, and what operators do about it
    #[command(subcommand)]
    Alerts(alerts::Arguments),
    /// Say what floods and low flows come once in 2 to 100 years at stations, from their history, and write them as thresholds
    Thresholds(thresholds::Arguments),
    /// Hold the snow of each model against what was observed: over all catchments, and one by one
    Snow(snow::Arguments),
    /// Report every problem of a definition, with its path in the file
    Validate(definition::Definition),
    /// What the sources of a definition have given
    #[command(subcommand)]
    Sources(sources::Arguments),
    /// Print a commented definition to start from, or with --reference every key that a definition may have
    Config(config::Arguments),
    /// Bring the log in log.store to the cluster of log.kafka, with its positions, so that every role goes on from its snapshot
    #[command(subcommand)]
    Log(log::Arguments),
    /// What lies in a store
    #[command(subcommand)]
    Store(store::Arguments),
    /// The state that forecasts go on from
    #[command(subcommand)]
    State(state::Arguments),
    /// The topics of a log on Kafka (section log.kafka)
    #[command(subcommand)]
    Topics(topics::Arguments),
    /// Print, or write to a file, what a service says from now on: forecasts, alerts and more, without a gap
    Subscribe(subscribe::Arguments),
    /// Ask SQL of a store's archive, or of a service: one statement that reads
    Query(query::Arguments),
    /// Who may ask the service: tokens, kept in the store as their SHA-256
    #[command(subcommand)]
    Token(token::Arguments),
    /// Print every metric that a process may show, with its labels
    Metrics,
    /// Model packages: which there are, what their cards say, whether golden vectors and physics hold
    #[command(subcommand)]
    Models(models::Arguments),
}

impl Command {
    /// Does it; the exit code is its own where it has several.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Run(arguments) => run::run(arguments).await,
            Self::Replay(arguments) => replay::run(arguments).await,
            Self::Hindcast(arguments) => hindcast::run(arguments).await,
            Self::Verify(arguments) => verify::run(arguments).await,
            Self::Explain(arguments) => explain::run(arguments).await,
            Self::WhatIf(arguments) => what_if::run(arguments).await,
            Self::Ledger(arguments) => ledger::run(arguments).await,
            Self::Report(arguments) => report::run(arguments).await,
            Self::Alerts(arguments) => alerts::run(arguments).await,
            Self::Snow(arguments) => snow::run(arguments).await,
            Self::Thresholds(arguments) => thresholds::run(arguments).await,
            Self::Validate(definition) => validate::run(&definition),
            Self::Sources(arguments) => sources::run(arguments).await,
            Self::Config(arguments) => {
                config::run(&arguments);
                Ok(())
            }
            Self::Log(arguments) => log::run(arguments).await,
            Self::Store(arguments) => return store::run(arguments).await,
            Self::State(arguments) => return state::run(arguments).await,
            Self::Topics(arguments) => topics::run(arguments).await,
            Self::Subscribe(arguments) => subscribe::run(arguments).await,
            Self::Query(arguments) => query::run(arguments).await,
            Self::Token(arguments) => token::run(arguments).await,
            Self::Metrics => metrics::run(),
            Self::Models(arguments) => models::run(arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    }
}
