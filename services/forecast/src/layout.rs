//! What an ensemble is made of: its rows, its errors and its catchments, in the form that the hot path needs.

use std::ops::Range;

use nilometer_alignment::discharge_operators;
use nilometer_assimilation::{
    Ar1, Bounds, DischargeOperator, EnsembleShape, ErrorRegime, ErrorScales, OutputError, PrecipitationPerturbation,
    Purpose, UpdatableRow, catchment_streams, stream_number,
};
use nilometer_definitions::{Alignment, AssimilationMethod, ErrorOptions, Pipeline};
use nilometer_packages::{Card, FEEDBACK};
use nilometer_schemas::{Timestamp, Variable};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{ForecastError, river::River};

/// What the definition and the card say about the ensemble, in the form that the hot path needs.
pub(crate) struct Layout {
    pub(crate) shape: EnsembleShape,
    pub(crate) model_rows: usize,
    pub(crate) step_s: i64,
    pub(crate) alignment: Alignment,
    seed: u64,
    /// of each catchment's noise
    stream_numbers: Vec<u64>,
    pub(crate) inputs: Vec<Variable>,
    /// whether two more inputs are the gauge's discharge of the step before and whether it is missing
    pub(crate) feedback: bool,
    /// whether the one member is the model by itself, without noise
    pub(crate) control: bool,
    pub(crate) m3_s_per_mm: Vec<f64>,
    pub(crate) operators: Vec<DischargeOperator>,
    pub(crate) discharge_relative_error: f64,
    pub(crate) discharge_absolute_error_m3_s: Vec<f64>,
    /// there when gauges inform catchments above them
    pub(crate) river: Option<River>,
    pub(crate) multiplier: Ar1,
    pub(crate) perturbation: PrecipitationPerturbation,
    pub(crate) output_error: OutputError,
    /// rows that an observation may change
    pub(crate) rows: Vec<UpdatableRow>,
    /// the model's blocks of rows, by name
    blocks: Vec<(String, Range<usize>)>,
    /// of these, those that hold water
    pub(crate) stores: Vec<(String, Range<usize>)>,
    /// water that a unit of each of the model's rows holds, mm; 0 where it is no store
    pub(crate) storage: Vec<f64>,
    /// whether the model says where its water went
    pub(crate) balances: bool,
    pub(crate) noisy_stores: Vec<UpdatableRow>,
    pub(crate) store_noise_mm: f64,
}

impl Layout {
    pub(crate) const fn multiplier_row(&self) -> usize {
        self.model_rows
    }
    pub(crate) const fn output_error_row(&self) -> usize {
        self.model_rows + 1
    }
    pub(crate) const fn discharge_row(&self) -> usize {
        self.model_rows + 2
    }
    pub(crate) const fn recent_rain_row(&self) -> usize {
        self.model_rows + 3
    }
    pub(crate) const fn gauged_row(&self) -> usize {
        self.model_rows + 4
    }

