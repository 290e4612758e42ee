//! `nilometer thresholds`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nilometer_pipeline::archive;
use nilometer_verification::{Family, ReturnPeriods};

use super::definition::Definition;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    definition: Definition,
    /// stations; all of the definition when absent
    stations: Vec<String>,
    /// folder of many catchments (source.kind = camels or nwrfc) with what the gauges read; when absent the store's own observations
    #[arg(long)]
    observations: Option<PathBuf>,
    /// CSV with the columns date and discharge_m3_s: the instantaneous annual peaks of one station
    #[arg(long, conflicts_with = "observations")]
    peaks: Option<PathBuf>,
    /// month with which a year of floods begins: 10 for the water year of the United States
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=12))]
    first_month: u8,
    /// whose values become thresholds: gev, or lp3 for log-Pearson III
    #[arg(long, default_value = "gev", value_parser = family)]
    family: Family,
    /// CSV of thresholds, for the section "stations" of a definition
    #[arg(long)]
    write: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { definition, stations, observations, peaks, first_month, family, write } = arguments;
    let pipeline = definition.load()?;
    let known = || pipeline.catchments.iter().map(|c| (c.station().to_owned(), c.name().to_owned()));
    if let Some(unknown) = stations.iter().find(|station| !known().any(|(known, _)| known == **station)) {
        let all: Vec<String> = known().map(|(station, _)| station).take(20).collect();
        bail!("{unknown} is no station of the definition; accepted are {}", all.join(", "));
    }
    let stations = known().filter(|(known, _)| stations.is_empty() || stations.contains(known)).collect();
    let archive = match (&observations, &peaks) {
        (None, None) => Some(archive(&pipeline.log.store).await?),
        _ => None,
    };
    let request = ReturnPeriods { archive, observations, peaks, stations, first_month, family, write };
    print!("{}", nilometer_verification::return_periods(&request).await?);
    Ok(())
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "gev" => Ok(Family::Gev),
        "lp3" => Ok(Family::LogPearson3),
        _ => Err("accepted is gev or lp3".to_owned()),
    }
}
