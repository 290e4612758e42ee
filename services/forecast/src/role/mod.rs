//! The role itself: one tick after the other, each a walk from the log to the log.

mod kept;
mod rewind;
mod rows;

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use nilometer_assimilation::{ErrorFactors, StageOperator};
use nilometer_definitions::{AssimilationMethod, Pipeline, Scenario};
use nilometer_engine::{
    Appended, Balance, DeadLetterLog, Input, Log, Lost, Message, Outbox, Partition, Record, Snapshots, Stop,
    off_reactor,
};
use nilometer_runtime::{Mixture, Runtime};
use nilometer_schemas::{
    Analyses, AnalysesBuilder, Contract, DeadLetterRow, DeadLettersBuilder, Forecasts, Reason, Timestamp,
};

use self::kept::Kept;
pub use self::kept::needed_from;
use crate::{
    ForecastError, ForecastMetrics,
    first_guess::FirstGuessChecks,
    history::History,
    issue::{Leads, MemberWeather, Provenance, Weather},
    ledger::Heading,
    mixture::States,
    postprocess::Postprocessing,
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

/// Runs until the inputs are complete or the role is stopped; then the state is saved.
///
/// # Errors
/// [`ForecastError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, ForecastError> {
    let mut outbox = Outbox::new(dependencies.log.clone());
    let mut role = Box::new(Role::resume(pipeline, dependencies).await?);
    while let Some(tick) = outbox.meanwhile(role.next_tick(&stop)).await?? {
        if role.dependencies.reload.has_changed().unwrap_or(false) {
            // What the old weights made is kept first: a crash repeats from here on the new ones.
            role.dependencies.reload.mark_unchanged();
            role.save(&mut outbox).await?;
            role = off_reactor(move || {
                role.reload();
                role
            })
            .await?;
        }
        let late = role.late_rows(&tick)?;
        let outputs = if let Some(foundation) = role.foundation(&late).await? {
            let (back, outputs) = outbox.meanwhile(role.rewind(foundation, late, tick.time, &stop)).await??;
            role = back;
            // Stopped on the way: what is half taken again is not saved.
            let Some(outputs) = outputs else {
                outbox.settle().await?;
                return Ok(role.kept.balance);
            };
            outputs
        } else {
            let (back, outputs) = role.walk(tick).await?;
            role = back;
            outputs
        };
        role.commit(outputs, &mut outbox).await?;
        if stop.is_now() {
            break;
        }
    }
    role.save(&mut outbox).await?;
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
    /// there in the scenario of past years
    history: Option<History>,
    first_guess: FirstGuessChecks,
    error_factors: ErrorFactors,
    /// of each catchment whose gauge reports stage
    stages: Vec<Option<StageOperator>>,
    ledger: AnalysesBuilder,
    resumed: Option<Vec<f32>>,
    kept: Kept,
    /// what was kept before the first tick
    first: Kept,
    /// whether the last forecast missed the weather that it asks for
    without_weather: bool,
    /// whether the last step was taken without all of its forcing
    filling: bool,
    /// the tick whose late rows are being placed
    rewinding_to: Option<Timestamp>,
    /// snapshots that a rewind has made anew: ordinal, content, numbers
    remade: Vec<(i64, Kept, Vec<f32>)>,
    forcings: Input,
    observations: Input,
    saved: Option<Timestamp>,
    ticks_since_save: u32,
    dead_letters: DeadLetterLog,
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
    dead_letters: Vec<DeadLetterRow>,
    /// those of late rows that found no place in it
    displaced: Vec<DeadLetterRow>,
}

