//! The role itself: one tick after the other, each a walk from the log to the log.

mod rewind;
mod rows;

use std::{collections::HashMap, sync::Arc};

use nilometer_assimilation::ErrorFactors;
use nilometer_definitions::{AssimilationMethod, Pipeline};
use nilometer_engine::{Appended, Balance, Log, Message, Partition, Record, SnapshotError, Snapshots, Stop};
use nilometer_runtime::{FEEDBACK, Member, Mixture, Package, Runtime};
use nilometer_schemas::{
    Analyses, AnalysesBuilder, Contract, DeadLetterRow, DeadLettersBuilder, Forecasts, Timestamp, Variable,
};
use serde::{Deserialize, Serialize};

use crate::{
    Align, ForecastError, ForecastMetrics, WaterBudget,
    inputs::{Input, Lost, Position},
    issue::{Leads, Provenance},
    journal::Journal,
    ledger::Heading,
    mixture::States,
    postprocess::{Postprocessing, WaitingTimes},
};

const PRODUCER: &str = "forecast";

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its state is kept
    pub snapshots: Snapshots,
    /// ONNX Runtime
    pub runtime: Runtime,
    /// the verified model, or several that are mixed
    pub models: Mixture,
    /// changes when the weights are to be read again
    pub reload: tokio::sync::watch::Receiver<u64>,
    /// its metrics
    pub metrics: ForecastMetrics,
    /// the partition that it owns
    pub partition: u32,
}

/// Everything of the role that a snapshot keeps besides the ensemble's numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// what the state is a state of
    identity: String,
    /// last tick that was completed
    tick: Timestamp,
    /// the time that the state has reached
    state_time: Timestamp,
    steps: u64,
    filled_steps: u64,
    forcing: Position,
    observation: Position,
    align: Align,
    outstanding: WaitingTimes,
    balance: Balance,
    budgets: Vec<WaterBudget>,
    /// issue time of the newest forecast
    issued: Option<Timestamp>,
    journal: Journal,
}

/// Runs until the inputs are complete or the role is stopped; then the state is saved.
///
/// # Errors
/// [`ForecastError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, ForecastError> {
    let mut role = Box::new(Role::resume(pipeline, dependencies).await?);
    while let Some(tick) = role.next_tick(&stop).await? {
        if role.dependencies.reload.has_changed().unwrap_or(false) {
            // What the old weights made is kept first: a crash repeats from here on the new ones.
            role.dependencies.reload.mark_unchanged();
            role.save().await?;
            role = tokio::task::spawn_blocking(move || {
                role.reload();
                role
            })
            .await?;
        }
        let late = role.late_rows(&tick)?;
        let outputs = if let Some(foundation) = role.foundation(&late).await? {
            let (back, outputs) = role.rewind(foundation, late, tick.time, &stop).await?;
            role = back;
            // Stopped on the way: what is half taken again is not saved.
            let Some(outputs) = outputs else { return Ok(role.kept.balance) };
            outputs
        } else {
            let (back, outputs) = role.walk(tick).await?;
            role = back;
            outputs
        };
        role.commit(outputs).await?;
        if stop.is_now() {
            break;
        }
    }
    role.save().await?;
    Ok(role.kept.balance)
}

struct Role {
    pipeline: Arc<Pipeline>,
    dependencies: Dependencies,
    catchments: Vec<String>,
    /// where each catchment and each station lies on the catchment axis; looked up, never walked through
    place_of_catchment: HashMap<String, usize>,
    place_of_station: HashMap<String, usize>,
    leads: Leads,
    state: Option<States>,
    /// whether it is the state of `kept`, and not one that is still to be restored
    state_is_current: bool,
    postprocessing: Postprocessing,
    error_factors: ErrorFactors,
    ledger: AnalysesBuilder,
    resumed: Option<Vec<f32>>,
    kept: Kept,
    /// what was kept before the first tick
    first: Kept,
    /// the tick whose late rows are being placed
    rewinding_to: Option<Timestamp>,
    forcings: Input,
    observations: Input,
    saved: Option<Timestamp>,
    ticks_since_save: u32,
}

/// What one tick brought.
struct Tick {
    time: Timestamp,
    forcings: Vec<Record>,
    observations: Vec<Record>,
    lost: Vec<(Partition, Lost)>,
}

