//! Forecast: what goes out at a tick, when one is due or late rows have changed what the last one said.

use nilometer_definitions::Scenario;
use nilometer_schemas::{Forecasts, Timestamp};

use super::PartitionState;
use crate::{
    ForecastError,
    issue::{Issued, MemberWeather, Provenance, Weather},
};

impl PartitionState {
    /// A forecast when one is due, or because of what came late; and the shadow's.
    pub(super) fn issue(&mut self, tick: Timestamp) -> Result<(Option<Issued>, Option<Forecasts>), ForecastError> {
        let setting = self.setting.clone();
        let (pipeline, late) = (&setting.pipeline, self.late_rows_of(tick));
        let reasons: Vec<String> = late.iter().cloned().chain(self.passed_over(tick)).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let due = tick.is_multiple_of_s(pipeline.forecast.every.seconds());
        if !due && late.is_none() && !self.trial.issues {
            return Ok((None, None));
        }
        // Up to the last step that a forecast of this time may look at.
        let ahead_s = pipeline.forecast.horizon.seconds() + pipeline.time.step.seconds();
        let members = match (pipeline.forecast.scenario, &self.history) {
            (Scenario::PastYears, Some(history)) => {
                let years = history.years(setting.index.len(), self.progress.state_time, tick.plus_s(ahead_s));
                Some(MemberWeather::PastYears(history, years))
            }
            (Scenario::Members, _) => {
                Some(&self.weather).filter(|weather| !weather.is_empty()).map(MemberWeather::Forecasts)
            }
            _ => None,
        };
        // What the weather of a catchment is without is no more rain.
        let scenario_of = |catchment: usize| match (pipeline.forecast.scenario, &members) {
            (Scenario::PastYears, Some(MemberWeather::PastYears(_, years))) if !years[catchment].is_empty() => {
                Scenario::PastYears
            }
            (Scenario::PastYears, _) | (Scenario::Members, None) => Scenario::Zero,
            (scenario, _) => scenario,
        };
        let scenarios: Vec<Scenario> = (0..setting.index.len()).map(scenario_of).collect();
        let asked = pipeline.forecast.scenario;
        let scenario = if scenarios.contains(&asked) { asked } else { Scenario::Zero };
        let weather = Weather { scenario, alignment: &self.alignment, members, change: self.trial.change.as_ref() };
        let about = Provenance {
            catchments: &pipeline.catchments,
            ratings: &pipeline.ratings,
            levels: &self.levels,
            shadow: false,
            scenarios: &scenarios,
            filled_steps: self.progress.filled_steps,
            positions: self.progress.positions,
            supersedes: late.as_ref().and(self.progress.issued),
            reason: reason.as_deref(),
        };
        let issued = self.in_force.issue(tick, due, &setting, &weather, &about)?;
        let about = Provenance { shadow: true, ..about };
        let of_shadow = self.shadow.as_mut().map(|shadow| shadow.issue(tick, due, &setting, &weather, &about));
        let shadow_forecasts = self.or_without_shadow(of_shadow.transpose()).flatten();
        if issued.is_some() {
            self.progress.issued = Some(tick);
            self.report.scenario = Some(scenario);
        }
        Ok((issued, shadow_forecasts.map(|issued| issued.forecasts)))
    }
}
