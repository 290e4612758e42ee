//! Analysis: what gauges have read moves an ensemble's stores, its rain and its output error, one update for all that came since the last.

use nilometer_alignment::Observation;
use nilometer_assimilation::{
    AdaptiveInflation, AnalysisReport, CatchmentObservation, EnsembleMut, Filter, FilterOptions, Innovation, Method,
    Purpose, StoredPredictions,
};
use nilometer_definitions::{AssimilationMethod, AssimilationOptions, Pipeline};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::Card;
use nilometer_schemas::Timestamp;

use crate::{
    ForecastError,
    layout::Layout,
    stores::{Seen, SeenStore},
};

/// What a filter accepts.
const LARGEST_INFLATION: f64 = 10.0;

/// An observation and a catchment that it moves: its gauge's own, or one above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Localised {
    pub(crate) catchment: usize,
    /// how much it counts there, 1 at its gauge
    pub(crate) taper: f64,
    /// how much of the unit in which it was compared one of its own is; 1 where it is the same, or a logarithm
    pub(crate) scale: f64,
    pub(crate) observation: Observation,
}

impl Localised {
    /// An observation where its gauge is.
    pub(crate) const fn at_gauge(observation: Observation) -> Self {
        Self { catchment: observation.catchment, taper: 1.0, scale: 1.0, observation }
    }

    pub(crate) const fn is_at_gauge(&self) -> bool {
        self.catchment == self.observation.catchment
    }
}

/// What a correction did, and what did it, in the same order.
#[derive(Default)]
pub(crate) struct Correction {
    pub(crate) report: AnalysisReport,
    pub(crate) localised: Vec<Localised>,
}

impl Correction {
    /// The innovations of observations where their gauges are.
    pub(crate) fn innovations_at_gauges(&self) -> impl Iterator<Item = (&Innovation, &Localised)> {
        self.report.innovations.iter().zip(&self.localised).filter(|(_, one)| one.is_at_gauge())
    }
}

/// An ensemble filter and what it has learned.
pub(crate) struct Analysis {
    filter: Filter,
    inflation: f64,
    adaptive_inflation: Option<AdaptiveInflation>,
    /// what the members predicted for the gauges at the last analysis and at each step since
    stored: StoredPredictions,
    stores: Vec<SeenStore>,
    predicted: Vec<f64>,
}

impl Analysis {
    /// The filter that a checked definition asks for; none where it asks for another method.
    pub(crate) fn new(pipeline: &Pipeline, card: &Card) -> Result<Option<Self>, ForecastError> {
        let options = &pipeline.assimilation;
        let Some(method) = ensemble_method(options) else { return Ok(None) };
        let filter = Filter::new(FilterOptions {
            method,
            prior_inflation: None,
            rtps_alpha: (options.relaxation > 0.0).then_some(options.relaxation),
        })?;
        let catchments = pipeline.catchments.len();
        let adaptive = options.adaptive_inflation;
        let steps = options.analysis_every_s(pipeline.time.step) / pipeline.time.step.seconds();
        let steps = usize::try_from(steps).unwrap_or(1);
        Ok(Some(Self {
            filter,
            inflation: options.inflation,
            adaptive_inflation: adaptive.map(|a| AdaptiveInflation::new(catchments, a.rate, a.maximum)).transpose()?,
            stored: StoredPredictions::new(steps, catchments, options.members)?,
            stores: SeenStore::all(pipeline, card)?,
            predicted: Vec::new(),
        }))
    }

    /// Keeps what the members of `numbers` predict for the gauges at `time`, for an analysis to come.
    pub(crate) fn remember(&mut self, numbers: &[f32], layout: &Layout, time: Timestamp) -> Result<(), ForecastError> {
        self.predicted.clear();
        for catchment in 0..layout.shape.catchments {
            predict(numbers, layout, catchment, &mut self.predicted)?;
        }
        Ok(self.stored.store(time.0, &self.predicted.iter().map(|value| *value as f32).collect::<Vec<_>>())?)
    }

