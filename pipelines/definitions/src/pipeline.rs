//! A whole definition: read, overridden, checked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use nilometer_assimilation::Ratings;
use nilometer_connectors::{CONNECTORS, Connector, ConnectorVisitor, visit_connector};
use nilometer_packages::Mixture;
use nilometer_schemas::Variable;
use nilometer_transforms::{Span, check::CheckOptions};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{
    AlertOptions, AssimilationOptions, Catchment, DefinitionError, DroughtOptions, ForecastOptions, LogOptions,
    ModelOptions, NetworkOptions, OperationsOptions, Problem, ServeOptions, StationTable, TimeOptions,
    all_errors::{collect, join},
    checks, defaults,
    effect::{self, Given},
};

/// Keys whose value is a path. In the file they are relative to the file; overridden, to the working folder.
const PATHS: [&str; 7] =
    ["data", "network.flow_directions", "stations.path", "source.path", "model.package", "model.library", "log.store"];
/// Sections whose value may be one word, and the key that it is.
const SHORT: [(&str, &str); 1] = [("model", "model.package")];

/// A valid definition.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// its name
    pub name: String,
    /// folder that the sources' paths are relative to
    pub data: PathBuf,
    /// step and window
    pub time: TimeOptions,
    /// catchments, in the order of every catchment axis
    pub catchments: Vec<Catchment>,
    /// how catchments are traced and grids averaged; there when a source delivers grids
    pub network: Option<NetworkOptions>,
    /// sources by name
    pub sources: BTreeMap<String, SourceDefinition>,
    /// quality control of every station
    pub checks: CheckOptions,
    /// what differs for one station
    pub station_checks: BTreeMap<String, CheckOptions>,
    /// rating curves by station, of those that report stage
    pub ratings: BTreeMap<String, Ratings>,
    /// the model package
    pub model: ModelOptions,
    /// what it holds, verified
    pub models: Mixture,
    /// the ensemble
    pub assimilation: AssimilationOptions,
    /// the forecasts
    pub forecast: ForecastOptions,
    /// how droughts are judged; there where they are
    pub drought: Option<DroughtOptions>,
    /// when thresholds are watched and warned of
    pub alerts: AlertOptions,
    /// where everything lies
    pub log: LogOptions,
    /// how `run` behaves
    pub operations: OperationsOptions,
    /// metrics and health
    pub serve: ServeOptions,
    /// what it says without effect, for `validate` and the log at start
    pub warnings: Vec<Problem>,
}

/// One source.
#[derive(Debug, Clone)]
pub struct SourceDefinition {
    /// how long after a value's time (for a period: after its end; for a weather forecast: after its issue time) it arrives in a replay;
    /// negative is foresight
    pub delay: Span,
    /// its kind and options
    pub connector: Arc<dyn Connector>,
}

impl SourceDefinition {
    /// Whether it tells how much water the gauges measure: as discharge, or as stage, which is rated.
    #[must_use]
    pub fn observes_discharge(&self) -> bool {
        matches!(self.variable(), Variable::Discharge | Variable::Stage)
    }

    /// Whether it delivers a weather forecast, and not what was.
    #[must_use]
    pub fn is_forecast(&self) -> bool {
        self.connector.is_forecast()
    }

    /// The station that all of it is of; none where a column says, and for fields and folders.
    #[must_use]
    pub fn station(&self) -> Option<&str> {
        self.connector.station()
    }

    /// Seconds that each of its values is of; 0 for instants.
    #[must_use]
    pub fn period_s(&self) -> i64 {
        self.connector.period().seconds()
    }

    /// What the source is about.
    #[must_use]
    pub fn variable(&self) -> Variable {
        self.connector.variable()
    }
}

