//! The sections of a definition that are not a connector's or a check's own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use nilometer_engine::{CatchUp, Exercise, KafkaOptions};
use nilometer_packages::{Attribute, Provider};
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Alignment, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Threshold, ThresholdKind};

/// `[time]`: the model's step and, for replay and hindcast, the window.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeOptions {
    /// length of a model step
    pub step: Span,
    /// how often sources are read; a step when absent
    pub tick: Option<Span>,
    /// how discharge that was read between the ends of steps counts: `interpolate` or, to the nearest end of a step, `nearest`
    #[serde(default)]
    pub align: Alignment,
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catchment {
    /// identifier
    pub id: String,
    /// the station whose discharge is observed; the identifier when absent
    pub station: Option<String>,
    /// earlier names of the station, as before it was renumbered; rows under these count as its own
    #[serde(default)]
    pub formerly: Vec<String>,
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
    /// what people call the station
    pub name: Option<String>,
    /// the river
    pub river: Option<String>,
    /// of the station, ° north
    pub latitude: Option<f64>,
    /// of the station, ° east
    pub longitude: Option<f64>,
    /// time zone of its people, a name of the IANA database; UTC when absent
    pub timezone: Option<String>,
    /// what stages are above, as `NAVD88 + 102.3 m`
    pub datum: Option<String>,
    /// levels that matter, in the order in which the river reaches them; forecasts are judged by whether they saw those of flow reached
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
}

/// The next catchment down the river.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

    /// What people call its station; the identifier where nothing says.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// The flows that are reached from below, m³ s⁻¹, ascending, each once.
    #[must_use]
    pub fn flood_flows_m3_s(&self) -> Vec<f64> {
        let floods = self.thresholds.iter().filter(|t| t.kind == ThresholdKind::Flow && !t.below);
        let mut flows: Vec<f64> = floods.map(Threshold::canonical).collect();
        flows.sort_by(f64::total_cmp);
        flows.dedup();
        flows
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

/// The weather that a forecast assumes beyond its issue time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastOptions {
    /// how far ahead
    pub horizon: Span,
    /// the lead times that go out, in steps; all up to the horizon when empty
    #[serde(default)]
    pub leads: Vec<u32>,
    /// forecasts valid after this go out; before it the state warms up
    pub from: Option<Timestamp>,
    /// and those valid up to this; later ones teach calibration, but do not go out
    pub until: Option<Timestamp>,
    /// how often
    pub every: Span,
    /// weather beyond the issue time
    pub scenario: Scenario,
    /// how often what the stores of the models hold goes out, `state.v1`
    pub state_every: Span,
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
    /// whether each row carries the values of trajectories, `member_values`: quantiles of its distribution, which of them go together over lead times
    /// in the order of the ensemble's members, and of a model that runs once, or a blend, as past errors lasted
    #[serde(default)]
    pub member_values: bool,
    /// whether forecasts are judged as observations come in: `score.v1` and metrics
    #[serde(default = "yes")]
    pub score: bool,
}

impl ForecastOptions {
    /// What lies behind the last lead time is not used, so the horizon ends there. One beyond it stays, to be reported.
    pub(crate) fn look_no_further_than_leads(&mut self, step: Span) {
        if let Some(last) = self.leads.iter().max() {
            let last = Span::from_seconds(i64::from(*last).saturating_mul(step.seconds()));
            self.horizon = last.min(self.horizon);
        }
    }
}

/// `[log]`: where the log, the snapshots and the archive lie.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
    /// days of the archive that ended this long before the newest published time become one file a topic; never when absent
    #[serde(default)]
    pub compact_after: Option<Span>,
    /// partitions of every topic, which processes share; whole river networks go to each
    #[serde(default = "one")]
    pub partitions: u32,
    /// a cluster that has the log instead of the store, so that roles may run as processes of their own
    #[serde(default)]
    pub kafka: Option<KafkaOptions>,
}

/// `[operations]`: how `run` behaves.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationsOptions {
    /// what becomes of the forecasts that an outage has missed: `all` (default) makes each as it would have been, `latest` only the newest
    #[serde(default)]
    pub catch_up: CatchUp,
    /// an exercise: `at` this time by the system's clock it is the time that it `shows`, and from then on time passes `speed` times as fast; the system's time when absent
    #[serde(default)]
    pub exercise: Option<Exercise>,
}

/// `[drought]`: that droughts are judged, day by day.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DroughtOptions {
    /// years of a season that a day is held against at least; without them it has no percentile
    pub years: u32,
    /// how long a day waits for its readings behind its end; as long as a station may be late (`alerts.late_after`) when absent
    pub wait: Option<Span>,
    /// weeks that outlooks look ahead, under the weather of the past years that `forecast.years` remembers; 0 makes none
    pub outlook_weeks: u32,
    /// how often an outlook is made: whole weeks, counted from 1970-01-01
    pub outlook_every: Span,
}

impl Default for DroughtOptions {
    fn default() -> Self {
        Self { years: 5, wait: None, outlook_weeks: 13, outlook_every: Span::from_seconds(7 * 86_400) }
    }
}

/// `[serve]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeOptions {
    /// where `/metrics` and `/health` listen, and the service where the process has the role serve; port 0 takes a free one and says which
    pub address: Option<SocketAddr>,
    /// how much of the log the service holds in memory; what is older comes from the archive
    pub memory: Span,
    /// MiB of it at most; half of them for forecasts
    pub memory_mib: usize,
    /// whether reading needs no token where `address` is reached from other machines; on this machine alone it never does
    pub open: bool,
    /// requests of one address a second, five seconds of them at once; what is more is refused with 429. 0 counts none
    pub requests_per_s: u32,
    /// stations that `/metrics/stations` shows at most, in the order of the definition; about twenty series each
    pub station_metrics: usize,
    /// certificates of the address, the server's first, as PEM: with them and the key all is answered over TLS, 1.2 or 1.3
    pub certificate: Option<PathBuf>,
    /// private key of the certificate, as PEM
    pub key: Option<PathBuf>,
    /// where SQL is answered by the PostgreSQL protocol, beside `POST /api/v1/sql`; nowhere when absent
    pub postgres: Option<SocketAddr>,
    /// where SQL is answered by Flight SQL; nowhere when absent
    pub flight: Option<SocketAddr>,
    /// MiB that an SQL query may take to group, sort and join; four are answered at once
    pub sql_memory_mib: usize,
    /// how long an SQL query may take, until its last row is fetched
    pub sql_time: Span,
    /// rows of an answer to SQL at most
    pub sql_rows: u64,
}

impl ServeOptions {
    /// The files of TLS, where both are named.
    #[must_use]
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.certificate.as_deref().zip(self.key.as_deref())
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        let memory = Span::from_seconds(2 * 86_400);
        Self {
            address: None,
            memory,
            memory_mib: 512,
            open: false,
            requests_per_s: 200,
            station_metrics: 1_000,
            certificate: None,
            key: None,
            postgres: None,
            flight: None,
            sql_memory_mib: 256,
            sql_time: Span::from_seconds(30),
            sql_rows: 1_000_000,
        }
    }
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

pub(crate) const fn tenth() -> f64 {
    0.1
}
const fn four_fifths() -> f64 {
    0.8
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
