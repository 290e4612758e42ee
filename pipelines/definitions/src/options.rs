//! The sections of a definition that are not a connector's or a check's own.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use nilometer_assimilation::{ErrorFactorOptions, SOIL_MOISTURE_ERROR_M3_M3};
use nilometer_engine::KafkaOptions;
use nilometer_runtime::{Attribute, Provider};
use nilometer_schemas::Timestamp;
use nilometer_transforms::Span;
use serde::Deserialize;

/// `[time]`: the model's step and, for replay and hindcast, the window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeOptions {
    /// length of a model step
    pub step: Span,
    /// how often sources are read; a step when absent
    pub tick: Option<Span>,
    /// first tick of a replay
    pub from: Timestamp,
    /// last tick of a replay
    pub to: Timestamp,
}

impl TimeOptions {
    /// Seconds between two readings of the sources.
    #[must_use]
    pub fn tick_s(&self) -> i64 {
        self.tick.unwrap_or(self.step).seconds()
    }
}

/// `[[catchment]]`: one gauged catchment. Their order is the order of every catchment axis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catchment {
    /// identifier
    pub id: String,
    /// the station whose discharge is observed; the identifier when absent
    pub station: Option<String>,
    /// whose parameters of the model package to use; the identifier when absent
    pub parameters: Option<String>,
    /// published area, km²
    pub area_km2: f64,
    /// easting of the gauge in the grids' coordinate reference system, m; needed where there are grids
    pub outlet_x_m: Option<f64>,
    /// northing of the gauge, m
    pub outlet_y_m: Option<f64>,
    /// static attributes by name, for a model that tells catchments apart by them
    #[serde(default)]
    pub attributes: BTreeMap<String, f64>,
    /// the catchment that its river comes to next, for `assimilation.river`
    pub downstream: Option<Downstream>,
    /// discharges from which on it is a flood, m³ s⁻¹; forecasts are judged by whether they saw them reached
    #[serde(default)]
    pub flood_thresholds_m3_s: Vec<f64>,
}

/// The next catchment down the river.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downstream {
    /// its identifier
    pub id: String,
    /// length of the river from gauge to gauge, km
    pub river_km: f64,
}

impl Catchment {
    /// The station whose discharge is observed.
    #[must_use]
    pub fn station(&self) -> &str {
        self.station.as_deref().unwrap_or(&self.id)
    }

    /// The catchment of the model package whose parameters are used.
    #[must_use]
    pub fn parameters(&self) -> &str {
        self.parameters.as_deref().unwrap_or(&self.id)
    }

    /// Its attributes of these names, NaN where one is unknown.
    #[must_use]
    pub fn attributes_of(&self, names: &[Attribute]) -> Vec<f32> {
        names.iter().map(|a| self.attributes.get(&a.name).map_or(f32::NAN, |v| *v as f32)).collect()
    }

    /// m³ s⁻¹ of one mm over the catchment in a step of `step_s` seconds: area/1000·10⁶/step.
    #[must_use]
    pub fn m3_s_per_mm(&self, step_s: i64) -> f64 {
        self.area_km2 * 1_000.0 / step_s as f64
    }
}

/// `[network]`: how catchments are traced and grids averaged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkOptions {
    /// GeoTIFF of D8 flow directions, 1 to 8 clockwise from north
    pub flow_directions: PathBuf,
    /// how many cells around the gauge are searched for the outlet
    #[serde(default = "one")]
    pub snap_cells: u32,
    /// largest relative difference of the traced from the published area
    #[serde(default = "tenth")]
    pub area_tolerance: f64,
    /// share of a catchment's area that must have valid cells for an average
    #[serde(default = "four_fifths")]
    pub minimum_valid_fraction: f64,
}

/// `[model]`: the package and where it runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOptions {
    /// folder of the package
    pub package: PathBuf,
    /// ONNX Runtime's shared library; else `ORT_DYLIB_PATH`, else the folder that `ops/setup` fills
    pub library: Option<PathBuf>,
    /// execution providers, the first is used and must be there
    #[serde(default = "cpu")]
    pub providers: Vec<Provider>,
}

/// How an observation changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveInflationOptions {
    /// how much of an innovation is learned, 0.001 to 0.05
    pub rate: f64,
    /// the largest factor, near 1
    pub maximum: f64,
}

/// `[assimilation.river]`: a gauge also informs the catchments above it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiverOptions {
    /// distance along the river at which a gauge counts 5/24 of what it counts at its own place, km; none from twice that on
    pub half_width_km: f64,
    /// correlation of the errors of rain and of discharge between catchments on one river
    pub correlation: f64,
}

