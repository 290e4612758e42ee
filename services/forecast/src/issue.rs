//! Issue: what every member's discharge will be, and what that says about the river.

use std::collections::BTreeMap;

use nilometer_alignment::{StepAlignment, WeatherForecasts};
use nilometer_assimilation::{Purpose, Ratings};
use nilometer_definitions::{Catchment, Levels, Pipeline, Scenario};
use nilometer_packages::Mixture;
use nilometer_schemas::{
    Events, EventsBuilder, ForecastRow, Forecasts, ForecastsBuilder, QUANTILE_LEVELS, Timestamp, Variable,
};
use nilometer_statistics::{STANDARD_NORMAL, quantiles};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{
    EnsembleState, ForecastError,
    ensemble::mean,
    event::add_events,
    history::History,
    layout::Layout,
    lead::Lead,
    postprocess::Postprocessing,
    stage::stage_of,
    tick::Positions,
    trajectories::Trajectories,
    weather_change::{Changed, WeatherChange},
};

const FUTURE_MULTIPLIER: Purpose = Purpose::Custom(2);
const FUTURE_OCCURRENCE: Purpose = Purpose::Custom(3);
const FUTURE_OUTPUT_ERROR: Purpose = Purpose::Custom(4);
const FUTURE_OBSERVATION_ERROR: Purpose = Purpose::Custom(5);

/// Which lead times are forecast: `steps` up to the horizon, of these the `chosen`, and only what is valid after `from`. What is valid after
/// `until` teaches as any other, but does not go out: operations that follow have learned what they would have without an end.
pub(crate) struct Leads {
    pub(crate) steps: usize,
    pub(crate) chosen: Vec<u32>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// whether rows carry trajectories
    pub(crate) member_values: bool,
    /// whether there are thresholds that trajectories are held against
    pub(crate) thresholds: bool,
}

impl Leads {
    /// Of a checked definition.
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        let forecast = &pipeline.forecast;
        Self {
            steps: usize::try_from(forecast.horizon.seconds() / pipeline.time.step.seconds()).unwrap_or(0),
            chosen: forecast.leads.clone(),
            from: forecast.from.unwrap_or(Timestamp::MIN),
            until: forecast.until.unwrap_or(Timestamp(i64::MAX)),
            member_values: forecast.member_values,
            thresholds: pipeline.catchments.iter().any(|catchment| !catchment.thresholds.is_empty()),
        }
    }

    /// Which lead times of a forecast of `issue_time` are made, and when each is valid: at the ends of steps, the first one after
    /// the issue time. A perfect scenario ends where the weather does: what it does not know is not rain of 0 mm.
    pub(crate) fn going_out(
        &self,
        issue_time: Timestamp,
        step_s: i64,
        scenario: Scenario,
        alignment: &StepAlignment,
    ) -> GoingOut {
        let last_step = issue_time.plus_s(1).ceil_s(step_s).plus_s(-step_s);
        let known = match scenario {
            Scenario::Perfect => alignment.rain_until().unwrap_or(Timestamp::MIN),
            _ => Timestamp(i64::MAX),
        };
        let goes = |lead: usize, at: Timestamp| self.wants(lead) && at > self.from && at <= known;
        let valid = (0..self.steps).map(|lead| last_step.plus_s((lead as i64 + 1) * step_s));
        let valid = valid.enumerate().map(|(lead, at)| goes(lead, at).then_some(at)).collect();
        GoingOut {
            last_step,
            valid,
            until: self.until,
            member_values: self.member_values,
            trajectories: self.member_values || self.thresholds,
        }
    }

    fn wants(&self, lead: usize) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|c| *c as usize == lead + 1)
    }
}

/// What a forecast row says about where it comes from.
pub(crate) struct Provenance<'a> {
    pub(crate) catchments: &'a [Catchment],
    pub(crate) ratings: &'a BTreeMap<String, Ratings>,
    /// of thresholds, in place of the definition's
    pub(crate) levels: &'a Levels,
    /// whether it is a shadow's
    pub(crate) shadow: bool,
    /// weather that each catchment meets
    pub(crate) scenarios: &'a [Scenario],
    pub(crate) filled_steps: u64,
    pub(crate) positions: Positions,
    pub(crate) supersedes: Option<Timestamp>,
    pub(crate) reason: Option<&'a str>,
}

