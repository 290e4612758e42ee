//! The binary: commands in, roles wired, exit code out.

mod assemble;
mod coverage;
mod explain;
mod exposition;
mod flow;
mod hindcast;
mod http;
mod intake;
mod mending;
mod models;
mod progress;
mod publishing;
mod reference;
mod report;
mod retention;
mod roles;
mod sources_status;
mod stage;
mod state;
mod storage;
mod store_check;
#[cfg_attr(not(feature = "kafka"), path = "without_kafka.rs")]
mod topics;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use nilometer_definitions::{Alignment, Pipeline};
use nilometer_engine::{Clock, KafkaOptions};
use nilometer_schemas::Timestamp;
use tracing_subscriber::EnvFilter;

use assemble::{Accept, Opening, Run};
use flow::RoleKind;
use intake::Mode;

/// The definition that `nilometer config` prints: complete, commented, the one to start from.
const EXAMPLE: &str = include_str!("../../../pipelines/definitions/cance.toml");

/// Operational flood and drought forecasting: gauges, radar and models in, probabilistic forecasts out.
#[derive(Parser)]
#[command(name = "nilometer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// log lines as JSON, for machines
    #[arg(long, global = true)]
    json_logs: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Follow the wall clock: read what arrives, forecast, publish, until SIGTERM
    Run {
        #[command(flatten)]
        definition: Definition,
        #[command(flatten)]
        accept: Accept,
        #[command(flatten)]
        roles: Roles,
    },
    /// Replay the definition's window as live streams, faster than real time; resumes from its snapshot
    Replay {
        #[command(flatten)]
        definition: Definition,
        /// event seconds a real second; as fast as possible when absent
        #[arg(long)]
        speed: Option<f64>,
        /// keep /metrics and /health up after the end of the window, until SIGTERM
        #[arg(long)]
        serve: bool,
        #[command(flatten)]
        accept: Accept,
        #[command(flatten)]
        roles: Roles,
    },
    /// Replay a window into a fresh store, without serving: the same code over the same log as operations
    Hindcast {
        #[command(flatten)]
        definition: Definition,
        /// folder or address for the archive; what it held before is replaced
        #[arg(long)]
        out: String,
        #[command(flatten)]
        options: hindcast::Options,
    },
    /// Score every forecast of an archive: a row a catchment and lead time, and the medians
    Verify {
        /// the store, as `hindcast --out` named it
        store: String,
        /// folder of many catchments (source.kind = camels or nwrfc) with what the gauges read; when absent the store's own observations,
        /// whose stations must be named as their catchments are
        #[arg(long)]
        observations: Option<PathBuf>,
        /// readings between the ends of steps are held to the nearest one, as with time.align = "nearest"; else interpolated
        #[arg(long)]
        nearest: bool,
        /// what is valid after this counts: a time, or a day from its begin
        #[arg(long)]
        from: Option<Timestamp>,
        /// and up to this: a time, or a day to its end
        #[arg(long)]
        to: Option<hindcast::Until>,
        /// file of catchments that do not count, separated by blanks or lines
        #[arg(long)]
        leave_out: Option<PathBuf>,
        /// folder for scores.csv and scores.parquet; verification below the store when absent
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Say why a forecast moved: what an observation was held against, what it did to the stores, and the forecasts before and behind it
    Explain {
        /// station whose observation it was
        station: String,
        /// its valid time, as 2014-11-04T06:00:00Z
        time: Timestamp,
        /// the store, as `hindcast --out` or log.store named it
        #[arg(long, default_value = "demo-out")]
        store: String,
    },
    /// Say how good the archived forecasts were: a table, scores.csv and a plot a gauge
    Report {
        #[command(flatten)]
        definition: Definition,
        /// store of the same window without assimilation, to compare with
        #[arg(long)]
        open_loop: Option<String>,
        /// forecasts issued from here; the window's begin when absent
        #[arg(long)]
        from: Option<Timestamp>,
        /// and verified up to here; the window's end when absent
        #[arg(long)]
        to: Option<Timestamp>,
        /// folder for the files
        #[arg(long)]
        out: PathBuf,
    },
    /// Report every problem of a definition, with its path in the file
    Validate(Definition),
    /// What the sources of a definition have given
    Sources {
        #[command(subcommand)]
        command: Sources,
    },
    /// Print a commented definition to start from, or with --reference every key that a definition may have
    Config {
        /// every key: its type, its default and what it means
        #[arg(long)]
        reference: bool,
    },
    /// Bring the log in log.store to the cluster of log.kafka, with its positions, so that every role goes on from its snapshot
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// What lies in a store
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// The state that forecasts go on from
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
    /// The topics of a log on Kafka (section log.kafka)
    Topics {
        #[command(subcommand)]
        command: Topics,
    },
    /// Model packages: which there are, what their cards say, whether golden vectors and physics hold
    Models {
        #[command(subcommand)]
        command: Models,
    },
}

