//! Explain: how a forecast came to differ from an earlier one. The ticks between the two are taken several times, each time with one part more of
//! what they brought; what a part changed is the difference of two forecasts, and all differences together are the whole change.

use nilometer_schemas::{Analyses, Events, Forecasts, Timestamp};

use super::{Otherwise, Sandbox, SandboxDependencies, SandboxError};
use crate::tick::Tick;

/// What changes a forecast, in the order in which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// time has passed and nothing was learned: the same hour is nearer
    Elapsed,
    /// weather that was observed, and weather forecasts
    Weather,
    /// what gauges and satellites read, as it moves the state and the error that goes on from it
    Gauges,
    /// what the readings have taught about how sure forecasts are
    Calibration,
    /// levels that operators gave thresholds
    Thresholds,
    /// other weights
    Model,
}

impl Part {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 6] =
        [Self::Elapsed, Self::Weather, Self::Gauges, Self::Calibration, Self::Thresholds, Self::Model];

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elapsed => "elapsed",
            Self::Weather => "weather",
            Self::Gauges => "gauges",
            Self::Calibration => "calibration",
            Self::Thresholds => "thresholds",
            Self::Model => "model",
        }
    }

    /// Leaves of a tick what counts up to this part.
    fn filter(self, tick: &mut Tick) {
        if self < Self::Weather {
            tick.forcings.clear();
        }
        if self < Self::Gauges {
            tick.observations.clear();
        }
        if self < Self::Thresholds {
            tick.levels.clear();
        }
        if self < Self::Model {
            tick.models.clear();
        }
    }
}

/// A forecast as it would be with a part, and those before it, of what came in between.
#[derive(Debug)]
pub struct Stage {
    /// the part
    pub part: Part,
    /// of the catchment
    pub forecasts: Forecasts,
    /// the same of its thresholds
    pub events: Events,
}

/// How a forecast came to differ from an earlier one.
#[derive(Debug)]
pub struct Explanation {
    /// of which catchment
    pub catchment: String,
    /// of the forecast
    pub issue_time: Timestamp,
    /// of the earlier one
    pub against: Timestamp,
    /// the earlier forecast
    pub before: Forecasts,
    /// the same of its thresholds
    pub events_before: Events,
    /// one a part; the last is the forecast as it was issued
    pub stages: Vec<Stage>,
    /// what was assimilated in between for the catchment
    pub analyses: Vec<Analyses>,
}

/// Splits the change of a catchment's forecast from the one issued at `against` to the one issued at `issue`.
///
/// # Errors
/// [`SandboxError`] where either was not issued, or its state is gone.
pub async fn explain(
    dependencies: SandboxDependencies,
    catchment: &str,
    issue: Timestamp,
    against: Timestamp,
) -> Result<Explanation, SandboxError> {
    if against >= issue {
        return Err(SandboxError::Question(format!(
            "against is {against} and issue is {issue}; accepted is an earlier issue to hold it against"
        )));
    }
    // The forecast of `against` is made too, so its state is one from before it.
    let mut sandbox = Sandbox::open(dependencies, catchment, Timestamp(against.0 - 1)).await?;
    let before = sandbox.forecast_at(against, &Otherwise::default()).await?;
    let (stored, columns) = sandbox.state().await?;
    let (mut stages, mut analyses) = (Vec::new(), Vec::new());
    for part in Part::ALL {
        sandbox.replay.go_on_from(stored.clone(), columns.clone()).await?;
        // Going back for late rows takes ticks of before again, and these are whole.
        let filter = |tick: &mut Tick| {
            if tick.time > against {
                part.filter(tick);
            }
        };
        let otherwise = Otherwise {
            filter: Some(&filter),
            // With every part it is the forecast that was issued, or there was none.
            always_issues: part < Part::Model,
            calibrates_until: (part < Part::Calibration).then_some(against),
            change: None,
        };
        let made = sandbox.forecast_at(issue, &otherwise).await?;
        stages.push(Stage { part, forecasts: made.forecasts, events: made.events });
        analyses = made.analyses;
    }
    let of_catchment = analyses.iter().map(|rows| Ok(Analyses::try_from(sandbox.only(rows.batch())?)?));
    let analyses = of_catchment.collect::<Result<Vec<_>, SandboxError>>()?;
    Ok(Explanation {
        catchment: catchment.to_owned(),
        issue_time: issue,
        against,
        before: before.forecasts,
        events_before: before.events,
        stages,
        analyses: analyses.into_iter().filter(|rows| !rows.is_empty()).collect(),
    })
}
