//! `[assimilation]`: how observations change the state, and the errors that are assumed.

use nilometer_assimilation::{ErrorFactorOptions, SOIL_MOISTURE_ERROR_M3_M3};
use nilometer_schemas::{Timestamp, Variable};
use nilometer_transforms::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// How an observation changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssimilationMethod {
    /// ensemble transform Kalman filter, symmetric root
    Etkf,
    /// stochastic ensemble Kalman filter
    Enkf,
    /// deterministic ensemble Kalman filter: as the ETKF, with more spread left
    Denkf,
    /// particle filter: no assumption about distributions, for hundreds of members
    Particle,
    /// the state at the begin of a window of steps is moved until the window fits what the gauges read; of a single member
    Variational,
    /// the state is left alone, forecasts are moved by the error that the gauge has just shown
    Output,
    /// observations are counted, nothing else
    None,
}

impl AssimilationMethod {
    /// Whether it moves an ensemble.
    #[must_use]
    pub const fn is_filter(self) -> bool {
        matches!(self, Self::Etkf | Self::Enkf | Self::Denkf | Self::Particle)
    }

    /// The word in definitions and ledgers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etkf => "etkf",
            Self::Enkf => "enkf",
            Self::Denkf => "denkf",
            Self::Particle => "particle",
            Self::Variational => "variational",
            Self::Output => "output",
            Self::None => "none",
        }
    }
}

/// `[assimilation.variational]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VariationalOptions {
    /// steps of the window
    pub window: u32,
    /// most evaluations of the window's slope
    pub iterations: u32,
    /// largest change of one iteration, in the standard deviations below
    pub rate: f64,
    /// how far stores may be wrong, standard deviation, mm
    pub store_std_mm: f64,
    /// how far other rows may be wrong, those that `also_update` names
    pub memory_std: f64,
    /// how far a perfect state may miss the gauge, standard deviation of the logarithm of discharge
    pub model_error: f64,
}

impl Default for VariationalOptions {
    fn default() -> Self {
        Self { window: 5, iterations: 10, rate: 0.3, store_std_mm: 5.0, memory_std: 0.2, model_error: 0.1 }
    }
}

/// `[assimilation.adaptive_inflation]`: each catchment's factor on the prior anomalies grows until innovations are as large as expected.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveInflationOptions {
    /// how much of an innovation is learned, 0.001 to 0.05
    pub rate: f64,
    /// the largest factor, near 1
    pub maximum: f64,
}

/// `[assimilation.river]`: a gauge also informs the catchments above it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RiverOptions {
    /// distance along the river at which a gauge counts 5/24 of what it counts at its own place, km; none from twice that on
    pub half_width_km: f64,
    /// correlation of the errors of rain and of discharge between catchments on one river
    pub correlation: f64,
}

/// `[assimilation.snow]`: what is seen of the snow corrects the model's.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnowOptions {
    /// blocks of the model's state that hold snow
    #[serde(default = "snow_stores")]
    pub stores: Vec<String>,
    /// standard deviation of a water equivalent's error as a share of it
    pub relative_error: f64,
    /// its constant part, mm
    pub absolute_error_mm: f64,
}

/// `[assimilation.snow_cover]`: how much of the ground is seen to be white corrects the model's snow, through a depletion curve.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnowCoverOptions {
    /// blocks of the model's state that hold snow
    #[serde(default = "snow_stores")]
    pub stores: Vec<String>,
    /// standard deviation in space of the water equivalent at its yearly maximum, mm: with less snow the ground begins to show
    pub sigma_mm: f64,
    /// standard deviation of the error of a fraction
    #[serde(default = "crate::options::tenth")]
    pub error: f64,
}

/// `[assimilation.soil_moisture]`: what a satellite sees of the soil corrects the model's, matched to its climate as a training window has it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoilMoistureOptions {
    /// begin of the training window, in which observations are learned from only
    pub from: Timestamp,
    /// and its end, from which on they correct
    pub to: Timestamp,
    /// blocks of the model's state that are its soil
    #[serde(default = "soil_stores")]
    pub stores: Vec<String>,
    /// standard deviation of an observation's error, m³ m⁻³
    #[serde(default = "smap_error")]
    pub error_m3_m3: f64,
    /// fewest observations of a training; a season with fewer is matched by the year's
    #[serde(default = "month_of_days")]
    pub minimum_pairs: usize,
}

/// A section of `[assimilation]` about what is observed of a model's stores themselves.
pub struct StoreSection<'a> {
    /// its name
    pub name: &'static str,
    /// what is observed
    pub variable: Variable,
    /// what the definition says; none where it has no such section
    pub given: Option<GivenStores<'a>>,
}

/// What a definition says of observed stores.
pub struct GivenStores<'a> {
    /// blocks of the model's state that they are about
    pub stores: &'a [String],
    /// numbers by key, each with the range that is accepted
    pub numbers: Vec<(&'static str, f64, f64, f64)>,
}

