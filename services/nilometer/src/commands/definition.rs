//! The definition of a command: a file, and keys that it overrides.

use std::path::PathBuf;

use anyhow::{Context, Result};
use nilometer_definitions::Pipeline;
use nilometer_engine::KafkaOptions;

#[derive(clap::Args)]
pub struct Definition {
    /// pipeline definition (TOML)
    pub definition: PathBuf,
    /// override a key, as forecast.scenario=zero; paths are relative to the working folder
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Definition {
    pub fn load(&self) -> Result<Pipeline> {
        self.load_with(Vec::new())
    }

    /// To be run: what it says without effect is in the log.
    pub fn load_to_run(&self, overrides: Vec<String>) -> Result<Pipeline> {
        let pipeline = self.load_with(overrides)?;
        for warning in &pipeline.warnings {
            tracing::warn!("{warning}");
        }
        Ok(pipeline)
    }

    /// With overrides of the command's own options, which --set overrides in turn.
    fn load_with(&self, mut overrides: Vec<String>) -> Result<Pipeline> {
        overrides.extend_from_slice(&self.set);
        Ok(Pipeline::load(&self.definition, &overrides)?)
    }
}

/// The section of the cluster.
pub fn on_kafka(pipeline: &Pipeline) -> Result<&KafkaOptions> {
    pipeline.log.kafka.as_ref().context("log.kafka is absent; accepted is a section that names the cluster")
}
