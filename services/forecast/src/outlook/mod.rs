//! The outlook of a partition: what each of the weeks ahead may bring, under the weather of past years.
//!
//! ```text
//! state ─┬─▶ projection, a model each ─▶ trajectories of weeks ─▶ mixed ─▶ corrected by the weeks that have come ─▶ log(outlook.v1)
//! past years, weather forecasts of members ─┘
//! ```
//!
//! Trajectory `n` begins with the `n`-th member and meets the weather of the `n`-th past year, both taken in turn (ensemble streamflow prediction, Day
//! 1985, J. Water Resour. Plan. Manag. 111, 157). Flows take the values of a distribution that has learned what the models have in each season, and how
//! long the river stays off what is usual; the trajectories keep their order.

mod correction;
mod projection;
mod regression;
mod season;
mod week;

use nilometer_alignment::StepReading;
use nilometer_assimilation::Purpose;
use nilometer_definitions::{Catchment, Pipeline, Scenario};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{OutlookRow, Outlooks, OutlooksBuilder, Timestamp};

use self::{
    correction::Correction,
    projection::{Projection, Weeks},
    week::WeekUnderWay,
};
use crate::{
    ForecastError, ensembles::Ensembles, postprocess::epsilon_m3_s, tick::Positions, trajectories::Trajectories,
};

pub(crate) use projection::OutlookWeather;

/// Seconds of a week.
const WEEK_S: i64 = 7 * 86_400;
/// The noise of trajectories of weeks.
const OUTLOOK_TRAJECTORIES: Purpose = Purpose::Custom(10);
/// Trajectories at least: fewer years are each met by several, which differ in their errors.
const FEWEST: usize = 50;
/// Past years without which there is no outlook.
const FEWEST_YEARS: usize = 3;

/// Of when an outlook is, and of what.
pub(crate) struct Heading<'a> {
    pub(crate) issue_time: Timestamp,
    pub(crate) catchments: &'a [Catchment],
    pub(crate) positions: Positions,
}

/// Models bound for trajectories of weeks, and what the weeks that have come have taught.
pub(crate) struct Outlook {
    weeks: usize,
    every_s: i64,
    projections: Vec<Projection>,
    correction: Correction,
    week: WeekUnderWay,
}

impl Outlook {
    /// Of a definition that asks for one.
    pub(crate) fn new(runtime: &Runtime, models: &Mixture, pipeline: &Pipeline) -> Result<Option<Self>, ForecastError> {
        let Some(options) = pipeline.drought.filter(|options| options.outlook_weeks > 0) else { return Ok(None) };
        let columns = pipeline.assimilation.members.max(pipeline.forecast.years as usize);
        let projection = |package| Projection::new(runtime, package, pipeline, columns);
        let projections =
            models.members().iter().map(|member| projection(&member.package)).collect::<Result<_, _>>()?;
        let weeks = options.outlook_weeks as usize;
        Ok(Some(Self {
            weeks,
            every_s: options.outlook_every.seconds(),
            projections,
            correction: Correction::new(epsilon_m3_s(pipeline), weeks),
            week: WeekUnderWay::new(pipeline.catchments.len(), pipeline.time.step.seconds()),
        }))
    }

    /// Forgets what it has learned; the graphs stay.
    pub(crate) fn begin(&mut self, pipeline: &Pipeline) {
        self.correction = Correction::new(epsilon_m3_s(pipeline), self.weeks);
        self.week = WeekUnderWay::new(pipeline.catchments.len(), pipeline.time.step.seconds());
    }

    /// Goes on with the weights of `models`, which the ensembles have taken up.
    pub(crate) fn swap_weights(&mut self, models: &Mixture, pipeline: &Pipeline) -> Result<(), ForecastError> {
        let members = self.projections.iter_mut().zip(models.members());
        members.into_iter().try_for_each(|(own, member)| own.swap_weights(&member.package, pipeline))
    }

    /// Takes in what the models had of a step, `[C]` m³ s⁻¹, and what the gauges read; learns where a week ends with it.
    pub(crate) fn observe(&mut self, step: Timestamp, simulated_m3_s: &[f64], read: &[StepReading]) {
        self.week.take(simulated_m3_s, read);
        if step.is_multiple_of_s(WEEK_S) {
            let (simulated_m3_s, read) = self.week.end(step);
            self.correction.observe(step, &simulated_m3_s, &read);
        }
    }

    /// Whether one is due.
    pub(crate) fn is_due(&self, tick: Timestamp) -> bool {
        tick.is_multiple_of_s(self.every_s)
    }

