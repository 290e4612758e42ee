//! The models of a pipeline side by side: each has its state, all take the same steps, what they say is mixed by weight.

use nilometer_alignment::Observation;
use nilometer_assimilation::{DischargeOperator, Innovation, Purpose};
use nilometer_definitions::Pipeline;
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::Timestamp;
use rand_chacha::ChaCha8Rng;

use crate::{
    EnsembleState, ForecastError,
    issue::{Issued, Leads, Prediction, Provenance, Weather},
    postprocess::Postprocessing,
    trajectories::TRAJECTORIES,
};

/// One state a model. All have the same time.
pub(crate) struct Ensembles {
    members: Vec<(f64, EnsembleState)>,
    /// of each what its columns are named by
    names: Vec<String>,
}

impl Ensembles {
    /// The states before the step that ends at `time + step`; `horizon` as for [`EnsembleState::new`].
    pub(crate) fn new(
        runtime: &Runtime,
        models: &Mixture,
        pipeline: &Pipeline,
        horizon: usize,
        time: Timestamp,
    ) -> Result<Self, ForecastError> {
        let state = |package| EnsembleState::new(runtime, package, pipeline, horizon, time);
        let members = models.members().iter().map(|m| Ok((m.weight, state(&m.package)?)));
        let names = names(models.members().iter().map(|member| member.package.card().name.as_str()));
        Ok(Self { members: members.collect::<Result<_, ForecastError>>()?, names })
    }

    /// Names the columns as `other` does, which is of the same graphs.
    pub(crate) fn take_names_of(&mut self, other: &Self) {
        self.names.clone_from(&other.names);
    }

    /// Whether [`Ensembles::swap_weights`] would take up these models.
    ///
    /// # Errors
    /// Why it would not.
    pub(crate) fn check_swap(&self, models: &Mixture, pipeline: &Pipeline) -> Result<(), ForecastError> {
        if models.members().len() != self.members.len() {
            let problem = format!("it has {} models, the state has {}", models.members().len(), self.members.len());
            return Err(ForecastError::Misfit { model: models.name().to_owned(), problems: vec![problem] });
        }
        for ((_, state), member) in self.members.iter().zip(models.members()) {
            state.check_swap(&member.package, pipeline)?;
        }
        Ok(())
    }

    /// Goes on with the weights of `models`, the same models trained on; the states stay as they are. All are taken up, or none.
    pub(crate) fn swap_weights(&mut self, models: &Mixture, pipeline: &Pipeline) -> Result<(), ForecastError> {
        self.check_swap(models, pipeline)?;
        for ((weight, state), member) in self.members.iter_mut().zip(models.members()) {
            state.swap_weights(&member.package, pipeline)?;
            *weight = member.weight;
        }
        Ok(())
    }

    /// Every model's state, in the order of the mixture.
    pub(crate) fn each(&self) -> impl Iterator<Item = &EnsembleState> {
        self.members.iter().map(|(_, state)| state)
    }

    /// What compares discharges in the logarithm, a catchment each; all models have the same.
    pub(crate) fn operators(&self) -> &[DischargeOperator] {
        &self.members[0].1.layout.operators
    }

    /// The time that all have reached.
    pub(crate) fn time(&self) -> Timestamp {
        self.members[0].1.time()
    }

    /// The noise of each catchment at a time, for one purpose.
    pub(crate) fn streams(&self, purpose: Purpose, time: Timestamp) -> Vec<ChaCha8Rng> {
        self.members[0].1.layout.streams(purpose, time)
    }

    /// Steps taken.
    pub(crate) fn steps(&self) -> u64 {
        self.members[0].1.steps
    }

    /// Advances each by one step under `forcing` `[F, C]`.
    pub(crate) fn advance(&mut self, forcing: &[f32]) -> Result<(), ForecastError> {
        self.members.iter_mut().try_for_each(|(_, state)| state.advance(forcing))
    }

    /// Lets each see what the gauges read at the step that was taken last.
    pub(crate) fn read_gauges(&mut self, observations: &[Observation]) {
        self.members.iter_mut().for_each(|(_, state)| state.read_gauges(observations));
    }

    /// Corrects each by the observations since the last correction.
    pub(crate) fn assimilate(&mut self, observations: &[Observation]) -> Result<(), ForecastError> {
        self.members.iter_mut().try_for_each(|(_, state)| state.assimilate(observations))
    }

    /// What they expect the gauges to read at the time they have reached, `[C]` m³ s⁻¹, mixed as forecasts are: those that output updating
    /// moves, or all where it moves none.
    pub(crate) fn predicted_m3_s(&self) -> Vec<f64> {
        let some = self.each().any(|state| !state.is_autoregressive());
        let asked = || self.members.iter().filter(|(_, state)| !(some && state.is_autoregressive()));
        let total: f64 = asked().map(|(weight, _)| weight).sum();
        let mut mixed = vec![0.0; self.members[0].1.layout.shape.catchments];
        for (weight, state) in asked() {
            mixed.iter_mut().zip(state.predicted_m3_s()).for_each(|(sum, one)| *sum += weight / total * one);
        }
        mixed
    }

