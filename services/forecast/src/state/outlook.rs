//! Outlook: what the weeks ahead may bring, at ticks at which one is due.

use nilometer_definitions::Scenario;
use nilometer_schemas::{Outlooks, Timestamp};

use super::PartitionState;
use crate::{
    ForecastError, in_full,
    outlook::{Heading, OutlookWeather, ahead_s},
};

impl PartitionState {
    /// An outlook when one is due. A shadow makes its own, which does not go out: it learns as one in force would.
    pub(super) fn issue_outlook(&mut self, tick: Timestamp) -> Result<Option<Outlooks>, ForecastError> {
        let setting = self.setting.clone();
        let Some(history) = self.history.as_ref().filter(|_| self.in_force.is_outlook_due(tick)) else {
            return Ok(None);
        };
        let pipeline = &setting.pipeline;
        let forecasts = pipeline.forecast.scenario == Scenario::Members && !self.weather.is_empty();
        let weather = OutlookWeather {
            alignment: &self.alignment,
            history,
            years: history.years(setting.index.len(), tick, tick.plus_s(ahead_s(pipeline))),
            forecasts: forecasts.then_some(&self.weather),
        };
        let heading =
            Heading { issue_time: tick, catchments: &pipeline.catchments, positions: self.progress.positions };
        let outlooks = self.in_force.issue_outlook(&weather, &heading);
        let of_shadow = self.shadow.as_mut().map(|shadow| shadow.issue_outlook(&weather, &heading));
        self.or_without_shadow(of_shadow.transpose());
        // What a model cannot say of the months to come is no reason to say nothing of the hours.
        Ok(outlooks.unwrap_or_else(|error| {
            self.report.failed_outlook = Some(in_full(&error));
            None
        }))
    }
}
