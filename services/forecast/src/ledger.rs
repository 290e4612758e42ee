//! The ledger: what each observation did to each model's state, in words that `analysis.v1` keeps.

use nilometer_alignment::Observation;
use nilometer_assimilation::{DischargeOperator, Innovation};
use nilometer_definitions::Catchment;
use nilometer_packages::Package;
use nilometer_schemas::{AnalysesBuilder, AnalysisRow, Timestamp};

use crate::{
    EnsembleState,
    analysis::{Correction, Localised},
    layout::Layout,
};

/// Whose state was moved, and how.
#[derive(Clone, Copy)]
pub(crate) struct Heading<'a> {
    pub(crate) catchments: &'a [Catchment],
    pub(crate) analysis_time: Timestamp,
    /// what moved it
    pub(crate) method: &'a str,
    pub(crate) model: &'a str,
    pub(crate) weights_sha256: &'a str,
}

/// What an observation did.
struct Effect<'a> {
    /// in the unit of what was observed
    predicted: f64,
    innovation: f64,
    spread: Option<f64>,
    error_std: f64,
    increments: &'a [(&'a str, f64)],
    output_error_increment: Option<f64>,
}

impl<'a> Heading<'a> {
    /// The same of one of several models.
    pub(crate) fn of(self, package: &'a Package) -> Self {
        Self { model: &package.card().name, weights_sha256: package.weights_sha256(), ..self }
    }

    /// The rows of a state's last correction: an observation and a catchment that it moved each. Several of one catchment move it together:
    /// the first of them carries what the stores gained.
    pub(crate) fn enter(&self, state: &EnsembleState, ledger: &mut AnalysesBuilder) {
        state.corrections.iter().for_each(|correction| self.enter_one(&state.layout, correction, ledger));
    }

    fn enter_one(&self, layout: &Layout, Correction { report, localised }: &Correction, ledger: &mut AnalysesBuilder) {
        let (mut innovations, mut increments) = (report.innovations.as_slice(), report.increments.as_slice());
        for group in localised.chunk_by(|a, b| a.catchment == b.catchment) {
            let catchment = group[0].catchment;
            let of_group = increments.iter().take_while(|i| i.catchment == catchment).count();
            let (own, others) = increments.split_at(of_group);
            increments = others;
            let gained = |rows: &std::ops::Range<usize>| {
                let of_store = own.iter().filter(|i| rows.contains(&i.state));
                of_store.map(|i| layout.storage[i.state] * i.mean_increment).sum::<f64>()
            };
            let stores: Vec<(&str, f64)> =
                layout.stores.iter().map(|(name, rows)| (name.as_str(), gained(rows))).collect();
            let output_error = own.iter().find(|i| i.state == layout.output_error_row()).map(|i| i.mean_increment);
            for (at, Localised { observation, scale, .. }) in group.iter().enumerate() {
                let Some((Innovation { innovation, spread, error_std, .. }, behind)) = innovations.split_first() else {
                    return;
                };
                innovations = behind;
                let operator = &layout.operators[observation.catchment];
                let first = at == 0;
                let effect = Effect {
                    predicted: match observation.is_discharge() {
                        true => operator.discharge_m3_s(operator.log(observation.value) - innovation),
                        false => observation.value - innovation / scale,
                    },
                    innovation: innovation / scale,
                    spread: Some(spread / scale),
                    error_std: error_std / scale,
                    increments: if first { &stores } else { &[] },
                    output_error_increment: output_error.filter(|_| first),
                };
                self.push(catchment, observation, &effect, ledger);
            }
        }
    }

    /// The rows of observations that moved no store, only the forecast or nothing: `predicted_m3_s` `[C]` is what they were held against.
    pub(crate) fn enter_output(
        &self,
        predicted_m3_s: &[f64],
        operators: &[DischargeOperator],
        observations: &[Observation],
        ledger: &mut AnalysesBuilder,
    ) {
        for observation in observations {
            let operator = &operators[observation.catchment];
            let predicted_m3_s = predicted_m3_s[observation.catchment];
            let Ok(log) = operator.observe(observation.value) else { continue };
            let effect = Effect {
                predicted: predicted_m3_s,
                innovation: log.value - operator.log(predicted_m3_s),
                spread: None,
                error_std: log.error_variance.sqrt() * observation.error_factor,
                increments: &[],
                output_error_increment: None,
            };
            self.push(observation.catchment, observation, &effect, ledger);
        }
    }

    fn push(&self, moved: usize, observation: &Observation, effect: &Effect<'_>, ledger: &mut AnalysesBuilder) {
        ledger.push(AnalysisRow {
            catchment: &self.catchments[moved].id,
            station: self.catchments[observation.catchment].station(),
            variable: observation.variable,
            valid_time: observation.valid_time,
            analysis_time: self.analysis_time,
            observed: observation.value,
            predicted: effect.predicted,
            innovation: effect.innovation,
            spread: effect.spread,
            error_std: effect.error_std,
            flag: observation.flag,
            method: self.method,
            increments: effect.increments,
            output_error_increment: effect.output_error_increment,
            model: self.model,
            weights_sha256: self.weights_sha256,
        });
    }
}