    /// The outlook of `issue_time`, of the catchments that know years enough; none where none does.
    pub(crate) fn issue(
        &mut self,
        ensembles: &Ensembles,
        models: &Mixture,
        weather: &OutlookWeather<'_>,
        &Heading { issue_time, catchments: described, positions }: &Heading<'_>,
    ) -> Result<Option<Outlooks>, ForecastError> {
        if weather.years.iter().all(|years| years.len() < FEWEST_YEARS) {
            return Ok(None);
        }
        let mut projected = Vec::new();
        for (projection, state) in self.projections.iter_mut().zip(ensembles.each()) {
            projected.push(projection.project(state, issue_time, self.weeks, weather)?);
        }
        let weights: Vec<f64> = models.members().iter().map(|member| member.weight).collect();
        let Weeks { flow_m3_s, root_zone_mm } = Weeks::mixed(&projected, &weights);
        let columns = self.projections.first().map_or(1, Projection::columns);
        let state_time = ensembles.time();
        let scenario = if weather.forecasts.is_some() { Scenario::Members } else { Scenario::PastYears };
        let mut streams = ensembles.streams(OUTLOOK_TRAJECTORIES, issue_time);
        let mut drawing = Trajectories::new(columns.max(FEWEST));
        let mut rows = OutlooksBuilder::new();
        let catchments = described.len();
        for (catchment, described) in described.iter().enumerate() {
            let years = weather.years[catchment].len();
            if years < FEWEST_YEARS {
                continue;
            }
            let row = OutlookRow {
                catchment: &described.id,
                station: described.station(),
                index: "streamflow",
                issue_time,
                week: 0,
                valid_time: issue_time,
                unit: "m3 s-1",
                values: &[],
                scenario: scenario.name(),
                years: i32::try_from(years).unwrap_or(i32::MAX),
                state_time,
                model: models.name(),
                model_version: models.version(),
                weights_sha256: models.weights_sha256(),
                observation_position: positions.observation.next,
                forcing_position: positions.forcing.next,
            };
            let of_week =
                |values: &[f64], week: usize| values[(week * catchments + catchment) * columns..][..columns].to_vec();
            let (mut distributions, mut trajectories) = (Vec::new(), Vec::new());
            let so_far = self.week.so_far(catchment);
            for week in 0..self.weeks {
                let said = of_week(&flow_m3_s, week);
                let (week_end, place) = (week_end(issue_time, week), (catchment, week));
                let Some(distribution) = self.correction.distribution(issue_time, week_end, place, &said, so_far)?
                else {
                    break;
                };
                distributions.push(distribution);
                trajectories.push((0..columns.max(FEWEST)).map(|n| said[n % columns]).collect::<Vec<f64>>());
            }
            // Each week has trajectories of models, so none is carried from one to the next.
            drawing.draw(distributions.iter().enumerate(), &mut trajectories, |_| 0.0, &mut streams[catchment]);
            let mut push = |week: usize, row: OutlookRow<'_>| {
                let number = i32::try_from(week + 1).unwrap_or(i32::MAX);
                rows.push(OutlookRow { week: number, valid_time: week_end(issue_time, week), ..row });
            };
            for (week, trajectories) in trajectories.iter().enumerate() {
                push(week, OutlookRow { values: trajectories, ..row });
            }
            for week in root_zone_mm.iter().flat_map(|_| 0..self.weeks) {
                let trajectories = root_zone_mm.as_deref().map_or_else(Vec::new, |values| of_week(values, week));
                push(week, OutlookRow { index: "root_zone", unit: "mm", values: &trajectories, ..row });
            }
        }
        Ok(Some(rows.finish()?))
    }

    /// Adds the columns of what it has learned, and of the week under way.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) {
        columns.with_prefix("outlook.", |columns| {
            self.correction.store(columns);
            self.week.store(columns);
        });
    }

    /// Takes up what [`Outlook::store`] gave of the catchments that were there.
    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>) {
        let rows = rows.with_prefix("outlook.");
        self.correction.restore(&rows);
        self.week.restore(&rows);
    }
}

/// When a week ends, counted from 0.
fn week_end(issue_time: Timestamp, week: usize) -> Timestamp {
    issue_time.plus_s((week as i64 + 1) * WEEK_S)
}

/// How far an outlook of a definition looks, s; 0 where it asks for none.
pub(crate) fn ahead_s(pipeline: &Pipeline) -> i64 {
    pipeline.drought.map_or(0, |options| i64::from(options.outlook_weeks) * WEEK_S)
}
