//! Derivatives in plain ONNX Runtime: the slope of a misfit, and an optimiser's step. No Python, no training build.

use std::collections::BTreeMap;

use nilometer_packages::{Package, PackageError, Selection, Tensor};

use crate::{
    Runtime, RuntimeError,
    graph::Graph,
    model::{FORCING, STATE, check_length},
};

const OBSERVED: &str = "observed";
const WEIGHT: &str = "weight";
const EPSILON: &str = "epsilon";
const SCALE: &str = "scale";
const RATE: &str = "rate";
const COUNT: &str = "count";
const LOSS: &str = "loss";
const STATE_GRADIENT: &str = "state_gradient";
const FORCING_GRADIENT: &str = "forcing_gradient";
const MOMENTS: [&str; 2] = ["first", "second"];

/// How a misfit changes with the first state and with the forcing, for variational assimilation.
///
/// The misfit of a catchment and member over `T` steps is `½ Σ weight (ln(q + ε) − ln(o + ε))²`, flows in mm a step.
pub struct Gradient {
    graph: Graph,
}

/// What [`Gradient::run`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Slopes<'a> {
    /// misfit `[C, M]`
    pub loss: &'a [f32],
    /// its derivative with respect to the first state, `[S, C, M]`
    pub state: &'a [f32],
    /// and to the forcing, `[T, F, C, M]`
    pub forcing: &'a [f32],
}

impl Gradient {
    /// Binds the package's `gradient` graph to catchments, `members` and `steps`.
    ///
    /// # Errors
    /// [`RuntimeError`] when the package has no such graph or it does not fit the card.
    pub fn new(
        runtime: &Runtime,
        package: &Package,
        catchments: &Selection,
        members: usize,
        steps: usize,
    ) -> Result<Self, RuntimeError> {
        let (rows, inputs, c, m) =
            (package.card().state_rows(), package.card().inputs.len(), catchments.len(), members);
        let (state, forcing, flow) = ([rows, c, m], [steps, inputs, c, m], [steps, c]);
        let graph = Graph::new(
            runtime,
            require(package, "gradient.onnx")?,
            "gradient.onnx",
            &package.gathered(catchments),
            &[(STATE, &state), (FORCING, &forcing), (OBSERVED, &flow), (WEIGHT, &flow), (EPSILON, &[1])],
            &[(LOSS, &[c, m]), (STATE_GRADIENT, &state), (FORCING_GRADIENT, &forcing)],
        )?;
        Ok(Self { graph })
    }

    /// Goes on with the weights of `package`, another training of the same model.
    ///
    /// # Errors
    /// [`RuntimeError`] when its weights do not fit the graph.
    pub fn swap_weights(&mut self, package: &Package, catchments: &Selection) -> Result<(), RuntimeError> {
        self.graph.bind_weights(&package.gathered(catchments))
    }

    /// The misfit and its slopes at `state` `[S, C, M]` under `forcing` `[T, F, C, M]`, of `observed` and `weight` `[T, C]`; what was
    /// not observed has weight 0. `epsilon_mm` keeps a dry river finite.
    ///
    /// # Errors
    /// [`RuntimeError::Shape`] for an array of another size, [`RuntimeError::Ort`] when the graph fails.
    pub fn run(
        &mut self,
        state: &[f32],
        forcing: &[f32],
        observed: &[f32],
        weight: &[f32],
        epsilon_mm: f32,
    ) -> Result<Slopes<'_>, RuntimeError> {
        for (what, given) in [(STATE, state), (FORCING, forcing), (OBSERVED, observed), (WEIGHT, weight)] {
            write(&mut self.graph, what, given)?;
        }
        write(&mut self.graph, EPSILON, &[epsilon_mm])?;
        self.graph.run()?;
        Ok(Slopes {
            loss: self.graph.output(LOSS),
            state: self.graph.output(STATE_GRADIENT),
            forcing: self.graph.output(FORCING_GRADIENT),
        })
    }
}

/// Adam on a package's weights, one step a batch; owns the weights that it moves and the optimiser's state.
pub struct TrainStep {
    graph: Graph,
    weights: BTreeMap<String, Tensor>,
    moments: [BTreeMap<String, Vec<f32>>; 2],
    count: f32,
}

/// A batch: `state` `[S, C, M]`, `forcing` `[T, F, C, M]`, `observed` and `weight` `[T, C]` (0 where nothing was observed or the model
/// warms up), `scale` `[C]` that errors are measured in, mm a step.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Batch<'a> {
    pub state: &'a [f32],
    pub forcing: &'a [f32],
    pub observed: &'a [f32],
    pub weight: &'a [f32],
    pub scale: &'a [f32],
}