impl Pipeline {
    /// Reads the definition at `file`, applies `overrides` (`dotted.key=value`, the value as TOML or as bare text) and
    /// checks all of it, the model package and the sources' files included.
    ///
    /// # Errors
    /// [`DefinitionError`] with every problem found.
    pub fn load(file: &Path, overrides: &[String]) -> Result<Self, DefinitionError> {
        let refuse = |problems| DefinitionError { file: file.display().to_string(), problems };
        let whole = |message: String| vec![Problem { path: String::new(), message }];
        let text = fs::read_to_string(file).map_err(|e| refuse(whole(format!("cannot be read: {e}"))))?;
        let mut table: Table = text.parse().map_err(|e: toml::de::Error| refuse(whole(format!("not TOML: {e}"))))?;
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        resolve_paths(&mut table, &absolute(folder));
        apply(&mut table, overrides).map_err(&refuse)?;
        Self::parse(table).map_err(refuse)
    }

    /// How far ahead weather may be known, in seconds: as far as forecasts look, or as sources tell.
    #[must_use]
    pub fn foresight_s(&self) -> i64 {
        let foresight_s = self.sources.values().map(|source| -source.delay.seconds()).max();
        self.forecast.horizon.seconds().max(foresight_s.unwrap_or(0))
    }

    fn parse(mut table: Table) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let given = Given::of(&table);
        let mut reader = Reader { table: &mut table, problems: &mut problems };
        let name: Option<String> = reader.section("name");
        if name.as_ref().is_some_and(String::is_empty) {
            let message = "is empty; accepted is a name".to_owned();
            reader.problems.push(Problem { path: "name".to_owned(), message });
        }
        let time: Option<TimeOptions> = reader.section("time");
        // An hour's where the step cannot be read, which is reported.
        defaults::complete(reader.table, time.as_ref().map_or(Span::from_seconds(3_600), |time| time.step));
        let mut forecast: Option<ForecastOptions> = reader.section("forecast");
        if let (Some(forecast), Some(time)) = (&mut forecast, &time) {
            forecast.look_no_further_than_leads(time.step);
        }
        let model: Option<ModelOptions> = reader.section("model");
        let models = model.as_ref().and_then(|model| reader.models(&model.package));
        let folder = reader.folder();
        let (data, network, sources, mut catchments): (Option<PathBuf>, Option<NetworkOptions>, _, _);
        match &folder {
            Some(folder) => {
                (data, network) = (Some(reader.optional("data")), None);
                (sources, catchments) = (folder.sources(forecast.as_ref(), models.as_ref()), folder.catchments());
            }
            None => {
                data = reader.section("data");
                network = reader.optional("network");
                (sources, catchments) = (reader.sources(), reader.catchments());
            }
        }
        let stations: Option<StationTable> = reader.optional("stations");
        if let Some(stations) = stations {
            stations.complete(&mut catchments, reader.problems);
        }
        let checks: CheckOptions = reader.optional("checks");
        let station_checks: BTreeMap<String, CheckOptions> = reader.optional("station_checks");
        let ratings: BTreeMap<String, Ratings> = reader.optional("rating");
        let assimilation: Option<AssimilationOptions> = reader.section("assimilation");
        let log: Option<LogOptions> = reader.section("log");
        let drought: Option<DroughtOptions> = reader.optional("drought");
        let alerts: AlertOptions = reader.optional("alerts");
        let operations: OperationsOptions = reader.optional("operations");
        let serve: ServeOptions = reader.optional("serve");
        for key in table.keys() {
            problems.push(Problem { path: key.clone(), message: "unknown key".to_owned() });
        }
        // What could be read is checked further even when other sections could not.
        if let Some(time) = &time {
            checks::time(time, forecast.as_ref(), drought.as_ref(), &mut problems);
        }
        if let Some(assimilation) = &assimilation {
            checks::assimilation(assimilation, &mut problems);
            let key = if folder.is_some() { "source.downstream" } else { "catchment.downstream" };
            checks::rivers(key, &catchments, assimilation, &mut problems);
        }
        if let (Some(time), Some(assimilation)) = (&time, &assimilation) {
            checks::analyses(assimilation, time, &mut problems);
        }
        if let Some(log) = &log {
            checks::log(log, &mut problems);
        }
        if let Some(model) = &model {
            checks::model(model, &mut problems);
        }
        alerts.problems(&mut problems);
        checks::catchments(&catchments, &station_checks, &mut problems);
        checks::places_and_thresholds(&catchments, &mut problems);
        for (key, message) in checks.problems() {
            problems.push(Problem { path: join("checks", &key), message });
        }
        for (station, over) in &station_checks {
            for (key, message) in over.problems() {
                problems.push(Problem { path: format!("station_checks.{station}.{key}"), message });
            }
        }
        checks::stations(&sources, &catchments, &ratings, &mut problems);
        checks::ratings(&ratings, &catchments, &sources, &mut problems);
        checks::network(network.as_ref(), &sources, &catchments, &mut problems);
        if let Some(data) = &data {
            checks::sources(&sources, data, forecast.as_ref(), assimilation.as_ref(), &mut problems);
        }
        if let (Some(models), Some(time)) = (&models, &time) {
            for member in models.members() {
                checks::package(&member.package, time, &catchments, &sources, folder.as_ref(), &mut problems);
            }
        }
        if let Some(time) = &time {
            checks::periods(&sources, time, &mut problems);
        }
        if let (Some(folder), Some(time)) = (&folder, &time) {
            checks::folder(folder, time, &mut problems);
        }
        if let (Some(models), Some(assimilation)) = (&models, &assimilation) {
            checks::also_updated(models, assimilation, &mut problems);
        }
        match (name, data, time, model.zip(models), assimilation, forecast, log) {
            (
                Some(name),
                Some(data),
                Some(time),
                Some((model, models)),
                Some(assimilation),
                Some(forecast),
                Some(log),
            ) if problems.is_empty() => {
                let mut pipeline = Self {
                    name,
                    data,
                    time,
                    catchments,
                    network,
                    sources,
                    checks,
                    station_checks,
                    ratings,
                    model,
                    models,
                    assimilation,
                    forecast,
                    drought,
                    alerts,
                    log,
                    operations,
                    serve,
                    warnings: Vec::new(),
                };
                pipeline.warnings = effect::warnings(&pipeline, folder.as_ref(), &given);
                Ok(pipeline)
            }
            _ => Err(problems),
        }
    }
}