#[derive(Subcommand)]
enum Sources {
    /// Say of each source its last row, its last arrival, how many rows were used, late and dead letters, and since when it is silent
    Status(Definition),
}

#[derive(Subcommand)]
enum LogCommand {
    /// Copy what the topics do not have yet; no role may run meanwhile
    Copy(Definition),
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Open every segment and snapshot, and change nothing; exit code 0 where all is there, 3 where the next start mends what is lost, 4 where
    /// something stays lost
    Check {
        /// the store, as log.store or hindcast --out names it
        store: String,
    },
}

#[derive(Subcommand)]
enum StateCommand {
    /// Say what the newest snapshot of each partition holds
    Show {
        /// the store, as log.store or hindcast --out names it
        store: String,
    },
    /// Say what a definition would make of it: which catchments go on, begin or go, and what cannot go on; exit code 0 where all of it can, 3 where
    /// a part begins anew only if --accept-state-loss says so, 4 where it does not serve
    Diff {
        /// the store, as log.store or hindcast --out names it
        store: String,
        #[command(flatten)]
        definition: Definition,
    },
}

#[derive(Subcommand)]
enum Topics {
    /// Make those that are absent
    Create(Definition),
    /// Say what is wrong with them
    Check(Definition),
}

/// What this process does.
#[derive(Args)]
struct Roles {
    /// only these, by commas, where others run as processes of their own (needs log.kafka); all when absent
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    stages: Vec<RoleKind>,
}

