//! One graph with its tensors: inputs written in place, outputs allocated once.

use std::collections::BTreeMap;

use nilometer_packages::{Package, PackageError, Tensor};
use ort::{
    session::{IoBinding, Session},
    value::{Tensor as OrtTensor, ValueType},
};

use crate::{Runtime, RuntimeError};

/// A session bound to tensors of fixed shapes.
pub(crate) struct Graph {
    name: String,
    session: Session,
    binding: IoBinding,
    /// shapes of the bound weights
    weights: BTreeMap<String, Vec<usize>>,
    inputs: BTreeMap<String, OrtTensor<f32>>,
    outputs: BTreeMap<String, Vec<f32>>,
}

impl Graph {
    /// Loads a graph of a package and binds it. `weights` are written once; `inputs` and `outputs` name the others with their shapes.
    pub(crate) fn new(
        runtime: &Runtime,
        package: &Package,
        file: &str,
        weights: &BTreeMap<&str, Tensor>,
        inputs: &[(&str, &[usize])],
        outputs: &[(&str, &[usize])],
    ) -> Result<Self, RuntimeError> {
        let name = package.path(file).display().to_string();
        let session = runtime.session(&name, package.bytes(file))?;
        check_signature(&name, &session, weights, inputs, outputs)?;
        let ort = |e: ort::Error| RuntimeError::Ort { what: name.clone(), detail: e.to_string() };
        let mut binding = session.create_binding().map_err(ort)?;
        for (weight, tensor) in weights {
            let value = OrtTensor::from_array((tensor.shape.clone(), tensor.values.clone())).map_err(ort)?;
            binding.bind_input(*weight, &value).map_err(ort)?;
        }
        let mut bound_inputs = BTreeMap::new();
        for (input, shape) in inputs {
            bound_inputs
                .insert((*input).to_owned(), OrtTensor::<f32>::new(session.allocator(), shape.to_vec()).map_err(ort)?);
        }
        let mut read_outputs = BTreeMap::new();
        for (output, shape) in outputs {
            let value = OrtTensor::<f32>::new(session.allocator(), shape.to_vec()).map_err(ort)?;
            binding.bind_output(*output, value).map_err(ort)?;
            read_outputs.insert((*output).to_owned(), vec![0.0; shape.iter().product()]);
        }
        let weights = weights.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shape.clone())).collect();
        Ok(Self { name, session, binding, weights, inputs: bound_inputs, outputs: read_outputs })
    }

    /// What of `weights` cannot take the place of those that were bound before: every name and shape must be as it was.
    pub(crate) fn misfits(&self, weights: &BTreeMap<&str, Tensor>) -> Vec<String> {
        let mut problems: Vec<String> = self
            .weights
            .iter()
            .filter_map(|(name, shape)| match weights.get(name.as_str()) {
                None => Some(format!("weight {name} is absent, accepted is one of shape {shape:?}")),
                Some(t) if t.shape != *shape => {
                    Some(format!("weight {name} has shape {:?}, accepted is {shape:?}", t.shape))
                }
                Some(_) => None,
            })
            .collect();
        let unknown = weights.keys().filter(|name| !self.weights.contains_key(**name));
        problems.extend(unknown.map(|name| format!("weight {name} is not one that the graph takes")));
        problems
    }

    /// Replaces the weights that were bound before by others that [`Graph::misfits`] has nothing against.
    pub(crate) fn bind_weights(&mut self, weights: &BTreeMap<&str, Tensor>) -> Result<(), RuntimeError> {
        let ort = |e: ort::Error| RuntimeError::Ort { what: self.name.clone(), detail: e.to_string() };
        for (weight, tensor) in weights {
            let value = OrtTensor::from_array((tensor.shape.clone(), tensor.values.clone())).map_err(ort)?;
            self.binding.bind_input(*weight, &value).map_err(ort)?;
        }
        Ok(())
    }

    /// The numbers of an input, to be written before [`Graph::run`].
    pub(crate) fn input_mut(&mut self, name: &str) -> &mut [f32] {
        let tensor = self.inputs.get_mut(name).expect("inputs are named by the constructor's caller");
        tensor.extract_tensor_mut().1
    }

    /// Runs the graph; afterwards [`Graph::output`] gives the results.
    pub(crate) fn run(&mut self) -> Result<(), RuntimeError> {
        let ort = |e: ort::Error| RuntimeError::Ort { what: self.name.clone(), detail: e.to_string() };
        for (name, tensor) in &self.inputs {
            // What lies on another device is copied when it is bound, so bind after every write.
            self.binding.bind_input(name, tensor).map_err(ort)?;
        }
        let results = self.session.run_binding(&self.binding).map_err(ort)?;
        for (name, values) in &mut self.outputs {
            let (_, numbers) = results[name.as_str()].try_extract_tensor::<f32>().map_err(ort)?;
            values.copy_from_slice(numbers);
        }
        Ok(())
    }

    /// The numbers of an output of the last run.
    pub(crate) fn output(&self, name: &str) -> &[f32] {
        self.optional_output(name).unwrap_or(&[])
    }

    /// The same, when the graph was bound to give it.
    pub(crate) fn optional_output(&self, name: &str) -> Option<&[f32]> {
        self.outputs.get(name).map(Vec::as_slice)
    }
}

/// The graph takes and gives what the card says, before the first row is run.
fn check_signature(
    name: &str,
    session: &Session,
    weights: &BTreeMap<&str, Tensor>,
    inputs: &[(&str, &[usize])],
    outputs: &[(&str, &[usize])],
) -> Result<(), RuntimeError> {
    let mut problems = Vec::new();
    let expected: BTreeMap<&str, usize> =
        weights.iter().map(|(n, t)| (*n, t.shape.len())).chain(inputs.iter().map(|(n, s)| (*n, s.len()))).collect();
    let rank = |kind: &ValueType| match kind {
        ValueType::Tensor { shape, .. } => shape.len(),
        _ => usize::MAX,
    };
    for input in session.inputs() {
        match expected.get(input.name()) {
            None => problems.push(format!("the graph takes {}, which the card does not give", input.name())),
            Some(axes) if *axes != rank(input.dtype()) => {
                problems.push(format!(
                    "{} has {} axes in the graph and {axes} by the card",
                    input.name(),
                    rank(input.dtype())
                ));
            }
            Some(_) => {}
        }
    }
    for wanted in expected.keys().filter(|n| !session.inputs().iter().any(|i| i.name() == **n)) {
        problems.push(format!("the graph does not take {wanted}"));
    }
    for (wanted, _) in outputs.iter().filter(|(n, _)| !session.outputs().iter().any(|o| o.name() == *n)) {
        problems.push(format!("the graph does not give {wanted}"));
    }
    if problems.is_empty() { Ok(()) } else { Err(PackageError::Package { path: name.into(), problems }.into()) }
}
