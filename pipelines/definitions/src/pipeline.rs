//! A whole definition: read, overridden, checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use nilometer_connectors::{
    CamelsOptions, GeotiffOptions, TableOptions,
    camels::{CamelsCatchment, CamelsColumn, CamelsInventory, DISCHARGE, FORCING},
};
use nilometer_runtime::{FEEDBACK, Mixture, Package};
use nilometer_schemas::{Timestamp, Variable};
use nilometer_transforms::{
    Span,
    check::{CheckOptions, FARTHEST_S},
};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{
    AssimilationMethod, AssimilationOptions, Catchment, DefinitionError, ForecastOptions, LogOptions, ModelOptions,
    NetworkOptions, Problem, Scenario, ServeOptions, TimeOptions,
    collect::{collect, join},
};

/// Keys whose value is a path. In the file they are relative to the file; overridden, to the working folder.
const PATHS: [&str; 6] =
    ["data", "network.flow_directions", "source.path", "model.package", "model.library", "log.store"];
/// Sections whose value may be one word, and the key that it is.
const SHORT: [(&str, &str); 1] = [("model", "model.package")];

/// Problems of one kind worth reading at once.
const SHOWN: usize = 20;

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
    /// the model package
    pub model: ModelOptions,
    /// the ensemble
    pub assimilation: AssimilationOptions,
    /// the forecasts
    pub forecast: ForecastOptions,
    /// where everything lies
    pub log: LogOptions,
    /// metrics and health
    pub serve: ServeOptions,
}

/// One source.
#[derive(Debug, Clone)]
pub struct SourceDefinition {
    /// how long after a value's time (for a period: after its end) it arrives in a replay; negative is foresight
    pub delay: Span,
    /// its connector and options
    pub kind: SourceKind,
}

/// The connector of a source.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// a series of GeoTIFF files
    Geotiff(GeotiffOptions),
    /// a CSV or Parquet table
    Table(TableOptions),
    /// one column of a folder in the CAMELS layout
    Camels(CamelsOptions, CamelsColumn),
}

impl SourceDefinition {
    /// What the source is about.
    #[must_use]
    pub const fn variable(&self) -> Variable {
        match &self.kind {
            SourceKind::Geotiff(o) => o.variable,
            SourceKind::Table(o) => o.variable,
            SourceKind::Camels(_, column) => column.variable,
        }
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

    fn parse(mut table: Table) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut reader = Reader { table: &mut table, problems: &mut problems };
        let name: Option<String> = reader.section("name");
        let time: Option<TimeOptions> = reader.section("time");
        let mut forecast: Option<ForecastOptions> = reader.section("forecast");
        if let (Some(forecast), Some(time)) = (&mut forecast, &time) {
            forecast.look_no_further_than_leads(time.step);
        }
        let model: Option<ModelOptions> = reader.section("model");
        let models = model.as_ref().and_then(|model| reader.models(&model.package));
        let folder = reader.camels();
        let (data, network, sources, catchments): (Option<PathBuf>, Option<NetworkOptions>, _, _);
        match &folder {
            Some(folder) => {
                (data, network) = (Some(PathBuf::new()), None);
                (sources, catchments) = (folder.sources(forecast.as_ref(), models.as_ref()), folder.catchments());
            }
            None => {
                data = reader.section("data");
                network = reader.optional("network");
                (sources, catchments) = (reader.sources(), reader.catchments());
            }
        }
        let checks: CheckOptions = reader.optional("checks");
        let station_checks: BTreeMap<String, CheckOptions> = reader.optional("station_checks");
        let assimilation: Option<AssimilationOptions> = reader.section("assimilation");
        let log: Option<LogOptions> = reader.section("log");
        let serve: ServeOptions = reader.optional("serve");
        for key in table.keys() {
            problems.push(Problem { path: key.clone(), message: "unknown key".to_owned() });
        }
        // What could be read is checked further even when other sections could not.
        if let Some(time) = &time {
            check_time(time, forecast.as_ref(), &mut problems);
        }
        if let Some(assimilation) = &assimilation {
            check_assimilation(assimilation, &mut problems);
        }
        check_catchments(&catchments, &station_checks, &mut problems);
        for (key, message) in checks.problems() {
            problems.push(Problem { path: join("checks", &key), message });
        }
        for (station, over) in &station_checks {
            for (key, message) in over.problems() {
                problems.push(Problem { path: format!("station_checks.{station}.{key}"), message });
            }
        }
        check_network(network.as_ref(), &sources, &catchments, &mut problems);
        if let Some(data) = &data {
            check_sources(&sources, data, forecast.as_ref(), assimilation.as_ref(), &mut problems);
        }
        if let (Some(models), Some(time)) = (&models, &time) {
            for member in models.members() {
                check_package(&member.package, time, &catchments, &sources, folder.as_ref(), &mut problems);
            }
        }
        match (name, data, time, model, assimilation, forecast, log) {
            (Some(name), Some(data), Some(time), Some(model), Some(assimilation), Some(forecast), Some(log))
                if problems.is_empty() =>
            {
                Ok(Self {
                    name,
                    data,
                    time,
                    catchments,
                    network,
                    sources,
                    checks,
                    station_checks,
                    model,
                    assimilation,
                    forecast,
                    log,
                    serve,
                })
            }
            _ => Err(problems),
        }
    }
}

