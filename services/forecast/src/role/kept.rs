//! What a role keeps of itself in snapshots, how it resumes from the newest, and when it saves the next.

use std::sync::Arc;

use nilometer_assimilation::{DischargeOperator, ErrorFactors, FirstGuessCheck, StageOperator};
use nilometer_definitions::{Catchment, Pipeline, Scenario};
use nilometer_engine::{Balance, DeadLetterLog, Input, Outbox, Partition, Position, SnapshotError, Snapshots};
use nilometer_runtime::{Member, Mixture, Package};
use nilometer_schemas::{AnalysesBuilder, Contract, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use super::{Dependencies, PRODUCER, Role};
use crate::{
    Align, ForecastError, WaterBudget,
    first_guess::FirstGuessChecks,
    foreseen::Foreseen,
    history::History,
    issue::Leads,
    journal::Journal,
    mixture::States,
    parts::operators,
    postprocess::{Postprocessing, WaitingTimes},
    step_readings::StepReadings,
};

/// Everything of the role that a snapshot keeps besides the ensemble's numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// what the state is a state of
    pub(super) identity: String,
    /// last tick that was completed
    pub(super) tick: Timestamp,
    /// the time that the state has reached
    pub(super) state_time: Timestamp,
    pub(super) steps: u64,
    pub(super) filled_steps: u64,
    pub(super) forcing: Position,
    pub(super) observation: Position,
    pub(super) align: Align,
    pub(super) foreseen: Foreseen,
    pub(super) outstanding: WaitingTimes,
    pub(super) balance: Balance,
    pub(super) budgets: Vec<WaterBudget>,
    /// issue time of the newest forecast
    pub(super) issued: Option<Timestamp>,
    pub(super) journal: Journal,
    #[serde(default)]
    pub(super) step_readings: StepReadings,
    /// what each gauge's readings have taught; empty before the first
    #[serde(default)]
    pub(super) first_guess: Vec<FirstGuessCheck>,
}

impl Role {
    pub(super) async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<Self, ForecastError> {
        let identity = identity(&pipeline, &dependencies.models);
        let weather = dependencies.models.first().card().weather();
        let variables: Vec<Variable> = weather.map(|input| input.name.parse()).collect::<Result<_, _>>()?;
        let leads = usize::try_from(pipeline.forecast.horizon.seconds() / pipeline.time.step.seconds()).unwrap_or(0);
        let postprocessing = Postprocessing::new(&pipeline, leads);
        let first = Kept {
            identity: identity.clone(),
            tick: Timestamp::MIN,
            state_time: Timestamp::MIN,
            steps: 0,
            filled_steps: 0,
            forcing: Position::default(),
            observation: Position::default(),
            outstanding: postprocessing.save().1,
            align: Align::new(pipeline.time.step.seconds(), &variables, pipeline.catchments.len()),
            foreseen: Foreseen::new(pipeline.time.step.seconds(), &variables, pipeline.catchments.len()),
            balance: Balance::default(),
            budgets: Vec::new(),
            issued: None,
            journal: Journal::default(),
            step_readings: StepReadings::default(),
            first_guess: Vec::new(),
        };
        let snapshot = dependencies.snapshots.newest::<Kept>().await?;
        let (kept, resumed) = match snapshot {
            Some(s) if s.content.identity != identity => {
                return Err(other(&s.content.identity, &identity));
            }
            Some(s) => {
                tracing::info!(tick = %s.content.tick, state_time = %s.content.state_time, "resuming from a snapshot");
                dependencies.metrics.stage.reached(s.content.tick);
                (s.content, Some(s.numbers))
            }
            None => (first.clone(), None),
        };
        let forcings = input(&dependencies, Contract::Forcing, kept.forcing);
        let observations = input(&dependencies, Contract::Observation, kept.observation);
        for (partition, position) in [&forcings, &observations].map(Input::place) {
            dependencies.metrics.stage.at(partition, position);
        }
        Ok(Self {
            catchments: pipeline.catchments.iter().map(|c| c.id.clone()).collect(),
            place_of_catchment: pipeline.catchments.iter().enumerate().map(|(i, c)| (c.id.clone(), i)).collect(),
            // Of several catchments with one station the first is observed.
            place_of_station: pipeline
                .catchments
                .iter()
                .enumerate()
                .rev()
                .map(|(i, c)| (c.station().to_owned(), i))
                .collect(),
            leads: Leads {
                steps: leads,
                chosen: pipeline.forecast.leads.clone(),
                from: pipeline.forecast.from.unwrap_or(Timestamp::MIN),
                until: pipeline.forecast.until.unwrap_or(Timestamp(i64::MAX)),
            },
            postprocessing,
            history: history(&pipeline, first.align.variables().len()),
            first_guess: FirstGuessChecks::new(&pipeline),
            error_factors: ErrorFactors::new(pipeline.assimilation.error_factors)?,
            stages: stages(&pipeline)?,
            ledger: AnalysesBuilder::default(),
            state: None,
            state_is_current: false,
            resumed,
            forcings,
            observations,
            saved: (kept.tick > Timestamp::MIN).then_some(kept.tick),
            ticks_since_save: 0,
            dead_letters: DeadLetterLog::new(PRODUCER),
            kept,
            first,
            without_weather: false,
            filling: false,
            rewinding_to: None,
            remade: Vec::new(),
            pipeline,
            dependencies,
        })
    }

