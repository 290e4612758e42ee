//! `nilometer verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nilometer_definitions::Alignment;
use nilometer_pipeline::{archive, is_remote};
use nilometer_schemas::Timestamp;
use nilometer_verification::Verification;

use super::hindcast::Until;

#[derive(clap::Args)]
pub struct Arguments {
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
    to: Option<Until>,
    /// file of catchments that do not count, separated by blanks or lines
    #[arg(long)]
    leave_out: Option<PathBuf>,
    /// folder for scores.csv and scores.parquet; verification below the store when absent
    #[arg(long)]
    out: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { store, observations, nearest, from, to, leave_out, out } = arguments;
    let names = match &leave_out {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => String::new(),
    };
    let verification = Verification {
        archive: archive(&store).await?,
        observations,
        align: if nearest { Alignment::Nearest } else { Alignment::Interpolate },
        from: from.unwrap_or(Timestamp::MIN),
        to: to.map_or(Timestamp(i64::MAX), |to| to.0),
        leave_out: names.split_whitespace().map(str::to_owned).collect(),
        out: match out {
            Some(out) => out,
            None if is_remote(&store) => bail!("{store} is no folder here; say with --out where the scores go"),
            None => Path::new(store.strip_prefix("file://").unwrap_or(&store)).join("verification"),
        },
    };
    print!("{}", nilometer_verification::verify(&verification).await?);
    Ok(())
}
