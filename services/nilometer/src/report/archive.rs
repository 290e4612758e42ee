//! Reads the archive back: observations and forecasts of a window.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch};
use futures::TryStreamExt;
use nilometer_schemas::{Contract, Flag, Forecasts, Observations, QUANTILE_LEVELS, STAGE_LEVELS, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Observed discharge by station and time, m³ s⁻¹.
pub type Observed = BTreeMap<String, BTreeMap<Timestamp, f64>>;

/// One lead time of one forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub issue_time: Timestamp,
    pub valid_time: Timestamp,
    pub mean: f64,
    pub quantiles: [f64; QUANTILE_LEVELS.len()],
    pub stage: Option<RoleKind>,
}

/// The stages of a forecast of a rated gauge.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleKind {
    /// of each level of [`STAGE_LEVELS`]
    pub stage_m: [f64; STAGE_LEVELS.len()],
    pub rating_version: String,
    pub extrapolated: bool,
}

/// Forecasts by catchment and lead time in seconds, in the order of their issue times.
pub type Forecasted = BTreeMap<String, BTreeMap<i64, Vec<Forecast>>>;

/// Visits every batch of a contract, in key order; of the objects whose date lies in `dates` where there are any. Gives how many
/// objects there were.
pub async fn visit(
    store: &dyn ObjectStore,
    contract: Contract,
    dates: Option<(Timestamp, Timestamp)>,
    mut visitor: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<usize> {
    let folder = Path::from(contract.topic());
    let wanted = dates.map(|(from, to)| (format!("date={}", from.date()), format!("date={}", to.date())));
    let mut keys: Vec<Path> = store
        .list(Some(&folder))
        .map_ok(|object| object.location)
        .try_filter(|key| {
            let date = key.parts().nth(1).map(|p| p.as_ref().to_owned()).unwrap_or_default();
            std::future::ready(wanted.as_ref().is_none_or(|(first, last)| date >= *first && date <= *last))
        })
        .try_collect()
        .await
        .with_context(|| format!("the archive's {contract} cannot be listed"))?;
    keys.sort();
    for key in &keys {
        let bytes = store.get(key).await?.bytes().await.with_context(|| format!("{key} cannot be read"))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build());
        for batch in reader.with_context(|| format!("{key} is not Parquet"))? {
            visitor(batch.with_context(|| format!("{key} is damaged"))?)?;
        }
    }
    Ok(keys.len())
}

/// Observed discharge valid in the window. What has failed its checks is no observation.
pub async fn observed(store: &Arc<dyn ObjectStore>, from: Timestamp, to: Timestamp) -> Result<Observed> {
    let mut found = Observed::new();
    visit(&**store, Contract::Observation, Some((from, to.plus_s(7 * 86_400))), |batch| {
        let rows = Observations::try_from(batch)?;
        for row in 0..rows.len() {
            let valid_time = Timestamp(rows.valid_time().value(row));
            if rows.variable().value(row) != "discharge" || valid_time < from || valid_time > to {
                continue;
            }
            // What came last counts: a correction, or that a value was withdrawn.
            let series = found.entry(rows.station().value(row).to_owned()).or_default();
            if rows.value().is_valid(row) && rows.flag_of(row) != Flag::Fail {
                series.insert(valid_time, rows.value().value(row));
            } else {
                series.remove(&valid_time);
            }
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Forecasts issued in the window.
pub async fn forecasted(store: &Arc<dyn ObjectStore>, from: Timestamp, to: Timestamp) -> Result<Forecasted> {
    let mut found = Forecasted::new();
    visit(&**store, Contract::Forecast, Some((from, to)), |batch| {
        let rows = Forecasts::try_from(batch)?;
        let columns = QUANTILE_LEVELS.map(|level| rows.quantile(level).clone());
        let stages = STAGE_LEVELS.map(|level| rows.stage(level).clone());
        let stage = |row| RoleKind {
            stage_m: std::array::from_fn(|level| stages[level].value(row)),
            rating_version: rows.rating_version().value(row).to_owned(),
            extrapolated: rows.rating_extrapolated().value(row),
        };
        for row in 0..rows.len() {
            let issue_time = Timestamp(rows.issue_time().value(row));
            if issue_time < from || issue_time > to {
                continue;
            }
            let forecast = Forecast {
                issue_time,
                valid_time: Timestamp(rows.valid_time().value(row)),
                mean: rows.mean().value(row),
                quantiles: std::array::from_fn(|q| columns[q].value(row)),
                stage: rows.rating_version().is_valid(row).then(|| stage(row)),
            };
            let leads = found.entry(rows.catchment().value(row).to_owned()).or_default();
            leads.entry(rows.lead_time_s().value(row)).or_default().push(forecast);
        }
        Ok(())
    })
    .await?;
    Ok(found)
}
