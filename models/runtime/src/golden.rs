//! Golden vectors: what the package's author computed in float64, computed again here.

use std::collections::BTreeMap;

use nilometer_packages::{Package, PackageError, Selection, Tensor, read_tensors};

use crate::{Batch, Gradient, Model, Runtime, RuntimeError, TrainStep};

const GOLDEN: &str = "golden.safetensors";

/// The largest difference of one output from its golden vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// which output, as `step.discharge`
    pub output: String,
    /// largest |found − golden| / (1 + |golden|); of a derivative ‖found − golden‖ / ‖golden‖, of the worst catchment where it has one
    pub relative: f64,
    /// how large it may be, by the card
    pub limit: f64,
}

/// Runs the package's golden vectors, both graphs, and `step` repeated against `rollout`.
///
/// # Errors
/// [`RuntimeError`] when the golden file is unreadable or does not fit the card.
pub fn check_golden(runtime: &Runtime, package: &Package) -> Result<Vec<Difference>, RuntimeError> {
    let golden = golden_vectors(package)?;
    let path = package.path(GOLDEN);
    let get = |name: &str| {
        golden
            .get(name)
            .ok_or_else(|| PackageError::Package { path: path.clone(), problems: vec![format!("no tensor {name}")] })
    };
    let forcing = get("rollout.forcing")?;
    let [horizon, _, catchments, members] = forcing.shape[..] else {
        let problems = vec![format!("rollout.forcing has shape {:?}, accepted is [T, F, C, M]", forcing.shape)];
        return Err(PackageError::Package { path, problems }.into());
    };
    let mut model = Model::new(runtime, package, &golden_catchments(package, &golden, catchments)?, members, horizon)?;
    let mut differences = Vec::new();
    let mut compare = |output: &str, found: &[f32], expected: &[f32]| {
        let limit = package.card().golden_tolerance;
        differences.push(Difference { output: output.to_owned(), relative: largest(found, expected), limit });
    };

    let mut state = get("step.state")?.values.clone();
    copy("step.forcing", &get("step.forcing")?.values, model.forcing_mut())?;
    let fluxes = model.step(&mut state)?;
    compare("step.discharge", fluxes.discharge_mm, &get("step.discharge")?.values);
    let optional = [("step.evapotranspiration", fluxes.evapotranspiration_mm), ("step.outflow", fluxes.outflow_mm)];
    for (name, found) in optional {
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
    if let Some(found) = model.rollout_quantiles() {
        compare("rollout.quantiles", found, &get("rollout.quantiles")?.values);
    }

    let mut repeated = Vec::with_capacity(discharge.len());
    for step in forcing.values.chunks(model.forcing_len()) {
        model.forcing_mut().copy_from_slice(step);
        repeated.extend_from_slice(model.step(&mut state)?.discharge_mm);
    }
    compare("step repeated = rollout", &repeated, &discharge);
    differences.extend(check_derivatives(runtime, package, &golden)?);
    Ok(differences)
}

/// The `gradient` and `train_step` graphs, where the package has them.
fn check_derivatives(
    runtime: &Runtime,
    package: &Package,
    golden: &BTreeMap<String, Tensor>,
) -> Result<Vec<Difference>, RuntimeError> {
    if ["gradient.onnx", "train_step.onnx"].iter().all(|graph| package.sha256(graph).is_empty()) {
        return Ok(Vec::new());
    }
    let path = package.path(GOLDEN);
    let absent = |name: &str| PackageError::Package { path: path.clone(), problems: vec![format!("no tensor {name}")] };
    let forcing = golden.get("gradient.forcing").ok_or_else(|| absent("gradient.forcing"))?;
    let epsilon = golden.get("gradient.epsilon").and_then(|t| t.values.first());
    let epsilon = *epsilon.ok_or_else(|| absent("gradient.epsilon"))?;
    let get = |name: &str| golden.get(name).map_or(&[][..], |t| t.values.as_slice());
    let [steps, _, catchments, members] = forcing.shape[..] else {
        let problems = vec![format!("gradient.forcing has shape {:?}, accepted is [T, F, C, M]", forcing.shape)];
        return Err(PackageError::Package { path, problems }.into());
    };
    let selection = golden_catchments(package, golden, catchments)?;
    let limit = package.card().gradient_tolerance;
    let mut differences = Vec::new();
    let mut compare = |output: String, relative: f64| differences.push(Difference { output, relative, limit });

    let mut gradient = Gradient::new(runtime, package, &selection, members, steps)?;
    let lesson = ["state", "forcing", "observed", "weight"].map(|name| get(&format!("gradient.{name}")).to_vec());
    let slopes = gradient.run(&lesson[0], &lesson[1], &lesson[2], &lesson[3], epsilon)?;
    for (name, found) in [("loss", slopes.loss), ("state_gradient", slopes.state), ("forcing_gradient", slopes.forcing)]
    {
        let name = format!("gradient.{name}");
        compare(name.clone(), worst_catchment(found, get(&name), catchments, members));
    }

    let mut train = TrainStep::new(runtime, package, &selection, members, steps)?;
    let [state, forcing, observed, weight] = &lesson;
    let batch = Batch { state, forcing, observed, weight, scale: get("train_step.scale") };
    let loss = train.step(&batch, get("train_step.rate").first().copied().unwrap_or(0.0))?;
    compare("train_step.loss".to_owned(), distance(&[loss], get("train_step.loss")));
    // One number for all weights: a layer with hardly any slope is all rounding.
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (name, moment) in train.first_moments() {
        found.extend_from_slice(moment);
        expected.extend_from_slice(get(&format!("train_step.{name}.first.next")));
    }
    compare("train_step.first_moments".to_owned(), distance(&found, &expected));
    Ok(differences)
}

/// The largest [`distance`] of a catchment in arrays `[…, C, M]`.
fn worst_catchment(found: &[f32], expected: &[f32], catchments: usize, members: usize) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let of = |values: &[f32], catchment: usize| -> Vec<f32> {
        values
            .chunks_exact(catchments * members)
            .flat_map(|row| &row[catchment * members..][..members])
            .copied()
            .collect()
    };
    (0..catchments)
        .map(|c| distance(&of(found, c), &of(expected, c)))
        .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// ‖found − expected‖ / ‖expected‖.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(expected).map(|(f, e)| f64::from(*f) - f64::from(*e)));
    let length = norm(&mut expected.iter().map(|e| f64::from(*e)));
    if apart == 0.0 { 0.0 } else { apart / length }
}

/// The tensors of the package's golden file.
pub(crate) fn golden_vectors(package: &Package) -> Result<BTreeMap<String, Tensor>, RuntimeError> {
    Ok(read_tensors(&package.path(GOLDEN), package.bytes(GOLDEN))?)
}

/// The first `catchments` of the card, or those of the golden attributes.
pub(crate) fn golden_catchments(
    package: &Package,
    golden: &BTreeMap<String, Tensor>,
    catchments: usize,
) -> Result<Selection, RuntimeError> {
    match golden.get("attributes") {
        Some(attributes) => Ok(package.describe(catchments, attributes.values.clone())?),
        None => Ok(package.select(package.card().catchments.get(..catchments).unwrap_or_default())?),
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
