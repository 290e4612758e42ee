//! Window: the last steps of a model that is run once, not as an ensemble. Where its gauges read something, the state at the window's
//! begin is moved until the window fits them, and the steps are taken again from there (variational assimilation; Nearing et al. 2022,
//! HESS 26, 5493).

use nilometer_alignment::Observation;
use nilometer_assimilation::{
    Bounds, ControlRow, Innovation, RowIncrement, Variational, VariationalOptions, VariationalReport,
};
use nilometer_definitions::{Alignment, Pipeline};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::{Package, Selection};
use nilometer_runtime::{Gradient, Model, Runtime};

use crate::{ForecastError, layout::Layout};

/// Where a window ends: the state `[S, C]`, and the discharge of its last step `[C]`, mm; of catchments whose window is full.
pub(crate) struct Fitted {
    pub(crate) state: Vec<f32>,
    pub(crate) discharge_mm: Vec<f32>,
    pub(crate) full: Vec<bool>,
}

/// The window of all catchments; arrays hold the oldest step first.
pub(crate) struct Window {
    steps: usize,
    /// steps that are known of each catchment, up to `steps`
    filled: Vec<usize>,
    catchments: usize,
    gradient: Gradient,
    minimiser: Variational,
    epsilon_mm: f32,
    model_variance: f64,
    /// state `[S, C]` before the first step
    begin: Vec<f32>,
    /// forcing `[T, F, C]`, what was observed `[T, C]` mm a step and its weight `[T, C]`, 0 where nothing was
    forcing: Vec<f32>,
    observed: Vec<f32>,
    weight: Vec<f32>,
    report: VariationalReport,
}

impl Window {
    /// Of a package that has a `gradient` graph; nothing is known yet.
    pub(crate) fn new(
        runtime: &Runtime,
        package: &Package,
        catchments: &Selection,
        pipeline: &Pipeline,
    ) -> Result<Self, ForecastError> {
        let (options, card) = (&pipeline.assimilation, package.card());
        let given = options.variational;
        let (steps, count) = (given.window as usize, catchments.len());
        let rows = card.state_row_blocks().map(|block| {
            let free = block.updatable || options.also_update.contains(&block.name);
            let std = if block.unit == "mm" { given.store_std_mm } else { given.memory_std };
            let bounds = Bounds { minimum: block.minimum, maximum: block.maximum };
            ControlRow { background_std: if free { std } else { 0.0 }, bounds }
        });
        let descent = VariationalOptions {
            iterations: given.iterations as usize,
            rate: given.rate,
            ..VariationalOptions::default()
        };
        Ok(Self {
            steps,
            filled: vec![0; count],
            catchments: count,
            gradient: Gradient::new(runtime, package, catchments, 1, steps)?,
            minimiser: Variational::new(descent, rows.collect(), count)?,
            epsilon_mm: options.discharge_epsilon_mm as f32,
            model_variance: given.model_error * given.model_error,
            begin: vec![0.0; card.state_rows() * count],
            forcing: vec![0.0; steps * card.inputs.len() * count],
            observed: vec![0.0; steps * count],
            weight: vec![0.0; steps * count],
            report: VariationalReport::default(),
        })
    }

    /// Goes on with other weights of the same graphs.
    pub(crate) fn swap_weights(&mut self, package: &Package, catchments: &Selection) -> Result<(), ForecastError> {
        Ok(self.gradient.swap_weights(package, catchments)?)
    }

