//! `nilometer store`: what lies in a store, and compaction of its archive.

use std::process::ExitCode;

use anyhow::Result;
use nilometer_schemas::Timestamp;

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Open every segment and snapshot, and change nothing; exit code 0 where all is there, 3 where the next start mends what is lost, 4 where
    /// something stays lost
    Check {
        /// the store, as log.store or hindcast --out names it
        store: String,
    },
    /// Make one file of each day of a topic of the archive, and say how many objects and bytes that saves; the store must not be in use
    Compact {
        /// the store, as log.store or hindcast --out names it
        store: String,
        /// days that end by this time, as 2014-11-04; all when absent
        #[arg(long)]
        before: Option<Timestamp>,
    },
}

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let (text, code) = match arguments {
        Arguments::Check { store } => nilometer_pipeline::check_store(&store).await?,
        Arguments::Compact { store, before } => {
            (nilometer_pipeline::compact_store(&store, before).await?, ExitCode::SUCCESS)
        }
    };
    print!("{text}");
    Ok(code)
}
