//! Forecasts of a window, by catchment and lead time.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use nilometer_schemas::{Contract, Forecasts, QUANTILE_LEVELS, STAGE_LEVELS, Timestamp};
use object_store::ObjectStore;

use crate::{ArchiveError, visit};

/// One lead time of one forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// reference time
    pub issue_time: Timestamp,
    /// end of the period forecast
    pub valid_time: Timestamp,
    /// m³ s⁻¹
    pub mean: f64,
    /// what the models say before any correction, m³ s⁻¹; the mean where an earlier build has forecast
    pub simulated: f64,
    /// of each level of [`QUANTILE_LEVELS`], m³ s⁻¹
    pub quantiles: [f64; QUANTILE_LEVELS.len()],
    /// the same in stage, where the gauge has a rating
    pub stage: Option<StageOutlook>,
}

/// The stages of a forecast of a rated gauge.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOutlook {
    /// of each level of [`STAGE_LEVELS`], m above the gauge's datum
    pub stage_m: [f64; STAGE_LEVELS.len()],
    /// the agency's name of the rating
    pub rating_version: String,
    /// whether a stage lies outside those at which discharge was measured
    pub extrapolated: bool,
}

/// Forecasts by catchment and lead time in seconds, in the order of their issue times.
pub type Forecasted = BTreeMap<String, BTreeMap<i64, Vec<Forecast>>>;

/// Forecasts issued from `from` to `to`.
///
/// # Errors
/// [`ArchiveError`] where the archive cannot be read.
pub async fn forecasts(store: &dyn ObjectStore, from: Timestamp, to: Timestamp) -> Result<Forecasted, ArchiveError> {
    let mut found = Forecasted::new();
    visit(store, Contract::Forecast, Some((from, to)), |batch| {
        let rows = Forecasts::try_from(batch)?;
        let columns = QUANTILE_LEVELS.map(|level| rows.quantile(level).clone());
        let stages = STAGE_LEVELS.map(|level| rows.stage(level).clone());
        let stage = |row| StageOutlook {
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
                simulated: if rows.simulated().is_valid(row) { rows.simulated() } else { rows.mean() }.value(row),
                quantiles: std::array::from_fn(|q| columns[q].value(row)),
                stage: rows.rating_version().is_valid(row).then(|| stage(row)),
            };
            let leads = found.entry(rows.catchment().value(row).to_owned()).or_default();
            leads.entry(rows.lead_time_s().value(row)).or_default().push(forecast);
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}
