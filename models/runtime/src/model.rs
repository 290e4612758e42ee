//! A model bound to catchments and members.

use std::collections::BTreeMap;

use nilometer_packages::{Package, PackageError, Selection, Tensor};

use crate::{Runtime, RuntimeError, graph::Graph};

pub(crate) const STATE: &str = "state";
pub(crate) const FORCING: &str = "forcing";
const STATE_NEXT: &str = "state_next";
const DISCHARGE: &str = "discharge";
const EVAPOTRANSPIRATION: &str = "evapotranspiration";
const OUTFLOW: &str = "outflow";
const QUANTILES: &str = "quantiles";
/// Quantiles of a head that gives them: levels 0.05 to 0.95 in steps of 0.05.
const LEVELS: usize = 19;

/// A package bound to `C` catchments and `M` members: state `[S, C, M]`, forcing `[F, C, M]`, member fastest.
pub struct Model {
    name: String,
    catchments: usize,
    members: usize,
    horizon: usize,
    inputs: usize,
    initial: Vec<f32>,
    step: Graph,
    rollout: Graph,
    /// file and SHA-256 of each graph
    graphs: [(&'static str, String); 2],
}

/// What one step gave, each `[C, M]` in mm a step; none where the model does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Fluxes<'a> {
    /// flow at the outlet
    pub discharge_mm: &'a [f32],
    /// water that evaporated in the step
    pub evapotranspiration_mm: Option<&'a [f32]>,
    /// water that left the stores towards the river in the step
    pub outflow_mm: Option<&'a [f32]>,
}

impl Model {
    /// Binds `package` to the `catchments` of a [`Selection`], `members` and a rollout of `horizon` steps.
    ///
    /// # Errors
    /// [`RuntimeError`] when a graph does not load or does not fit the card.
    pub fn new(
        runtime: &Runtime,
        package: &Package,
        catchments: &Selection,
        members: usize,
        horizon: usize,
    ) -> Result<Self, RuntimeError> {
        let (rows, inputs, c, m) =
            (package.card().state_rows(), package.card().inputs.len(), catchments.len(), members);
        let weights: BTreeMap<&str, Tensor> = package.gathered(catchments);
        let (state, flow): (&[usize], &[usize]) = (&[rows, c, m], &[c, m]);
        let fluxes = [EVAPOTRANSPIRATION, OUTFLOW].into_iter().filter(|o| package.card().gives(o)).map(|o| (o, flow));
        let outputs: Vec<_> = [(STATE_NEXT, state), (DISCHARGE, flow)].into_iter().chain(fluxes).collect();
        let step = Graph::new(
            runtime,
            package,
            "step.onnx",
            &weights,
            &[(STATE, state), (FORCING, &[inputs, c, m])],
            &outputs,
        )?;
        let (flows, quantiles) = ([horizon, c, m], [horizon, LEVELS, c, m]);
        let mut rolled: Vec<(&str, &[usize])> = vec![(DISCHARGE, &flows), (STATE_NEXT, state)];
        if package.card().gives(QUANTILES) {
            rolled.push((QUANTILES, &quantiles));
        }
        let rollout = Graph::new(
            runtime,
            package,
            "rollout.onnx",
            &weights,
            &[(STATE, &[rows, c, m]), (FORCING, &[horizon, inputs, c, m])],
            &rolled,
        )?;
        let mut initial = Vec::with_capacity(rows * c * m);
        for block in package.card().state_row_blocks() {
            for catchment in catchments.places() {
                let value = block.initial.get(*catchment).or_else(|| block.initial.first()).copied().unwrap_or(0.0);
                initial.extend(std::iter::repeat_n(value, m));
            }
        }
        let name = package.card().name.clone();
        let graphs = ["step.onnx", "rollout.onnx"].map(|graph| (graph, package.sha256(graph).to_owned()));
        Ok(Self { name, catchments: c, members, horizon, inputs, initial, step, rollout, graphs })
    }

    /// Whether [`Model::swap_weights`] would take up this package: another training of the same model.
    ///
    /// # Errors
    /// [`RuntimeError::Package`] lists what differs besides the weights' values.
    pub fn check_swap(&self, package: &Package, catchments: &Selection) -> Result<(), RuntimeError> {
        let mut problems = Vec::new();
        if catchments.len() != self.catchments {
            problems.push(format!("{} catchments, the running model has {}", catchments.len(), self.catchments));
        }
        for (graph, hash) in self.graphs.iter().filter(|(graph, hash)| package.sha256(graph) != hash) {
            let found = package.sha256(graph);
            problems.push(format!(
                "{graph} has SHA-256 {found}, the running {} has {hash}; accepted are other weights of the same graphs",
                self.name
            ));
        }
        problems.extend(self.step.misfits(&package.gathered(catchments)));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(PackageError::Package { path: package.path("card.toml"), problems }.into())
        }
    }

