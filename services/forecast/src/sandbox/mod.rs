//! Sandbox: forecasts made again, or made otherwise, from the log and the snapshots. It reads them and writes nothing: it has no outbox, and what
//! leads to a snapshot in operations leads to none here.
//!
//! ```text
//! snapshot ──ticks──▶ state at a time ──the ticks behind it, of which some rows count──▶ a forecast ──▶ Explanation
//!                                     └─the ticks behind it, with other weather────────▶ a forecast ──▶ WhatIf
//! ```

mod explain;
mod what_if;

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, RecordBatch, StringArray},
    compute::filter_record_batch,
};
use nilometer_definitions::Pipeline;
use nilometer_engine::{Columns, Lifecycle, Log, Snapshot, SnapshotError, Snapshots, Stop};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{Analyses, Events, Forecasts, QUANTILE_LEVELS, SchemaError, Timestamp, quantile_column};

pub use self::{
    explain::{Explanation, Part, Stage, explain},
    what_if::{Rain, WhatIf, what_if},
};
use crate::{
    ForecastError, Packages,
    publication::Pending,
    replay::{Known, Replay, ReplayDependencies, Taken, is_whole},
    setting::Setting,
    state::{Stored, StoredState, current},
    tick::Tick,
    weather_change::WeatherChange,
};

/// What a partition's forecasts are made again from.
#[derive(Clone)]
pub struct SandboxDependencies {
    /// the definition with the catchments of the partition
    pub pipeline: Arc<Pipeline>,
    /// the partition
    pub partition: u32,
    /// what is read
    pub log: Arc<dyn Log>,
    /// those of the role
    pub snapshots: Snapshots,
    /// ONNX Runtime
    pub runtime: Runtime,
    /// the definition's
    pub models: Mixture,
    /// those that the log names
    pub packages: Packages,
}

/// Why a forecast cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// the state of that time is gone
    #[error(
        "the state before {time} is gone: {}; accepted is a time behind that, as far as log.retention and the snapshots reach back",
        oldest.map_or_else(|| "there is no snapshot".to_owned(), |oldest| format!("the oldest snapshot is of {oldest}"))
    )]
    StateGone {
        /// the time that was asked about
        time: Timestamp,
        /// the oldest snapshot
        oldest: Option<Timestamp>,
    },
    /// no forecast was issued then
    #[error("no forecast of {catchment} was issued at {time}; accepted is a time at which one was, every {every}")]
    NotIssued {
        /// of which catchment
        catchment: String,
        /// the time that was asked about
        time: Timestamp,
        /// how often they are issued
        every: String,
    },
    /// what was made again is something else
    #[error(
        "the forecast of {issue} cannot be made again as it was issued: the definition, or the build, has changed since; accepted is an issue made since then"
    )]
    Differs {
        /// the issue
        issue: Timestamp,
    },
    /// what was asked means nothing
    #[error("{0}")]
    Question(String),
    /// the state or a model failed
    #[error(transparent)]
    Forecast(#[from] ForecastError),
}

impl From<SnapshotError> for SandboxError {
    fn from(error: SnapshotError) -> Self {
        Self::Forecast(error.into())
    }
}

impl From<SchemaError> for SandboxError {
    fn from(error: SchemaError) -> Self {
        Self::Forecast(error.into())
    }
}

/// How ticks are taken otherwise than in operations.
#[derive(Default)]
struct Otherwise<'a> {
    /// takes rows out of a tick
    filter: Option<&'a (dyn Fn(&mut Tick) + Sync)>,
    /// the forecast is made also where the rows that led to it between two that are due have been taken out
    always_issues: bool,
    /// behind this time calibration learns nothing
    calibrates_until: Option<Timestamp>,
    /// other weather
    change: Option<WeatherChange>,
}

/// What ticks have led to.
struct Made {
    /// of the last of them, and of one catchment
    forecasts: Forecasts,
    events: Events,
    /// of all of them
    analyses: Vec<Analyses>,
}

/// A state of a partition, and the ticks behind it.
struct Sandbox {
    setting: Arc<Setting>,
    replay: Replay,
    stop: Stop,
    catchment: String,
}