/// What one tick leads to.
struct Outputs {
    tick: Timestamp,
    forecasts: Option<Forecasts>,
    analyses: Option<Analyses>,
    letters: Vec<DeadLetterRow>,
}

impl Role {
    async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<Self, ForecastError> {
        let identity = identity(&pipeline, &dependencies.models);
        let inputs = dependencies.models.first().card().inputs.iter().map(|i| i.name.as_str());
        let weather = inputs.filter(|name| !FEEDBACK.contains(name));
        let variables: Vec<Variable> = weather.map(str::parse).collect::<Result<_, _>>()?;
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
            balance: Balance::default(),
            budgets: Vec::new(),
            issued: None,
            journal: Journal::default(),
        };
        let snapshot = dependencies.snapshots.newest::<Kept>().await?;
        let (kept, resumed) = match snapshot {
            Some(s) if s.content.identity != identity => {
                return Err(ForecastError::OtherPipeline { found: s.content.identity, expected: identity });
            }
            Some(s) => {
                tracing::info!(tick = %s.content.tick, state_time = %s.content.state_time, "resuming from a snapshot");
                dependencies.metrics.stage.reached(s.content.tick);
                (s.content, Some(s.numbers))
            }
            None => (first.clone(), None),
        };
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
            error_factors: ErrorFactors::new(pipeline.assimilation.error_factors)?,
            ledger: AnalysesBuilder::default(),
            state: None,
            state_is_current: false,
            resumed,
            forcings: input(&dependencies, Contract::Forcing, kept.forcing),
            observations: input(&dependencies, Contract::Observation, kept.observation),
            saved: (kept.tick > Timestamp::MIN).then_some(kept.tick),
            ticks_since_save: 0,
            kept,
            first,
            rewinding_to: None,
            pipeline,
            dependencies,
        })
    }

    /// Reads one tick: of every input, all messages up to the earliest watermark that is new. `None` at the end.
    async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, ForecastError> {
        let first = self.forcings.next_time(stop).await?;
        let second = self.observations.next_time(stop).await?;
        let Some(time) = first.into_iter().chain(second).min() else { return Ok(None) };
        if stop.is_now() {
            return Ok(None);
        }
        let mut tick = Tick { time, forcings: Vec::new(), observations: Vec::new(), lost: Vec::new() };
        while let Some(record) = self.forcings.take(time) {
            tick.forcings.push(record);
            self.forcings.next_time(&Stop::immediate()).await?;
        }
        while let Some(record) = self.observations.take(time) {
            tick.observations.push(record);
            self.observations.next_time(&Stop::immediate()).await?;
        }
        for input in [&mut self.forcings, &mut self.observations] {
            let partition = input.partition();
            tick.lost.extend(input.take_lost().into_iter().map(|lost| (partition, lost)));
        }
        Ok(Some(tick))
    }

    /// One tick, from rows to a forecast. Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
    async fn walk(mut self: Box<Self>, tick: Tick) -> Result<(Box<Self>, Outputs), ForecastError> {
        let (role, outputs) = tokio::task::spawn_blocking(move || {
            let outputs = self.compute(tick);
            (self, outputs)
        })
        .await?;
        Ok((role, outputs?))
    }

    /// From rows to a forecast. No I/O.
    fn compute(&mut self, tick: Tick) -> Result<Outputs, ForecastError> {
        let _timer = self.dependencies.metrics.stage.seconds.start_timer();
        let time = tick.time;
        let mut letters = Vec::new();
        self.ensure_state()?;
        self.account_lost(&tick, &mut letters);
        self.place_due(time, &mut letters);
        for record in &tick.forcings {
            self.add_forcings(record, time, &mut letters)?;
        }
        for record in &tick.observations {
            self.add_observations(record, time, &mut letters)?;
        }
        self.catch_up(time)?;
        let analyses = self.take_ledger()?;
        let forecasts = self.issue(time)?;
        self.kept.tick = time;
        self.kept.forcing = self.forcings.position();
        self.kept.observation = self.observations.position();
        Ok(Outputs { tick: time, forecasts, analyses, letters })
    }

    /// Reads the package again and goes on with its weights between two steps. What cannot be used is said, and the old ones stay.
    fn reload(&mut self) {
        let folder = &self.pipeline.model.package;
        let swapped = Mixture::load(folder).map_err(ForecastError::from).and_then(|models| {
            if let Some(state) = &mut self.state {
                state.swap_weights(&models, &self.pipeline)?;
            }
            Ok(models)
        });
        match swapped {
            Ok(models) => {
                self.dependencies.metrics.weight_swaps.with_label_values(&["taken"]).inc();
                tracing::info!(model = models.name(), from = self.dependencies.models.weights_sha256(), to = models.weights_sha256(), after = %self.kept.tick, "weights swapped");
                self.dependencies.models = models;
            }
            Err(error) => {
                self.dependencies.metrics.weight_swaps.with_label_values(&["refused"]).inc();
                let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
                let why = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                tracing::error!(folder = %folder.display(), why, "the weights stay as they were");
            }
        }
    }

    /// Appends what a tick led to and, when it is time, saves the state behind it.
    async fn commit(&mut self, outputs: Outputs) -> Result<(), ForecastError> {
        let Outputs { tick, forecasts, analyses, letters } = outputs;
        let sequence = u64::try_from(tick.0).unwrap_or(0);
        let append = async |contract, batch| {
            let partition = Partition::new(contract, self.dependencies.partition);
            let message = Message { time: tick, producer: PRODUCER, sequence, batch };
            self.dependencies.log.append(partition, message).await
        };
        if !letters.is_empty() {
            let mut builder = DeadLettersBuilder::new();
            letters.iter().for_each(|letter| builder.push(letter));
            if let Appended::At(_) = append(Contract::DeadLetter, builder.finish()?.into_batch()).await? {
                for letter in &letters {
                    self.dependencies.metrics.stage.dead_letter(letter.reason);
                    tracing::warn!(reason = %letter.reason, locator = letter.locator, detail = letter.detail, "dead letter");
                }
            }
        }
        if let Some(analyses) = analyses {
            append(Contract::Analysis, analyses.into_batch()).await?;
        }
        if let Some(forecasts) = forecasts {
            append(Contract::Forecast, forecasts.into_batch()).await?;
        }
        self.dependencies.metrics.stage.messages.inc();
        self.dependencies.metrics.stage.reached(tick);
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.pipeline.log.snapshot_every { self.save().await } else { Ok(()) }
    }

    /// The state, made before the first tick or restored from the snapshot.
    fn ensure_state(&mut self) -> Result<(), ForecastError> {
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
            }
        }
        self.state = Some(state);
        Ok(())
    }

    /// Takes every step that is due by `tick`: with its forcing, or without when it has waited long enough.
    fn catch_up(&mut self, tick: Timestamp) -> Result<(), ForecastError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let kept = &mut self.kept;
        let filled_before = kept.filled_steps;
        loop {
            let step = state.time().plus_s(self.pipeline.time.step.seconds());
            let complete = kept.align.is_complete(step);
            if step > tick || !(complete || step.plus_s(self.pipeline.forecast.wait.seconds()) <= tick) {
                break;
            }
            if !complete {
                kept.filled_steps += 1;
            }
            let (forcing, used) = kept.align.take_step(step);
            state.advance(&forcing)?;
            let observations = kept.align.take_observations(step);
            let predicted_m3_s = state.predicted_m3_s();
            self.postprocessing.observe(step, &predicted_m3_s, &observations);
            state.assimilate(&observations)?;
            let models = &self.dependencies.models;
            let method = self.pipeline.assimilation.method;
            for (state, member) in state.each().zip(models.members()) {
                let heading = Heading {
                    catchments: &self.pipeline.catchments,
                    analysis_time: self.rewinding_to.unwrap_or(tick),
                    method,
                    model: &member.package.card().name,
                    weights_sha256: member.package.weights_sha256(),
                };
                match method {
                    AssimilationMethod::None => {}
                    AssimilationMethod::Output => {
                        heading.enter_output(state, &predicted_m3_s, &observations, &mut self.ledger);
                        break;
                    }
                    _ => heading.enter(state, &observations, &mut self.ledger),
                }
            }
            if self.rewinding_to.is_none_or(|to| tick >= to) {
                for innovation in state.innovations() {
                    self.dependencies.metrics.innovation.observe(innovation.normalised());
                }
            }
            kept.balance.used += used + observations.len() as u64;
            kept.state_time = state.time();
        }
        let filled = kept.filled_steps - filled_before;
        if filled > 0 {
            tracing::warn!(steps = filled, up_to = %kept.state_time, "forcing did not arrive in time: steps filled without rain and with the last evapotranspiration");
        }
        let metrics = &self.dependencies.metrics;
        metrics.filled_steps.set(i64::try_from(kept.filled_steps).unwrap_or(i64::MAX));
        metrics.state_lag_s.set(tick.seconds_since(kept.state_time) as f64);
        kept.balance.pending = kept.align.pending_forcings() + kept.align.pending_observations();
        Ok(())
    }

    /// A forecast when one is due, or because of what came late.
    fn issue(&mut self, tick: Timestamp) -> Result<Option<Forecasts>, ForecastError> {
        let because = self.late_of(tick);
        let due = tick.is_multiple_of_s(self.pipeline.forecast.every.seconds());
        let Some(state) = self.state.as_mut().filter(|_| due || because.is_some()) else { return Ok(None) };
        let about = Provenance {
            catchments: &self.catchments,
            model: self.dependencies.models.name(),
            model_version: self.dependencies.models.version(),
            weights_sha256: self.dependencies.models.weights_sha256(),
            scenario: self.pipeline.forecast.scenario,
            filled_steps: self.kept.filled_steps,
            observation: self.observations.position(),
            forcing: self.forcings.position(),
            supersedes: because.as_ref().and(self.kept.issued),
            reason: because.as_deref(),
        };
        let forecasts = if due {
            state.issue(tick, &self.leads, &self.kept.align, &mut self.postprocessing, &about)?
        } else {
            // What would not have gone out on time teaches nothing, so that later forecasts are those of a run on time.
            state.issue(tick, &self.leads, &self.kept.align, &mut self.postprocessing.clone(), &about)?
        };
        if forecasts.is_some() {
            self.kept.issued = Some(tick);
        }
        Ok(forecasts)
    }

    /// What observations did to the state since the last call.
    fn take_ledger(&mut self) -> Result<Option<Analyses>, ForecastError> {
        let rows = self.ledger.finish()?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    /// Saves state and positions in one object, after the balances were held to their laws.
    async fn save(&mut self) -> Result<(), ForecastError> {
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
        self.dependencies.snapshots.save(ordinal, &self.kept, &numbers).await?;
        self.dependencies.metrics.stage.snapshots.inc();
        self.saved = Some(self.kept.tick);
        Ok(())
    }

    /// A snapshot's ordinal and numbers; the rest is in `kept`.
    fn pack(&mut self) -> Option<(u64, Vec<f32>)> {
        let state = self.state.as_ref()?;
        self.kept.steps = state.steps();
        self.kept.journal.forget_before(self.kept.tick.plus_s(-self.journal_s()));
        let (mut numbers, budgets) = state.save();
        let (learned, times) = self.postprocessing.save();
        (self.kept.budgets, self.kept.outstanding) = (budgets, times);
        numbers.extend(learned);
        Some((u64::try_from(self.kept.tick.0).unwrap_or(0), numbers))
    }
}