    /// Takes up the weights of `package` between two steps: state and forcing stay as they are, and the next step runs on the new
    /// weights.
    ///
    /// # Errors
    /// What [`Model::check_swap`] says; nothing is replaced then.
    pub fn swap_weights(&mut self, package: &Package, catchments: &Selection) -> Result<(), RuntimeError> {
        self.check_swap(package, catchments)?;
        let weights = package.gathered(catchments);
        self.step.bind_weights(&weights)?;
        self.rollout.bind_weights(&weights)
    }

    /// The card's initial state `[S, C, M]`, the same in every member.
    #[must_use]
    pub fn initial_state(&self) -> Vec<f32> {
        self.initial.clone()
    }

    /// Forcing of the next step, `[F, C, M]`, to be written before [`Model::step`].
    pub fn forcing_mut(&mut self) -> &mut [f32] {
        self.step.input_mut(FORCING)
    }

    /// Forcing of the next rollout, `[T, F, C, M]`, to be written before [`Model::rollout`].
    pub fn rollout_forcing_mut(&mut self) -> &mut [f32] {
        self.rollout.input_mut(FORCING)
    }

    /// Numbers of one time step of forcing, `F × C × M`.
    #[must_use]
    pub const fn forcing_len(&self) -> usize {
        self.inputs * self.catchments * self.members
    }

    /// Steps of a rollout.
    #[must_use]
    pub const fn horizon(&self) -> usize {
        self.horizon
    }

    /// Advances `state` `[S, C, M]` by one step under the forcing written before. O(1) whatever the model looks back on.
    ///
    /// # Errors
    /// [`RuntimeError::NotFinite`] when the model gives something that is no number; `state` is then unchanged.
    pub fn step(&mut self, state: &mut [f32]) -> Result<Fluxes<'_>, RuntimeError> {
        check_length("state", state.len(), self.initial.len())?;
        self.step.input_mut(STATE).copy_from_slice(state);
        self.step.run()?;
        self.check_finite(STATE_NEXT, self.step.output(STATE_NEXT))?;
        self.check_finite(DISCHARGE, self.step.output(DISCHARGE))?;
        state.copy_from_slice(self.step.output(STATE_NEXT));
        Ok(Fluxes {
            discharge_mm: self.step.output(DISCHARGE),
            evapotranspiration_mm: self.step.optional_output(EVAPOTRANSPIRATION),
            outflow_mm: self.step.optional_output(OUTFLOW),
        })
    }

    /// Discharge `[T, C, M]`, mm a step, from `state` under the forcing written before; `state` is not changed.
    ///
    /// # Errors
    /// [`RuntimeError::NotFinite`] when the model gives something that is no number.
    pub fn rollout(&mut self, state: &[f32]) -> Result<&[f32], RuntimeError> {
        check_length("state", state.len(), self.initial.len())?;
        self.rollout.input_mut(STATE).copy_from_slice(state);
        self.rollout.run()?;
        self.check_finite(DISCHARGE, self.rollout.output(DISCHARGE))?;
        self.check_finite(QUANTILES, self.rollout.output(QUANTILES))?;
        Ok(self.rollout.output(DISCHARGE))
    }

    /// Discharge `[T, C, M]` of the last rollout, mm a step.
    #[must_use]
    pub fn rollout_discharge(&self) -> &[f32] {
        self.rollout.output(DISCHARGE)
    }

    /// Quantiles `[T, 19, C, M]` of levels 0.05 to 0.95 of the last rollout's discharge, mm a step, if the model gives them.
    #[must_use]
    pub fn rollout_quantiles(&self) -> Option<&[f32]> {
        self.rollout.optional_output(QUANTILES)
    }

    /// The state `[S, C, M]` at the end of the last rollout.
    #[must_use]
    pub fn rollout_state(&self) -> &[f32] {
        self.rollout.output(STATE_NEXT)
    }

    fn check_finite(&self, output: &'static str, values: &[f32]) -> Result<(), RuntimeError> {
        // A sum is finite exactly when every term is (terms are far from overflow), and it vectorises.
        if values.iter().fold(0.0_f32, |sum, v| sum + v * 0.0) == 0.0 {
            return Ok(());
        }
        let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
        Err(RuntimeError::NotFinite {
            model: self.name.clone(),
            output,
            catchment: at / self.members % self.catchments,
            member: at % self.members,
            value: values[at],
        })
    }
}

pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), RuntimeError> {
    if found == expected { Ok(()) } else { Err(RuntimeError::Shape { what, found, expected }) }
}
