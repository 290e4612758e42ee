//! The ensemble of a partition: one contiguous array, advanced by the model and corrected by observations.

use nilometer_alignment::Observation;
use nilometer_assimilation::{AnalysisReport, Bounds, DischargeOperator, ErrorScales, Innovation, Purpose};
use nilometer_definitions::{AssimilationMethod, Pipeline};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::{Package, Selection};
use nilometer_runtime::{Model, Runtime};
use nilometer_schemas::{Held, Timestamp, Variable};
use rand_distr::{Distribution, StandardNormal};

use crate::{
    ForecastError, WaterBudget,
    analysis::{Analysis, Correction, Localised},
    layout::Layout,
    window::{Fitted, Window, changes},
};

/// Streams of this role that have no name in the assimilation crate.
pub(crate) const STORE_NOISE: Purpose = Purpose::Custom(1);

/// The state of a partition, `[S + 5, C, M]`: the model's rows, then the rain multiplier's noise, the output error, the
/// discharge that the members had at `time`, the recent rain and the discharge that the gauge read at `time` (mm a step, NaN
/// where it read none); the last two are the same in every member.
pub struct EnsembleState {
    pub(crate) numbers: Vec<f32>,
    pub(crate) time: Timestamp,
    pub(crate) budgets: Vec<WaterBudget>,
    pub(crate) steps: u64,
    pub(crate) model: Model,
    pub(crate) layout: Layout,
    analysis: Option<Analysis>,
    window: Option<Window>,
    /// how large the errors of each gauge and of the model there are
    pub(crate) error_scales: ErrorScales,
    /// what the last observations did: those of discharge, then those of stores
    pub(crate) corrections: Vec<Correction>,
}

impl EnsembleState {
    /// The state before the step that ends at `time + step`: the card's initial values, spread over the members.
    /// `horizon` is the longest rollout that will be asked for, in steps.
    ///
    /// # Errors
    /// [`ForecastError::Misfit`] when the package does not fit the pipeline, or the package's own errors.
    pub fn new(
        runtime: &Runtime,
        package: &Package,
        pipeline: &Pipeline,
        horizon: usize,
        time: Timestamp,
    ) -> Result<Self, ForecastError> {
        let card = package.card();
        let layout = Layout::new(pipeline, card)?;
        let catchments = selection(package, pipeline)?;
        let model = Model::new(runtime, package, &catchments, layout.shape.members, horizon)?;
        let variational = pipeline.assimilation.method == AssimilationMethod::Variational;
        let window = variational.then(|| Window::new(runtime, package, &catchments, pipeline)).transpose()?;
        let mut state = Self {
            numbers: Vec::new(),
            time,
            budgets: Vec::new(),
            steps: 0,
            model,
            layout,
            analysis: None,
            window,
            error_scales: ErrorScales::new(0, 0.0)?,
            corrections: Vec::new(),
        };
        state.begin(package, pipeline, time)?;
        Ok(state)
    }