    /// The state, made before the first tick or restored from the snapshot.
    pub(super) fn ensure_state(&mut self) -> Result<(), ForecastError> {
        if std::mem::replace(&mut self.state_is_current, true) {
            return Ok(());
        }
        let step_s = self.pipeline.time.step.seconds();
        let wait = usize::try_from(self.pipeline.forecast.wait.seconds() / step_s).unwrap_or(0);
        // The state begins before the definition's first step, also in operations: history that is there warms it up.
        let before = self.pipeline.time.from.ceil_s(step_s).plus_s(-step_s);
        let begin = if self.resumed.is_some() { self.kept.state_time } else { before };
        let Dependencies { runtime, models, .. } = &self.dependencies;
        // A state that goes back keeps its sessions, but for the very first, whose members are drawn.
        let mut state = match self.state.take().filter(|_| self.resumed.is_some()) {
            Some(state) => state,
            None => States::new(runtime, models, &self.pipeline, self.leads.steps + wait, begin)?,
        };
        match self.resumed.take() {
            Some(numbers) => {
                let behind = state.restore(&numbers, &self.kept.budgets, self.kept.steps, begin);
                let behind = match &mut self.history {
                    Some(history) => behind.and_then(|behind| history.restore(behind, begin)),
                    None => behind,
                };
                if !behind.is_some_and(|n| self.postprocessing.restore(n, &self.kept.outstanding)) {
                    return Err(ForecastError::OtherPipeline {
                        found: format!("{} numbers", numbers.len()),
                        expected: format!(
                            "{} numbers of state and those of {} lead times",
                            state.len(),
                            self.leads.steps
                        ),
                    });
                }
            }
            None => {
                self.kept.state_time = begin;
                self.postprocessing = Postprocessing::new(&self.pipeline, self.leads.steps);
                self.history = history(&self.pipeline, self.kept.align.variables().len());
            }
        }
        self.state = Some(state);
        Ok(())
    }

    /// Saves state and positions in one object, after the balances were held to their laws.
    pub(super) async fn save(&mut self, outbox: &mut Outbox) -> Result<(), ForecastError> {
        self.ticks_since_save = 0;
        if self.saved == Some(self.kept.tick) {
            return Ok(());
        }
        let Some((ordinal, numbers)) = self.pack() else { return Ok(()) };
        let Some(state) = &self.state else { return Ok(()) };
        self.kept.balance.check(&self.dependencies.metrics.stage)?;
        let residual_mm = state.budget_residual_mm();
        self.dependencies.metrics.budget_residual_mm.set(residual_mm);
        if residual_mm > WaterBudget::tolerance_mm(state.steps()) {
            tracing::error!(residual_mm, steps = state.steps(), "the water budget does not close");
        }
        outbox.settle().await?;
        self.dependencies.snapshots.save(ordinal, &self.kept, &numbers).await?;
        self.dependencies.metrics.stage.snapshots.inc();
        self.saved = Some(self.kept.tick);
        Ok(())
    }

