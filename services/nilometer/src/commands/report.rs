//! `nilometer report`.

use std::path::PathBuf;

use anyhow::Result;
use nilometer_pipeline::archive;
use nilometer_schemas::Timestamp;
use nilometer_verification::{Issue, Reporting};

use super::definition::Definition;

#[derive(clap::Args)]
pub struct Arguments {
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
    /// draw the forecast that was issued at this time; the one of 12 hours before the highest peak when absent
    #[arg(long, conflicts_with = "newest")]
    issued: Option<Timestamp>,
    /// draw the newest forecast
    #[arg(long)]
    newest: bool,
    /// times of the stations' own zones instead of UTC
    #[arg(long)]
    local: bool,
    /// folder for the files
    #[arg(long)]
    out: PathBuf,
}

pub async fn run(Arguments { definition, open_loop, from, to, issued, newest, local, out }: Arguments) -> Result<()> {
    let pipeline = definition.load()?;
    let reporting = Reporting {
        archive: archive(&pipeline.log.store).await?,
        open_loop: match &open_loop {
            Some(store) => Some(archive(store).await?),
            None => None,
        },
        from: from.unwrap_or(pipeline.time.from),
        to: to.unwrap_or(pipeline.time.to),
        issued: match (issued, newest) {
            (Some(time), _) => Issue::At(time),
            (None, true) => Issue::Newest,
            (None, false) => Issue::BeforeThePeak,
        },
        local,
        out,
    };
    println!("{}", nilometer_verification::report(&pipeline, &reporting).await?);
    Ok(())
}
