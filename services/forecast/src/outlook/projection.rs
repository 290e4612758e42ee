//! Projection: a model's state run ahead week by week, each trajectory under its own weather.

use nilometer_alignment::{StepAlignment, WeatherForecasts};
use nilometer_definitions::Pipeline;
use nilometer_packages::Package;
use nilometer_runtime::{Model, Runtime};
use nilometer_schemas::{Held, Timestamp};

use super::WEEK_S;
use crate::{EnsembleState, ForecastError, ensemble::selection, history::History, layout::Layout};

/// The weather that trajectories meet.
pub(crate) struct OutlookWeather<'a> {
    pub(crate) alignment: &'a StepAlignment,
    pub(crate) history: &'a History,
    /// of each catchment the past years that it knows
    pub(crate) years: Vec<Vec<usize>>,
    /// forecasts of members, as far as they reach
    pub(crate) forecasts: Option<&'a WeatherForecasts>,
}

/// A model bound for so many trajectories, and rollouts of a week.
pub(super) struct Projection {
    model: Model,
    columns: usize,
}

/// What each trajectory has in each week, `[W, C, N]`.
pub(super) struct Weeks {
    /// mean flow of the week
    pub(super) flow_m3_s: Vec<f64>,
    /// what the soil stores hold at its end; none of models without any
    pub(super) root_zone_mm: Option<Vec<f64>>,
}

impl Projection {
    pub(super) fn new(
        runtime: &Runtime,
        package: &Package,
        pipeline: &Pipeline,
        columns: usize,
    ) -> Result<Self, ForecastError> {
        let steps = usize::try_from(WEEK_S / pipeline.time.step.seconds()).unwrap_or(1);
        let model = Model::new(runtime, package, &selection(package, pipeline)?, columns, steps)?;
        Ok(Self { model, columns })
    }

    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn swap_weights(&mut self, package: &Package, pipeline: &Pipeline) -> Result<(), ForecastError> {
        Ok(self.model.swap_weights(package, &selection(package, pipeline)?)?)
    }

    /// Runs a state ahead from the steps behind `issue_time` that it has not taken yet, over so many weeks. The state is not changed.
    pub(super) fn project(
        &mut self,
        state: &EnsembleState,
        issue_time: Timestamp,
        weeks: usize,
        weather: &OutlookWeather<'_>,
    ) -> Result<Weeks, ForecastError> {
        let (layout, columns) = (&state.layout, self.columns);
        let (catchments, members) = (layout.shape.catchments, layout.shape.members);
        let mut numbers = Vec::with_capacity(layout.model_rows * catchments * columns);
        for of_members in state.numbers[..layout.model_rows * layout.row_len()].chunks_exact(members) {
            numbers.extend((0..columns).map(|column| of_members[column % members]));
        }
        let gauged = &state.numbers[layout.gauged_row() * layout.row_len()..][..layout.row_len()];
        let gauged: Vec<f32> =
            gauged.chunks_exact(members).flat_map(|of| std::iter::repeat_n(of[0], columns)).collect();
        let unknown = vec![f32::NAN; gauged.len()];
        let mut time = state.time();
        // Only the first step can know what the gauge read before it.
        let begin = time;
        let gauged_at = |time: Timestamp| if time == begin { &gauged } else { &unknown };
        while time.plus_s(layout.step_s) <= issue_time {
            let valid_time = time.plus_s(layout.step_s);
            let into = self.model.forcing_mut();
            weather.write(layout, valid_time, issue_time, columns, into);
            layout.write_feedback(gauged_at(time), into);
            self.model.step(&mut numbers)?;
            time = valid_time;
        }
        let (forcing_len, steps) = (self.model.forcing_len(), self.model.horizon());
        let (mut flow_m3_s, mut root_zone_mm) = (Vec::new(), Vec::new());
        for _ in 0..weeks {
            for step in 0..steps {
                let valid_time = time.plus_s(layout.step_s);
                let into = &mut self.model.rollout_forcing_mut()[step * forcing_len..][..forcing_len];
                weather.write(layout, valid_time, issue_time, columns, into);
                layout.write_feedback(gauged_at(time), into);
                time = valid_time;
            }
            self.model.rollout(&numbers)?;
            let discharge_mm = self.model.rollout_discharge();
            let row_len = catchments * columns;
            for place in 0..row_len {
                let sum: f64 = (0..steps).map(|step| f64::from(discharge_mm[step * row_len + place])).sum();
                flow_m3_s.push((sum / steps as f64 * layout.m3_s_per_mm[place / columns]).max(0.0));
            }
            numbers.copy_from_slice(self.model.rollout_state());
            root_zone_mm.extend(held(layout, Held::RootZone, &numbers, row_len));
        }
        let has_root_zone = !root_zone_mm.is_empty();
        Ok(Weeks { flow_m3_s, root_zone_mm: has_root_zone.then_some(root_zone_mm) })
    }
}