    /// Goes back to the state before the step that ends at `time + step`; the graphs stay.
    pub(crate) fn begin(
        &mut self,
        package: &Package,
        pipeline: &Pipeline,
        time: Timestamp,
    ) -> Result<(), ForecastError> {
        let (card, layout) = (package.card(), &self.layout);
        let row_len = layout.row_len();
        let mut numbers = self.model.initial_state();
        numbers.resize(layout.shape.states * row_len, 0.0);
        let streams = if layout.control { Vec::new() } else { layout.streams(Purpose::InitialState, time) };
        for (catchment, mut stream) in streams.into_iter().enumerate() {
            let members = |row: usize| row * row_len + catchment * layout.shape.members..;
            for (row, block) in card.state_row_blocks().enumerate().filter(|(_, block)| block.initial_spread > 0.0) {
                let bounds = Bounds { minimum: block.minimum, maximum: block.maximum };
                for value in &mut numbers[members(row)][..layout.shape.members] {
                    let eta: f32 = StandardNormal.sample(&mut stream);
                    *value = bounds.clip(*value + block.initial_spread * eta);
                }
            }
            let multiplier = &mut numbers[members(layout.multiplier_row())][..layout.shape.members];
            layout.multiplier.initialise(multiplier, &mut stream);
            let output_error = &mut numbers[members(layout.output_error_row())][..layout.shape.members];
            layout.output_error.initialise(output_error, &mut stream)?;
        }
        numbers[layout.gauged_row() * row_len..].fill(f32::NAN);
        self.budgets = vec![WaterBudget::default(); layout.shape.catchments];
        (self.numbers, self.time, self.steps) = (numbers, time, 0);
        self.analysis = Analysis::new(pipeline, card)?;
        self.error_scales = ErrorScales::new(self.layout.shape.catchments, pipeline.assimilation.error_learning_rate)?;
        self.corrections.clear();
        if let Some(window) = &mut self.window {
            window.begin();
        }
        for catchment in 0..self.layout.shape.catchments {
            self.budgets[catchment].initial_mm = self.storage_mm(catchment);
        }
        Ok(())
    }

    /// Whether [`EnsembleState::swap_weights`] would take up this package.
    ///
    /// # Errors
    /// [`ForecastError::Model`] when it is not of the same model.
    pub fn check_swap(&self, package: &Package, pipeline: &Pipeline) -> Result<(), ForecastError> {
        Ok(self.model.check_swap(package, &selection(package, pipeline)?)?)
    }

    /// Goes on with other weights of the same model; the state stays as it is.
    ///
    /// # Errors
    /// [`ForecastError::Model`] when `package` is not of the same model; then nothing has changed.
    pub fn swap_weights(&mut self, package: &Package, pipeline: &Pipeline) -> Result<(), ForecastError> {
        let catchments = selection(package, pipeline)?;
        self.model.swap_weights(package, &catchments)?;
        self.window.as_mut().map_or(Ok(()), |window| window.swap_weights(package, &catchments))
    }

    /// The time that the state has reached.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Recent rain of each catchment, mm.
    pub(crate) fn recent_rain_mm(&self) -> Vec<f64> {
        let row = &self.numbers[self.layout.recent_rain_row() * self.layout.row_len()..][..self.layout.row_len()];
        row.chunks_exact(self.layout.shape.members).map(|of_members| f64::from(of_members[0])).collect()
    }

    /// The model's inputs, in the order of its forcing rows.
    #[must_use]
    pub fn inputs(&self) -> &[Variable] {
        &self.layout.inputs
    }