/// The weather beyond the issue time.
pub(crate) struct Weather<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) alignment: &'a StepAlignment,
    /// there where each member meets its own
    pub(crate) members: Option<MemberWeather<'a>>,
    /// there in a sandbox
    pub(crate) change: Option<&'a WeatherChange>,
}

/// Weather of which each member meets another.
pub(crate) enum MemberWeather<'a> {
    /// of past years, and of each catchment which of them it knows
    PastYears(&'a History, Vec<Vec<usize>>),
    /// of the members of a weather forecast
    Forecasts(&'a WeatherForecasts),
}

impl Weather<'_> {
    /// Gives each member its own weather of a step, where there is some: `into` `[F, C, M]` holds what all have in common, `forcing` `[F, C]` its
    /// mean, and both are changed. What has been observed stays.
    fn apply_member_weather(
        &self,
        layout: &Layout,
        valid_time: Timestamp,
        issue_time: Timestamp,
        forcing: &mut [f32],
        into: &mut [f32],
    ) {
        let Some(of_members) = &self.members else { return };
        let (members, catchments, ahead) = (layout.shape.members, layout.shape.catchments, valid_time > issue_time);
        let (mut of_years, mut series) = (Vec::new(), Vec::new());
        match of_members {
            // What lies behind the issue time is no past year's.
            MemberWeather::PastYears(..) if !ahead => return,
            MemberWeather::PastYears(history, _) => of_years.extend(history.of_years(valid_time)),
            MemberWeather::Forecasts(weather) => series.extend((0..members).map(|member| weather.in_turn(member))),
        }
        for (row, mean) in forcing.iter_mut().enumerate() {
            let (input, catchment) = (row / catchments, row % catchments);
            // Also of a step that is over, as long as no observation of it has come.
            if !ahead && self.alignment.known(valid_time, input, catchment).is_some() {
                continue;
            }
            let changed = self.change.and_then(|change| change.of(layout.inputs[input], catchment, valid_time));
            if matches!(changed, Some(Changed::To(_))) {
                continue;
            }
            let own = |member: usize| match of_members {
                MemberWeather::PastYears(_, years) => {
                    let years = &years[catchment];
                    let year = years.get(member.checked_rem(years.len())?)?;
                    Some(of_years[*year]?[row]).filter(|value| !value.is_nan())
                }
                MemberWeather::Forecasts(_) => series[member][input]?.known(valid_time, 0, catchment),
            };
            let into = &mut into[row * members..][..members];
            let mut known = false;
            for (member, value) in into.iter_mut().enumerate() {
                let own = own(member);
                known |= own.is_some();
                *value = match (own, changed) {
                    (Some(own), Some(Changed::By(factor))) => own * factor,
                    (own, _) => own.unwrap_or(*value),
                };
            }
            if known {
                *mean = into.iter().sum::<f32>() / members as f32;
            }
        }
    }
}

/// What a model says of every catchment and lead time, `[C, L]`, m³ s⁻¹.
#[derive(Debug, Clone)]
pub(crate) struct Prediction {
    summaries: Vec<Summary>,
    members: usize,
}

/// The valid time of each lead that is forecast.
pub(crate) struct GoingOut {
    last_step: Timestamp,
    valid: Vec<Option<Timestamp>>,
    /// what is valid after this does not go out
    until: Timestamp,
    member_values: bool,
    /// whether trajectories are drawn
    trajectories: bool,
}

impl GoingOut {
    pub(crate) fn is_empty(&self) -> bool {
        self.valid.iter().all(Option::is_none)
    }
}

