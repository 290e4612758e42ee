//! The model card: what a package is, takes, keeps, gives and was trained on.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file `card.toml` of a package.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// package name, the folder's too
    pub name: String,
    /// semantic version
    pub version: String,
    /// one sentence
    pub summary: String,
    /// SPDX identifier
    pub licence: String,
    /// length of a step, seconds
    pub time_step_s: i64,
    /// catchments that it has parameters for, in the order of the weights' catchment axis; none for a model of any catchment
    pub catchments: Vec<String>,
    /// rows of `attributes`, in order: what tells catchments apart for a model of any catchment
    #[serde(rename = "attribute", default)]
    pub attributes: Vec<Attribute>,
    /// rows of `forcing`, in order
    #[serde(rename = "input")]
    pub inputs: Vec<Input>,
    /// blocks of rows of `state`, in order
    #[serde(rename = "state")]
    pub states: Vec<State>,
    /// graph outputs
    #[serde(rename = "output")]
    pub outputs: Vec<Output>,
    /// weights, by name
    #[serde(rename = "weight")]
    pub weights: Vec<Weight>,
    /// SHA-256 of every other file of the package, hexadecimal
    pub sha256: BTreeMap<String, String>,
    /// what it was trained on
    pub training: Training,
    /// what it achieved
    #[serde(rename = "skill", default)]
    pub skills: Vec<Skill>,
    /// physics probes that it is known to fail
    #[serde(default)]
    pub known_failures: Vec<String>,
    /// largest relative difference from a golden vector; the notes say why where it is not the default
    #[serde(default = "golden_tolerance")]
    pub golden_tolerance: f64,
    /// largest difference of a derivative from its golden vector, as a share of that vector's norm
    #[serde(default = "gradient_tolerance")]
    pub gradient_tolerance: f64,
    /// what a user must know
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
}

/// float32 arithmetic on stores of some hundred mm: 2^-17, seven bits above the rounding.
const fn golden_tolerance() -> f64 {
    1e-5
}

/// Inputs that are not weather but what the gauge read a step before: its discharge (mm a step), and 1 where it is missing.
pub const FEEDBACK: [&str; 2] = ["discharge_before", "discharge_before_missing"];

/// A year: no step of a model is longer.
const LONGEST_STEP_S: i64 = 366 * 86_400;
/// Rows of a state, all blocks together; each is a number a catchment and member.
const MOST_ROWS: usize = 100_000;

/// Derivatives of many steps multiply their float32 rounding.
const fn gradient_tolerance() -> f64 {
    1e-3
}

/// A row of `attributes`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Attribute {
    pub name: String,
}

/// A row of `forcing`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Input {
    pub name: String,
    pub unit: String,
    pub standard_name: String,
}

/// A block of rows of `state`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// name of the block
    pub name: String,
    /// unit of its rows
    pub unit: String,
    /// number of rows
    pub rows: usize,
    /// physical lower bound
    pub minimum: Option<f32>,
    /// physical upper bound
    pub maximum: Option<f32>,
    /// water that a unit of a row holds, mm over the catchment; none where the rows are no store
    pub storage: Option<f32>,
    /// whether assimilation may change it
    pub updatable: bool,
    /// one value for all catchments or one for each
    pub initial: Vec<f32>,
    /// standard deviation of the initial value over the members, unit of the state
    pub initial_spread: f32,
}

/// A graph output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Output {
    pub name: String,
    pub unit: String,
    pub standard_name: String,
}

/// A weight tensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// name in `weights.safetensors` and of the graph input
    pub name: String,
    /// shape
    pub shape: Vec<usize>,
    /// unit, when it is physical
    pub unit: Option<String>,
    /// which axis is the catchment
    pub catchment_axis: Option<usize>,
    /// lower bound in training
    pub minimum: Option<f64>,
    /// upper bound in training
    pub maximum: Option<f64>,
    /// whether it is a statistic of the training, which fine-tuning leaves alone
    #[serde(default)]
    pub frozen: bool,
}

/// What a package was trained on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Training {
    pub data: String,
    pub from: String,
    pub to: String,
    pub method: String,
}

/// One figure of skill.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Skill {
    pub catchment: String,
    pub period: String,
    pub metric: String,
    pub value: f64,
}

impl Card {
    /// The inputs that are weather, in order.
    pub fn weather(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().filter(|input| !FEEDBACK.contains(&input.name.as_str()))
    }

    /// Rows of the whole state.
    #[must_use]
    pub fn state_rows(&self) -> usize {
        self.states.iter().fold(0, |rows, block| rows.saturating_add(block.rows))
    }

    /// Whether a step gives the output of this name.
    #[must_use]
    pub fn gives(&self, output: &str) -> bool {
        self.outputs.iter().any(|o| o.name == output)
    }

    /// The block that each row of the state belongs to, in order.
    pub fn state_row_blocks(&self) -> impl Iterator<Item = &State> {
        self.states.iter().flat_map(|s| std::iter::repeat_n(s, s.rows))
    }

    /// Everything that the card itself says wrongly, each with what is accepted.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        say(
            (1..=LONGEST_STEP_S).contains(&self.time_step_s),
            format!("time_step_s is {}, accepted is 1 to {LONGEST_STEP_S}", self.time_step_s),
        );
        say(
            self.state_rows() <= MOST_ROWS,
            format!("the [[state]] blocks have {} rows, accepted are at most {MOST_ROWS}", self.state_rows()),
        );
        say(
            self.catchments.is_empty() != self.attributes.is_empty(),
            "accepted are catchments, or [[attribute]] for a model of any catchment, and not both".to_owned(),
        );
        say(!self.inputs.is_empty(), "no [[input]], accepted is at least one".to_owned());
        say(
            self.outputs.iter().any(|o| o.name == "discharge" && o.unit == "mm"),
            "no [[output]] named discharge in mm".to_owned(),
        );
        for state in &self.states {
            let n = state.initial.len();
            say(
                n == 1 || (n > 0 && n == self.catchments.len()),
                format!(
                    "state {} has {n} initial values, accepted is 1, or one for each of the {} catchments",
                    state.name,
                    self.catchments.len()
                ),
            );
            say(state.rows > 0, format!("state {} has 0 rows, accepted is at least 1", state.name));
            let numbers = || state.initial.iter().chain([&state.initial_spread]);
            if let Some(number) = numbers().find(|number| !number.is_finite()) {
                say(false, format!("state {} begins with {number}, accepted are finite numbers", state.name));
            }
        }
        for weight in &self.weights {
            if let Some(axis) = weight.catchment_axis {
                say(
                    weight.shape.get(axis) == Some(&self.catchments.len()),
                    format!(
                        "weight {}: axis {axis} of shape {:?} is not the {} catchments",
                        weight.name,
                        weight.shape,
                        self.catchments.len()
                    ),
                );
            }
        }
        problems
    }
}