impl Role {
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
            self.forcings.look().await?;
        }
        while let Some(record) = self.observations.take(time) {
            tick.observations.push(record);
            self.observations.look().await?;
        }
        for input in [&mut self.forcings, &mut self.observations] {
            let partition = input.partition();
            tick.lost.extend(input.take_lost().into_iter().map(|lost| (partition, lost)));
        }
        Ok(Some(tick))
    }

    /// One tick, from rows to a forecast. Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
    async fn walk(mut self: Box<Self>, tick: Tick) -> Result<(Box<Self>, Outputs), ForecastError> {
        let (role, outputs) = off_reactor(move || {
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
        let (mut dead_letters, mut displaced) = (Vec::new(), Vec::new());
        self.ensure_state()?;
        self.account_lost(&tick, &mut dead_letters);
        for record in &tick.forcings {
            self.add_forcings(record, time, &mut dead_letters)?;
        }
        for record in &tick.observations {
            self.add_observations(record, time, &mut dead_letters)?;
        }
        self.place_due(time, &mut displaced);
        self.catch_up(time)?;
        let analyses = self.take_ledger()?;
        let forecasts = self.issue(time)?;
        self.kept.tick = time;
        self.kept.forcing = self.forcings.position();
        self.kept.observation = self.observations.position();
        Ok(Outputs { tick: time, forecasts, analyses, dead_letters, displaced })
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

    /// Hands over what a tick led to and, when it is time, saves the state behind it.
    async fn commit(&mut self, outputs: Outputs, outbox: &mut Outbox) -> Result<(), ForecastError> {
        let Outputs { tick, forecasts, analyses, mut dead_letters, displaced } = outputs;
        dead_letters.extend(displaced);
        let sequence = tick.0;
        let message = |contract, batch| {
            let partition = Partition::new(contract, self.dependencies.partition);
            (partition, Message { time: tick, producer: PRODUCER, sequence, batch })
        };
        if !dead_letters.is_empty() {
            let mut builder = DeadLettersBuilder::new();
            dead_letters.iter().for_each(|dead_letter| builder.push(dead_letter));
            let (partition, message) = message(Contract::DeadLetter, builder.finish()?.into_batch());
            let appending = self.dependencies.log.append(partition, message);
            if let Appended::At(_) = outbox.meanwhile(appending).await?? {
                for dead_letter in &dead_letters {
                    self.dependencies.metrics.stage.dead_letter(dead_letter.reason);
                }
                self.dead_letters.count(&dead_letters);
            }
        }
        self.dead_letters.tick();
        let analyses = analyses.map(|rows| message(Contract::Analysis, rows.into_batch()));
        let forecasts = forecasts.map(|rows| message(Contract::Forecast, rows.into_batch()));
        let stage = self.dependencies.metrics.stage.clone();
        let inputs = [&self.forcings, &self.observations].map(Input::place);
        outbox.hand_over(analyses.into_iter().chain(forecasts), move |_| stage.done(tick, inputs)).await?;
        if !self.remade.is_empty() {
            outbox.settle().await?;
            for (ordinal, kept, numbers) in std::mem::take(&mut self.remade) {
                self.dependencies.snapshots.replace(ordinal, &kept, &numbers).await?;
            }
        }
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.pipeline.log.snapshot_every { self.save(outbox).await } else { Ok(()) }
    }

    /// Takes every step that is due by `tick`: with its forcing, or without when it has waited long enough.
    fn catch_up(&mut self, tick: Timestamp) -> Result<(), ForecastError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let kept = &mut self.kept;
        loop {
            let step = state.time().plus_s(self.pipeline.time.step.seconds());
            let complete = kept.align.is_complete(step);
            if step > tick || !(complete || step.plus_s(self.pipeline.forecast.wait.seconds()) <= tick) {
                break;
            }
            if !complete {
                kept.filled_steps += 1;
            }
            let begins = !complete && !self.filling;
            if let Some((variable, catchment)) = kept.align.unknown(step).next().filter(|_| begins) {
                let (catchment, others) = (&self.catchments[catchment], kept.align.unknown(step).count() - 1);
                tracing::warn!(%step, %variable, catchment, others, "forcing did not arrive in time: steps are filled without rain and with the last value of the rest until it does");
            } else if complete && self.filling {
                tracing::info!(%step, filled_steps = kept.filled_steps, "forcing arrives again");
            }
            self.filling = !complete;
            let (forcing, used) = kept.align.take_step(step);
            if let Some(history) = &mut self.history {
                // What was filled in is no weather that was.
                history.remember(step, Some(&*forcing).filter(|_| complete));
            }
            state.advance(&forcing)?;
            let predicted_m3_s = state.predicted_m3_s();
            let judged = self.first_guess.judge(&mut kept.first_guess, state, &predicted_m3_s, &mut kept.align)?;
            let mut read = kept.align.observations_of(step);
            let time = &self.pipeline.time;
            let at_steps = kept.step_readings.take(time.align, step, time.step.seconds(), &read);
            self.postprocessing.observe(step, &predicted_m3_s, &at_steps);
            read.retain(|reading| !judged.downweighted.contains(&reading.subject()));
            state.read_gauges(&read);
            let due = step.is_multiple_of_s(self.pipeline.assimilation.analysis_every_s(self.pipeline.time.step));
            let observations = if due { kept.align.take_observations(step) } else { Vec::new() };
            state.assimilate(&observations)?;
            let models = &self.dependencies.models;
            let heading = Heading {
                catchments: &self.pipeline.catchments,
                analysis_time: self.rewinding_to.unwrap_or(tick),
                method: self.pipeline.assimilation.method.name(),
                model: models.name(),
                weights_sha256: models.weights_sha256(),
            };
            for (method, left_out) in [("ignored", &judged.ignored), ("gauge_shift", &judged.shifted)] {
                let heading = Heading { method, ..heading };
                heading.enter_output(&predicted_m3_s, state.operators(), left_out, &mut self.ledger);
                kept.balance.reject(Reason::Suspect, left_out.len() as u64);
            }
            match self.pipeline.assimilation.method {
                AssimilationMethod::None => {}
                // Output updating moves what the models say together.
                AssimilationMethod::Output => {
                    heading.enter_output(&predicted_m3_s, state.operators(), &observations, &mut self.ledger);
                }
                _ => {
                    for (state, member) in state.each().zip(models.members()) {
                        heading.of(&member.package).enter(state, &mut self.ledger);
                    }
                }
            }
            if self.rewinding_to.is_none_or(|to| tick >= to) {
                for innovation in state.innovations() {
                    self.dependencies.metrics.innovation.observe(innovation.normalised());
                }
                for change in &judged.changes {
                    let station = self.pipeline.catchments[change.catchment].station();
                    change.report(station);
                }
                let suspect = judged.ignored.len() + judged.shifted.len() + judged.downweighted.len();
                self.dependencies.metrics.suspect_readings.inc_by(suspect as u64);
            }
            kept.balance.used += used + observations.len() as u64;
            kept.state_time = state.time();
            kept.foreseen.forget(step);
        }
        let metrics = &self.dependencies.metrics;
        metrics.filled_steps.set(i64::try_from(kept.filled_steps).unwrap_or(i64::MAX));
        metrics.state_lag_s.set(tick.seconds_since(kept.state_time) as f64);
        for (check, catchment) in kept.first_guess.iter().zip(&self.pipeline.catchments) {
            metrics.show_shift(catchment.station(), check.is_shifted());
        }
        kept.balance.pending = kept.align.pending_forcings() + kept.align.pending_observations();
        Ok(())
    }

    /// A forecast when one is due, or because of what came late.
    fn issue(&mut self, tick: Timestamp) -> Result<Option<Forecasts>, ForecastError> {
        let because = self.late_of(tick);
        let passed_over = self.passed_over(tick);
        let reasons: Vec<&str> = because.iter().chain(&passed_over).map(String::as_str).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let due = tick.is_multiple_of_s(self.pipeline.forecast.every.seconds());
        let Some(state) = self.state.as_mut().filter(|_| due || because.is_some()) else { return Ok(None) };
        // Up to the last step that a forecast of this time may look at.
        let ahead_s = self.pipeline.forecast.horizon.seconds() + self.pipeline.time.step.seconds();
        let members = match (self.pipeline.forecast.scenario, &self.history) {
            (Scenario::PastYears, Some(history)) => {
                let years = history.years(state.time(), tick.plus_s(ahead_s));
                (!years.is_empty()).then_some(MemberWeather::Past(history, years))
            }
            (Scenario::Members, _) => {
                Some(&self.kept.foreseen).filter(|foreseen| !foreseen.is_empty()).map(MemberWeather::Foreseen)
            }
            _ => None,
        };
        let scenario = match self.pipeline.forecast.scenario {
            Scenario::PastYears | Scenario::Members if members.is_none() => Scenario::Zero,
            scenario => scenario,
        };
        let weather = Weather { scenario, align: &self.kept.align, members };
        let about = Provenance {
            catchments: &self.pipeline.catchments,
            ratings: &self.pipeline.ratings,
            model: self.dependencies.models.name(),
            model_version: self.dependencies.models.version(),
            weights_sha256: self.dependencies.models.weights_sha256(),
            scenario,
            filled_steps: self.kept.filled_steps,
            observation: self.observations.position(),
            forcing: self.forcings.position(),
            supersedes: because.as_ref().and(self.kept.issued),
            reason: reason.as_deref(),
        };
        let forecasts = if due {
            state.issue(tick, &self.leads, &weather, &mut self.postprocessing, &about)?
        } else {
            // What would not have gone out on time teaches nothing, so that later forecasts are those of a run on time.
            state.issue(tick, &self.leads, &weather, &mut self.postprocessing.clone(), &about)?
        };
        if forecasts.is_some() {
            self.kept.issued = Some(tick);
            self.say_weather(tick, scenario);
        }
        Ok(forecasts)
    }

    /// The forecasts between the last tick and this one, in a sentence: ticks that were missed are not always made.
    fn passed_over(&self, tick: Timestamp) -> Option<String> {
        let every_s = self.pipeline.forecast.every.seconds();
        let first = Some(self.kept.tick).filter(|last| *last > Timestamp::MIN)?.floor_s(every_s).plus_s(every_s);
        let last = Timestamp(tick.0 - 1).floor_s(every_s);
        match first.cmp(&last) {
            Ordering::Less => Some(format!("forecasts of {first} to {last} were not made")),
            Ordering::Equal => Some(format!("the forecast of {first} was not made")),
            Ordering::Greater => None,
        }
    }

    /// Counts a forecast that went out without the weather that it asks for, and says when that begins and ends.
    fn say_weather(&mut self, tick: Timestamp, scenario: Scenario) {
        if self.rewinding_to.is_some_and(|to| tick < to) {
            return;
        }
        let without = scenario != self.pipeline.forecast.scenario;
        if without {
            self.dependencies.metrics.without_weather.inc();
        }
        if std::mem::replace(&mut self.without_weather, without) != without {
            let asked = self.pipeline.forecast.scenario.name();
            if without {
                tracing::warn!(%tick, asked, "the weather that forecasts ask for is not there: no more rain is assumed");
            } else {
                tracing::info!(%tick, asked, "the weather that forecasts ask for is there");
            }
        }
    }

    /// What observations did to the state since the last call.
    fn take_ledger(&mut self) -> Result<Option<Analyses>, ForecastError> {
        let rows = self.ledger.finish()?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}
