//! What a definition says without effect: options that the rest of it does not use, names that match nothing. It may be meant, so it is a
//! warning; what can only be a mistake is refused in `checks`.

use std::collections::BTreeSet;

use nilometer_connectors::FolderOptions;
use nilometer_packages::Mixture;
use nilometer_schemas::Variable;
use nilometer_transforms::check::CheckOptions;
use toml::{Table, Value};

use crate::{
    AssimilationMethod, Pipeline, Problem, Scenario, SourceDefinition, Threshold, ThresholdKind,
    all_errors::join,
    folder::Folder,
    overlap::{Overlap, overlaps},
};

/// Dotted paths of the keys that a file and its overrides hold, those of arrays left out.
pub(crate) struct Given(BTreeSet<String>);

impl Given {
    pub(crate) fn of(table: &Table) -> Self {
        let mut keys = BTreeSet::new();
        note("", table, &mut keys);
        Self(keys)
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path)
    }
}

fn note(at: &str, table: &Table, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = join(at, key);
        if let Value::Table(inner) = value {
            note(&path, inner, keys);
        }
        keys.insert(path);
    }
}

/// Every warning about a valid definition.
pub(crate) fn warnings(pipeline: &Pipeline, folder: Option<&Folder>, given: &Given) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut say = |path: String, message: String| warnings.push(Problem { path, message });
    assimilation(pipeline, given, &mut say);
    forecast(pipeline, given, &mut say);
    sources(pipeline, &pipeline.models, given, &mut say);
    catchments(pipeline, &pipeline.models, folder, &mut say);
    checks(pipeline, given, &mut say);
    if let Some(folder) = folder {
        unknown_basins(folder, &mut say);
    }
    if let [first, _, ..] = &pipeline.model.providers[..] {
        say("model.providers".to_owned(), format!("names more than one; the first, {first}, is used"));
    }
    if pipeline.network.is_some() && !pipeline.sources.values().any(|source| source.connector.delivers_fields()) {
        say("network".to_owned(), "is there, but no source delivers grids; without effect".to_owned());
    }
    warnings
}

type Say<'a> = dyn FnMut(String, String) + 'a;

fn delivers(pipeline: &Pipeline, variable: Variable) -> bool {
    pipeline.sources.values().any(|source| source.variable() == variable)
}

fn observes(pipeline: &Pipeline) -> bool {
    pipeline.sources.values().any(SourceDefinition::observes_discharge)
}

fn assimilation(pipeline: &Pipeline, given: &Given, say: &mut Say<'_>) {
    let options = &pipeline.assimilation;
    let (method, alone) = (options.method, options.members == 1);
    let moves = method.is_filter() || method == AssimilationMethod::Variational;
    let used = [
        ("variational", method == AssimilationMethod::Variational),
        ("particle_jitter", method == AssimilationMethod::Particle),
        ("inflation", method.is_filter()),
        ("error_learning_rate", method.is_filter()),
        ("relaxation", method.is_filter()),
        ("also_update", moves),
        ("output_updating", moves),
        ("error_factors", method != AssimilationMethod::None),
        ("precipitation_sigma", !alone),
        ("precipitation_tau", !alone),
        ("occurrence_probability", !alone),
        ("occurrence_mean_mm", !alone && options.occurrence_probability > 0.0),
        ("store_noise_mm", !alone),
        ("stage_error_m", delivers(pipeline, Variable::Stage)),
    ];
    let unused: Vec<&str> = used
        .into_iter()
        .filter(|(key, used)| !used && given.has(&format!("assimilation.{key}")))
        .map(|(key, _)| key)
        .collect();
    if !unused.is_empty() {
        let (name, members) = (method.name(), options.members);
        let message = format!("{} without effect: method = \"{name}\", members = {members}", unused.join(", "));
        say("assimilation".to_owned(), message);
    }
    for section in options.store_sections() {
        let (name, variable) = (section.name, section.variable);
        if section.given.is_some() && !delivers(pipeline, variable) {
            let message = format!("is there, but no source delivers {variable}; without effect");
            say(format!("assimilation.{name}"), message);
        }
    }
}

