//! The binary: commands in, exit code out.

mod commands;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use commands::Command;

/// Batches are made by one thread and dropped by another, which the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    match runtime.block_on(cli.command.run()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(json: bool) {
    // Our own crates from info, others from warn; RUST_LOG overrides.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,nilometer=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { builder.json().init() } else { builder.with_target(false).init() }
}
