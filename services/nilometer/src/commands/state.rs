//! `nilometer state show` and `nilometer state diff`.

use std::process::ExitCode;

use anyhow::Result;

use super::definition::Definition;

#[derive(clap::Subcommand)]
pub enum Arguments {
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

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let (text, code) = match arguments {
        Arguments::Show { store } => (nilometer_pipeline::show(&store).await?, ExitCode::SUCCESS),
        Arguments::Diff { store, definition } => nilometer_pipeline::diff(&store, &definition.load()?).await?,
    };
    print!("{text}");
    Ok(code)
}