fn forecast(pipeline: &Pipeline, given: &Given, say: &mut Say<'_>) {
    let options = &pipeline.forecast;
    let outlooks = pipeline.drought.is_some_and(|drought| drought.outlook_weeks > 0);
    if given.has("forecast.years") && options.scenario != Scenario::PastYears && !outlooks {
        let name = options.scenario.name();
        let message = format!("is for scenario = \"past_years\" and for outlooks; without effect with \"{name}\"");
        say("forecast.years".to_owned(), message);
    }
    if observes(pipeline) {
        return;
    }
    if options.calibration_rate > 0.0 {
        let message = "is above 0, but no source delivers discharge or stage to learn from; without effect";
        say("forecast.calibration_rate".to_owned(), message.to_owned());
    }
    if options.score && given.has("forecast.score") {
        let message = "is true, but no source delivers discharge or stage to score by; without effect";
        say("forecast.score".to_owned(), message.to_owned());
    }
}

fn sources(pipeline: &Pipeline, models: &Mixture, given: &Given, say: &mut Say<'_>) {
    let takes = |variable: Variable| {
        let inputs = || models.members().iter().flat_map(|member| &member.package.card().inputs);
        inputs().any(|input| input.name == variable.name())
    };
    for (name, source) in &pipeline.sources {
        let (key, variable) = (format!("source.{name}"), source.variable());
        if variable.is_forcing() && !takes(variable) {
            let message = format!("is \"{variable}\", which {} does not take; without effect", models.name());
            say(format!("{key}.variable"), message);
        }
        if source.is_forecast() && pipeline.forecast.scenario != Scenario::Members {
            let scenario = pipeline.forecast.scenario.name();
            let message = format!(
                "is a weather forecast, which forecast.scenario = \"{scenario}\" does not use; it takes \"members\""
            );
            say(key.clone(), message);
        }
        for (option, message) in source.connector.without_effect(&|option| given.has(&join(&key, option))) {
            say(join(&key, &option), message);
        }
    }
    let overlaps = overlaps(&pipeline.sources, &pipeline.catchments, &pipeline.ratings);
    for Overlap { source, other, quantity, place, certain, .. } in overlaps.into_iter().filter(|o| !o.is_refused()) {
        let message = match certain {
            true => format!(
                "delivers {quantity} of {place}, as source.{other} does; where both have a row of one time that of source.{other} counts, unless the other comes later and corrects it"
            ),
            false => format!(
                "delivers {quantity} as source.{other} does, and a column says of which stations; a station in both has conflicting rows"
            ),
        };
        say(format!("source.{source}"), message);
    }
}