impl EnsembleState {
    /// What the model says at `issue_time`. The state may lag behind it; then the steps in between run on what is known of their
    /// forcing. The state is not changed.
    ///
    /// The mean is that of the members' discharge under the mean of their output errors: an error that may go either way in the
    /// logarithm is no reason to expect more water. The quantiles are those of the members, each with its output error and that of
    /// a discharge measurement, which a member has at all lead times alike, so that they speak about what a gauge will read; of a single
    /// member those of the model's head, or of the output error.
    pub(crate) fn predict(
        &mut self,
        issue_time: Timestamp,
        going_out: &GoingOut,
        weather: &Weather<'_>,
    ) -> Result<Prediction, ForecastError> {
        let layout = &self.layout;
        let (row_len, members) = (layout.row_len(), layout.shape.members);
        let lag = usize::try_from(going_out.last_step.seconds_since(self.time) / layout.step_s).unwrap_or(0);
        let leads = going_out.valid.len();

        let mut multiplier = self.numbers[layout.multiplier_row() * row_len..][..row_len].to_vec();
        let mut multiplier_noise = layout.streams(FUTURE_MULTIPLIER, issue_time);
        let mut occurrence_noise = layout.streams(FUTURE_OCCURRENCE, issue_time);
        let forcing_len = self.model.forcing_len();
        let (mut recent_mm, mut recent_by_step) = (self.recent_rain_mm(), Vec::new());
        let horizon = self.model.horizon();
        let unknown = vec![f32::NAN; row_len];
        for step in 0..horizon {
            let valid_time = self.time.plus_s((step as i64 + 1) * layout.step_s);
            layout.advance_multiplier(&mut multiplier, &mut multiplier_noise)?;
            let into = &mut self.model.rollout_forcing_mut()[step * forcing_len..][..forcing_len];
            let mut forcing = scenario_forcing(weather, valid_time, issue_time, layout);
            if let Some(change) = weather.change {
                change.apply(&layout.inputs, valid_time, &mut forcing);
            }
            layout.write_forcing(&forcing, &multiplier, into, &mut occurrence_noise)?;
            weather.apply_member_weather(layout, valid_time, issue_time, &mut forcing, into);
            layout.remember_rain(&mut recent_mm, &forcing);
            recent_by_step.extend_from_slice(&recent_mm);
            // Only the first step can know what the gauge read before it.
            let gauged = if step == 0 { &self.numbers[layout.gauged_row() * row_len..][..row_len] } else { &unknown };
            layout.write_feedback(gauged, into);
        }
        self.model.rollout(&self.numbers[..layout.model_rows * row_len])?;
        let discharge_mm = self.model.rollout_discharge();
        let head = self.model.rollout_quantiles().filter(|_| layout.control);

        let mut output_error = self.numbers[layout.output_error_row() * row_len..][..row_len].to_vec();
        let mut output_error_noise = layout.streams(FUTURE_OUTPUT_ERROR, issue_time);
        let mut measurement_error = Vec::new();
        if !layout.control {
            for stream in &mut layout.streams(FUTURE_OBSERVATION_ERROR, issue_time) {
                let noise = StandardNormal.sample_iter(stream);
                measurement_error.extend(noise.take(members).collect::<Vec<f64>>());
            }
        }
        let mut summaries = vec![Summary::default(); layout.shape.catchments * leads];
        let (mut expected, mut measured, mut sorted) = (vec![0.0_f32; members], vec![0.0_f64; members], Vec::new());
        for step in 0..(lag + leads).min(horizon) {
            let recent_mm = &recent_by_step[step * layout.shape.catchments..][..layout.shape.catchments];
            layout.advance_output_error(
                &mut output_error,
                recent_mm,
                &self.error_scales,
                step,
                &mut output_error_noise,
            )?;
            let Some(lead) = step.checked_sub(lag).filter(|lead| going_out.valid[*lead].is_some()) else { continue };
            for catchment in 0..layout.shape.catchments {
                let at = catchment * members;
                let constant_m3_s = layout.discharge_absolute_error_m3_s[catchment];
                let operator = &layout.operators[catchment];
                let mean_error = mean(&output_error[at..at + members]);
                let error_scale = layout.error_scale(&self.error_scales, catchment, recent_mm[catchment]);
                for member in 0..members {
                    let raw = f64::from(discharge_mm[step * row_len + at + member]) * layout.m3_s_per_mm[catchment];
                    expected[member] = operator.corrected_m3_s(raw, mean_error) as f32;
                    if layout.control {
                        continue;
                    }
                    let q = operator.corrected_m3_s(raw, f64::from(output_error[at + member]));
                    let eta = error_scale * measurement_error[at + member];
                    measured[member] = (q + (layout.discharge_relative_error * q).hypot(constant_m3_s) * eta).max(0.0);
                }
                let summary = &mut summaries[catchment * leads + lead];
                summary.mean = mean(&expected);
                summary.simulated = summary.mean;
                if let Some(head) = head {
                    for (level, quantile) in summary.quantiles.iter_mut().enumerate() {
                        let mm = head[(step * QUANTILE_LEVELS.len() + level) * row_len + at];
                        *quantile = f64::from(mm) * layout.m3_s_per_mm[catchment];
                    }
                } else if layout.control {
                    let sigma = layout.output_error.sigma(recent_mm[catchment]);
                    for (quantile, z) in summary.quantiles.iter_mut().zip(STANDARD_NORMAL) {
                        *quantile = operator.corrected_m3_s(summary.mean, sigma * z);
                    }
                } else {
                    quantiles(&measured, &QUANTILE_LEVELS, &mut sorted, &mut summary.quantiles)?;
                    if going_out.trajectories {
                        summary.members.clone_from(&measured);
                    }
                }
            }
        }
        Ok(Prediction { summaries, members })
    }
}