    /// The blocks of rows of the state, by name: the model's own, then those of the ensemble.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let own = [
            ("rain_multiplier", self.multiplier_row()),
            ("output_error", self.output_error_row()),
            ("discharge_m3_s", self.discharge_row()),
            ("recent_rain_mm", self.recent_rain_row()),
            ("gauged_mm", self.gauged_row()),
        ];
        let of_model = self.blocks.iter().map(|(name, rows)| (name.as_str(), rows.clone()));
        of_model.chain(own.into_iter().map(|(name, row)| (name, row..row + 1)))
    }

    /// Recent rain of each catchment after a step under `forcing` `[F, C]`, in place.
    pub(crate) fn remember_rain(&self, recent_mm: &mut [f64], forcing: &[f32]) {
        let rain = self.inputs.iter().position(|v| *v == Variable::Precipitation);
        for (catchment, recent_mm) in recent_mm.iter_mut().enumerate() {
            let rain_mm = rain.map_or(0.0, |input| f64::from(forcing[input * self.shape.catchments + catchment]));
            *recent_mm = self.output_error.recent_rain_mm(*recent_mm, rain_mm, self.step_s as f64);
        }
    }

    /// The noise of each catchment at a time, for one purpose.
    pub(crate) fn streams(&self, purpose: Purpose, time: Timestamp) -> Vec<ChaCha8Rng> {
        catchment_streams(self.seed, purpose, time.0, &self.stream_numbers)
    }

    /// Advances the rain multiplier's noise `[C, M]` by a step.
    pub(crate) fn advance_multiplier(
        &self,
        multiplier: &mut [f32],
        streams: &mut [ChaCha8Rng],
    ) -> Result<(), ForecastError> {
        if self.control {
            return Ok(());
        }
        Ok(self.multiplier.advance_by(multiplier, self.step_s as f64, self.noise(streams))?)
    }

    /// The factor on the errors of a catchment with this recent rain.
    pub(crate) fn error_scale(&self, scales: &ErrorScales, catchment: usize, recent_mm: f64) -> f64 {
        scales.factor(catchment, self.output_error.wetness(recent_mm))
    }

    /// Advances the output error `[C, M]` by a step, given each catchment's recent rain after it; `ahead` is how many steps lie between the last
    /// analysis and this one's begin.
    ///
    /// How far a gauge is off from one step to the next says how large the errors are that have just begun. Those that last are as the definition
    /// says, so with the steps ahead the scale that was learned gives way to 1, as fast as errors are forgotten while it rains.
    pub(crate) fn advance_output_error(
        &self,
        output_error: &mut [f32],
        recent_mm: &[f64],
        scales: &ErrorScales,
        ahead: usize,
        streams: &mut [ChaCha8Rng],
    ) -> Result<(), ForecastError> {
        if self.control {
            return Ok(());
        }
        let (members, noise) = (self.shape.members, self.noise(streams));
        for (at, (of_members, recent_mm)) in output_error.chunks_exact_mut(members).zip(recent_mm).enumerate() {
            let noise = noise[at * members..][..members].iter().copied();
            let remembered = self.output_error.correlation(f64::INFINITY, ahead as f64 * self.step_s as f64);
            let scale = 1.0 + (self.error_scale(scales, at, *recent_mm) - 1.0) * remembered;
            self.output_error.advance(of_members, *recent_mm, self.step_s as f64, scale, noise)?;
        }
        Ok(())
    }

    /// Standard normal noise of a row `[C, M]`, that of one river's catchments with a part in common.
    fn noise(&self, streams: &mut [ChaCha8Rng]) -> Vec<f64> {
        let members = self.shape.members;
        let draw = |stream: &mut ChaCha8Rng| StandardNormal.sample_iter(stream).take(members).collect::<Vec<f64>>();
        let mut noise: Vec<f64> = streams.iter_mut().flat_map(draw).collect();
        if let Some(river) = &self.river {
            river.correlate(&mut noise, streams);
        }
        noise
    }

    /// Numbers of one row, `C × M`.
    pub(crate) const fn row_len(&self) -> usize {
        self.shape.catchments * self.shape.members
    }

    /// From a checked definition and a card.
    ///
    /// # Errors
    /// [`ForecastError::Misfit`] when the package does not fit the pipeline.
    pub(crate) fn new(pipeline: &Pipeline, card: &Card) -> Result<Self, ForecastError> {
        let options = &pipeline.assimilation;
        let model_rows = card.state_rows();
        let inputs = fitting_inputs(pipeline, card)?;
        let control = options.members == 1;
        let particles = options.method == AssimilationMethod::Particle;
        let bounds = |row: usize, minimum, maximum| UpdatableRow { state: row, bounds: Bounds { minimum, maximum } };
        let (mut rows, mut storage, mut noisy_stores) = (Vec::new(), Vec::new(), Vec::new());
        let (mut blocks, mut stores) = (Vec::<(String, Range<usize>)>::new(), Vec::<(String, Range<usize>)>::new());
        for (row, block) in card.state_row_blocks().enumerate() {
            let updatable = bounds(row, block.minimum, block.maximum);
            let holds_water = block.storage.is_some();
            match blocks.last_mut().filter(|(name, _)| *name == block.name) {
                Some((_, of_block)) => of_block.end = row + 1,
                None => blocks.push((block.name.clone(), row..row + 1)),
            }
            match stores.last_mut().filter(|(name, _)| *name == block.name) {
                Some((_, of_store)) => of_store.end = row + 1,
                None if holds_water => stores.push((block.name.clone(), row..row + 1)),
                None => {}
            }
            storage.push(block.storage.map_or(0.0, f64::from));
            if block.updatable && holds_water {
                noisy_stores.push(updatable);
            }
            // A particle is drawn again with all that it is, its discharge included.
            if block.updatable || particles || options.also_update.contains(&block.name) {
                rows.push(updatable);
            }
        }
        rows.push(bounds(model_rows, None, None));
        rows.push(bounds(model_rows + 1, None, None));
        if particles {
            rows.push(bounds(model_rows + 2, Some(0.0), None));
        }
        let m3_s_per_mm: Vec<f64> =
            pipeline.catchments.iter().map(|c| c.m3_s_per_mm(pipeline.time.step.seconds())).collect();
        Ok(Self {
            shape: EnsembleShape {
                states: model_rows + 5,
                catchments: pipeline.catchments.len(),
                members: options.members,
            },
            model_rows,
            step_s: pipeline.time.step.seconds(),
            alignment: pipeline.time.align,
            seed: options.seed,
            stream_numbers: pipeline.catchments.iter().map(|c| stream_number(&c.id)).collect(),
            feedback: inputs.len() < card.inputs.len(),
            inputs,
            control,
            discharge_relative_error: options.discharge_relative_error,
            discharge_absolute_error_m3_s: m3_s_per_mm
                .iter()
                .map(|f| options.discharge_absolute_error_mm * f)
                .collect(),
            m3_s_per_mm,
            operators: discharge_operators(pipeline)?,
            river: River::new(pipeline)?,
            multiplier: Ar1::new(1.0, options.precipitation_tau.seconds() as f64)?,
            perturbation: PrecipitationPerturbation::new(
                if control { 0.0 } else { options.precipitation_sigma },
                0.0,
                if control { 0.0 } else { options.occurrence_probability },
                options.occurrence_mean_mm,
            )?,
            output_error: OutputError::new(
                regime(options.output_error_dry),
                regime(options.output_error_wet),
                options.rain_memory.seconds() as f64,
                options.full_wetness_mm,
            )?,
            rows,
            blocks,
            stores,
            storage,
            balances: card.gives("outflow") && card.gives("evapotranspiration"),
            noisy_stores,
            store_noise_mm: if control { 0.0 } else { options.store_noise_mm },
        })
    }

    /// Writes `forcing` `[F, C]` as `[F, C, M]`: rain perturbed by `multiplier` `[C, M]`, the rest the same for all members.
    pub(crate) fn write_forcing(
        &self,
        forcing: &[f32],
        multiplier: &[f32],
        into: &mut [f32],
        occurrence: &mut [ChaCha8Rng],
    ) -> Result<(), ForecastError> {
        let (catchments, members, row_len) = (self.shape.catchments, self.shape.members, self.row_len());
        for (input, variable) in self.inputs.iter().enumerate() {
            let (from, to) = (&forcing[input * catchments..][..catchments], &mut into[input * row_len..][..row_len]);
            if *variable == Variable::Precipitation {
                let of_catchments =
                    multiplier.chunks_exact(members).zip(to.chunks_exact_mut(members)).zip(occurrence.iter_mut());
                for (rain, ((multiplier, to), stream)) in from.chunks_exact(1).zip(of_catchments) {
                    self.perturbation.apply(rain, multiplier, to, stream)?;
                }
            } else {
                for (members_of, value) in to.chunks_exact_mut(members).zip(from) {
                    members_of.fill(*value);
                }
            }
        }
        Ok(())
    }

    /// Writes the two inputs behind the weather: the discharge `gauged` `[C, M]` of any number of members at the step's begin, and where it is missing.
    pub(crate) fn write_feedback(&self, gauged: &[f32], into: &mut [f32]) {
        if !self.feedback {
            return;
        }
        let row_len = gauged.len();
        let (discharge, missing) = into[self.inputs.len() * row_len..].split_at_mut(row_len);
        for ((discharge, missing), gauged) in discharge.iter_mut().zip(missing).zip(gauged) {
            (*discharge, *missing) = if gauged.is_nan() { (0.0, 1.0) } else { (*gauged, 0.0) };
        }
    }
}