    /// Corrects the ensemble `numbers` at `time` by the observations since the last analysis, sorted by catchment, then time, and says whom
    /// each moved. `scales` `[C]` are factors on the gauges' errors. Several of one gauge in one step say nearly the same: together they weigh as one.
    pub(crate) fn assimilate(
        &mut self,
        numbers: &mut [f32],
        layout: &Layout,
        time: Timestamp,
        scales: &[f64],
        observations: &[Observation],
    ) -> Result<Correction, ForecastError> {
        let mut report = AnalysisReport::default();
        let step_of = |one: &Localised| one.observation.valid_time.ceil_s(layout.step_s);
        let mut localised = localise(layout, observations);
        localised.retain(|one| {
            step_of(one) == time || self.stored.members(step_of(one).0, one.observation.catchment).is_some()
        });
        if localised.is_empty() {
            return Ok(Correction::default());
        }
        // What a gauge far away hardly constrains would only be inflated.
        let mut own = vec![false; layout.shape.catchments];
        localised.iter().filter(|one| one.is_at_gauge()).for_each(|one| own[one.catchment] = true);
        let (mut observed, mut variance, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        let mut predicted = std::mem::take(&mut self.predicted);
        predicted.clear();
        for of_catchment in localised.chunk_by(|a, b| a.catchment == b.catchment) {
            let from = observed.len();
            for one in of_catchment {
                let (gauge, step) = (one.observation.catchment, step_of(one));
                let alike = of_catchment.iter().filter(|o| o.observation.catchment == gauge && step_of(o) == step);
                let log = layout.operators[gauge].observe(one.observation.value)?;
                let factor = scales[gauge] * one.observation.error_factor;
                observed.push(log.value);
                variance.push(log.error_variance * factor * factor * alike.count() as f64 / one.taper);
                self.predict_at(numbers, layout, time, &one.observation, &mut predicted)?;
            }
            spans.push((of_catchment[0].catchment, from..observed.len()));
        }
        let members = layout.shape.members;
        let batch: Vec<CatchmentObservation<'_>> = spans
            .iter()
            .map(|(catchment, span)| CatchmentObservation {
                catchment: *catchment,
                predicted: &predicted[span.start * members..span.end * members],
                observed: &observed[span.clone()],
                error_variance: &variance[span.clone()],
                inflation: if own[*catchment] { self.inflation_of(*catchment) } else { 1.0 },
                rows: &layout.rows,
            })
            .collect();
        let mut noise = layout.streams(Purpose::ObservationPerturbation, time);
        let mut ensemble = EnsembleMut::new(numbers, layout.shape)?;
        // What was predicted before now is not asked for again, so it need not be corrected with the ensemble.
        self.filter.assimilate(&mut ensemble, &batch, &mut noise, &mut report)?;
        self.predicted = predicted;
        let correction = Correction { report, localised };
        if let Some(inflation) = &mut self.adaptive_inflation {
            correction.innovations_at_gauges().for_each(|(one, _)| inflation.learn(std::slice::from_ref(one)));
        }
        Ok(correction)
    }

    /// Corrects the stores that `observations`, sorted by catchment, have seen, each kind by itself. Nothing else moves: what snow says of
    /// the soil below it is said by the melt.
    pub(crate) fn assimilate_stores(
        &mut self,
        numbers: &mut [f32],
        layout: &Layout,
        time: Timestamp,
        observations: &[Observation],
    ) -> Result<Vec<Correction>, ForecastError> {
        let Self { filter, stores, .. } = self;
        stores.iter_mut().map(|store| correct(filter, store, numbers, layout, time, observations)).collect()
    }

    /// Factor on the prior anomalies of a catchment whose gauge has read something.
    fn inflation_of(&self, catchment: usize) -> f64 {
        let learned = self.adaptive_inflation.as_ref().map_or(1.0, |learned| learned.factor(catchment));
        (self.inflation * learned).min(LARGEST_INFLATION)
    }

    /// What each member of `numbers` at `time` predicts, or predicted, for when a gauge read, behind what `predicted` holds: between two steps as the
    /// definition aligns readings.
    fn predict_at(
        &self,
        numbers: &[f32],
        layout: &Layout,
        time: Timestamp,
        reading: &Observation,
        predicted: &mut Vec<f64>,
    ) -> Result<(), ForecastError> {
        let gauge = reading.catchment;
        let [(earlier, weight), (step, _)] = layout.alignment.steps(reading.valid_time, layout.step_s);
        let at = predicted.len();
        match self.stored.members(step.0, gauge).filter(|_| step != time) {
            Some(members) => predicted.extend(members.iter().map(|value| f64::from(*value))),
            None => predict(numbers, layout, gauge, predicted)?,
        }
        if let Some(members) = self.stored.members(earlier.0, gauge).filter(|_| weight > 0.0) {
            for (value, before) in predicted[at..].iter_mut().zip(members) {
                *value = weight * f64::from(*before) + (1.0 - weight) * *value;
            }
        }
        Ok(())
    }

    /// Adds the columns of what a model's filter has learned: its inflation, what the members predicted for the gauge and when, and what stores have
    /// taught.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder, members: usize) {
        if let Some(inflation) = &self.adaptive_inflation {
            columns.f32(&format!("{name}.inflation"), |catchment| [inflation.factors()[catchment]]);
        }
        let times: Vec<i64> = self.stored.times_us().collect();
        columns.i64(&format!("{name}.predicted.time"), |_| times.clone());
        columns.f32(&format!("{name}.predicted"), |catchment| {
            // What a catchment that is new would have predicted is not known.
            let unknown = vec![f32::NAN; members];
            let of_time = |time: &i64| self.stored.members(*time, catchment).unwrap_or(&unknown).to_vec();
            times.iter().flat_map(of_time).collect::<Vec<_>>()
        });
        self.stores.iter().for_each(|store| store.store(name, columns));
    }