impl Sandbox {
    /// The newest state that is not behind `time` and knows nothing of what came later.
    async fn open(dependencies: SandboxDependencies, catchment: &str, time: Timestamp) -> Result<Self, SandboxError> {
        let SandboxDependencies { pipeline, partition, log, snapshots, runtime, models, packages } = dependencies;
        if !pipeline.catchments.iter().any(|known| known.id == catchment) {
            return Err(SandboxError::Question(format!("the definition has no catchment {catchment}")));
        }
        let setting = Arc::new(Setting::new(pipeline, partition)?);
        let as_saved = |found: &Snapshot<Stored>| found.content.current().is_some_and(|state| state.is_as_saved());
        let newest = snapshots.newest_before(time.0 + 1, as_saved).await?;
        if newest.is_none() && !is_whole(&*log, &setting).await? {
            let oldest = snapshots.oldest::<Stored>().await?.map(|oldest| Timestamp(oldest.ordinal));
            return Err(SandboxError::StateGone { time, oldest });
        }
        let from = ReplayDependencies { log, snapshots, runtime, models, packages };
        let replay = Replay::resume(setting.clone(), from, newest, &[], Known::ByThen).await?;
        // What is asked for is in the log: where its inputs end nothing is waited for.
        let mut lifecycle = Lifecycle::new();
        let stop = lifecycle.next_role();
        lifecycle.complete(0);
        Ok(Self { setting, replay, stop, catchment: catchment.to_owned() })
    }

    /// The state as it is.
    async fn state(&mut self) -> Result<(StoredState, Columns), SandboxError> {
        let (stored, columns) = self.replay.compute(|state| state.store()).await?;
        Ok((*current(stored).map_err(ForecastError::from)?, columns))
    }

    /// Takes the ticks up to `time`; gives the forecast that is issued there.
    async fn forecast_at(&mut self, time: Timestamp, otherwise: &Otherwise<'_>) -> Result<Made, SandboxError> {
        let every = self.setting.pipeline.forecast.every.to_string();
        let not_issued = SandboxError::NotIssued { catchment: self.catchment.clone(), time, every };
        let (mut pending, mut analyses) = (Pending::default(), Vec::new());
        loop {
            let Some(mut tick) = self.replay.next_tick(&self.stop).await? else { return Err(not_issued) };
            if tick.time > time {
                return Err(not_issued);
            }
            if let Some(filter) = otherwise.filter {
                filter(&mut tick);
            }
            let trial = self.replay.trial();
            trial.holds_calibration = otherwise.calibrates_until.is_some_and(|until| tick.time > until);
            trial.issues = otherwise.always_issues && tick.time == time;
            trial.change.clone_from(&otherwise.change);
            match self.replay.take(tick).await? {
                Taken::WentBack => pending = Pending::default(),
                Taken::Again { outputs, to, unplaced, .. } => {
                    pending.keep(outputs, to, &unplaced, &self.setting, self.replay.state().late_rows())?;
                }
                Taken::New { outputs, .. } => {
                    let reached = outputs.tick;
                    let published = pending.publish(outputs)?;
                    analyses.extend(published.analyses);
                    if reached == time {
                        let Some(forecasts) = published.forecasts else { return Err(not_issued) };
                        let forecasts = Forecasts::try_from(self.only(forecasts.batch())?)?;
                        let events = Events::try_from(self.only(published.events.batch())?)?;
                        if forecasts.is_empty() {
                            return Err(not_issued);
                        }
                        return Ok(Made { forecasts, events, analyses });
                    }
                }
            }
        }
    }

    /// The rows of the catchment.
    fn only(&self, rows: &RecordBatch) -> Result<RecordBatch, SandboxError> {
        let named = rows.column_by_name("catchment").and_then(|names| names.as_any().downcast_ref::<StringArray>());
        let Some(named) = named else { return Ok(rows.slice(0, 0)) };
        let mask: BooleanArray = named.iter().map(|name| Some(name == Some(&*self.catchment))).collect();
        Ok(filter_record_batch(rows, &mask).map_err(ForecastError::from)?)
    }
}

/// Refuses what was not made again as it was issued: a split of something else would explain nothing.
///
/// # Errors
/// [`SandboxError::Differs`] where a valid time, a mean or a quantile does.
pub fn require_same(issued: &Forecasts, made: &Forecasts) -> Result<(), SandboxError> {
    let columns = QUANTILE_LEVELS.map(quantile_column).into_iter().chain(["mean".to_owned(), "valid_time".to_owned()]);
    let same = |name: String| issued.batch().column_by_name(&name) == made.batch().column_by_name(&name);
    if !issued.is_empty() && columns.into_iter().all(same) {
        return Ok(());
    }
    Err(SandboxError::Differs { issue: Timestamp(made.issue_time().value(0)) })
}
