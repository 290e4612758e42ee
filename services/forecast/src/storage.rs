//! Storage: what the stores of a model hold, in words that `state.v1` keeps.

use nilometer_packages::Package;
use nilometer_schemas::{STATE_LEVELS, StateRow, StatesBuilder};
use nilometer_statistics::quantiles;

use crate::{EnsembleState, ForecastError, ledger::Heading};

/// What is less is no water; a processor may take what is next to 0 for 0 on one thread and not on another.
const NOTHING: f32 = 1e-9;

/// A row for each store and catchment of a model, at the time that its state has reached.
pub(crate) fn enter(
    state: &EnsembleState,
    package: &Package,
    heading: &Heading<'_>,
    rows: &mut StatesBuilder,
) -> Result<(), ForecastError> {
    let (layout, mut values, mut sorted) = (&state.layout, Vec::new(), Vec::new());
    let (members, row_len) = (layout.shape.members, layout.row_len());
    for (catchment, described) in heading.catchments.iter().enumerate() {
        for (store, of_store) in &layout.stores {
            values.clear();
            values.resize(members, 0.0);
            for row in of_store.clone() {
                let held = &state.numbers[row * row_len + catchment * members..][..members];
                let held = held.iter().map(|held| if held.abs() < NOTHING { 0.0 } else { f64::from(*held) });
                values.iter_mut().zip(held).for_each(|(sum, held)| *sum += layout.storage[row] * held);
            }
            let mut found = [0.0; STATE_LEVELS.len()];
            quantiles(&values, &STATE_LEVELS, &mut sorted, &mut found)?;
            rows.push(StateRow {
                catchment: &described.id,
                valid_time: state.time,
                analysis_time: heading.analysis_time,
                store,
                mean: values.iter().sum::<f64>() / members as f64,
                quantiles: found,
                members: i32::try_from(members).unwrap_or(i32::MAX),
                model: &package.card().name,
                weights_sha256: package.weights_sha256(),
            });
        }
    }
    Ok(())
}
