//! Sandbox: what the forecasts of a store are made again from. Nothing is changed.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::{
    array::BooleanArray,
    compute::{concat_batches, filter_record_batch},
};
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::{EmbeddedLog, Log, Metrics, Snapshots};
use nilometer_forecast::{Packages, SandboxDependencies};
use nilometer_packages::PackageStore;
use nilometer_schemas::{Contract, Forecasts, Timestamp};

use crate::{
    role::forecast::ROLE,
    roles::{self, KEEP},
    storage::{self, LOG, SNAPSHOTS},
    topics,
};

/// What the forecasts of a station are made again from, by the definition and the store that it names.
///
/// # Errors
/// When the store, the log, the station or ONNX Runtime is not there.
pub async fn sandbox(pipeline: &Pipeline, station: &str) -> Result<SandboxDependencies> {
    let parts = Partitioning::new(pipeline);
    let known = pipeline.catchments.iter().any(|catchment| catchment.id == station);
    anyhow::ensure!(known, "the definition has no catchment {station}");
    let partition = parts.of_catchment(station);
    let metrics = Metrics::unregistered();
    let log: Arc<dyn Log> = match &pipeline.log.kafka {
        Some(options) => topics::connect(options, pipeline.log.partitions, &metrics).await?,
        None => Arc::new(EmbeddedLog::new(storage::look(&pipeline.log.store, &[LOG]).await?, LOG, &metrics)),
    };
    let store = storage::look(&pipeline.log.store, &[SNAPSHOTS]).await?;
    Ok(SandboxDependencies {
        pipeline: parts.part(partition).context("the partition has no catchments")?.clone(),
        partition,
        log,
        snapshots: Snapshots::new(store.clone(), SNAPSHOTS, ROLE.name, KEEP).of_partition(partition),
        runtime: roles::runtime(pipeline)?,
        models: pipeline.models.clone(),
        packages: Packages::new(PackageStore::new(store), &pipeline.models),
    })
}

/// The forecast of a station as it was issued, of the store's archive; none where the archive does not have it, as behind the newest messages.
///
/// # Errors
/// When the archive cannot be read.
pub async fn issued(pipeline: &Pipeline, station: &str, issue: Timestamp) -> Result<Option<Forecasts>> {
    let archive = storage::archive(&pipeline.log.store).await?;
    let mut found = Vec::new();
    nilometer_archive::visit::<anyhow::Error>(&*archive, Contract::Forecast, Some((issue, issue)), |batch| {
        let rows = Forecasts::try_from(batch)?;
        let is_it = |row| rows.catchment().value(row) == station && rows.issue_time().value(row) == issue.0;
        let mask: BooleanArray = (0..rows.len()).map(|row| Some(is_it(row))).collect();
        found.push(filter_record_batch(rows.batch(), &mask)?);
        Ok(())
    })
    .await?;
    let rows = Forecasts::try_from(concat_batches(&Contract::Forecast.schema(), &found)?)?;
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}