    /// Advances by one step under `forcing` `[F, C]`, perturbed for each member.
    ///
    /// # Errors
    /// [`ForecastError::Model`] when the model gives something that is no number.
    pub fn advance(&mut self, forcing: &[f32]) -> Result<(), ForecastError> {
        let time = self.time.plus_s(self.layout.step_s);
        self.add_store_noise(time);
        let layout = &self.layout;
        let (row_len, members) = (layout.row_len(), layout.shape.members);
        let multiplier = &mut self.numbers[layout.multiplier_row() * row_len..][..row_len];
        layout.advance_multiplier(multiplier, &mut layout.streams(Purpose::PrecipitationMultiplier, time))?;
        let mut occurrence = layout.streams(Purpose::PrecipitationOccurrence, time);
        layout.write_forcing(forcing, multiplier, self.model.forcing_mut(), &mut occurrence)?;
        let gauged = &self.numbers[layout.gauged_row() * row_len..][..row_len];
        layout.write_feedback(gauged, self.model.forcing_mut());
        let rain_at = layout.inputs.iter().position(|v| *v == Variable::Precipitation);
        if let Some(input) = rain_at.filter(|_| layout.balances) {
            let rain = &self.model.forcing_mut()[input * row_len..][..row_len];
            for (budget, rain) in self.budgets.iter_mut().zip(rain.chunks_exact(members)) {
                budget.precipitation_mm += mean(rain);
            }
        }
        let (model_state, own_rows) = self.numbers.split_at_mut(layout.model_rows * row_len);
        if let Some(window) = &mut self.window {
            // The window steps its own begin with this model, so what is written for this step is written again.
            let now = self.model.forcing_mut().to_vec();
            window.slide(&mut self.model, model_state, &now)?;
            self.model.forcing_mut().copy_from_slice(&now);
        }
        let fluxes = self.model.step(model_state)?;
        let discharge = &mut own_rows[2 * row_len..][..row_len];
        for (catchment, budget) in self.budgets.iter_mut().enumerate() {
            let members_of = |values: &[f32]| mean(&values[catchment * members..][..members]);
            budget.evapotranspiration_mm += fluxes.evapotranspiration_mm.map_or(0.0, members_of);
            budget.outflow_mm += fluxes.outflow_mm.map_or(0.0, members_of);
            let span = catchment * members..(catchment + 1) * members;
            for (m3_s, mm) in discharge[span.clone()].iter_mut().zip(&fluxes.discharge_mm[span]) {
                *m3_s = (f64::from(*mm) * layout.m3_s_per_mm[catchment]) as f32;
            }
        }
        let mut recent_mm = Vec::with_capacity(layout.shape.catchments);
        recent_mm.extend(
            own_rows[3 * row_len..4 * row_len].chunks_exact(members).map(|of_members| f64::from(of_members[0])),
        );
        layout.remember_rain(&mut recent_mm, forcing);
        for (of_members, recent_mm) in own_rows[3 * row_len..4 * row_len].chunks_exact_mut(members).zip(&recent_mm) {
            of_members.fill(*recent_mm as f32);
        }
        own_rows[4 * row_len..].fill(f32::NAN);
        let output_error = &mut own_rows[row_len..][..row_len];
        let mut noise = layout.streams(Purpose::OutputError, time);
        layout.advance_output_error(output_error, &recent_mm, &self.error_scales, 0, &mut noise)?;
        self.time = time;
        self.steps += 1;
        Ok(())
    }

    /// Corrects the state by the observations that have come since the last correction, sorted by catchment, then time.
    ///
    /// # Errors
    /// [`ForecastError::Assimilation`] when the filter refuses, which checked rows cannot cause.
    pub fn assimilate(&mut self, observations: &[Observation]) -> Result<(), ForecastError> {
        self.corrections.clear();
        if self.window.is_some() {
            return self.fit_window(observations);
        }
        let Some(analysis) = &mut self.analysis else { return Ok(()) };
        let (gauges, stores): (Vec<_>, Vec<_>) = observations.iter().copied().partition(Observation::is_discharge);
        let (numbers, layout) = (&mut self.numbers, &self.layout);
        let recent_rain = &numbers[layout.recent_rain_row() * layout.row_len()..][..layout.row_len()];
        let wetness = |of_members: &[f32]| layout.output_error.wetness(f64::from(of_members[0]));
        let wetness: Vec<f64> = recent_rain.chunks_exact(layout.shape.members).map(wetness).collect();
        let scales: Vec<f64> = wetness.iter().enumerate().map(|(at, wet)| self.error_scales.factor(at, *wet)).collect();
        let correction = analysis.assimilate(numbers, layout, self.time, &scales, &gauges)?;
        for (innovation, _) in correction.innovations_at_gauges() {
            self.error_scales.learn(wetness[innovation.catchment], innovation);
        }
        self.corrections.push(correction);
        self.corrections.extend(analysis.assimilate_stores(numbers, layout, self.time, &stores)?);
        analysis.remember(numbers, layout, self.time)?;
        for increment in self.corrections.iter().flat_map(|correction| &correction.report.increments) {
            if let Some(share) = self.layout.storage.get(increment.state) {
                let budget = &mut self.budgets[increment.catchment];
                budget.increment_mm += share * increment.mean_increment;
                budget.clipped_mm += share * increment.mean_clipped;
            }
        }
        Ok(())
    }