    /// Takes up what [`Analysis::store`] gave of the catchments that were there.
    pub(crate) fn restore(&mut self, name: &str, rows: &KeyedColumns<'_>, members: usize) -> Result<(), ForecastError> {
        let catchments = rows.len();
        if let Some(inflation) = &mut self.adaptive_inflation {
            let mut factors = inflation.factors().to_vec();
            for (catchment, factor) in factors.iter_mut().enumerate() {
                if let Some([learned]) = rows.f32(&format!("{name}.inflation"), catchment) {
                    *factor = *learned;
                }
            }
            inflation.restore(&factors)?;
        }
        let (time, predicted) = (format!("{name}.predicted.time"), format!("{name}.predicted"));
        let whole = |(times, predicted): &(&[i64], &[f32])| predicted.len() == times.len() * members;
        let of = |catchment| Some((rows.i64(&time, catchment)?, rows.f32(&predicted, catchment)?)).filter(whole);
        let stored: Vec<Option<(&[i64], &[f32])>> = (0..catchments).map(of).collect();
        let times = stored.iter().flatten().map(|(times, _)| *times).max_by_key(|times| times.len());
        for (at, time) in times.unwrap_or_default().iter().enumerate() {
            let of_catchment = |stored: &Option<(&[i64], &[f32])>| {
                let known = stored.and_then(|(_, predicted)| predicted.get(at * members..(at + 1) * members));
                known.map_or_else(|| vec![f32::NAN; members], <[f32]>::to_vec)
            };
            self.stored.restore(*time, &stored.iter().flat_map(of_catchment).collect::<Vec<_>>())?;
        }
        self.stores.iter_mut().for_each(|store| store.restore(name, rows));
        Ok(())
    }
}

/// Corrects one kind of store by those of `observations` that are about it.
fn correct(
    filter: &mut Filter,
    store: &mut SeenStore,
    numbers: &mut [f32],
    layout: &Layout,
    time: Timestamp,
    observations: &[Observation],
) -> Result<Correction, ForecastError> {
    let of_store: Vec<&Observation> = observations.iter().filter(|o| o.variable == store.variable).collect();
    let (mut localised, mut seen, mut predicted, mut spans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for group in of_store.chunk_by(|a, b| a.catchment == b.catchment) {
        let expected = store.predict(numbers, layout, group[0].catchment)?;
        let from = localised.len();
        for observation in group {
            let Some(Seen { observed, scale }) = store.observe(observation, &expected)? else { continue };
            let factor = observation.error_factor;
            // Several of one catchment say nearly the same: together they weigh as one.
            seen.push((observed.value, observed.error_variance * factor * factor * group.len() as f64));
            predicted.extend_from_slice(&expected);
            localised.push(Localised { scale, ..Localised::at_gauge(**observation) });
        }
        if localised.len() > from {
            spans.push(from..localised.len());
        }
    }
    let (observed, variance): (Vec<f64>, Vec<f64>) = seen.into_iter().unzip();
    let members = layout.shape.members;
    let batch: Vec<CatchmentObservation<'_>> = spans
        .into_iter()
        .map(|span| CatchmentObservation {
            catchment: localised[span.start].catchment,
            predicted: &predicted[span.start * members..span.end * members],
            observed: &observed[span.clone()],
            error_variance: &variance[span],
            inflation: 1.0,
            rows: &store.rows,
        })
        .collect();
    let mut report = AnalysisReport::default();
    filter.assimilate(
        &mut EnsembleMut::new(numbers, layout.shape)?,
        &batch,
        &mut layout.streams(store.purpose, time),
        &mut report,
    )?;
    Ok(Correction { report, localised })
}

/// What each member of `numbers` predicts for a gauge, in the logarithm, behind what `predicted` holds.
fn predict(numbers: &[f32], layout: &Layout, gauge: usize, predicted: &mut Vec<f64>) -> Result<(), ForecastError> {
    let members = layout.shape.members;
    let row = |row: usize| &numbers[row * layout.row_len() + gauge * members..][..members];
    let at = predicted.len();
    predicted.resize(at + members, 0.0);
    let (discharge, output_error) = (row(layout.discharge_row()), row(layout.output_error_row()));
    Ok(layout.operators[gauge].predict(discharge, Some(output_error), &mut predicted[at..])?)
}

/// Every catchment that one of the observations moves, ascending; of each first what its own gauge read.
fn localise(layout: &Layout, observations: &[Observation]) -> Vec<Localised> {
    let Some(river) = &layout.river else { return observations.iter().copied().map(Localised::at_gauge).collect() };
    let moved = |observation: &Observation| {
        let observation = *observation;
        let informed = river.informed_by(observation.catchment).iter();
        informed.map(move |other| Localised {
            catchment: other.catchment,
            taper: other.taper,
            ..Localised::at_gauge(observation)
        })
    };
    let mut localised: Vec<Localised> = observations.iter().flat_map(moved).collect();
    localised.sort_by_key(|one| (one.catchment, !one.is_at_gauge()));
    localised
}

const fn ensemble_method(options: &AssimilationOptions) -> Option<Method> {
    match options.method {
        AssimilationMethod::None | AssimilationMethod::Output | AssimilationMethod::Variational => None,
        AssimilationMethod::Etkf => Some(Method::Etkf),
        AssimilationMethod::Enkf => Some(Method::StochasticEnkf),
        AssimilationMethod::Denkf => Some(Method::Denkf),
        AssimilationMethod::Particle => Some(Method::Particle { jitter: options.particle_jitter }),
    }
}
