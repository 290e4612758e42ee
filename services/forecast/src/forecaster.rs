//! Forecaster: models, the state that they have reached, and what their forecasts have taught.
//!
//! One is in force: its forecasts go out, and the readings are judged by it. A shadow takes the same steps and observations beside it, and its
//! forecasts go to a topic of their own.

use nilometer_alignment::{Observation, StepReading};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{Outlooks, Timestamp};

use crate::{
    ForecastError,
    ensembles::Ensembles,
    issue::{Issued, Provenance, Weather},
    outlook::{Heading, Outlook, OutlookWeather},
    postprocess::Postprocessing,
    setting::Setting,
};

/// Models with all that changes when they forecast.
pub(crate) struct Forecaster {
    pub(crate) models: Mixture,
    pub(crate) ensembles: Ensembles,
    pub(crate) postprocessing: Postprocessing,
    /// there where the definition asks for one
    outlook: Option<Outlook>,
}

impl Forecaster {
    /// Before the step that ends at `time + step`. Loads every model's graphs, which takes its time.
    pub(crate) fn new(
        setting: &Setting,
        runtime: &Runtime,
        models: Mixture,
        time: Timestamp,
    ) -> Result<Self, ForecastError> {
        let pipeline = &setting.pipeline;
        Ok(Self {
            ensembles: Ensembles::new(runtime, &models, pipeline, setting.horizon(), time)?,
            postprocessing: Postprocessing::new(pipeline, setting.leads.steps),
            outlook: Outlook::new(runtime, &models, pipeline)?,
            models,
        })
    }

    /// Goes back to the state before the step that ends at `time + step`; the graphs stay.
    pub(crate) fn begin(&mut self, setting: &Setting, time: Timestamp) -> Result<(), ForecastError> {
        self.postprocessing = Postprocessing::new(&setting.pipeline, setting.leads.steps);
        self.outlook.iter_mut().for_each(|outlook| outlook.begin(&setting.pipeline));
        self.ensembles.begin(&self.models, &setting.pipeline, time)
    }

    /// Another one at the same time. Of the same graphs it goes on from this one's state and from what has been learned; of others it begins
    /// with its initial state.
    pub(crate) fn beside(&self, setting: &Setting, runtime: &Runtime, models: Mixture) -> Result<Self, ForecastError> {
        let mut other = Self::new(setting, runtime, models, self.ensembles.time())?;
        if !self.is_of_the_graphs_of(&other.models, setting) {
            return Ok(other);
        }
        other.ensembles.take_names_of(&self.ensembles);
        let catchments = setting.index.catchments().iter().map(String::as_str);
        let mut columns = ColumnsBuilder::new(catchments.clone());
        self.store("", &mut columns);
        let serves = vec![true; other.models.members().len()];
        other.restore("", &columns.finish()?.keyed(catchments), self.ensembles.steps(), &serves)?;
        Ok(other)
    }

    /// Whether [`Forecaster::swap_weights`] would take up these models.
    pub(crate) fn is_of_the_graphs_of(&self, models: &Mixture, setting: &Setting) -> bool {
        self.ensembles.check_swap(models, &setting.pipeline).is_ok()
    }

    /// Goes on with the weights of `models`, the same models trained on; the state stays as it is.
    pub(crate) fn swap_weights(&mut self, models: Mixture, setting: &Setting) -> Result<(), ForecastError> {
        self.ensembles.swap_weights(&models, &setting.pipeline)?;
        if let Some(outlook) = &mut self.outlook {
            outlook.swap_weights(&models, &setting.pipeline)?;
        }
        self.models = models;
        Ok(())
    }

    /// Advances by one step under `forcing` `[F, C]`; gives what the gauges are expected to read at its end, `[C]` m³ s⁻¹.
    pub(crate) fn advance(&mut self, forcing: &[f32]) -> Result<Vec<f64>, ForecastError> {
        self.ensembles.advance(forcing)?;
        Ok(self.ensembles.predicted_m3_s())
    }

    /// Takes in what the gauges read in the step that ended at `step`, of which it had expected `predicted_m3_s`: at the ends of steps, of those
    /// that count last, and what has come since the last correction.
    pub(crate) fn observe(
        &mut self,
        step: Timestamp,
        predicted_m3_s: &[f64],
        Read { at_steps, counting, due, teaches }: &Read,
    ) -> Result<(), ForecastError> {
        self.postprocessing.observe(step, predicted_m3_s, at_steps, *teaches);
        if let Some(outlook) = &mut self.outlook {
            outlook.observe(step, &self.ensembles.simulated_m3_s(), at_steps);
        }
        self.ensembles.read_gauges(counting);
        self.ensembles.assimilate(due)
    }

    /// A forecast issued at `issue_time`; none when nothing of it goes out. One that would not have been due teaches nothing.
    pub(crate) fn issue(
        &mut self,
        issue_time: Timestamp,
        due: bool,
        setting: &Setting,
        weather: &Weather<'_>,
        about: &Provenance<'_>,
    ) -> Result<Option<Issued>, ForecastError> {
        let Self { models, ensembles, postprocessing, .. } = self;
        if due {
            return ensembles.issue(models, issue_time, &setting.leads, weather, postprocessing, about);
        }
        ensembles.issue(models, issue_time, &setting.leads, weather, &mut postprocessing.clone(), about)
    }

    /// An outlook; none where none is asked for, or too few past years are known.
    pub(crate) fn issue_outlook(
        &mut self,
        weather: &OutlookWeather<'_>,
        heading: &Heading<'_>,
    ) -> Result<Option<Outlooks>, ForecastError> {
        let Self { models, ensembles, outlook, .. } = self;
        outlook.as_mut().map_or(Ok(None), |outlook| outlook.issue(ensembles, models, weather, heading))
    }

    /// Whether an outlook is due.
    pub(crate) fn is_outlook_due(&self, tick: Timestamp) -> bool {
        self.outlook.as_ref().is_some_and(|outlook| outlook.is_due(tick))
    }

    /// Adds the columns of all that changes, their names behind `prefix`.
    pub(crate) fn store(&self, prefix: &str, columns: &mut ColumnsBuilder) {
        columns.with_prefix(prefix, |columns| {
            self.ensembles.store(columns);
            self.postprocessing.store(columns);
            self.outlook.iter().for_each(|outlook| outlook.store(columns));
        });
    }

    /// Takes up what [`Forecaster::store`] gave of the catchments that were there after `steps` steps; `serves` says of which models.
    pub(crate) fn restore(
        &mut self,
        prefix: &str,
        rows: &KeyedColumns<'_>,
        steps: u64,
        serves: &[bool],
    ) -> Result<(), ForecastError> {
        let rows = rows.with_prefix(prefix);
        self.ensembles.restore(&rows, steps, serves)?;
        self.postprocessing.restore(&rows);
        self.outlook.iter_mut().for_each(|outlook| outlook.restore(&rows));
        Ok(())
    }
}

/// What the gauges read in a step.
pub(crate) struct Read {
    /// what they say of the ends of steps
    pub(crate) at_steps: Vec<StepReading>,
    /// readings of the step that are not in doubt
    pub(crate) counting: Vec<Observation>,
    /// what has come since the last correction, where one is due
    pub(crate) due: Vec<Observation>,
    /// whether calibration learns from them
    pub(crate) teaches: bool,
}