    /// Corrects the state of a single member by the window that ends with it.
    fn fit_window(&mut self, observations: &[Observation]) -> Result<(), ForecastError> {
        let predicted_m3_s = self.predicted_m3_s();
        let Some(window) = self.window.as_mut().filter(|_| !observations.is_empty()) else { return Ok(()) };
        let layout = &self.layout;
        let length = layout.model_rows * layout.row_len();
        let before = self.numbers[..length].to_vec();
        if let Some(Fitted { mut state, discharge_mm, full }) = window.fit(&mut self.model, layout, observations)? {
            let catchments = full.len();
            for (at, value) in state.iter_mut().enumerate().filter(|(at, _)| !full[at % catchments]) {
                *value = before[at];
            }
            self.numbers[..length].copy_from_slice(&state);
            let discharge = &mut self.numbers[layout.discharge_row() * layout.row_len()..][..layout.row_len()];
            let fitted = discharge.iter_mut().zip(&discharge_mm).zip(&layout.m3_s_per_mm).zip(&full);
            for (((m3_s, mm), factor), _) in fitted.filter(|(_, full)| **full) {
                *m3_s = (f64::from(*mm) * factor) as f32;
            }
            // Catchments without an observation are taken through their window again as well, to the state that they had.
            for (row, share) in layout.storage.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                for (catchment, budget) in self.budgets.iter_mut().enumerate() {
                    let at = row * layout.row_len() + catchment;
                    budget.increment_mm += share * (f64::from(state[at]) - f64::from(before[at]));
                }
            }
        }
        let moved = (before.as_slice(), &self.numbers[..length]);
        let (innovations, increments) = changes(layout, &predicted_m3_s, observations, moved)?;
        let report = AnalysisReport { innovations, increments, ..AnalysisReport::default() };
        let localised = observations.iter().copied().map(Localised::at_gauge).collect();
        self.corrections.push(Correction { report, localised });
        Ok(())
    }

    /// Adds the columns of the state, each named `name` and the block of rows `[rows, M]`; of the water budget; and of the window or the filter.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder) {
        let (members, row_len) = (self.layout.shape.members, self.layout.row_len());
        for (block, rows) in self.layout.blocks() {
            columns.f32(&format!("{name}.{block}"), |catchment| {
                let of_row = |row: usize| &self.numbers[row * row_len + catchment * members..][..members];
                rows.clone().flat_map(of_row).copied().collect::<Vec<_>>()
            });
        }
        for (term, value) in WaterBudget::TERMS {
            columns.f64(&format!("{name}.water_budget.{term}"), |catchment| {
                [*value(&mut self.budgets[catchment].clone())]
            });
        }
        if let Some(window) = &self.window {
            window.store(name, columns);
        }
        if let Some(analysis) = &self.analysis {
            analysis.store(name, columns, members);
            columns.f32(&format!("{name}.error_scale"), |catchment| self.error_scales.factors()[catchment]);
        }
    }

    /// Takes up what [`EnsembleState::store`] gave of the catchments that were there, after `steps` steps. What is of another size stays as it began.
    pub(crate) fn restore(&mut self, name: &str, rows: &KeyedColumns<'_>, steps: u64) -> Result<(), ForecastError> {
        let (members, row_len) = (self.layout.shape.members, self.layout.row_len());
        let mut error_scales = self.error_scales.factors().to_vec();
        for (catchment, error_scale) in error_scales.iter_mut().enumerate() {
            for (block, of_block) in self.layout.blocks() {
                let own = rows.f32(&format!("{name}.{block}"), catchment).unwrap_or_default();
                if own.len() != of_block.len() * members {
                    continue;
                }
                for (row, own) in of_block.clone().zip(own.chunks_exact(members)) {
                    self.numbers[row * row_len + catchment * members..][..members].copy_from_slice(own);
                }
            }
            if let Some([dry, wet]) = rows.f32(&format!("{name}.error_scale"), catchment) {
                *error_scale = [*dry, *wet];
            }
            for (term, value) in WaterBudget::TERMS {
                if let Some([own]) = rows.f64(&format!("{name}.water_budget.{term}"), catchment) {
                    *value(&mut self.budgets[catchment]) = *own;
                }
            }
        }
        self.error_scales.restore(&error_scales)?;
        self.steps = steps;
        if let Some(window) = &mut self.window {
            window.restore(name, rows);
        }
        match &mut self.analysis {
            Some(analysis) => analysis.restore(name, rows, members),
            None => Ok(()),
        }
    }

    /// Whether the model takes what the gauge read as an input.
    pub(crate) const fn is_autoregressive(&self) -> bool {
        self.layout.feedback
    }

    /// Keeps what the gauges read last in the step that ends at the state's time, for an autoregressive model.
    pub fn read_gauges(&mut self, observations: &[Observation]) {
        let layout = &self.layout;
        let (members, row_len) = (layout.shape.members, layout.row_len());
        let gauged = &mut self.numbers[layout.gauged_row() * row_len..][..row_len];
        let read = |o: &&Observation| layout.feedback && o.is_discharge();
        for observation in observations.iter().filter(read) {
            let mm = observation.value / layout.m3_s_per_mm[observation.catchment];
            gauged[observation.catchment * members..][..members].fill(mm as f32);
        }
    }

    /// Noise of the updatable stores before the step that ends at `time`.
    fn add_store_noise(&mut self, time: Timestamp) {
        let layout = &self.layout;
        if layout.store_noise_mm == 0.0 {
            return;
        }
        let (members, row_len) = (layout.shape.members, layout.row_len());
        let mut streams = layout.streams(STORE_NOISE, time);
        let scale = |(catchment, mm): (usize, f64)| layout.error_scale(&self.error_scales, catchment, mm);
        let scales: Vec<f64> = self.recent_rain_mm().into_iter().enumerate().map(scale).collect();
        for store in &layout.noisy_stores {
            let row = &mut self.numbers[store.state * row_len..][..row_len];
            let catchments = self.budgets.iter_mut().zip(row.chunks_exact_mut(members)).zip(&mut streams).zip(&scales);
            for (((budget, values), stream), scale) in catchments {
                let noise_mm = scale * layout.store_noise_mm;
                let before = mean(values);
                for value in values.iter_mut() {
                    let eta: f64 = StandardNormal.sample(stream);
                    *value = store.bounds.clip((f64::from(*value) + noise_mm * eta) as f32);
                }
                budget.noise_mm += layout.storage[store.state] * (mean(values) - before);
            }
        }
    }

    /// Ensemble-mean water in the stores of a catchment, mm.
    #[must_use]
    pub fn storage_mm(&self, catchment: usize) -> f64 {
        let members = self.layout.shape.members;
        let store = |row: usize| mean(&self.numbers[row * self.layout.row_len() + catchment * members..][..members]);
        let rows = self.layout.storage.iter().enumerate();
        rows.filter(|(_, share)| **share > 0.0).map(|(row, share)| share * store(row)).sum()
    }

    /// What the gauges are expected to read at [`EnsembleState::time`], `[C]` m³ s⁻¹: as [`EnsembleState::predict`]'s mean.
    pub(crate) fn predicted_m3_s(&self) -> Vec<f64> {
        let layout = &self.layout;
        let row =
            |row: usize| self.numbers[row * layout.row_len()..][..layout.row_len()].chunks_exact(layout.shape.members);
        let members = row(layout.discharge_row()).zip(row(layout.output_error_row())).zip(&layout.operators);
        let expected = |((discharge, error), operator): ((&[f32], &[f32]), &DischargeOperator)| {
            let error = mean(error);
            discharge.iter().map(|q| operator.corrected_m3_s(f64::from(*q), error)).sum::<f64>()
                / discharge.len() as f64
        };
        members.map(expected).collect()
    }

    /// Mean discharge of the members at [`EnsembleState::time`], `[C]` m³ s⁻¹.
    pub(crate) fn simulated_m3_s(&self) -> impl Iterator<Item = f64> {
        let row = &self.numbers[self.layout.discharge_row() * self.layout.row_len()..][..self.layout.row_len()];
        row.chunks_exact(self.layout.shape.members).map(mean)
    }

    /// How far what a gauge is expected to read spreads about `expected` in the logarithm, root mean square over the members; of a single one
    /// that of its output error.
    pub(crate) fn log_spread(&self, catchment: usize, expected: f64) -> f64 {
        let (layout, operator) = (&self.layout, &self.layout.operators[catchment]);
        let row = |row: usize| {
            &self.numbers[row * layout.row_len() + catchment * layout.shape.members..][..layout.shape.members]
        };
        let members = row(layout.discharge_row()).iter().zip(row(layout.output_error_row()));
        let squares = members.map(|(q, error)| (operator.log(f64::from(*q)) + f64::from(*error) - expected).powi(2));
        let alone =
            if layout.control { layout.output_error.sigma(f64::from(row(layout.recent_rain_row())[0])) } else { 0.0 };
        (squares.sum::<f64>() / layout.shape.members as f64 + alone * alone).sqrt()
    }

    /// Mean rain of a step over the rain's memory, which is what runs off at most once the whole catchment contributes (rational method), and the
    /// snow that lies on a catchment, mean over the members, mm.
    pub(crate) fn water_at_hand_mm(&self, catchment: usize) -> (f64, f64) {
        let (layout, members) = (&self.layout, self.layout.shape.members);
        let row = |row: usize| mean(&self.numbers[row * layout.row_len() + catchment * members..][..members]);
        let snow = layout.stores.iter().filter(|(name, _)| Held::of_store(name) == Some(Held::Snow));
        let snow_mm = snow.flat_map(|(_, rows)| rows.clone()).map(|store| layout.storage[store] * row(store)).sum();
        (layout.output_error.mean_rain_mm(row(layout.recent_rain_row()), layout.step_s as f64), snow_mm)
    }

    /// Ensemble-mean discharge of each catchment at [`EnsembleState::time`] before its output error, m³ s⁻¹.
    #[must_use]
    pub fn mean_discharge_m3_s(&self) -> Vec<f64> {
        let row = &self.numbers[self.layout.discharge_row() * self.layout.row_len()..][..self.layout.row_len()];
        row.chunks_exact(self.layout.shape.members).map(mean).collect()
    }

    /// How far the observations of the last [`EnsembleState::assimilate`] lay from what was predicted for their gauges.
    pub fn innovations(&self) -> impl Iterator<Item = &Innovation> {
        self.corrections.iter().flat_map(Correction::innovations_at_gauges).map(|(innovation, _)| innovation)
    }

    /// The water budget of each catchment since the state began.
    #[must_use]
    pub fn budgets(&self) -> &[WaterBudget] {
        &self.budgets
    }

    /// Largest residual of the water budget over the catchments, mm.
    #[must_use]
    pub fn budget_residual_mm(&self) -> f64 {
        self.budgets
            .iter()
            .enumerate()
            .map(|(catchment, b)| b.residual_mm(self.storage_mm(catchment)).abs())
            .fold(0.0, f64::max)
    }
}

/// The pipeline's catchments as the package tells them apart: by name or by attributes.
pub(crate) fn selection(package: &Package, pipeline: &Pipeline) -> Result<Selection, ForecastError> {
    let wanted = &package.card().attributes;
    if wanted.is_empty() {
        let names: Vec<&str> = pipeline.catchments.iter().map(|c| c.parameters()).collect();
        return Ok(package.select(&names)?);
    }
    let by_catchment: Vec<Vec<f32>> = pipeline.catchments.iter().map(|c| c.attributes_of(wanted)).collect();
    let attributes = (0..wanted.len()).flat_map(|a| by_catchment.iter().map(move |of| of[a])).collect();
    Ok(package.describe(by_catchment.len(), attributes)?)
}

pub(crate) fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
}