impl TrainStep {
    /// Binds the package's `train_step` graph to catchments, `members` and `steps`; it begins at the package's weights.
    ///
    /// # Errors
    /// [`RuntimeError`] when the package has no such graph or it does not fit the card.
    pub fn new(
        runtime: &Runtime,
        package: &Package,
        catchments: &Selection,
        members: usize,
        steps: usize,
    ) -> Result<Self, RuntimeError> {
        let (rows, inputs, c, m) =
            (package.card().state_rows(), package.card().inputs.len(), catchments.len(), members);
        let mut fixed = package.gathered(catchments);
        let moving: Vec<&str> = package.card().weights.iter().filter(|w| !w.frozen).map(|w| w.name.as_str()).collect();
        let weights: BTreeMap<String, Tensor> =
            moving.iter().filter_map(|name| Some(((*name).to_owned(), fixed.remove(name)?))).collect();
        let (state, forcing, flow) = ([rows, c, m], [steps, inputs, c, m], [steps, c]);
        let mut given: Vec<(String, Vec<usize>)> = vec![
            (STATE.to_owned(), state.to_vec()),
            (FORCING.to_owned(), forcing.to_vec()),
            (OBSERVED.to_owned(), flow.to_vec()),
            (WEIGHT.to_owned(), flow.to_vec()),
            (SCALE.to_owned(), vec![c]),
            (RATE.to_owned(), vec![1]),
            (COUNT.to_owned(), vec![1]),
        ];
        let mut expected = vec![(LOSS.to_owned(), vec![1])];
        for (name, tensor) in &weights {
            given.push((name.clone(), tensor.shape.clone()));
            expected.push((format!("{name}.next"), tensor.shape.clone()));
            for moment in MOMENTS {
                given.push((format!("{name}.{moment}"), tensor.shape.clone()));
                expected.push((format!("{name}.{moment}.next"), tensor.shape.clone()));
            }
        }
        let package = require(package, "train_step.onnx")?;
        let graph = Graph::new(runtime, package, "train_step.onnx", &fixed, &borrowed(&given), &borrowed(&expected))?;
        let zeros: BTreeMap<String, Vec<f32>> =
            weights.iter().map(|(name, tensor)| (name.clone(), vec![0.0; tensor.values.len()])).collect();
        Ok(Self { graph, weights, moments: [zeros.clone(), zeros], count: 0.0 })
    }

    /// Moves the weights by one step of `rate` and gives the loss before it: the weighted mean of `((q − o) / scale)²`. A step whose
    /// loss or weights are no numbers is not taken.
    ///
    /// # Errors
    /// [`RuntimeError::Shape`] for an array of another size, [`RuntimeError::Diverged`] for a step that is not taken.
    pub fn step(&mut self, batch: &Batch<'_>, rate: f32) -> Result<f32, RuntimeError> {
        let Batch { state, forcing, observed, weight, scale } = *batch;
        let arrays = [(STATE, state), (FORCING, forcing), (OBSERVED, observed), (WEIGHT, weight), (SCALE, scale)];
        for (what, given) in arrays {
            write(&mut self.graph, what, given)?;
        }
        self.graph.input_mut(RATE)[0] = rate;
        self.graph.input_mut(COUNT)[0] = self.count;
        for (name, tensor) in &self.weights {
            self.graph.input_mut(name).copy_from_slice(&tensor.values);
            for (moment, values) in MOMENTS.iter().zip(&self.moments) {
                self.graph.input_mut(&format!("{name}.{moment}")).copy_from_slice(&values[name]);
            }
        }
        self.graph.run()?;
        let loss = self.graph.output(LOSS)[0];
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        if !loss.is_finite() || !self.weights.keys().all(|name| finite(self.graph.output(&format!("{name}.next")))) {
            return Err(RuntimeError::Diverged { loss, rate });
        }
        for (name, tensor) in &mut self.weights {
            tensor.values.copy_from_slice(self.graph.output(&format!("{name}.next")));
            for (moment, values) in MOMENTS.iter().zip(&mut self.moments) {
                if let Some(values) = values.get_mut(name) {
                    values.copy_from_slice(self.graph.output(&format!("{name}.{moment}.next")));
                }
            }
        }
        self.count += 1.0;
        Ok(loss)
    }

    /// The weights as they are now, those of the bound catchments where they are a catchment's own.
    #[must_use]
    pub const fn weights(&self) -> &BTreeMap<String, Tensor> {
        &self.weights
    }

    /// Adam's running mean of the gradient of each weight; after the first step a tenth of it.
    #[must_use]
    pub const fn first_moments(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.moments[0]
    }
}

fn borrowed(shapes: &[(String, Vec<usize>)]) -> Vec<(&str, &[usize])> {
    shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()
}

/// The package, if it has the graph.
fn require<'a>(package: &'a Package, graph: &str) -> Result<&'a Package, RuntimeError> {
    if package.sha256(graph).is_empty() {
        let problems = vec![format!("the package has no {graph}; accepted is one that the exporter wrote with it")];
        return Err(PackageError::Package { path: package.path(graph), problems }.into());
    }
    Ok(package)
}

fn write(graph: &mut Graph, what: &'static str, from: &[f32]) -> Result<(), RuntimeError> {
    let to = graph.input_mut(what);
    check_length(what, from.len(), to.len())?;
    to.copy_from_slice(from);
    Ok(())
}
