//! `nilometer store check`.

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Open every segment and snapshot, and change nothing; exit code 0 where all is there, 3 where the next start mends what is lost, 4 where
    /// something stays lost
    Check {
        /// the store, as log.store or hindcast --out names it
        store: String,
    },
}

pub async fn run(Arguments::Check { store }: Arguments) -> Result<ExitCode> {
    let (text, code) = nilometer_pipeline::check_store(&store).await?;
    print!("{text}");
    Ok(code)
}