fn input(dependencies: &Dependencies, contract: Contract, position: Position) -> Input {
    Input::new(dependencies.log.clone(), Partition::new(contract, dependencies.partition), position)
}

/// What a state is a state of: another model, other members or other catchments cannot go on from it.
fn identity(pipeline: &Pipeline, models: &Mixture) -> String {
    let catchments: Vec<&str> = pipeline.catchments.iter().map(|c| c.id.as_str()).collect();
    // The graphs, not the version: a model that was trained on goes on from its state.
    let graph = |package: &Package| package.sha256("step.onnx").chars().take(12).collect::<String>();
    let model = |m: &Member| format!("{} with step {}", m.package.card().name, graph(&m.package));
    format!(
        "model {}, step {} s, {} members, catchments {}",
        models.members().iter().map(model).collect::<Vec<_>>().join(" and "),
        pipeline.time.step.seconds(),
        pipeline.assimilation.members,
        catchments.join(" ")
    )
}

/// The positions that the role's oldest kept snapshot needs its inputs from; `None` before the first.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(snapshots: &Snapshots) -> Result<Option<[(Contract, u64); 2]>, SnapshotError> {
    let oldest = snapshots.oldest::<Kept>().await?;
    Ok(oldest
        .map(|s| [(Contract::Forcing, s.content.forcing.next), (Contract::Observation, s.content.observation.next)]))
}