fn regime(options: ErrorOptions) -> ErrorRegime {
    ErrorRegime { sigma: options.sigma, tau_s: options.tau.seconds() as f64 }
}

/// The model's inputs as variables, when the package fits the pipeline.
fn fitting_inputs(pipeline: &Pipeline, card: &Card) -> Result<Vec<Variable>, ForecastError> {
    let mut problems = Vec::new();
    if card.time_step_s != pipeline.time.step.seconds() {
        problems.push(format!("its step is {} s, time.step is {} s", card.time_step_s, pipeline.time.step.seconds()));
    }
    let mut inputs = Vec::new();
    let feedback: Vec<&str> =
        card.inputs.iter().map(|i| i.name.as_str()).filter(|name| FEEDBACK.contains(name)).collect();
    if !feedback.is_empty()
        && !card.inputs.iter().map(|i| i.name.as_str()).skip(card.inputs.len() - feedback.len()).eq(FEEDBACK)
    {
        problems.push(format!(
            "its inputs have {}; accepted are both of {FEEDBACK:?}, behind the weather",
            feedback.join(", ")
        ));
    }
    for input in card.weather() {
        match input.name.parse::<Variable>() {
            Ok(v) if v.unit().name() == input.unit => inputs.push(v),
            Ok(v) => problems.push(format!(
                "input {} is in {:?}, the pipeline delivers {}",
                input.name,
                input.unit,
                v.unit()
            )),
            Err(e) => problems.push(format!("input {}: {e}", input.name)),
        }
    }
    if problems.is_empty() { Ok(inputs) } else { Err(ForecastError::Misfit { model: card.name.clone(), problems }) }
}