/// What the stores of a kind hold in each column, `[C, N]` mm; nothing where there is no such store.
fn held(layout: &Layout, kind: Held, numbers: &[f32], row_len: usize) -> Vec<f64> {
    let mut sums = Vec::new();
    for (_, rows) in layout.stores.iter().filter(|(store, _)| Held::of_store(store) == Some(kind)) {
        sums.resize(row_len, 0.0);
        for row in rows.clone() {
            let of_row = &numbers[row * row_len..][..row_len];
            sums.iter_mut().zip(of_row).for_each(|(sum, held)| *sum += layout.storage[row] * f64::from(*held));
        }
    }
    sums
}

impl Weeks {
    /// Of several models trajectory by trajectory, which have the same weather: flows by weight, soils of those that have some alike, as they are judged.
    pub(super) fn mixed(of_models: &[Self], weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let flows: Vec<_> = of_models.iter().zip(weights).map(|(of, weight)| (weight / total, &of.flow_m3_s)).collect();
        let soils: Vec<&Vec<f64>> = of_models.iter().filter_map(|of| of.root_zone_mm.as_ref()).collect();
        let share = 1.0 / soils.len().max(1) as f64;
        let soils: Vec<_> = soils.into_iter().map(|soil| (share, soil)).collect();
        Self { flow_m3_s: mixed(&flows).unwrap_or_default(), root_zone_mm: mixed(&soils) }
    }
}

fn mixed(of_models: &[(f64, &Vec<f64>)]) -> Option<Vec<f64>> {
    let (_, first) = of_models.first()?;
    let sum = |at: usize| of_models.iter().map(|(weight, values)| weight * values[at]).sum();
    Some((0..first.len()).map(sum).collect())
}

impl OutlookWeather<'_> {
    /// Writes the forcing `[F, C, N]` of the step that ends at `valid_time`: as it was up to the issue time; behind it that of each trajectory's weather
    /// forecast, as far as it reaches, and then that of its past year.
    fn write(&self, layout: &Layout, valid_time: Timestamp, issue_time: Timestamp, columns: usize, into: &mut [f32]) {
        let catchments = layout.shape.catchments;
        let known = self.alignment.forcing(valid_time, |_, _| 0.0);
        let weather = into.chunks_exact_mut(columns).take(known.len());
        if valid_time <= issue_time {
            weather.zip(known).for_each(|(of_columns, value)| of_columns.fill(value));
            return;
        }
        let of_years: Vec<Option<&[f32]>> = self.history.of_years(valid_time).collect();
        let series: Vec<_> =
            self.forecasts.map_or_else(Vec::new, |all| (0..columns).map(|column| all.in_turn(column)).collect());
        for (row, of_columns) in weather.enumerate() {
            let (input, catchment) = (row / catchments, row % catchments);
            let years = &self.years[catchment];
            for (column, value) in of_columns.iter_mut().enumerate() {
                let forecast = series.get(column).and_then(|of| of[input]?.known(valid_time, 0, catchment));
                let of_year = || {
                    let year = years.get(column.checked_rem(years.len())?)?;
                    Some(of_years[*year]?[row])
                };
                *value = forecast.or_else(of_year).filter(|value| !value.is_nan()).unwrap_or(known[row]);
            }
        }
    }
}
