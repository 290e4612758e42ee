//! Stores: what is seen of a store itself, snow that was weighed or seen from above, soil that a satellite felt, and how it is held
//! against the model's.

use nilometer_alignment::Observation;
use nilometer_assimilation::{
    Bounds, CdfMatching, DepletionCurve, Observed, Purpose, SnowOperator, SnowRow, SoilMoisturePair, UpdatableRow,
    is_informative,
};
use nilometer_definitions::{Pipeline, SoilMoistureOptions};
use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_packages::Card;
use nilometer_schemas::{Timestamp, Variable};

use crate::{ForecastError, layout::Layout};

/// The perturbations of what was observed of stores.
const SNOW: Purpose = Purpose::Custom(6);
const SOIL: Purpose = Purpose::Custom(7);
const SNOW_COVER: Purpose = Purpose::Custom(8);

/// One kind of observation, and the rows of the ensemble that it is about.
pub(crate) struct SeenStore {
    pub(crate) variable: Variable,
    pub(crate) rows: Vec<UpdatableRow>,
    /// of the perturbations of its observations
    pub(crate) purpose: Purpose,
    operator: Operator,
}

enum Operator {
    Snow(SnowOperator),
    Soil(SoilMoisture),
}

/// Soil moisture speaks of its own climate: what it says is matched to the model's, as they were in a training window.
struct SoilMoisture {
    options: SoilMoistureOptions,
    /// names of the catchments
    catchments: Vec<String>,
    /// of each catchment, what was seen in the training window and what the model had
    pairs: Vec<Vec<SoilMoisturePair>>,
    /// of each catchment, once the window is over; none where the pairs allow none
    matchings: Vec<Option<Option<CdfMatching>>>,
}

/// An observation in the unit of the model's store.
pub(crate) struct Seen {
    pub(crate) observed: Observed,
    /// how much of that unit one of the observation's own is
    pub(crate) scale: f64,
}

impl SeenStore {
    /// Every kind that a checked definition asks for and the model has stores of.
    pub(crate) fn all(pipeline: &Pipeline, card: &Card) -> Result<Vec<Self>, ForecastError> {
        let options = &pipeline.assimilation;
        let rows = |names: &[String]| -> Vec<UpdatableRow> {
            let blocks = card.state_row_blocks().enumerate();
            let of_store = blocks.filter(|(_, block)| names.contains(&block.name) && block.storage.is_some());
            of_store
                .map(|(state, block)| UpdatableRow {
                    state,
                    bounds: Bounds { minimum: block.minimum, maximum: block.maximum },
                })
                .collect()
        };
        let mut all = Vec::new();
        if let Some(snow) = &options.snow {
            let operator = SnowOperator::water_equivalent(snow.relative_error, snow.absolute_error_mm)?;
            let (variable, rows) = (Variable::SnowWaterEquivalent, rows(&snow.stores));
            all.push(Self { variable, rows, purpose: SNOW, operator: Operator::Snow(operator) });
        }
        if let Some(cover) = &options.snow_cover {
            let operator = SnowOperator::covered_fraction(DepletionCurve::new(cover.sigma_mm)?, cover.error)?;
            let (variable, rows) = (Variable::SnowCoveredFraction, rows(&cover.stores));
            all.push(Self { variable, rows, purpose: SNOW_COVER, operator: Operator::Snow(operator) });
        }
        if let Some(soil) = &options.soil_moisture {
            let catchments = pipeline.catchments.len();
            let operator = SoilMoisture {
                options: soil.clone(),
                catchments: pipeline.catchments.iter().map(|c| c.id.clone()).collect(),
                pairs: vec![Vec::new(); catchments],
                matchings: vec![None; catchments],
            };
            let (variable, rows) = (Variable::SoilMoisture, rows(&soil.stores));
            all.push(Self { variable, rows, purpose: SOIL, operator: Operator::Soil(operator) });
        }
        all.retain(|store| !store.rows.is_empty());
        Ok(all)
    }