/// `[assimilation.snow]`: what is seen of the snow corrects the model's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnowCoverOptions {
    /// blocks of the model's state that hold snow
    #[serde(default = "snow_stores")]
    pub stores: Vec<String>,
    /// standard deviation in space of the water equivalent at its yearly maximum, mm: with less snow the ground begins to show
    pub sigma_mm: f64,
    /// standard deviation of the error of a fraction
    #[serde(default = "tenth")]
    pub error: f64,
}

/// `[assimilation.soil_moisture]`: what a satellite sees of the soil corrects the model's, matched to its climate as a training window has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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

/// `[assimilation]`: the ensemble and its errors.
#[derive(Debug, Clone, Deserialize)]
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
    #[serde(default = "tenth")]
    pub particle_jitter: f64,
    /// factor on the prior anomalies, 1 is none
    #[serde(default = "unity")]
    pub inflation: f64,
    /// an inflation that is learned, on top of the constant one
    pub adaptive_inflation: Option<AdaptiveInflationOptions>,
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
    /// standard deviation of the discharge error as a share of discharge
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
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorOptions {
    /// stationary standard deviation of the logarithm of discharge
    pub sigma: f64,
    /// correlation time
    pub tau: Span,
}

/// The weather that a forecast assumes beyond its issue time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// what fell: for hindcasts, to see the model's and the filter's skill apart from the weather forecast's
    Perfect,
    /// it rains on as in the last hour
    Persistence,
    /// no more rain
    Zero,
    /// the weather of past years, a year a member; no more rain while no past year is known
    PastYears,
    /// the newest weather forecast, its members in turn; no more rain behind its end, and while there is none
    Members,
}

impl Scenario {
    /// The word in forecasts and definitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perfect => "perfect",
            Self::Persistence => "persistence",
            Self::Zero => "zero",
            Self::PastYears => "past_years",
            Self::Members => "members",
        }
    }
}

/// `[forecast]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastOptions {
    /// how far ahead
    pub horizon: Span,
    /// the lead times that go out, in steps; all up to the horizon when empty
    #[serde(default)]
    pub leads: Vec<u32>,
    /// forecasts valid after this go out; before it the state warms up
    pub from: Option<Timestamp>,
    /// and those valid up to this
    pub until: Option<Timestamp>,
    /// how often
    pub every: Span,
    /// weather beyond the issue time
    pub scenario: Scenario,
    /// how many years the scenario of past years remembers; each takes the memory of its forcing
    #[serde(default = "decade")]
    pub years: u32,
    /// how long a step waits for its forcing before it is filled in (rain: none; the rest: the last value)
    pub wait: Span,
    /// how late a row may come and still count: the state goes back to the snapshot before it and takes the steps since again;
    /// 0 leaves what is late out
    #[serde(default = "not_at_all")]
    pub lateness: Span,
    /// how fast intervals learn from forecasts that have come true: the logarithm of a tail's width moves by this much
    /// for a miss; 0 leaves them as the ensemble has them
    #[serde(default)]
    pub calibration_rate: f64,
    /// whether forecasts are judged as observations come in: `score.v1` and metrics
    #[serde(default = "yes")]
    pub score: bool,
}

impl ForecastOptions {
    /// Nobody asks for what lies behind the last lead time, so the horizon ends there. One beyond it stays, to be reported.
    pub(crate) fn look_no_further_than_leads(&mut self, step: Span) {
        if let Some(last) = self.leads.iter().max() {
            let last = Span::from_seconds(i64::from(*last).saturating_mul(step.seconds()));
            self.horizon = last.min(self.horizon);
        }
    }
}

/// `[log]`: where the log, the snapshots and the archive lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOptions {
    /// folder, `file://` or `s3://` address
    pub store: String,
    /// ticks between snapshots
    #[serde(default = "day_of_hours")]
    pub snapshot_every: u32,
    /// how long messages are kept behind the newest one (never less than the kept snapshots need)
    #[serde(default = "month")]
    pub retention: Span,
    /// partitions of every topic, which processes share; whole river networks go to each
    #[serde(default = "one")]
    pub partitions: u32,
    /// a cluster that has the log instead of the store, so that roles may run as processes of their own
    #[serde(default)]
    pub kafka: Option<KafkaOptions>,
}

/// `[serve]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeOptions {
    /// where `/metrics` and `/health` listen; port 0 takes a free one and says which
    pub address: Option<SocketAddr>,
}

const fn yes() -> bool {
    true
}

const fn decade() -> u32 {
    10
}

const fn one() -> u32 {
    1
}

const fn tenth() -> f64 {
    0.1
}
const fn four_fifths() -> f64 {
    0.8
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
const fn five_millimetres() -> f64 {
    0.005
}
const fn unity() -> f64 {
    1.0
}
const fn not_at_all() -> Span {
    Span::from_seconds(0)
}
const fn day_of_hours() -> u32 {
    24
}
const fn month() -> Span {
    Span::from_seconds(30 * 86_400)
}
fn cpu() -> Vec<Provider> {
    vec![Provider::Cpu]
}