    /// What they simulate at the time they have reached, `[C]` m³ s⁻¹, before any error is taken off: by weight.
    pub(crate) fn simulated_m3_s(&self) -> Vec<f64> {
        let total: f64 = self.members.iter().map(|(weight, _)| weight).sum();
        let mut mixed = vec![0.0; self.members[0].1.layout.shape.catchments];
        for (weight, state) in &self.members {
            mixed.iter_mut().zip(state.simulated_m3_s()).for_each(|(sum, one)| *sum += weight / total * one);
        }
        mixed
    }

    /// How far what a gauge is expected to read spreads about `expected` in the logarithm, between the models and within each.
    pub(crate) fn log_spread(&self, catchment: usize, expected: f64) -> f64 {
        let total: f64 = self.members.iter().map(|(weight, _)| weight).sum();
        let square =
            |(weight, state): &(f64, EnsembleState)| weight / total * state.log_spread(catchment, expected).powi(2);
        self.members.iter().map(square).sum::<f64>().sqrt()
    }

    /// Mean rain of a step lately, and the snow of the model that has most of it, mm.
    pub(crate) fn water_at_hand_mm(&self, catchment: usize) -> (f64, f64) {
        let of_each = self.each().map(|state| state.water_at_hand_mm(catchment));
        of_each.fold((0.0, 0.0), |most, (rain, snow)| (most.0.max(rain), most.1.max(snow)))
    }

    /// Days of a step.
    pub(crate) fn step_days(&self) -> f64 {
        self.members[0].1.layout.step_s as f64 / 86_400.0
    }

    /// A discharge as a depth over its catchment, mm a step.
    pub(crate) fn depth_mm(&self, discharge: &Observation) -> f64 {
        discharge.value / self.members[0].1.layout.m3_s_per_mm[discharge.catchment]
    }

    /// How far the observations lay from what each had predicted.
    pub(crate) fn innovations(&self) -> impl Iterator<Item = &Innovation> {
        self.each().flat_map(EnsembleState::innovations)
    }

    /// A forecast of `models` issued at `issue_time`; none when nothing of it goes out.
    pub(crate) fn issue(
        &mut self,
        models: &Mixture,
        issue_time: Timestamp,
        leads: &Leads,
        weather: &Weather<'_>,
        postprocessing: &mut Postprocessing,
        about: &Provenance<'_>,
    ) -> Result<Option<Issued>, ForecastError> {
        let step_s = self.members[0].1.layout.step_s;
        let going_out = leads.going_out(issue_time, step_s, weather.scenario, weather.alignment);
        if going_out.is_empty() {
            return Ok(None);
        }
        let (mut autoregressive, mut open_loop) = (Vec::new(), Vec::new());
        for (weight, state) in &mut self.members {
            let prediction = (*weight, state.predict(issue_time, &going_out, weather)?);
            if state.is_autoregressive() { autoregressive.push(prediction) } else { open_loop.push(prediction) }
        }
        let total: f64 = open_loop.iter().map(|(weight, _)| weight).sum();
        open_loop.iter_mut().for_each(|(weight, _)| *weight /= total);
        // An autoregressive model has seen what the gauge reads; output updating moves the others by it.
        if let Some(mut moved) = Prediction::mixed(open_loop) {
            moved.update(&going_out, postprocessing);
            autoregressive.push((total, moved));
        }
        let Some(prediction) = Prediction::mixed(autoregressive) else { return Ok(None) };
        let mut streams = self.streams(TRAJECTORIES, issue_time);
        let times = (issue_time, self.time());
        let issued = prediction.issue(models, times, &going_out, postprocessing, &mut streams, about)?;
        Ok(Some(issued).filter(|issued| !issued.forecasts.is_empty()))
    }

    /// Goes back to the states before the step that ends at `time + step`; the graphs stay.
    pub(crate) fn begin(
        &mut self,
        models: &Mixture,
        pipeline: &Pipeline,
        time: Timestamp,
    ) -> Result<(), ForecastError> {
        let states = self.members.iter_mut().zip(models.members());
        states.into_iter().try_for_each(|((_, state), member)| state.begin(&member.package, pipeline, time))
    }

    /// Adds the columns of each model's state, named by the model.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        self.each().zip(&self.names).for_each(|(state, name)| state.store(name, columns));
    }

    /// Takes up what [`Ensembles::store`] gave of the catchments that were there after `steps` steps, for the time at which the states have begun;
    /// `serves` says of which models.
    pub(crate) fn restore(
        &mut self,
        rows: &KeyedColumns<'_>,
        steps: u64,
        serves: &[bool],
    ) -> Result<(), ForecastError> {
        let states = self.members.iter_mut().zip(&self.names).zip(serves);
        states.filter(|(_, serves)| **serves).try_for_each(|(((_, state), name), _)| state.restore(name, rows, steps))
    }

    /// Largest residual of a water budget, mm.
    pub(crate) fn budget_residual_mm(&self) -> f64 {
        self.each().map(EnsembleState::budget_residual_mm).fold(0.0, f64::max)
    }
}

/// A name for each model: that of its card, and a number where several have it.
fn names<'a>(of_cards: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in of_cards {
        let same = names.iter().filter(|other| other.split('#').next() == Some(name)).count();
        names.push(if same == 0 { name.to_owned() } else { format!("{name}#{}", same + 1) });
    }
    names
}