    /// What each member of `numbers` has of it in a catchment, mm.
    pub(crate) fn predict(
        &self,
        numbers: &[f32],
        layout: &Layout,
        catchment: usize,
    ) -> Result<Vec<f64>, ForecastError> {
        let members = layout.shape.members;
        let row = |row: usize| &numbers[row * layout.row_len() + catchment * members..][..members];
        let mut predicted = vec![0.0; members];
        match &self.operator {
            Operator::Snow(operator) => {
                let of = |r: &UpdatableRow| SnowRow { members: row(r.state), storage: layout.storage[r.state] };
                operator.predict(&self.rows.iter().map(of).collect::<Vec<_>>(), &mut predicted)?;
            }
            Operator::Soil(_) => {
                for r in &self.rows {
                    let storage = layout.storage[r.state];
                    predicted.iter_mut().zip(row(r.state)).for_each(|(sum, mm)| *sum += storage * f64::from(*mm));
                }
            }
        }
        Ok(predicted)
    }

    /// An observation, held against what the members had. None where it only teaches, all members have
    /// the same, or nothing can be made of it.
    pub(crate) fn observe(
        &mut self,
        observation: &Observation,
        predicted: &[f64],
    ) -> Result<Option<Seen>, ForecastError> {
        let seen = match &mut self.operator {
            Operator::Snow(operator) => Some(Seen { observed: operator.observe(observation.value)?, scale: 1.0 }),
            Operator::Soil(soil) => soil.observe(observation, predicted)?,
        };
        Ok(seen.filter(|_| is_informative(predicted)))
    }

    /// Adds the columns of what was seen of a model's soil in the training window.
    pub(crate) fn store(&self, name: &str, columns: &mut ColumnsBuilder) {
        let Operator::Soil(soil) = &self.operator else { return };
        let of = |of: fn(&SoilMoisturePair) -> f64| {
            move |catchment: usize| soil.pairs[catchment].iter().map(of).collect::<Vec<_>>()
        };
        columns.i64(&format!("{name}.soil_moisture.time"), |catchment| {
            soil.pairs[catchment].iter().map(|pair| pair.time.0).collect::<Vec<_>>()
        });
        columns.f64(&format!("{name}.soil_moisture.observed_m3_m3"), of(|pair| pair.observed_m3_m3));
        columns.f64(&format!("{name}.soil_moisture.modelled"), of(|pair| pair.modelled));
    }

    /// Takes up what [`SeenStore::store`] gave of the catchments that were there.
    pub(crate) fn restore(&mut self, name: &str, rows: &KeyedColumns<'_>) {
        let Operator::Soil(soil) = &mut self.operator else { return };
        for (catchment, pairs) in soil.pairs.iter_mut().enumerate() {
            let times = rows.i64(&format!("{name}.soil_moisture.time"), catchment).unwrap_or_default();
            let observed = rows.f64(&format!("{name}.soil_moisture.observed_m3_m3"), catchment).unwrap_or_default();
            let modelled = rows.f64(&format!("{name}.soil_moisture.modelled"), catchment).unwrap_or_default();
            let pair = |((time, observed), modelled): ((&i64, &f64), &f64)| SoilMoisturePair {
                time: Timestamp(*time),
                observed_m3_m3: *observed,
                modelled: *modelled,
            };
            *pairs = times.iter().zip(observed).zip(modelled).map(pair).collect();
            soil.matchings[catchment] = None;
        }
    }
}

impl SoilMoisture {
    fn observe(&mut self, observation: &Observation, predicted: &[f64]) -> Result<Option<Seen>, ForecastError> {
        let (catchment, time) = (observation.catchment, observation.valid_time);
        let training = self.options.from..self.options.to;
        if time < training.end {
            if time >= training.start {
                let modelled = predicted.iter().sum::<f64>() / predicted.len() as f64;
                self.pairs[catchment].push(SoilMoisturePair { time, observed_m3_m3: observation.value, modelled });
            }
            return Ok(None);
        }
        let (pairs, least, name) =
            (&self.pairs[catchment], self.options.minimum_pairs, self.catchments[catchment].as_str());
        let matching = self.matchings[catchment].get_or_insert_with(|| {
            CdfMatching::fit(pairs, training, least)
                .inspect_err(|error| {
                    tracing::warn!(catchment = name, pairs = pairs.len(), %error, "soil moisture cannot be matched to the model's");
                })
                .ok()
        });
        let Some(matching) = matching else { return Ok(None) };
        let observed = matching.observe(time, observation.value, self.options.error_m3_m3)?;
        let scale = observed.error_variance.sqrt() / self.options.error_m3_m3;
        Ok(Some(Seen { observed, scale }))
    }
}
