//! Forecast: what goes out at a tick, when one is due or late rows have changed what the last one said.

use nilometer_definitions::Scenario;
use nilometer_schemas::{Forecasts, Timestamp};

use super::PartitionState;
use crate::{
    ForecastError,
    issue::{MemberWeather, Provenance, Weather},
};

impl PartitionState {
    /// A forecast when one is due, or because of what came late.
    pub(super) fn issue(&mut self, tick: Timestamp) -> Result<Option<Forecasts>, ForecastError> {
        let setting = self.setting.clone();
        let (pipeline, late) = (&setting.pipeline, self.late_rows_of(tick));
        let reasons: Vec<String> = late.iter().cloned().chain(self.passed_over(tick)).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let due = tick.is_multiple_of_s(pipeline.forecast.every.seconds());
        if !due && late.is_none() {
            return Ok(None);
        }
        // Up to the last step that a forecast of this time may look at.
        let ahead_s = pipeline.forecast.horizon.seconds() + pipeline.time.step.seconds();
        let members = match (pipeline.forecast.scenario, &self.history) {
            (Scenario::PastYears, Some(history)) => {
                let years = history.years(self.ensembles.time(), tick.plus_s(ahead_s));
                (!years.is_empty()).then_some(MemberWeather::PastYears(history, years))
            }
            (Scenario::Members, _) => {
                Some(&self.weather).filter(|weather| !weather.is_empty()).map(MemberWeather::Forecasts)
            }
            _ => None,
        };
        let scenario = match pipeline.forecast.scenario {
            Scenario::PastYears | Scenario::Members if members.is_none() => Scenario::Zero,
            scenario => scenario,
        };
        let weather = Weather { scenario, alignment: &self.alignment, members };
        let about = Provenance {
            catchments: &pipeline.catchments,
            ratings: &pipeline.ratings,
            model: self.models.name(),
            model_version: self.models.version(),
            weights_sha256: self.models.weights_sha256(),
            scenario,
            filled_steps: self.progress.filled_steps,
            positions: self.progress.positions,
            supersedes: late.as_ref().and(self.progress.issued),
            reason: reason.as_deref(),
        };
        let forecasts = if due {
            self.ensembles.issue(tick, &setting.leads, &weather, &mut self.postprocessing, &about)?
        } else {
            // What would not have gone out on time teaches nothing, so that later forecasts are those of a run on time.
            self.ensembles.issue(tick, &setting.leads, &weather, &mut self.postprocessing.clone(), &about)?
        };
        if forecasts.is_some() {
            self.progress.issued = Some(tick);
            self.report.scenario = Some(scenario);
        }
        Ok(forecasts)
    }
}