impl Prediction {
    /// One voice of several: the weighted mean of the means, and of each quantile, which keeps the sharpness that the models have
    /// (Ratcliff 1979, Psychol. Bull. 86, 446). None of none.
    pub(crate) fn mixed(predictions: Vec<(f64, Self)>) -> Option<Self> {
        let mut predictions = predictions.into_iter();
        let (first_weight, mut mixed) = predictions.next()?;
        let scale = |summary: &mut Summary, weight: f64| {
            summary.mean *= weight;
            summary.simulated *= weight;
            summary.quantiles.iter_mut().for_each(|q| *q *= weight);
        };
        if predictions.len() == 0 {
            return Some(mixed);
        }
        mixed.summaries.iter_mut().for_each(|s| {
            scale(s, first_weight);
            // Members of several models do not count alike.
            s.members.clear();
        });
        for (weight, other) in predictions {
            mixed.members += other.members;
            for (into, summary) in mixed.summaries.iter_mut().zip(&other.summaries) {
                into.mean += weight * summary.mean;
                into.simulated += weight * summary.simulated;
                for (into, quantile) in into.quantiles.iter_mut().zip(summary.quantiles) {
                    *into += weight * quantile;
                }
            }
        }
        Some(mixed)
    }

    /// Moves every forecast by the error that its gauge has just shown.
    pub(crate) fn update(&mut self, going_out: &GoingOut, postprocessing: &mut Postprocessing) {
        let leads = going_out.valid.len();
        for (at, summary) in self.summaries.iter_mut().enumerate() {
            if let Some(valid_time) = going_out.valid[at % leads] {
                let Summary { mean, quantiles, members, .. } = summary;
                let others = quantiles.iter_mut().chain(members);
                postprocessing.update(valid_time, (at / leads, at % leads), mean, others);
            }
        }
    }

