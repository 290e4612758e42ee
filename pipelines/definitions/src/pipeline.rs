//! A whole definition: read, overridden, checked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nilometer_assimilation::Ratings;
use nilometer_packages::Mixture;
use nilometer_transforms::{Span, check::CheckOptions};
use toml::{Table, Value};

use crate::{
    AlertOptions, AssimilationOptions, Catchment, DefinitionError, DroughtOptions, ForecastOptions, LogOptions,
    ModelOptions, NetworkOptions, OperationsOptions, Problem, ServeOptions, SourceDefinition, StationTable, Threshold,
    TimeOptions,
    all_errors::join,
    checks, defaults,
    effect::{self, Given},
    reader::Reader,
};

/// Keys whose value is a path. In the file they are relative to the file; overridden, to the working folder.
const PATHS: [&str; 9] = [
    "data",
    "network.flow_directions",
    "stations.path",
    "source.path",
    "model.package",
    "model.library",
    "log.store",
    "serve.certificate",
    "serve.key",
];
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

    /// Every threshold of a station; several catchments may have it.
    pub fn thresholds_of<'a>(&'a self, station: &'a str) -> impl Iterator<Item = &'a Threshold> {
        self.catchments.iter().filter(move |c| c.station() == station).flat_map(|c| &c.thresholds)
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
        checks::operations(&operations, &mut problems);
        checks::serve(&serve, &mut problems);
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