impl AssimilationOptions {
    /// Every section about observed stores. One that is added has its options above, its field below, its line here, and its operator in the forecast
    /// role's `stores.rs`.
    #[must_use]
    pub fn store_sections(&self) -> [StoreSection<'_>; 3] {
        let snow = self.snow.as_ref().map(|snow| GivenStores {
            stores: &snow.stores,
            numbers: vec![
                ("relative_error", snow.relative_error, 0.0, 10.0),
                ("absolute_error_mm", snow.absolute_error_mm, 1e-3, 1e4),
            ],
        });
        let cover = self.snow_cover.as_ref().map(|cover| GivenStores {
            stores: &cover.stores,
            numbers: vec![("sigma_mm", cover.sigma_mm, 1e-3, 1e5), ("error", cover.error, 1e-3, 1.0)],
        });
        let soil = self.soil_moisture.as_ref().map(|soil| GivenStores {
            stores: &soil.stores,
            numbers: vec![
                ("error_m3_m3", soil.error_m3_m3, 1e-4, 1.0),
                ("minimum_pairs", soil.minimum_pairs as f64, 2.0, 1e6),
            ],
        });
        [
            StoreSection { name: "snow", variable: Variable::SnowWaterEquivalent, given: snow },
            StoreSection { name: "snow_cover", variable: Variable::SnowCoveredFraction, given: cover },
            StoreSection { name: "soil_moisture", variable: Variable::SoilMoisture, given: soil },
        ]
    }
}

/// `[assimilation]`: the ensemble and its errors.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssimilationOptions {
    /// the filter
    pub method: AssimilationMethod,
    /// ensemble members; a single one is the model by itself, without noise, and its uncertainty that of its head or of the output error
    pub members: usize,
    /// seed of every random draw
    pub seed: u64,
    /// how `method = "variational"` descends
    #[serde(default)]
    pub variational: VariationalOptions,
    /// whether forecasts are also moved by the error that the gauge has just shown, beside a method that moves the state
    #[serde(default)]
    pub output_updating: bool,
    /// how far a particle that was drawn again moves from its twin, as a share of the spread
    #[serde(default = "crate::options::tenth")]
    pub particle_jitter: f64,
    /// factor on the prior anomalies, 1 is none
    #[serde(default = "unity")]
    pub inflation: f64,
    /// an inflation that is learned, on top of the constant one
    pub adaptive_inflation: Option<AdaptiveInflationOptions>,
    /// how fast the errors of each gauge and of the model there follow the size of the gauge's innovations, 0 to 0.2; 0 leaves them as they are said here
    #[serde(default = "fiftieth")]
    pub error_learning_rate: f64,
    /// how often a filter moves the state, by all that gauges have read since and what was predicted for those times; a step when absent
    pub every: Option<Span>,
    /// gauges inform the catchments above them
    pub river: Option<RiverOptions>,
    /// snow is observed
    pub snow: Option<SnowOptions>,
    /// how much of the ground snow covers is observed
    pub snow_cover: Option<SnowCoverOptions>,
    /// the soil's moisture is observed
    pub soil_moisture: Option<SoilMoistureOptions>,
    /// relaxation to prior spread, 0 is none
    #[serde(default)]
    pub relaxation: f64,
    /// blocks of the model's state that are updated besides those the card calls updatable
    #[serde(default)]
    pub also_update: Vec<String>,
    /// added to discharge before the logarithm, mm a step over the catchment
    pub discharge_epsilon_mm: f64,
    /// standard deviation of the discharge error as a share of discharge; 0.05 is the accuracy of a record that the USGS calls good
    #[serde(default = "good_record")]
    pub discharge_relative_error: f64,
    /// constant part of the standard deviation of the discharge error, mm a step over the catchment
    pub discharge_absolute_error_mm: f64,
    /// standard deviation of a stage, m, for gauges that are rated
    #[serde(default = "five_millimetres")]
    pub stage_error_m: f64,
    /// how much larger the standard deviation of a row is whose flag or qualifier asks for care
    #[serde(default)]
    pub error_factors: ErrorFactorOptions,
    /// standard deviation of the logarithm of the rain multiplier
    #[serde(default = "third_of_rain")]
    pub precipitation_sigma: f64,
    /// correlation time of the rain multiplier
    pub precipitation_tau: Span,
    /// probability a step that a member has rain where the product has none
    #[serde(default)]
    pub occurrence_probability: f64,
    /// mean of such rain, mm a step
    #[serde(default)]
    pub occurrence_mean_mm: f64,
    /// the output error while no rain has fallen lately
    pub output_error_dry: ErrorOptions,
    /// and while it rains
    pub output_error_wet: ErrorOptions,
    /// how long rain is remembered for that
    pub rain_memory: Span,
    /// remembered rain from which on the wet regime holds, mm
    pub full_wetness_mm: f64,
    /// standard deviation of the noise that each updatable store gets a step, mm
    #[serde(default)]
    pub store_noise_mm: f64,
}

impl AssimilationOptions {
    /// Seconds between two analyses.
    #[must_use]
    pub fn analysis_every_s(&self, step: Span) -> i64 {
        self.every.unwrap_or(step).seconds()
    }
}

/// A regime of the output error.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorOptions {
    /// stationary standard deviation of the logarithm of discharge
    pub sigma: f64,
    /// correlation time
    pub tau: Span,
}

fn soil_stores() -> Vec<String> {
    vec!["soil_store".to_owned()]
}
const fn smap_error() -> f64 {
    SOIL_MOISTURE_ERROR_M3_M3
}
const fn month_of_days() -> usize {
    30
}
fn snow_stores() -> Vec<String> {
    ["snow_store", "melt_water_store"].map(str::to_owned).to_vec()
}
const fn fiftieth() -> f64 {
    0.02
}
const fn five_millimetres() -> f64 {
    0.005
}
const fn good_record() -> f64 {
    0.05
}
const fn third_of_rain() -> f64 {
    0.3
}
const fn unity() -> f64 {
    1.0
}
