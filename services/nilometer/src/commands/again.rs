//! Again: which forecast of a store is made again, and whether it is what was issued.

use anyhow::Result;
use nilometer_definitions::Pipeline;
use nilometer_forecast::{SandboxDependencies, require_same};
use nilometer_schemas::{Forecasts, Timestamp};

use super::definition::Definition;

#[derive(clap::Args)]
pub struct Again {
    #[command(flatten)]
    definition: Definition,
    /// catchment whose forecast it is
    pub station: String,
    /// its issue time, as 2014-11-04T20:00:00Z
    pub issue: Timestamp,
    /// the store, as `hindcast --out` named it; log.store of the definition when absent
    #[arg(long)]
    store: Option<String>,
}

impl Again {
    /// The definition, on the store that is named.
    pub fn pipeline(&self) -> Result<Pipeline> {
        let mut pipeline = self.definition.load()?;
        if let Some(store) = &self.store {
            pipeline.log.store.clone_from(store);
        }
        Ok(pipeline)
    }

    /// What the forecast is made again from.
    pub async fn sandbox(&self, pipeline: &Pipeline) -> Result<SandboxDependencies> {
        nilometer_pipeline::sandbox(pipeline, &self.station).await
    }
}

/// Refuses what differs from what was issued. What the archive does not have yet cannot be compared, which is said.
pub async fn compare(pipeline: &Pipeline, station: &str, made: &Forecasts) -> Result<()> {
    let issue = Timestamp(made.issue_time().value(0));
    match nilometer_pipeline::issued(pipeline, station, issue).await? {
        Some(issued) => Ok(require_same(&issued, made)?),
        None => {
            tracing::warn!(%issue, "the archive does not have the forecast: what is made again is not compared with it");
            Ok(())
        }
    }
}