/// Takes sections out of the file's table; what stays in it is unknown.
struct Reader<'a> {
    table: &'a mut Table,
    problems: &'a mut Vec<Problem>,
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

    fn read<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        collect(path, value).map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn catchments(&mut self) -> Vec<Catchment> {
        match self.table.remove("catchment") {
            Some(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| self.read(&format!("catchment[{index}]"), value))
                .collect(),
            _ => {
                let message = "is missing; accepted is one [[catchment]] or more".to_owned();
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

    /// `[source]` as one folder in the CAMELS layout.
    fn camels(&mut self) -> Option<Folder> {
        let one = |t: &Table| t.get("kind").is_some_and(Value::is_str);
        if !self.table.get("source").and_then(Value::as_table).is_some_and(one) {
            return None;
        }
        let Some(Value::Table(mut table)) = self.table.remove("source") else { return None };
        let mut delay = |key: &str| table.remove(key).map(|v| self.read::<Span>(&format!("source.{key}"), v));
        let (forcing_delay, discharge_delay) = (delay("forcing_delay").flatten(), delay("discharge_delay").flatten());
        match table.remove("kind").as_ref().and_then(Value::as_str) {
            Some("camels") => {}
            other => {
                let message =
                    format!("is {:?}; accepted is camels, or [source.NAME] tables", other.unwrap_or_default());
                self.problems.push(Problem { path: "source.kind".to_owned(), message });
            }
        }
        let read = self.read::<CamelsOptions>("source", Value::Table(table));
        let options = read.unwrap_or_else(|| CamelsOptions { path: PathBuf::new(), leave_out: vec![], only: vec![] });
        let mut inventory = CamelsInventory::default();
        if self.problems.iter().all(|p| !p.path.starts_with("source")) {
            match options.inventory() {
                Ok(found) => inventory = found,
                Err(found) => self
                    .problems
                    .extend(found.into_iter().map(|(key, message)| Problem { path: join("source", &key), message })),
            }
        }
        Some(Folder { options, inventory, forcing_delay, discharge_delay: discharge_delay.unwrap_or_default() })
    }

    fn sources(&mut self) -> BTreeMap<String, SourceDefinition> {
        let Some(Value::Table(sources)) = self.table.remove("source") else {
            let message = "is missing; accepted is one [source.NAME] or more".to_owned();
            self.problems.push(Problem { path: "source".to_owned(), message });
            return BTreeMap::new();
        };
        sources.into_iter().filter_map(|(name, value)| Some((name.clone(), self.source(&name, value)?))).collect()
    }

    fn source(&mut self, name: &str, value: Value) -> Option<SourceDefinition> {
        let path = format!("source.{name}");
        let Value::Table(mut table) = value else {
            self.problems.push(Problem { path, message: "is no table".to_owned() });
            return None;
        };
        let delay = table.remove("delay").map_or(Some(Span::default()), |v| self.read(&format!("{path}.delay"), v));
        let kind = match table.remove("kind").as_ref().and_then(Value::as_str) {
            Some("geotiff") => self.read(&path, Value::Table(table)).map(SourceKind::Geotiff),
            Some("table") => self.read(&path, Value::Table(table)).map(SourceKind::Table),
            other => {
                let found = other.map_or_else(|| "is missing".to_owned(), |k| format!("is {k:?}"));
                self.problems.push(Problem {
                    path: format!("{path}.kind"),
                    message: format!("{found}; accepted is geotiff or table"),
                });
                None
            }
        };
        Some(SourceDefinition { delay: delay?, kind: kind? })
    }
}

/// A folder that is the whole of a definition's input.
struct Folder {
    options: CamelsOptions,
    inventory: CamelsInventory,
    forcing_delay: Option<Span>,
    discharge_delay: Span,
}

impl Folder {
    /// A source a column that the models take, and discharge. Unless the definition says when forcing arrives, a perfect scenario
    /// knows it as far as it looks.
    fn sources(
        &self,
        forecast: Option<&ForecastOptions>,
        models: Option<&Mixture>,
    ) -> BTreeMap<String, SourceDefinition> {
        let taken = |c: &CamelsColumn| {
            models.is_none_or(|m| m.first().card().inputs.iter().any(|i| i.name == c.variable.name()))
        };
        let ahead = forecast.filter(|f| f.scenario == Scenario::Perfect);
        let foresight = ahead.map_or(Span::default(), |f| Span::from_seconds(-f.horizon.seconds()));
        let forcing_delay = self.forcing_delay.unwrap_or(foresight);
        FORCING
            .into_iter()
            .filter(taken)
            .map(|column| (column, forcing_delay))
            .chain([(DISCHARGE, self.discharge_delay)])
            .map(|(column, delay)| {
                let kind = SourceKind::Camels(self.options.clone(), column);
                (column.variable.name().to_owned(), SourceDefinition { delay, kind })
            })
            .collect()
    }

    fn catchments(&self) -> Vec<Catchment> {
        let catchment = |c: &CamelsCatchment| Catchment {
            id: c.id.clone(),
            station: None,
            parameters: None,
            area_km2: c.area_km2,
            outlet_x_m: None,
            outlet_y_m: None,
            attributes: c.attributes.clone(),
        };
        self.inventory.catchments.iter().map(catchment).collect()
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

fn check_time(time: &TimeOptions, forecast: Option<&ForecastOptions>, problems: &mut Vec<Problem>) {
    let mut say = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
    let step = time.step.seconds();
    if step <= 0 {
        return say("time.step", format!("is {}, accepted is above 0", time.step));
    }
    if time.from >= time.to {
        say("time.from", format!("is {}, accepted is before time.to = {}", time.from, time.to));
    }
    if time.from < Timestamp(0) {
        say("time.from", format!("is {}, accepted is 1970-01-01T00:00:00Z or later", time.from));
    }
    let tick = time.tick_s();
    if tick <= 0 || step % tick != 0 {
        say("time.tick", format!("is {tick} s, accepted is a divisor of time.step = {}", time.step));
        return;
    }
    let Some(forecast) = forecast else { return };
    if !(0.0..=1.0).contains(&forecast.calibration_rate) {
        say("forecast.calibration_rate", format!("is {}, accepted is 0 to 1", forecast.calibration_rate));
    }
    let steps = u32::try_from(forecast.horizon.seconds() / step).unwrap_or(u32::MAX);
    if forecast.leads.iter().any(|lead| *lead == 0 || *lead > steps) {
        say(
            "forecast.leads",
            format!("is {:?}, accepted are steps from 1 to forecast.horizon = {steps}", forecast.leads),
        );
    }
    for (path, span, smallest, unit) in [
        ("forecast.horizon", forecast.horizon, step, step),
        ("forecast.every", forecast.every, tick, tick),
        ("forecast.wait", forecast.wait, 0, step),
    ] {
        if span.seconds() < smallest || span.seconds() % unit != 0 {
            say(path, format!("is {span}, accepted is a multiple of {unit} s and at least {smallest} s"));
        }
    }
}

fn check_assimilation(options: &AssimilationOptions, problems: &mut Vec<Problem>) {
    let mut within = |key: &str, value: f64, low: f64, high: f64| {
        if !(low..=high).contains(&value) {
            problems.push(Problem {
                path: format!("assimilation.{key}"),
                message: format!("is {value}, accepted is {low} to {high}"),
            });
        }
    };
    let fewest = if options.method == AssimilationMethod::None { 1.0 } else { 2.0 };
    within("members", options.members as f64, fewest, 4_096.0);
    within("inflation", options.inflation, 1.0, 10.0);
    within("relaxation", options.relaxation, 0.0, 1.0);
    within("discharge_epsilon_mm", options.discharge_epsilon_mm, 1e-9, 10.0);
    within("discharge_relative_error", options.discharge_relative_error, 0.0, 10.0);
    within("discharge_absolute_error_mm", options.discharge_absolute_error_mm, 1e-9, 10.0);
    within("suspect_error_factor", options.suspect_error_factor, 1.0, 1_000.0);
    within("precipitation_sigma", options.precipitation_sigma, 0.0, 5.0);
    within("precipitation_tau", options.precipitation_tau.seconds() as f64, 1.0, 1e9);
    within("occurrence_probability", options.occurrence_probability, 0.0, 1.0);
    within("occurrence_mean_mm", options.occurrence_mean_mm, 0.0, 100.0);
    for (regime, error) in [("dry", options.output_error_dry), ("wet", options.output_error_wet)] {
        within(&format!("output_error_{regime}.sigma"), error.sigma, 0.0, 5.0);
        within(&format!("output_error_{regime}.tau"), error.tau.seconds() as f64, 1.0, 1e9);
    }
    within("rain_memory", options.rain_memory.seconds() as f64, 1.0, 1e9);
    within("full_wetness_mm", options.full_wetness_mm, 1e-6, 1e4);
    within("store_noise_mm", options.store_noise_mm, 0.0, 100.0);
}

fn check_catchments(
    catchments: &[Catchment],
    station_checks: &BTreeMap<String, CheckOptions>,
    problems: &mut Vec<Problem>,
) {
    let mut seen = BTreeSet::new();
    for (index, catchment) in catchments.iter().enumerate() {
        let mut say =
            |key: &str, message: String| problems.push(Problem { path: format!("catchment[{index}].{key}"), message });
        if !seen.insert(&catchment.id) {
            say("id", format!("{:?} is there already", catchment.id));
        }
        if !(catchment.area_km2 > 0.0 && catchment.area_km2 < 1e7) {
            say("area_km2", format!("is {}, accepted is above 0 and below 10⁷", catchment.area_km2));
        }
    }
    for station in station_checks.keys().filter(|s| !catchments.iter().any(|c| c.station() == **s)) {
        let message = "is no catchment's station".to_owned();
        problems.push(Problem { path: format!("station_checks.{station}"), message });
    }
}

/// Grids need flow directions, and gauges to trace them from.
fn check_network(
    network: Option<&NetworkOptions>,
    sources: &BTreeMap<String, SourceDefinition>,
    catchments: &[Catchment],
    problems: &mut Vec<Problem>,
) {
    let mut say = |path: String, message: String| problems.push(Problem { path, message });
    let grids = sources.values().any(|s| matches!(s.kind, SourceKind::Geotiff(_)));
    match network {
        Some(network) if !network.flow_directions.is_file() => {
            let message = format!("{} is no file", network.flow_directions.display());
            say("network.flow_directions".to_owned(), message);
        }
        None if grids => say("network".to_owned(), "is missing; a source delivers grids".to_owned()),
        _ => {}
    }
    for (index, catchment) in catchments.iter().enumerate().filter(|_| network.is_some()) {
        for (key, value) in [("outlet_x_m", catchment.outlet_x_m), ("outlet_y_m", catchment.outlet_y_m)] {
            if value.is_none() {
                say(format!("catchment[{index}].{key}"), "is missing; [network] traces catchments from it".to_owned());
            }
        }
    }
}

fn check_sources(
    sources: &BTreeMap<String, SourceDefinition>,
    data: &Path,
    forecast: Option<&ForecastOptions>,
    assimilation: Option<&AssimilationOptions>,
    problems: &mut Vec<Problem>,
) {
    for (name, source) in sources {
        let found = match &source.kind {
            SourceKind::Geotiff(options) => options.problems(data),
            SourceKind::Table(options) => options.problems(data),
            SourceKind::Camels(..) => Vec::new(),
        };
        problems.extend(
            found.into_iter().map(|(key, message)| Problem { path: join(&format!("source.{name}"), &key), message }),
        );
        let of_folder = matches!(source.kind, SourceKind::Camels(..));
        let key = match (of_folder, source.variable()) {
            (true, Variable::Discharge) => "source.discharge_delay".to_owned(),
            (true, _) => "source.forcing_delay".to_owned(),
            (false, _) => format!("source.{name}.delay"),
        };
        if source.delay.seconds() < -FARTHEST_S {
            let message = format!(
                "is {}: rows more than {} days ahead of their arrival are refused, so accepted is a shorter forecast.horizon",
                source.delay,
                FARTHEST_S / 86_400
            );
            problems.push(Problem { path: key.clone(), message });
        }
        let foreseen = forecast.filter(|f| f.scenario == Scenario::Perfect);
        if foreseen.is_some() && of_folder && source.variable() == Variable::Discharge && source.delay.seconds() > 0 {
            let message = format!(
                "is {}: with forecast.scenario = \"perfect\" no step waits for its gauge, so accepted is 0s, or another scenario",
                source.delay
            );
            problems.push(Problem { path: key.clone(), message });
        }
        let perfect = foreseen.filter(|_| source.variable() == Variable::Precipitation);
        if let Some(forecast) = perfect
            && source.delay.seconds() > -forecast.horizon.seconds()
        {
            let message = format!(
                "is {}; forecast.scenario = \"perfect\" needs rain that is known ahead: accepted is -{} or less, or another scenario",
                source.delay, forecast.horizon
            );
            problems.push(Problem { path: key, message });
        }
    }
    let observes = sources.values().any(|s| s.variable() == Variable::Discharge);
    if assimilation.is_some_and(|a| a.method != AssimilationMethod::None) && !observes {
        let message = "no source delivers discharge, so nothing can be assimilated; accepted is such a source or method = \"none\"";
        problems.push(Problem { path: "assimilation.method".to_owned(), message: message.to_owned() });
    }
}

fn check_package(
    package: &Package,
    time: &TimeOptions,
    catchments: &[Catchment],
    sources: &BTreeMap<String, SourceDefinition>,
    folder: Option<&Folder>,
    problems: &mut Vec<Problem>,
) {
    let mut say = |message: String| problems.push(Problem { path: "model.package".to_owned(), message });
    let card = package.card();
    if card.time_step_s != time.step.seconds() {
        say(format!("{} has steps of {} s, time.step is {}", card.name, card.time_step_s, time.step));
    }
    for input in &card.inputs {
        // What the gauge read a step before is an observation, not a forcing.
        let name = if FEEDBACK.contains(&input.name.as_str()) { Variable::Discharge.name() } else { &input.name };
        if !sources.values().any(|s| s.variable().name() == name) {
            say(format!("{} needs {name}, which no source delivers", card.name));
        }
    }
    if card.attributes.is_empty() {
        let names = catchments.iter().map(Catchment::parameters);
        let unknown: Vec<&str> = names.filter(|name| package.select(&[*name]).is_err()).collect();
        if let Some(error) = unknown.first().and_then(|name| package.select(&[*name]).err()) {
            let more = if unknown.len() > 1 { format!(" (and {} more)", unknown.len() - 1) } else { String::new() };
            let remedy =
                if folder.is_some() { "; a regional model takes any, or name them in source.leave_out" } else { "" };
            say(format!("{error}{more}{remedy}"));
        }
        return;
    }
    let before = problems.len();
    for catchment in catchments {
        for attribute in &card.attributes {
            if problems.len() - before >= SHOWN {
                let message = "and more of this kind may follow".to_owned();
                return problems.push(Problem { path: "catchment.attributes".to_owned(), message });
            }
            let file = folder.and_then(|f| f.inventory.files.get(&attribute.name));
            let place = file.map_or_else(String::new, |f| format!("{f}: "));
            let found = match catchment.attributes.get(&attribute.name) {
                Some(value) if value.is_finite() => continue,
                Some(value) => value.to_string(),
                None => "absent".to_owned(),
            };
            let message = format!(
                "{place}attribute {} of catchment {} is {found}, accepted is a finite number; {} needs it",
                attribute.name, catchment.id, card.name
            );
            problems.push(Problem { path: "catchment.attributes".to_owned(), message });
        }
    }
}