#[derive(Subcommand)]
enum Models {
    /// A line a package
    List {
        /// folder of packages
        #[arg(default_value = "models/zoo")]
        zoo: PathBuf,
    },
    /// The card of a package whose files are what it says
    Show {
        /// folder of the package
        package: PathBuf,
    },
    /// Put a package into the store of a pipeline, which goes on with it from its next tick on
    Publish {
        /// folder of the package or the blend
        package: PathBuf,
        /// the store, as log.store names it
        #[arg(long)]
        store: String,
        /// why it takes the place of the one before; stays in the log
        #[arg(long)]
        reason: String,
        /// who says so; stays in the log
        #[arg(long, env = "USER", default_value = "unknown")]
        author: String,
        /// event time of the first tick from which on it may be in force; the next one when absent
        #[arg(long)]
        from: Option<Timestamp>,
    },
    /// Run golden vectors and physics probes
    Check {
        /// folder of the package
        package: PathBuf,
        /// ONNX Runtime's shared library; found as the pipelines find it when absent
        #[arg(long)]
        library: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Definition {
    /// pipeline definition (TOML)
    definition: PathBuf,
    /// override a key, as forecast.scenario=zero; paths are relative to the working folder
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Definition {
    fn load(&self) -> Result<Pipeline> {
        self.load_with(Vec::new())
    }

    /// To be run: what it says without effect is in the log.
    fn load_to_run(&self, overrides: Vec<String>) -> Result<Pipeline> {
        let pipeline = self.load_with(overrides)?;
        for warning in &pipeline.warnings {
            tracing::warn!("{warning}");
        }
        Ok(pipeline)
    }

    /// With overrides of the command's own options, which --set overrides in turn.
    fn load_with(&self, mut overrides: Vec<String>) -> Result<Pipeline> {
        overrides.extend_from_slice(&self.set);
        Ok(Pipeline::load(&self.definition, &overrides)?)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.json_logs);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(execute(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<ExitCode> {
    if let Command::Store { command: StoreCommand::Check { store } } = &command {
        let (text, code) = store_check::check(store).await?;
        print!("{text}");
        return Ok(code);
    }
    if let Command::State { command: StateCommand::Diff { store, definition } } = &command {
        let (text, code) = state::diff(store, &definition.load()?).await?;
        print!("{text}");
        return Ok(code);
    }
    perform(command).await.map(|()| ExitCode::SUCCESS)
}

async fn perform(command: Command) -> Result<()> {
    match command {
        Command::Store { .. } | Command::State { command: StateCommand::Diff { .. } } => Ok(()),
        Command::State { command: StateCommand::Show { store } } => {
            print!("{}", state::show(&store).await?);
            Ok(())
        }
        Command::Run { definition, accept, roles } => {
            let pipeline = definition.load_to_run(Vec::new())?;
            let opening = Opening::of(&pipeline, "run", accept).await?;
            let clock = Clock::wall(pipeline.time.tick_s(), pipeline.operations.catch_up);
            Run::new(opening, pipeline, clock, Mode::Live, &roles.stages).await?.until_the_end(true).await
        }
        Command::Replay { definition, speed, serve, accept, roles } => {
            let mut pipeline = definition.load_to_run(Vec::new())?;
            hindcast::begin_where_forcing_does(&mut pipeline)?;
            let clock = replay_clock(&pipeline, speed);
            let opening = Opening::of(&pipeline, "replay", accept).await?;
            Run::new(opening, pipeline, clock, Mode::Replay, &roles.stages).await?.until_the_end(serve).await
        }
        Command::Hindcast { definition, out, options } => {
            hindcast::hindcast(definition.load_to_run(options.overrides())?, &out).await
        }
        Command::Report { definition, open_loop, from, to, out } => {
            let pipeline = definition.load()?;
            let request = report::Request {
                archive: archive(&pipeline.log.store).await?,
                open_loop: match &open_loop {
                    Some(store) => Some(archive(store).await?),
                    None => None,
                },
                from: from.unwrap_or(pipeline.time.from),
                to: to.unwrap_or(pipeline.time.to),
                out,
            };
            println!("{}", report::report(&pipeline, &request).await?);
            Ok(())
        }
        Command::Explain { station, time, store } => {
            let request = explain::Request { archive: archive(&store).await?, station, time };
            print!("{}", explain::explain(&request).await?);
            Ok(())
        }
        Command::Verify { store, observations, nearest, from, to, leave_out, out } => {
            let names = match &leave_out {
                Some(path) => {
                    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", show(path)))?
                }
                None => String::new(),
            };
            let request = verify::Request {
                archive: archive(&store).await?,
                observations,
                align: if nearest { Alignment::Nearest } else { Alignment::Interpolate },
                from: from.unwrap_or(Timestamp::MIN),
                to: to.map_or(Timestamp(i64::MAX), |to| to.0),
                leave_out: names.split_whitespace().map(str::to_owned).collect(),
                out: match (out, store.strip_prefix("file://").unwrap_or(&store)) {
                    (Some(out), _) => out,
                    (None, remote) if remote.contains("://") => {
                        anyhow::bail!("{store} is no folder here; say with --out where the scores go")
                    }
                    (None, folder) => Path::new(folder).join("verification"),
                },
            };
            print!("{}", verify::verify(&request).await?);
            Ok(())
        }
        Command::Validate(definition) => {
            let mut pipeline = definition.load()?;
            hindcast::begin_where_forcing_does(&mut pipeline)?;
            // What only opening shows: traced catchments, readable sources, a model that loads.
            let sources = roles::rehearse(&pipeline)?;
            let mut warnings = pipeline.warnings.clone();
            warnings.extend(coverage::without_rows(&pipeline, Mode::Replay, &sources));
            for warning in &warnings {
                println!("warning: {warning}");
            }
            let found = match warnings.len() {
                0 => "no problem found".to_owned(),
                1 => "no problem found, 1 warning".to_owned(),
                many => format!("no problem found, {many} warnings"),
            };
            println!("{}: {found}", show(&definition.definition));
            Ok(())
        }
        Command::Sources { command: Sources::Status(definition) } => {
            print!("{}", sources_status::status(&definition.load()?).await?);
            Ok(())
        }
        Command::Config { reference } => {
            if reference {
                print!("{}", reference::markdown());
            } else {
                print!("{EXAMPLE}");
            }
            Ok(())
        }
        Command::Log { command: LogCommand::Copy(definition) } => {
            let pipeline = definition.load()?;
            print!("{}", topics::copy(&pipeline.log.store, on_kafka(&pipeline)?, pipeline.log.partitions).await?);
            Ok(())
        }
        Command::Topics { command } => {
            let (Topics::Create(definition) | Topics::Check(definition)) = &command;
            let pipeline = definition.load()?;
            let (kafka, partitions) = (on_kafka(&pipeline)?, pipeline.log.partitions);
            let said = match command {
                Topics::Create(_) => topics::create(kafka, partitions).await?,
                Topics::Check(_) => topics::check(kafka, partitions).await?,
            };
            print!("{said}");
            Ok(())
        }
        Command::Models { command } => {
            let text = match command {
                Models::List { zoo } => models::list(&zoo)?,
                Models::Show { package } => models::show(&package)?,
                Models::Publish { package, store, reason, author, from } => {
                    let request = publishing::Request { package: &package, store: &store, reason, author, from };
                    publishing::publish(request).await?
                }
                Models::Check { package, library } => models::check(&package, library.as_deref())?,
            };
            print!("{text}");
            Ok(())
        }
    }
}

fn replay_clock(pipeline: &Pipeline, speed: Option<f64>) -> Clock {
    let time = &pipeline.time;
    Clock::Replay { from: time.from, to: time.to, every_s: time.tick_s(), speed }
}

fn on_kafka(pipeline: &Pipeline) -> Result<&KafkaOptions> {
    pipeline.log.kafka.as_ref().context("log.kafka is absent; accepted is a section that names the cluster")
}

async fn archive(store: &str) -> Result<std::sync::Arc<dyn object_store::ObjectStore>> {
    Ok(storage::below(&storage::look(store, &[storage::ARCHIVE]).await?, storage::ARCHIVE))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn start_logging(json: bool) {
    // Our own crates from info, others from warn; RUST_LOG overrides.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,nilometer=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { builder.json().init() } else { builder.with_target(false).init() }
}
