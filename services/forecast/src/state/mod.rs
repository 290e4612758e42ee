//! The state of a partition, and the one way in which it changes: a tick's rows in, what they lead to out. It knows no log, no clock and no
//! store, and the same ticks lead to the same outputs.
//!
//! ```text
//! tick ──admit──▶ alignment ──take steps──▶ forecaster in force, and its shadow ──issue──▶ forecasts
//!           └── dead letters       └── ledger
//! ```

mod admission;
mod forecast;
mod late;
mod levels;
mod models;
mod outlook;
mod steps;
mod stored;

use std::sync::Arc;

use nilometer_alignment::{StepAlignment, StepReadings, WeatherForecasts};
use nilometer_assimilation::FirstGuessCheck;
use nilometer_definitions::{Levels, Pipeline, Scenario};
use nilometer_engine::Balance;
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{
    Analyses, AnalysesBuilder, Events, Forecasts, Outlooks, States, StatesBuilder, Timestamp, Variable,
};
use serde::{Deserialize, Serialize};

pub use self::stored::ENSEMBLE;
pub(crate) use self::stored::{Identity, Misfit, Stored, StoredState, current};
use crate::{
    ForecastError,
    accounts::{Accounts, Refusal},
    forecaster::Forecaster,
    history::History,
    late_rows::LateRows,
    outlook::ahead_s,
    report::Report,
    setting::Setting,
    tick::{Positions, Tick},
    weather_change::WeatherChange,
};

/// How far a partition has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// last tick that was completed
    pub(crate) tick: Timestamp,
    /// the time that the ensembles have reached
    pub(crate) state_time: Timestamp,
    /// steps that they have taken
    pub(crate) steps: u64,
    /// of these, those whose forcing was filled in
    pub(crate) filled_steps: u64,
    /// where the inputs are read on
    pub(crate) positions: Positions,
    /// issue time of the newest forecast
    issued: Option<Timestamp>,
}

impl From<Timestamp> for Progress {
    /// Before the first tick, of ensembles that begin at a time.
    fn from(state_time: Timestamp) -> Self {
        Self {
            tick: Timestamp::MIN,
            state_time,
            steps: 0,
            filled_steps: 0,
            positions: Positions::default(),
            issued: None,
        }
    }
}

/// The state of a partition's catchments.
pub(crate) struct PartitionState {
    setting: Arc<Setting>,
    runtime: Runtime,
    /// of the definition's models, also where others are in force
    identity: Identity,
    pub(crate) progress: Progress,
    alignment: StepAlignment,
    weather: WeatherForecasts,
    late_rows: LateRows,
    step_readings: StepReadings,
    /// what each gauge's readings have taught
    first_guess: Vec<FirstGuessCheck>,
    pub(crate) accounts: Accounts,
    /// levels that operators have given thresholds
    levels: Levels,
    in_force: Forecaster,
    shadow: Option<Forecaster>,
    /// there in the scenario of past years, and where there are outlooks
    history: Option<History>,
    ledger: AnalysesBuilder,
    storage: StatesBuilder,
    report: Report,
    pub(crate) trial: Trial,
}

/// What a sandbox does otherwise than operations; nothing in these.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trial {
    /// calibration learns nothing
    pub(crate) holds_calibration: bool,
    /// a forecast is issued, whether one is due or not
    pub(crate) issues: bool,
    /// other weather
    pub(crate) change: Option<WeatherChange>,
}

/// What a tick leads to.
pub(crate) struct Outputs {
    pub(crate) tick: Timestamp,
    pub(crate) forecasts: Option<Forecasts>,
    /// also where there are none: the role alert knows by the message that nothing earlier is still to come
    pub(crate) events: Events,
    pub(crate) states: Option<States>,
    pub(crate) outlooks: Option<Outlooks>,
    pub(crate) shadow_forecasts: Option<Forecasts>,
    pub(crate) analyses: Option<Analyses>,
    pub(crate) dead_letters: Vec<Refusal>,
    pub(crate) report: Report,
}