/// Takes sections out of the file's table; what stays in it is unknown.
pub(crate) struct Reader<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn section<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.table.remove(key) {
            Some(value) => self.read(key, value),
            None => {
                self.problems.push(Problem { path: key.to_owned(), message: "is missing".to_owned() });
                None
            }
        }
    }

    fn optional<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        self.table.remove(key).and_then(|value| self.read(key, value)).unwrap_or_default()
    }

    pub(crate) fn read<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        collect(path, value).map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn catchments(&mut self) -> Vec<Catchment> {
        match self.table.remove("catchment") {
            Some(Value::Array(items)) if !items.is_empty() => items
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| self.read(&format!("catchment[{index}]"), with_flood_flows(value)))
                .collect(),
            found => {
                let message = format!("{}; accepted is one [[catchment]] or more", absence(found.as_ref()));
                self.problems.push(Problem { path: "catchment".to_owned(), message });
                Vec::new()
            }
        }
    }

    /// The verified package, or the blend, at `folder`.
    fn models(&mut self, folder: &Path) -> Option<Mixture> {
        Mixture::load(folder)
            .map_err(|error| {
                let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
                self.problems.push(Problem { path: "model.package".to_owned(), message: format!("{error}{cause}") });
            })
            .ok()
    }

    fn sources(&mut self) -> BTreeMap<String, SourceDefinition> {
        let found = self.table.remove("source");
        let absence = absence(found.as_ref());
        let Some(Value::Table(sources)) = found.filter(|value| value.as_table().is_some_and(|t| !t.is_empty())) else {
            let message = format!("{absence}; accepted is one [source.NAME] or more");
            self.problems.push(Problem { path: "source".to_owned(), message });
            return BTreeMap::new();
        };
        sources.into_iter().filter_map(|(name, value)| Some((name.clone(), self.source(&name, value)?))).collect()
    }

    pub(crate) fn source(&mut self, name: &str, value: Value) -> Option<SourceDefinition> {
        let path = format!("source.{name}");
        let Value::Table(mut table) = value else {
            self.problems.push(Problem { path, message: "is no table".to_owned() });
            return None;
        };
        let delay = table.remove("delay").map_or(Some(Span::default()), |v| self.read(&format!("{path}.delay"), v));
        let kind = table.remove("kind");
        let kind = kind.as_ref().and_then(Value::as_str);
        let read = ReadConnector { reader: self, path: &path, table };
        let Some(connector) = visit_connector(kind.unwrap_or_default(), read) else {
            let found = kind.map_or_else(|| "is missing".to_owned(), |kind| format!("is {kind:?}"));
            let message = format!("{found}; accepted is {}", one_of(CONNECTORS.into_iter()));
            self.problems.push(Problem { path: format!("{path}.kind"), message });
            return None;
        };
        Some(SourceDefinition { delay: delay?, connector: connector? })
    }
}