    /// Takes in a step under `forcing` `[F, C]` that was taken from `before` `[S, C]`; the oldest one leaves.
    pub(crate) fn slide(&mut self, model: &mut Model, before: &[f32], forcing: &[f32]) -> Result<(), ForecastError> {
        let (width, count) = (forcing.len(), self.catchments);
        for (at, begin) in self.begin.iter_mut().enumerate().filter(|(at, _)| self.filled[at % count] == 0) {
            *begin = before[at];
        }
        if self.filled.contains(&self.steps) {
            let begin = self.begin.clone();
            model.forcing_mut().copy_from_slice(&self.forcing[..width]);
            model.step(&mut self.begin)?;
            for (at, moved) in self.begin.iter_mut().enumerate().filter(|(at, _)| self.filled[at % count] < self.steps)
            {
                *moved = begin[at];
            }
        }
        self.filled.iter_mut().for_each(|filled| *filled = (*filled + 1).min(self.steps));
        self.forcing.rotate_left(width);
        self.observed.rotate_left(count);
        self.weight.rotate_left(count);
        let last = self.steps - 1;
        self.forcing[last * width..].copy_from_slice(forcing);
        self.weight[last * count..].fill(0.0);
        Ok(())
    }

    /// Fits the window to what it has observed, `observations` of its last step among it, and gives where it then ends.
    /// None while no catchment's window is full.
    pub(crate) fn fit(
        &mut self,
        model: &mut Model,
        layout: &Layout,
        observations: &[Observation],
    ) -> Result<Option<Fitted>, ForecastError> {
        let last = (self.steps - 1) * self.catchments;
        for group in observations.chunk_by(|a, b| a.catchment == b.catchment) {
            let catchment = group[0].catchment;
            // Where the step before was not read, what was read nearer to its end than to this one's is of it.
            let begun = last.checked_sub(self.catchments).filter(|before| self.weight[before + catchment] == 0.0);
            let nearer = |o: &Observation| Alignment::Nearest.steps(o.valid_time, layout.step_s)[0].1 > 0.0;
            let count = begun.map_or(0, |_| group.iter().take_while(|o| nearer(o)).count());
            let (of_before, of_last) = group.split_at(count);
            for (slot, group) in [(begun.unwrap_or(last), of_before), (last, of_last)] {
                if let Some((mean_m3_s, weight)) = self.mean_of(layout, group)? {
                    self.observed[slot + catchment] = (mean_m3_s / layout.m3_s_per_mm[catchment]) as f32;
                    self.weight[slot + catchment] = weight as f32;
                }
            }
        }
        let full: Vec<bool> = self.filled.iter().map(|filled| *filled == self.steps).collect();
        if !full.contains(&true) {
            return Ok(None);
        }
        let Self { catchments, gradient, minimiser, forcing, observed, weight, epsilon_mm, report, begin, .. } = self;
        let misfit = |state: &[f32], loss: &mut [f32], slope: &mut [f32]| -> Result<(), ForecastError> {
            let slopes = gradient.run(state, forcing, observed, weight, *epsilon_mm)?;
            loss.copy_from_slice(slopes.loss);
            slope.copy_from_slice(slopes.state);
            Ok(())
        };
        let before = begin.clone();
        minimiser.minimise(begin, misfit, report)?;
        // A gauge that has read nothing now leaves its catchment where it was: what it read before has moved it already.
        let mut moved = vec![false; *catchments];
        observations.iter().for_each(|o| moved[o.catchment] = full[o.catchment]);
        for (at, value) in begin.iter_mut().enumerate().filter(|(at, _)| !moved[at % *catchments]) {
            *value = before[at];
        }
        let mut state = self.begin.clone();
        let width = self.forcing.len() / self.steps;
        let mut discharge_mm = Vec::new();
        for forcing in self.forcing.chunks_exact(width) {
            model.forcing_mut().copy_from_slice(forcing);
            let fluxes = model.step(&mut state)?;
            discharge_mm.clear();
            discharge_mm.extend_from_slice(fluxes.discharge_mm);
        }
        Ok(Some(Fitted { state, discharge_mm, full }))
    }

