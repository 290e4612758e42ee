//! `nilometer ledger`.

use anyhow::Result;
use nilometer_pipeline::archive;
use nilometer_schemas::Timestamp;
use nilometer_verification::LedgerRequest;

#[derive(clap::Args)]
pub struct Arguments {
    /// station whose observation it was
    station: String,
    /// its valid time, as 2014-11-04T06:00:00Z
    time: Timestamp,
    /// the store, as `hindcast --out` or log.store named it
    #[arg(long, default_value = "demo-out")]
    store: String,
}

pub async fn run(Arguments { station, time, store }: Arguments) -> Result<()> {
    let request = LedgerRequest { archive: archive(&store).await?, station, time };
    print!("{}", nilometer_verification::ledger(&request).await?);
    Ok(())
}
