//! `nilometer log copy`.

use anyhow::Result;

use super::definition::{Definition, on_kafka};

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Copy what the topics do not have yet; no role may run meanwhile
    Copy(Definition),
}

pub async fn run(Arguments::Copy(definition): Arguments) -> Result<()> {
    let pipeline = definition.load()?;
    let (store, partitions) = (&pipeline.log.store, pipeline.log.partitions);
    print!("{}", nilometer_pipeline::copy_log(store, on_kafka(&pipeline)?, partitions).await?);
    Ok(())
}