    /// The forecast of `issue_time`, after what the forecasts that have come true have taught. `streams` `[C]` are the noise of trajectories.
    pub(crate) fn issue(
        self,
        models: &Mixture,
        (issue_time, state_time): (Timestamp, Timestamp),
        going_out: &GoingOut,
        postprocessing: &mut Postprocessing,
        streams: &mut [ChaCha8Rng],
        about: &Provenance<'_>,
    ) -> Result<Issued, ForecastError> {
        let leads = going_out.valid.len();
        let mut drawing = Trajectories::new(self.members);
        let (mut rows, mut events) = (ForecastsBuilder::new(), EventsBuilder::new());
        let mut summaries = self.summaries.into_iter();
        let filled_steps = i32::try_from(about.filled_steps).unwrap_or(i32::MAX);
        for (catchment, gauged) in about.catchments.iter().enumerate() {
            let (mut issued, mut members) = (Vec::with_capacity(leads), Vec::with_capacity(leads));
            for (lead, (valid_time, summary)) in going_out.valid.iter().zip(summaries.by_ref().take(leads)).enumerate()
            {
                let Some(valid_time) = *valid_time else { continue };
                let distribution = postprocessing.calibrate(valid_time, (catchment, lead), &summary.quantiles)?;
                issued.push(Lead { lead, valid_time, distribution, simulated: summary.simulated });
                members.push(summary.members);
            }
            if going_out.trajectories {
                let correlation = |lead| postprocessing.correlation(catchment, lead);
                let distributions = issued.iter().map(|issued| (issued.lead, &issued.distribution));
                drawing.draw(distributions, &mut members, correlation, &mut streams[catchment]);
            }
            let going_out_by_now = issued.partition_point(|issued| issued.valid_time <= going_out.until);
            issued.truncate(going_out_by_now);
            let row = ForecastRow {
                catchment: &gauged.id,
                variable: Variable::Discharge,
                issue_time,
                valid_time: issue_time,
                mean: 0.0,
                quantiles: &[0.0; QUANTILE_LEVELS.len()],
                tails: None,
                simulated: None,
                members: i32::try_from(self.members).unwrap_or(i32::MAX),
                scenario: about.scenarios[catchment].name(),
                state_time,
                filled_steps,
                model: models.name(),
                model_version: models.version(),
                weights_sha256: models.weights_sha256(),
                observation_position: about.positions.observation.next,
                forcing_position: about.positions.forcing.next,
                supersedes: about.supersedes,
                reason: about.reason,
                stage: None,
                member_values: None,
                shadow: about.shadow,
            };
            let ratings = about.ratings.get(gauged.station());
            for (issued, of_members) in issued.iter().zip(&members) {
                let member_values: Option<Vec<f32>> =
                    going_out.member_values.then(|| of_members.iter().map(|value| *value as f32).collect());
                let quantiles = issued.distribution.quantiles();
                rows.push(ForecastRow {
                    valid_time: issued.valid_time,
                    mean: issued.distribution.mean(),
                    quantiles: &quantiles,
                    tails: Some(issued.distribution.tails()),
                    simulated: Some(issued.simulated),
                    stage: stage_of(ratings, issued.valid_time, &quantiles),
                    member_values: member_values.as_deref(),
                    ..row
                });
            }
            // A shadow's forecasts make no events.
            if !about.shadow && !gauged.thresholds.is_empty() {
                let members = &members[..issued.len()];
                add_events(&mut events, gauged, (about.ratings, about.levels), &issued, members, &row)?;
            }
        }
        let events = events.finish()?;
        Ok(Issued { forecasts: rows.finish()?, events: Some(events).filter(|rows| !rows.is_empty()) })
    }
}

/// What goes out at an issue time.
pub(crate) struct Issued {
    pub(crate) forecasts: Forecasts,
    pub(crate) events: Option<Events>,
}

#[derive(Debug, Clone, Default)]
struct Summary {
    mean: f64,
    /// the mean before output updating
    simulated: f64,
    quantiles: [f64; QUANTILE_LEVELS.len()],
    /// of an ensemble, where trajectories are asked for
    members: Vec<f64>,
}

/// The forcing `[F, C]` of a step as the scenario has it. Up to the issue time all scenarios use what has arrived.
fn scenario_forcing(weather: &Weather<'_>, valid_time: Timestamp, issue_time: Timestamp, layout: &Layout) -> Vec<f32> {
    let (alignment, scenario, catchments) = (weather.alignment, weather.scenario, layout.shape.catchments);
    let assumed = |catchment: usize| match scenario {
        Scenario::Persistence => alignment.newest_rain(catchment),
        Scenario::Perfect | Scenario::Zero | Scenario::PastYears | Scenario::Members => 0.0,
    };
    let mut forcing = alignment.forcing(valid_time, |catchment, _| assumed(catchment));
    if valid_time > issue_time
        && scenario != Scenario::Perfect
        && let Some(input) = layout.inputs.iter().position(|v| *v == Variable::Precipitation)
    {
        for catchment in 0..catchments {
            forcing[input * catchments + catchment] = assumed(catchment);
        }
    }
    forcing
}
