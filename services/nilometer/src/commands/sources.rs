//! `nilometer sources status`.

use anyhow::Result;

use super::definition::Definition;

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Say of each source its last row, its last arrival, how many rows were used, late and dead letters, and since when it is silent
    Status(Definition),
}

pub async fn run(Arguments::Status(definition): Arguments) -> Result<()> {
    print!("{}", nilometer_pipeline::status(&definition.load()?).await?);
    Ok(())
}