/// Reads the options of a source, whatever their type.
struct ReadConnector<'r, 'a> {
    reader: &'r mut Reader<'a>,
    path: &'r str,
    table: Table,
}

impl ConnectorVisitor for ReadConnector<'_, '_> {
    type Output = Option<Arc<dyn Connector>>;

    fn visit<C: Connector + DeserializeOwned + JsonSchema + 'static>(self) -> Self::Output {
        let options: C = self.reader.read(self.path, Value::Table(self.table))?;
        Some(Arc::new(options))
    }
}

/// A catchment whose definition of an earlier build lists `flood_thresholds_m3_s`, with a threshold of each, named by its flow.
fn with_flood_flows(mut catchment: Value) -> Value {
    let Some(table) = catchment.as_table_mut() else { return catchment };
    let Some(Value::Array(flows)) = table.remove("flood_thresholds_m3_s") else { return catchment };
    let mut flows: Vec<f64> =
        flows.iter().filter_map(|flow| flow.as_float().or_else(|| flow.as_integer().map(|flow| flow as f64))).collect();
    flows.sort_by(f64::total_cmp);
    let threshold = |flow: f64| {
        let id = format!("{flow}").replace(['.', '-'], "_");
        let (unit, kind) = (Value::String("m3 s-1".to_owned()), Value::String("flow".to_owned()));
        let pairs = [("id", Value::String(id)), ("value", Value::Float(flow)), ("unit", unit), ("kind", kind)];
        Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let thresholds = table.entry("thresholds").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(thresholds) = thresholds.as_array_mut() {
        thresholds.extend(flows.into_iter().map(threshold));
    }
    catchment
}

/// Words of which one is accepted.
pub(crate) fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(" or ")
}

/// Why a value gives no table.
fn absence(value: Option<&Value>) -> &'static str {
    match value {
        None => "is missing",
        Some(Value::Array(items)) if items.is_empty() => "is empty",
        Some(Value::Table(tables)) if tables.is_empty() => "is empty",
        Some(_) => "is a value of another kind",
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Makes the paths of the file absolute.
fn resolve_paths(table: &mut Table, folder: &Path) {
    for key in PATHS {
        let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
        let section =
            if parents.is_empty() { Some(&mut *table) } else { table.get_mut(parents).and_then(Value::as_table_mut) };
        if let Some(Value::String(path)) = section.and_then(|s| s.get_mut(last))
            && !path.contains("://")
        {
            *path = folder.join(&*path).display().to_string();
        }
    }
}

fn apply(table: &mut Table, overrides: &[String]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for text in overrides {
        let Some((key, value)) = text.split_once('=') else {
            problems.push(Problem {
                path: text.clone(),
                message: "is no override; accepted is dotted.key=value".to_owned(),
            });
            continue;
        };
        let mut value = format!("v = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut t| t.remove("v"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        let key = SHORT.iter().find(|(short, _)| *short == key && value.is_str()).map_or(key, |(_, whole)| whole);
        if let Value::String(path) = &mut value
            && PATHS.contains(&key)
            && !path.contains("://")
        {
            *path = absolute(Path::new(&*path)).display().to_string();
        }
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let section = parts.iter().try_fold(&mut *table, |section, part| {
            section.entry(*part).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
        });
        match section {
            Some(section) => {
                section.insert(last.to_owned(), value);
            }
            None => problems
                .push(Problem { path: key.to_owned(), message: "cannot be set: a part of it is no table".to_owned() }),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
