//! `nilometer topics create` and `nilometer topics check`.

use anyhow::Result;
use nilometer_pipeline::{check_topics, create_topics};

use super::definition::{Definition, on_kafka};

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Make those that are absent
    Create(Definition),
    /// Say what is wrong with them
    Check(Definition),
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let (Arguments::Create(definition) | Arguments::Check(definition)) = &arguments;
    let pipeline = definition.load()?;
    let (kafka, partitions) = (on_kafka(&pipeline)?, pipeline.log.partitions);
    let text = match arguments {
        Arguments::Create(_) => create_topics(kafka, partitions).await?,
        Arguments::Check(_) => check_topics(kafka, partitions).await?,
    };
    print!("{text}");
    Ok(())
}
