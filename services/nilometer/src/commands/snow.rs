//! `nilometer snow`.

use std::path::PathBuf;

use anyhow::Result;
use nilometer_pipeline::archive;
use nilometer_schemas::Timestamp;
use nilometer_verification::Snow;

#[derive(clap::Args)]
pub struct Arguments {
    /// the store, as log.store or hindcast --out names it
    store: String,
    /// a Parquet file of what was observed, or a folder of them
    #[arg(long)]
    observed: PathBuf,
    /// its column of the catchment
    #[arg(long, default_value = "basin")]
    catchment: String,
    /// its column of the day
    #[arg(long, default_value = "date")]
    day: String,
    /// its column of the snow water equivalent
    #[arg(long)]
    value: String,
    /// millimetres of one of its units
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// days from here
    #[arg(long)]
    from: Timestamp,
    /// to here
    #[arg(long)]
    to: Timestamp,
    /// file for a table of every catchment
    #[arg(long)]
    out: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { store, observed, catchment, day, value, scale, from, to, out } = arguments;
    let archive = archive(&store).await?;
    let request = Snow { archive, observed, columns: [catchment, day, value], scale, from, to, out };
    print!("{}", nilometer_verification::snow(&request).await?);
    Ok(())
}