impl PartitionState {
    /// The state before the first tick. Loads every model's graphs, which takes its time.
    pub(crate) fn new(setting: Arc<Setting>, runtime: &Runtime, models: Mixture) -> Result<Self, ForecastError> {
        let pipeline = &setting.pipeline;
        let (step_s, catchments) = (pipeline.time.step.seconds(), setting.index.len());
        let weather = models.first().card().weather();
        let variables: Vec<Variable> = weather.map(|input| input.name.parse()).collect::<Result<_, _>>()?;
        Ok(Self {
            progress: Progress::from(setting.begin()),
            alignment: StepAlignment::new(step_s, &variables, catchments),
            weather: WeatherForecasts::new(step_s, &variables, catchments),
            late_rows: LateRows::default(),
            step_readings: StepReadings::default(),
            first_guess: vec![FirstGuessCheck::default(); catchments],
            accounts: Accounts::default(),
            levels: Levels::default(),
            history: history(pipeline, variables.len()),
            identity: Identity::of(pipeline, &models),
            in_force: Forecaster::new(&setting, runtime, models, setting.begin())?,
            shadow: None,
            ledger: AnalysesBuilder::default(),
            storage: StatesBuilder::default(),
            report: Report::default(),
            trial: Trial::default(),
            runtime: runtime.clone(),
            setting,
        })
    }

    /// Goes back to the state before the first tick.
    pub(crate) fn begin_anew(&mut self) -> Result<(), ForecastError> {
        self.begin_at(self.setting.begin())
    }

    /// A state that has learned nothing and whose ensembles begin at `time`; the graphs stay.
    fn begin_at(&mut self, time: Timestamp) -> Result<(), ForecastError> {
        let setting = self.setting.clone();
        let pipeline = &setting.pipeline;
        let (step_s, catchments) = (pipeline.time.step.seconds(), setting.index.len());
        let variables = self.alignment.variables().to_vec();
        self.progress = Progress::from(time);
        self.alignment = StepAlignment::new(step_s, &variables, catchments);
        self.weather = WeatherForecasts::new(step_s, &variables, catchments);
        self.late_rows = LateRows::default();
        self.step_readings = StepReadings::default();
        self.first_guess = vec![FirstGuessCheck::default(); catchments];
        self.accounts = Accounts::default();
        self.levels = Levels::default();
        self.history = history(pipeline, variables.len());
        self.in_force.begin(&setting, time)?;
        self.shadow.as_mut().map_or(Ok(()), |shadow| shadow.begin(&setting, time))
    }

    /// Takes in the rows of a tick: every step that is due by then is taken, and a forecast issued where one is due.
    pub(crate) fn step(&mut self, tick: &Tick) -> Result<Outputs, ForecastError> {
        self.admit_lost(tick);
        tick.models.iter().try_for_each(|message| self.take_models(message, tick.time))?;
        tick.levels.iter().try_for_each(|message| self.take_levels(message, tick.time))?;
        tick.forcings.iter().try_for_each(|message| self.admit_forcings(message, tick.time))?;
        tick.observations.iter().try_for_each(|message| self.admit_observations(message, tick.time))?;
        self.place_late_rows(tick.time)?;
        self.take_steps(tick.time)?;
        let (analyses, states) = (self.ledger.finish()?, self.storage.finish()?);
        self.progress.positions = tick.positions;
        let (issued, shadow_forecasts) = self.issue(tick.time)?;
        let outlooks = self.issue_outlook(tick.time)?;
        let (forecasts, events) = issued.map_or((None, None), |issued| (Some(issued.forecasts), issued.events));
        self.progress.tick = tick.time;
        Ok(Outputs {
            tick: tick.time,
            forecasts,
            events: events.unwrap_or_else(Events::empty),
            // Where droughts are judged their role knows by it that nothing earlier is still to come.
            states: Some(states).filter(|rows| self.setting.pipeline.drought.is_some() || !rows.is_empty()),
            outlooks,
            shadow_forecasts,
            analyses: Some(analyses).filter(|rows| !rows.is_empty()),
            dead_letters: self.accounts.take_dead_letters(),
            report: std::mem::take(&mut self.report),
        })
    }

    pub(crate) const fn late_rows(&self) -> &LateRows {
        &self.late_rows
    }

    pub(crate) const fn balance(&self) -> &Balance {
        &self.accounts.balance
    }

    /// Largest residual of a water budget, mm, and how large rounding can make it.
    pub(crate) fn budget_residual_mm(&self) -> (f64, f64) {
        (self.in_force.ensembles.budget_residual_mm(), crate::WaterBudget::tolerance_mm(self.progress.steps))
    }
}

/// The weather of past years, where forecasts or outlooks are to meet it.
fn history(pipeline: &Pipeline, variables: usize) -> Option<History> {
    let forecast = &pipeline.forecast;
    let outlook_s = ahead_s(pipeline);
    let ahead_s =
        forecast.horizon.seconds().max(outlook_s) + forecast.wait.seconds() + 2 * pipeline.time.step.seconds();
    let width = variables * pipeline.catchments.len();
    let history = || History::new(pipeline.time.step.seconds(), forecast.years, width, ahead_s);
    (forecast.scenario == Scenario::PastYears || outlook_s > 0).then(history)
}