    /// The mean of one gauge's readings of one step, m³ s⁻¹, and its weight; none of none. Several say nearly the same: together they weigh as one.
    fn mean_of(&self, layout: &Layout, readings: &[Observation]) -> Result<Option<(f64, f64)>, ForecastError> {
        let (mut sum, mut weight) = (0.0, 0.0);
        for one in readings {
            let log = layout.operators[one.catchment].observe(one.value)?;
            let share = 1.0 / (log.error_variance * one.error_factor * one.error_factor + self.model_variance);
            sum += share * one.value;
            weight += share;
        }
        Ok((!readings.is_empty()).then(|| (sum / weight, weight / readings.len() as f64)))
    }

    /// Forgets everything.
    pub(crate) fn begin(&mut self) {
        self.filled.fill(0);
        for numbers in [&mut self.begin, &mut self.forcing, &mut self.observed, &mut self.weight] {
            numbers.fill(0.0);
        }
    }

    /// Adds the columns of a model's window: the steps that are known, the state `[S]` before the first, and of each step the forcing `[F]`, what was
    /// observed and its weight.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder) {
        columns.i64(&format!("{name}.window.steps"), |catchment| [self.filled[catchment] as i64]);
        for (part, numbers) in self.series() {
            let of_catchment = |catchment| numbers.iter().skip(catchment).step_by(self.catchments).copied();
            columns.f32(&format!("{name}.window.{part}"), |catchment| of_catchment(catchment).collect::<Vec<_>>());
        }
    }

    /// Takes up what [`Window::store`] gave. A window of another length begins anew.
    pub(crate) fn restore(&mut self, name: &str, rows: &KeyedColumns<'_>) {
        for catchment in 0..self.catchments {
            let observed = rows.f32(&format!("{name}.window.observed"), catchment).unwrap_or_default();
            if observed.len() != self.steps {
                continue;
            }
            let filled = rows.i64(&format!("{name}.window.steps"), catchment).unwrap_or_default();
            let filled = filled.first().and_then(|steps| usize::try_from(*steps).ok()).unwrap_or(0);
            self.filled[catchment] = filled.min(self.steps);
            let count = self.catchments;
            for (part, into) in [
                ("state", &mut self.begin),
                ("forcing", &mut self.forcing),
                ("observed", &mut self.observed),
                ("weight", &mut self.weight),
            ] {
                let own = rows.f32(&format!("{name}.window.{part}"), catchment).unwrap_or_default();
                into.iter_mut().skip(catchment).step_by(count).zip(own).for_each(|(into, number)| *into = *number);
            }
        }
    }

    /// What is kept of each catchment, by name.
    fn series(&self) -> [(&'static str, &[f32]); 4] {
        [("state", &self.begin), ("forcing", &self.forcing), ("observed", &self.observed), ("weight", &self.weight)]
    }
}

/// How far each observation lay from `predicted_m3_s` `[C]`, and what each row of water gained where there were some: what a ledger asks
/// for.
pub(crate) fn changes(
    layout: &Layout,
    predicted_m3_s: &[f64],
    observations: &[Observation],
    (before, after): (&[f32], &[f32]),
) -> Result<(Vec<Innovation>, Vec<RowIncrement>), ForecastError> {
    let (mut innovations, mut increments) = (Vec::new(), Vec::new());
    for group in observations.chunk_by(|a, b| a.catchment == b.catchment) {
        let catchment = group[0].catchment;
        let operator = &layout.operators[catchment];
        for (observation, one) in group.iter().enumerate() {
            let log = operator.observe(one.value)?;
            innovations.push(Innovation {
                catchment,
                observation,
                innovation: log.value - operator.log(predicted_m3_s[catchment]),
                spread: 0.0,
                error_std: log.error_variance.sqrt() * one.error_factor,
                inflation: 1.0,
            });
        }
        for (state, _) in layout.storage.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let at = state * layout.shape.catchments + catchment;
            let mean_increment = f64::from(after[at]) - f64::from(before[at]);
            increments.push(RowIncrement { catchment, state, mean_increment, mean_clipped: 0.0 });
        }
    }
    Ok((innovations, increments))
}