fn catchments(pipeline: &Pipeline, models: &Mixture, folder: Option<&Folder>, say: &mut Say<'_>) {
    let known: BTreeSet<&str> = pipeline.catchments.iter().map(|catchment| catchment.id.as_str()).collect();
    let asked: BTreeSet<&str> = models
        .members()
        .iter()
        .flat_map(|member| &member.package.card().attributes)
        .map(|attribute| attribute.name.as_str())
        .collect();
    for (index, catchment) in pipeline.catchments.iter().enumerate().filter(|_| folder.is_none()) {
        let key = |key: &str| format!("catchment[{index}].{key}");
        if let Some(next) = catchment.downstream.as_ref().filter(|next| !known.contains(next.id.as_str())) {
            let message = format!("of {} is {:?}, which is no catchment here; without effect", catchment.id, next.id);
            say(key("downstream.id"), message);
        }
        if pipeline.network.is_none() && (catchment.outlet_x_m.is_some() || catchment.outlet_y_m.is_some()) {
            let message =
                format!("of {} is there, but nothing is traced without [network]; without effect", catchment.id);
            say(key("outlet_x_m"), message);
        }
        if catchment.parameters.is_some() && !asked.is_empty() {
            let (id, model) = (&catchment.id, models.name());
            let message = format!("of {id} is there, but {model} tells catchments apart by attributes; without effect");
            say(key("parameters"), message);
        }
        let unused: Vec<&str> =
            catchment.attributes.keys().map(String::as_str).filter(|a| !asked.contains(a)).collect();
        if !unused.is_empty() {
            let message =
                format!("of {} has {}, which {} does not take", catchment.id, unused.join(", "), models.name());
            say(key("attributes"), message);
        }
        let unrated = |threshold: &&Threshold| {
            threshold.kind == ThresholdKind::Stage && !pipeline.ratings.contains_key(catchment.station())
        };
        let unrated: Vec<&str> = catchment.thresholds.iter().filter(unrated).map(|t| t.id.as_str()).collect();
        if !unrated.is_empty() {
            let (station, unrated) = (catchment.station(), unrated.join(", "));
            let message = format!(
                "of {station} has the stages {unrated}, and no [[rating.{station}]] says what flow that is; without effect"
            );
            say(key("thresholds"), message);
        }
    }
    unmeasured(pipeline, folder, say);
}

/// Gauges that are named and not delivered: their catchments run without them.
fn unmeasured(pipeline: &Pipeline, folder: Option<&Folder>, say: &mut Say<'_>) {
    let gauges = || pipeline.sources.values().filter(|source| source.observes_discharge());
    let of_all = gauges().any(|source| source.station().is_none());
    if folder.is_some() || of_all || gauges().next().is_none() {
        return;
    }
    let delivered: BTreeSet<&str> = gauges().filter_map(SourceDefinition::station).collect();
    for (index, catchment) in pipeline.catchments.iter().enumerate() {
        let station = catchment.station();
        if !delivered.contains(station) {
            let message =
                format!("of {} is {station}, whose discharge no source delivers: it runs without", catchment.id);
            say(format!("catchment[{index}].station"), message);
        }
    }
}

fn checks(pipeline: &Pipeline, given: &Given, say: &mut Say<'_>) {
    for (station, over) in &pipeline.station_checks {
        if *over == CheckOptions::default() {
            say(format!("station_checks.{station}"), "is empty; without effect".to_owned());
        }
    }
    let of_gauges = ["gross_range", "spike", "rate", "flat_line"];
    let unused: Vec<&str> = of_gauges.into_iter().filter(|key| given.has(&format!("checks.{key}"))).collect();
    if !unused.is_empty() && !observes(pipeline) {
        let message =
            format!("{} are of discharge and stage, which no source delivers; without effect", unused.join(", "));
        say("checks".to_owned(), message);
    }
}

/// Names of `[source]` that no basin of the folder has.
fn unknown_basins(folder: &Folder, say: &mut Say<'_>) {
    let options = &folder.options;
    let named = [
        ("leave_out", options.leave_out.iter().map(String::as_str).collect::<Vec<_>>()),
        ("area_km2", options.area_km2.keys().map(String::as_str).collect()),
        ("downstream", folder.downstream.keys().map(String::as_str).collect()),
    ];
    if named.iter().all(|(_, names)| names.is_empty()) {
        return;
    }
    let every_basin = FolderOptions { leave_out: Vec::new(), only: Vec::new(), ..options.clone() };
    // A folder whose other basins cannot be read does not tell which names it has.
    let Ok(all) = every_basin.inventory() else { return };
    let known: BTreeSet<&str> = all.catchments.iter().map(|catchment| catchment.id.as_str()).collect();
    for (key, names) in named {
        let unknown: Vec<&str> = names.into_iter().filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            let message = format!(
                "names {}, which {} has no forcing of; without effect",
                unknown.join(", "),
                options.path.display()
            );
            say(format!("source.{key}"), message);
        }
    }
}