    /// A snapshot's ordinal and numbers; the rest is in `kept`.
    pub(super) fn pack(&mut self) -> Option<(i64, Vec<f32>)> {
        let state = self.state.as_ref()?;
        self.kept.steps = state.steps();
        self.kept.journal.forget_before(self.kept.tick.plus_s(-self.journal_s()));
        let (mut numbers, budgets) = state.save();
        let (learned, times) = self.postprocessing.save();
        (self.kept.budgets, self.kept.outstanding) = (budgets, times);
        numbers.extend(self.history.iter().flat_map(|history| history.numbers().iter().copied()));
        numbers.extend(learned);
        Some((self.kept.tick.0, numbers))
    }
}

/// What weighs the stages of the catchments whose gauges are rated.
fn stages(pipeline: &Pipeline) -> Result<Vec<Option<StageOperator>>, ForecastError> {
    let error_m = pipeline.assimilation.stage_error_m;
    let of = |(catchment, operator): (&Catchment, DischargeOperator)| {
        let rated = pipeline.ratings.contains_key(catchment.station());
        Ok(if rated { Some(StageOperator::new(operator, error_m)?) } else { None })
    };
    pipeline.catchments.iter().zip(operators(pipeline)?).map(of).collect()
}

/// The weather of past years, where forecasts are to meet it.
fn history(pipeline: &Pipeline, variables: usize) -> Option<History> {
    let forecast = &pipeline.forecast;
    let ahead_s = forecast.horizon.seconds() + forecast.wait.seconds() + 2 * pipeline.time.step.seconds();
    let width = variables * pipeline.catchments.len();
    let history = || History::new(pipeline.time.step.seconds(), forecast.years, width, ahead_s);
    (forecast.scenario == Scenario::PastYears).then(history)
}

pub(super) fn input(dependencies: &Dependencies, contract: Contract, position: Position) -> Input {
    Input::new(dependencies.log.clone(), Partition::new(contract, dependencies.partition), position)
}

/// What a state is a state of: another model, other members or other catchments cannot go on from it.
fn identity(pipeline: &Pipeline, models: &Mixture) -> String {
    let catchments: Vec<&str> = pipeline.catchments.iter().map(|c| c.id.as_str()).collect();
    // The graphs, not the version: a model that was trained on goes on from its state.
    let graph = |package: &Package| package.sha256("step.onnx").chars().take(12).collect::<String>();
    let model = |m: &Member| format!("{} with step {}", m.package.card().name, graph(&m.package));
    let past_years = match pipeline.forecast.scenario {
        Scenario::PastYears => pipeline.forecast.years,
        _ => 0,
    };
    let leads = match &pipeline.forecast.leads[..] {
        [] => format!("all up to {}", pipeline.forecast.horizon),
        chosen => format!("{chosen:?}"),
    };
    let parts = [
        ("model.package", models.members().iter().map(model).collect::<Vec<_>>().join(" and ")),
        ("time.step", pipeline.time.step.to_string()),
        ("assimilation.members", pipeline.assimilation.members.to_string()),
        ("forecast.leads", leads),
        ("years that forecast.scenario = \"past_years\" remembers", past_years.to_string()),
        ("catchments", catchments.join(" ")),
    ];
    parts.map(|(key, value)| format!("{key}{IS}{value}")).join(PART)
}

/// Between the parts of an identity, and between a part's key and value.
const PART: &str = "\n";
const IS: &str = ": ";

/// What differs between the snapshot and the definition, by name.
fn other(found: &str, expected: &str) -> ForecastError {
    let differs = found.split(PART).zip(expected.split(PART)).filter(|(found, expected)| found != expected);
    let (found, expected): (Vec<&str>, Vec<&str>) = differs.unzip();
    ForecastError::OtherPipeline { found: found.join(", "), expected: expected.join(", ") }
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 2]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Kept>(ordinal).await?;
    Ok(snapshot.map(|s| [(Contract::Forcing, s.content.forcing), (Contract::Observation, s.content.observation)]))
}
