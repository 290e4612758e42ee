//! The binary: commands in, exit code out.

mod commands;
mod logging;
mod progress;

use std::process::ExitCode;

use clap::Parser;

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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fails(format!("no runtime: {error}")),
    };
    // What sends traces does so on the runtime.
    let entered = runtime.enter();
    let _traces = match logging::start(cli.json_logs) {
        Ok(traces) => traces,
        Err(error) => return fails(format!("no traces: {error}; unset OTEL_EXPORTER_OTLP_ENDPOINT to do without")),
    };
    drop(entered);
    runtime.block_on(cli.command.run()).unwrap_or_else(|error| fails(format!("{error:#}")))
}

fn fails(why: String) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
