//! Golden vectors: what the package's author computed in float64, computed again here.

use std::collections::BTreeMap;

use crate::{Model, Package, Runtime, RuntimeError, Selection, Tensor, package::read_tensors};

/// The largest difference of one output from its golden vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// which output, as `step.discharge`
    pub output: String,
    /// largest |found − golden| / (1 + |golden|)
    pub relative: f64,
}

/// Runs the package's golden vectors, both graphs, and `step` repeated against `rollout`.
///
/// # Errors
/// [`RuntimeError`] when the golden file is unreadable or does not fit the card.
pub fn check_golden(runtime: &Runtime, package: &Package) -> Result<Vec<Difference>, RuntimeError> {
    let path = package.file("golden.safetensors");
    let golden = read_tensors(&path)?;
    let get = |name: &str| {
        golden
            .get(name)
            .ok_or_else(|| RuntimeError::Package { path: path.clone(), problems: vec![format!("no tensor {name}")] })
    };
    let forcing = get("rollout.forcing")?;
    let [horizon, _, catchments, members] = forcing.shape[..] else {
        let problems = vec![format!("rollout.forcing has shape {:?}, accepted is [T, F, C, M]", forcing.shape)];
        return Err(RuntimeError::Package { path, problems });
    };
    let mut model = Model::new(runtime, package, &golden_catchments(package, &golden, catchments)?, members, horizon)?;
    let mut differences = Vec::new();
    let mut compare = |output: &str, found: &[f32], expected: &[f32]| {
        differences.push(Difference { output: output.to_owned(), relative: largest(found, expected) });
    };

    let mut state = get("step.state")?.values.clone();
    copy("step.forcing", &get("step.forcing")?.values, model.forcing_mut())?;
    let fluxes = model.step(&mut state)?;
    compare("step.discharge", fluxes.discharge_mm, &get("step.discharge")?.values);
    let told = [("step.evapotranspiration", fluxes.evapotranspiration_mm), ("step.outflow", fluxes.outflow_mm)];
    for (name, found) in told {
        if let Some(found) = found {
            compare(name, found, &get(name)?.values);
        }
    }
    compare("step.state_next", &state, &get("step.state_next")?.values);

    let mut state = get("rollout.state")?.values.clone();
    copy("rollout.forcing", &forcing.values, model.rollout_forcing_mut())?;
    let discharge = model.rollout(&state)?.to_vec();
    compare("rollout.discharge", &discharge, &get("rollout.discharge")?.values);
    compare("rollout.state_next", model.rollout_state(), &get("rollout.state_next")?.values);

    let mut repeated = Vec::with_capacity(discharge.len());
    for step in forcing.values.chunks(model.forcing_len()) {
        model.forcing_mut().copy_from_slice(step);
        repeated.extend_from_slice(model.step(&mut state)?.discharge_mm);
    }
    compare("step repeated = rollout", &repeated, &discharge);
    Ok(differences)
}

/// The first `catchments` of the card, or those of the golden attributes.
pub(crate) fn golden_catchments(
    package: &Package,
    golden: &BTreeMap<String, Tensor>,
    catchments: usize,
) -> Result<Selection, RuntimeError> {
    match golden.get("attributes") {
        Some(attributes) => package.describe(catchments, attributes.values.clone()),
        None => package.select(package.card().catchments.get(..catchments).unwrap_or_default()),
    }
}

fn copy(what: &'static str, from: &[f32], to: &mut [f32]) -> Result<(), RuntimeError> {
    if from.len() != to.len() {
        return Err(RuntimeError::Shape { what, found: from.len(), expected: to.len() });
    }
    to.copy_from_slice(from);
    Ok(())
}

fn largest(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| f64::from((f - e).abs()) / (1.0 + f64::from(e.abs())))
        .fold(0.0, |largest, d| if d > largest || d.is_nan() { d } else { largest })
}
