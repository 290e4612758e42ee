//! What sections say of each other: every check that needs more than one key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use nilometer_assimilation::{ErrorFactors, Ratings, RiverDistances, RiverReach};
use nilometer_runtime::{FEEDBACK, Mixture, Package};
use nilometer_schemas::Variable;
use nilometer_transforms::{
    Span,
    check::{CheckOptions, FARTHEST_S},
};

use crate::{
    AssimilationMethod, AssimilationOptions, Catchment, ForecastOptions, LogOptions, ModelOptions, NetworkOptions,
    Problem, Scenario, SourceDefinition, SourceKind, TimeOptions,
    collect::join,
    folder::Folder,
    overlap::{Overlap, overlaps},
};

/// More would be more threads and connections than a machine takes.
const MOST_PARTITIONS: u32 = 256;
/// Steps between two analyses: each keeps what every member predicted.
const MOST_STEPS: i64 = 1_000;
/// Problems of one kind worth reading at once.
const SHOWN: usize = 20;

pub(crate) fn time(time: &TimeOptions, forecast: Option<&ForecastOptions>, problems: &mut Vec<Problem>) {
    let mut say = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
    let step = time.step.seconds();
    if step <= 0 {
        return say("time.step", format!("is {}, accepted is above 0", time.step));
    }
    if time.from >= time.to {
        say("time.from", format!("is {}, accepted is before time.to = {}", time.from, time.to));
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
    if !(1..=100).contains(&forecast.years) {
        say("forecast.years", format!("is {}, accepted is 1 to 100", forecast.years));
    }
    let steps = u32::try_from(forecast.horizon.seconds() / step).unwrap_or(u32::MAX);
    if forecast.leads.iter().any(|lead| *lead == 0 || *lead > steps) {
        say(
            "forecast.leads",
            format!("is {:?}, accepted are steps from 1 to forecast.horizon = {steps}", forecast.leads),
        );
    }
    let distinct: BTreeSet<u32> = forecast.leads.iter().copied().collect();
    if distinct.len() < forecast.leads.len() {
        say("forecast.leads", format!("is {:?}, which has a lead time twice; accepted is each once", forecast.leads));
    }
    // What is issued at the last tick looks as far as the horizon.
    let end = time.to.plus_s(forecast.horizon.seconds());
    if let Some(from) = forecast.from.filter(|from| *from >= end) {
        say("forecast.from", format!("is {from}, behind which nothing is forecast; accepted is before {end}"));
    }
    if let Some(until) = forecast.until.filter(|until| *until <= forecast.from.unwrap_or(time.from).max(time.from)) {
        let from = forecast.from.unwrap_or(time.from).max(time.from);
        say("forecast.until", format!("is {until}, before which nothing is forecast; accepted is after {from}"));
    }
    for (path, span, smallest, unit) in [
        ("forecast.horizon", forecast.horizon, step, step),
        ("forecast.every", forecast.every, tick, tick),
        ("forecast.wait", forecast.wait, 0, step),
        ("forecast.lateness", forecast.lateness, 0, 1),
    ] {
        if span.seconds() < smallest || span.seconds() % unit != 0 {
            say(path, format!("is {span}, accepted is a multiple of {unit} s and at least {smallest} s"));
        }
    }
}

pub(crate) fn log(log: &LogOptions, problems: &mut Vec<Problem>) {
    let mut say = |key: &str, message: String| problems.push(Problem { path: format!("log.{key}"), message });
    if !(1..=MOST_PARTITIONS).contains(&log.partitions) {
        say("partitions", format!("is {}; accepted is 1 to {MOST_PARTITIONS}", log.partitions));
    }
    if log.store.is_empty() {
        say("store", "is empty; accepted is a folder, file:///folder or s3://bucket/prefix".to_owned());
    }
    if log.snapshot_every == 0 {
        say("snapshot_every", "is 0; accepted is 1 tick or more".to_owned());
    }
    if log.retention.seconds() <= 0 {
        say("retention", format!("is {}; accepted is above 0s", log.retention));
    }
    for (key, message) in log.kafka.iter().flat_map(|kafka| kafka.problems()) {
        say(&format!("kafka.{key}"), message);
    }
}

pub(crate) fn model(model: &ModelOptions, problems: &mut Vec<Problem>) {
    if model.providers.is_empty() {
        let message = "is empty; accepted is cpu or cuda".to_owned();
        problems.push(Problem { path: "model.providers".to_owned(), message });
    }
}

pub(crate) fn assimilation(options: &AssimilationOptions, problems: &mut Vec<Problem>) {
    let mut within = |key: &str, value: f64, low: f64, high: f64| {
        if !(low..=high).contains(&value) {
            problems.push(Problem {
                path: format!("assimilation.{key}"),
                message: format!("is {value}, accepted is {low} to {high}"),
            });
        }
    };
    let alone = matches!(options.method, AssimilationMethod::None | AssimilationMethod::Output);
    let one = options.method == AssimilationMethod::Variational;
    let fewest = if alone || one { 1.0 } else { 2.0 };
    within("members", options.members as f64, fewest, if one { 1.0 } else { 4_096.0 });
    within("variational.window", f64::from(options.variational.window), 1.0, 1_000.0);
    within("variational.iterations", f64::from(options.variational.iterations), 1.0, 1_000.0);
    within("variational.rate", options.variational.rate, 1e-6, 10.0);
    within("variational.store_std_mm", options.variational.store_std_mm, 0.0, 1e4);
    within("variational.memory_std", options.variational.memory_std, 0.0, 1e2);
    within("variational.model_error", options.variational.model_error, 0.0, 10.0);
    if let Some(adaptive) = options.adaptive_inflation {
        within("adaptive_inflation.rate", adaptive.rate, 0.0, 1.0);
        within("adaptive_inflation.maximum", adaptive.maximum, 1.0, 10.0 / options.inflation.clamp(1.0, 10.0));
    }
    if let Some(river) = options.river {
        within("river.half_width_km", river.half_width_km, 1e-3, 1e5);
        within("river.correlation", river.correlation, 0.0, 1.0);
    }
    if let Some(snow) = &options.snow {
        within("snow.relative_error", snow.relative_error, 0.0, 10.0);
        within("snow.absolute_error_mm", snow.absolute_error_mm, 1e-3, 1e4);
    }
    if let Some(cover) = &options.snow_cover {
        within("snow_cover.sigma_mm", cover.sigma_mm, 1e-3, 1e5);
        within("snow_cover.error", cover.error, 1e-3, 1.0);
    }
    if let Some(soil) = &options.soil_moisture {
        within("soil_moisture.error_m3_m3", soil.error_m3_m3, 1e-4, 1.0);
        within("soil_moisture.minimum_pairs", soil.minimum_pairs as f64, 2.0, 1e6);
    }
    within("particle_jitter", options.particle_jitter, 0.0, 1.0);
    within("inflation", options.inflation, 1.0, 10.0);
    within("relaxation", options.relaxation, 0.0, 1.0);
    within("discharge_epsilon_mm", options.discharge_epsilon_mm, 1e-9, 10.0);
    within("discharge_relative_error", options.discharge_relative_error, 0.0, 10.0);
    within("discharge_absolute_error_mm", options.discharge_absolute_error_mm, 1e-9, 10.0);
    within("stage_error_m", options.stage_error_m, 0.0, 10.0);
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
    let asked = [
        ("every", options.every.is_some()),
        ("adaptive_inflation", options.adaptive_inflation.is_some()),
        ("river", options.river.is_some()),
        ("snow", options.snow.is_some()),
        ("snow_cover", options.snow_cover.is_some()),
        ("soil_moisture", options.soil_moisture.is_some()),
    ];
    for (key, _) in asked.into_iter().filter(|(_, asked)| *asked && !options.method.is_filter()) {
        let message = format!(
            "is there, but method = {:?} moves no ensemble; accepted with a filter only",
            options.method.name()
        );
        problems.push(Problem { path: format!("assimilation.{key}"), message });
    }
    if let Some(soil) = options.soil_moisture.as_ref().filter(|soil| soil.from >= soil.to) {
        let message = format!("is {}, accepted is before assimilation.soil_moisture.to = {}", soil.from, soil.to);
        problems.push(Problem { path: "assimilation.soil_moisture.from".to_owned(), message });
    }
    if let Err(error) = ErrorFactors::new(options.error_factors) {
        problems.push(Problem { path: "assimilation.error_factors".to_owned(), message: error.to_string() });
    }
}

pub(crate) fn catchments(
    catchments: &[Catchment],
    station_checks: &BTreeMap<String, CheckOptions>,
    problems: &mut Vec<Problem>,
) {
    let mut seen = BTreeSet::new();
    for (index, catchment) in catchments.iter().enumerate() {
        let mut say =
            |key: &str, message: String| problems.push(Problem { path: format!("catchment[{index}].{key}"), message });
        for (key, name) in [
            ("id", Some(&catchment.id)),
            ("station", catchment.station.as_ref()),
            ("parameters", catchment.parameters.as_ref()),
        ] {
            if name.is_some_and(String::is_empty) {
                say(key, "is empty; accepted is a name".to_owned());
            }
        }
        let mut thresholds = catchment.flood_thresholds_m3_s.clone();
        thresholds.sort_by(f64::total_cmp);
        if let Some(twice) = thresholds.windows(2).find(|pair| pair[0] == pair[1]) {
            say("flood_thresholds_m3_s", format!("has {} twice; accepted is each once", twice[0]));
        }
        if !seen.insert(&catchment.id) {
            say("id", format!("{:?} is there already", catchment.id));
        }
        if !(catchment.area_km2 > 0.0 && catchment.area_km2 < 1e7) {
            say("area_km2", format!("is {}, accepted is above 0 and below 10⁷", catchment.area_km2));
        }
        if let Some(wrong) = catchment.flood_thresholds_m3_s.iter().find(|t| !(t.is_finite() && **t > 0.0)) {
            say("flood_thresholds_m3_s", format!("has {wrong}, accepted are numbers above 0"));
        }
    }
    for (index, catchment) in catchments.iter().enumerate() {
        let taken = |name: &String| {
            let of_other = |(at, c): (usize, &Catchment)| at != index && c.formerly.contains(name);
            let todays = catchments.iter().any(|c| c.station() == name || c.id == *name);
            todays || catchments.iter().enumerate().any(of_other)
        };
        if let Some(name) = catchment.formerly.iter().find(|name| taken(name)) {
            let message = format!(
                "has {name:?}, which is the name of a station or catchment already; accepted are names that no other has"
            );
            problems.push(Problem { path: format!("catchment[{index}].formerly"), message });
        }
    }
    for station in station_checks.keys().filter(|s| !catchments.iter().any(|c| c.station() == **s)) {
        let message = no_station(catchments);
        problems.push(Problem { path: format!("station_checks.{station}"), message });
    }
}

fn no_station(catchments: &[Catchment]) -> String {
    format!("is no catchment's station; accepted are of {}", some(catchments.iter().map(Catchment::station)))
}

/// Names, as many as a message takes.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.collect::<Vec<_>>();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.truncate(SHOWN);
    format!("{}{more}", names.join(", "))
}

/// Analyses fall on steps.
pub(crate) fn analyses(options: &AssimilationOptions, time: &TimeOptions, problems: &mut Vec<Problem>) {
    let (every_s, step_s) = (options.analysis_every_s(time.step), time.step.seconds());
    if step_s > 0 && (every_s <= 0 || every_s % step_s != 0 || every_s > MOST_STEPS * step_s) {
        let message =
            format!("is {every_s} s, accepted is a multiple of time.step = {}, at most {MOST_STEPS} of it", time.step);
        problems.push(Problem { path: "assimilation.every".to_owned(), message });
    }
}

/// Where rivers go, as `key` says it, for gauges that inform the catchments above them.
pub(crate) fn rivers(key: &str, catchments: &[Catchment], options: &AssimilationOptions, problems: &mut Vec<Problem>) {
    let mut say = |message: String| problems.push(Problem { path: key.to_owned(), message });
    for (id, km) in catchments.iter().filter_map(|c| Some((&c.id, c.downstream.as_ref()?.river_km))) {
        if !(km >= 0.0 && km.is_finite()) {
            return say(format!("of {id} has river_km = {km}, accepted is a length of 0 km or more"));
        }
    }
    let reaches = catchments.iter().map(|catchment| RiverReach {
        catchment: &catchment.id,
        downstream: catchment.downstream.as_ref().map(|next| next.id.as_str()),
        length_m: catchment.downstream.as_ref().map_or(0.0, |next| next.river_km),
    });
    if let Err(error) = RiverDistances::new(&reaches.collect::<Vec<_>>()) {
        say(error.to_string());
        return;
    }
    let known: BTreeSet<&str> = catchments.iter().map(|catchment| catchment.id.as_str()).collect();
    let leads = |catchment: &Catchment| catchment.downstream.as_ref().is_some_and(|next| known.contains(&*next.id));
    if options.river.is_some() && !catchments.iter().any(leads) {
        say("is nowhere, so assimilation.river has no gauge below a catchment; accepted is { id, river_km } for one"
            .to_owned());
    }
}

/// Ratings are of stations of the pipeline, and every station that reports stage has one.
pub(crate) fn ratings(
    ratings: &BTreeMap<String, Ratings>,
    catchments: &[Catchment],
    sources: &BTreeMap<String, SourceDefinition>,
    problems: &mut Vec<Problem>,
) {
    let mut say = |path: String, message: String| problems.push(Problem { path, message });
    for station in ratings.keys().filter(|s| !catchments.iter().any(|c| c.station() == **s)) {
        say(format!("rating.{station}"), no_station(catchments));
    }
    for (name, source) in sources.iter().filter(|(_, source)| source.variable() == Variable::Stage) {
        let rated = source.station().map_or(!ratings.is_empty(), |station| ratings.contains_key(station));
        if !rated {
            let message = "is \"stage\", and no rating says what discharge that is; accepted with a [[rating.STATION]] of each of its stations";
            say(format!("source.{name}.variable"), message.to_owned());
        }
    }
}

/// Every source is of a place of the definition, and no two deliver one quantity of it.
pub(crate) fn stations(
    sources: &BTreeMap<String, SourceDefinition>,
    catchments: &[Catchment],
    ratings: &BTreeMap<String, Ratings>,
    problems: &mut Vec<Problem>,
) {
    let mut say = |path: String, message: String| problems.push(Problem { path, message });
    let names: BTreeSet<&str> = catchments.iter().flat_map(|c| [c.station(), c.id.as_str()]).collect();
    let unknown = |station: &&str| !names.is_empty() && !names.contains(station);
    for (name, station) in sources.iter().filter_map(|(name, source)| Some((name, source.station()?))) {
        if unknown(&station) {
            let known = some(names.iter().copied());
            let message =
                format!("is {station:?}, which no catchment has as its station or id; accepted are of {known}");
            say(format!("source.{name}.station"), message);
        }
    }
    for Overlap { source, other, quantity, place, .. } in
        overlaps(sources, catchments, ratings).into_iter().filter(Overlap::is_refused)
    {
        let message = format!(
            "delivers {quantity} of {place}, which source.{other} delivers too; accepted is one of them: join their files, or leave one out"
        );
        say(format!("source.{source}"), message);
    }
}

/// A folder's rows are steps of the pipeline.
pub(crate) fn folder(folder: &Folder, time: &TimeOptions, problems: &mut Vec<Problem>) {
    let (layout, step) = (folder.options.layout, Span::from_seconds(folder.options.layout.step_s()));
    if step != time.step {
        let message =
            format!("is a folder in the {} layout, whose step is {step}; time.step is {}", layout.name(), time.step);
        problems.push(Problem { path: "source.kind".to_owned(), message });
    }
}

/// What is to be updated besides is a part of some model's state.
pub(crate) fn also_updated(models: &Mixture, options: &AssimilationOptions, problems: &mut Vec<Problem>) {
    let states: BTreeSet<&str> =
        models.members().iter().flat_map(|m| &m.package.card().states).map(|state| state.name.as_str()).collect();
    for unknown in options.also_update.iter().filter(|name| !states.contains(name.as_str())) {
        let known = states.iter().copied().collect::<Vec<_>>().join(", ");
        let message = format!("names {unknown:?}, which is no part of the model's state; accepted are {known}");
        problems.push(Problem { path: "assimilation.also_update".to_owned(), message });
    }
    let blocks = || models.members().iter().flat_map(|m| &m.package.card().states);
    let holding: BTreeSet<&str> =
        blocks().filter(|state| state.storage.is_some()).map(|state| state.name.as_str()).collect();
    let seen = [
        ("snow", options.snow.as_ref().map(|snow| &snow.stores)),
        ("snow_cover", options.snow_cover.as_ref().map(|cover| &cover.stores)),
        ("soil_moisture", options.soil_moisture.as_ref().map(|soil| &soil.stores)),
    ];
    for (section, stores) in seen.into_iter().filter_map(|(section, stores)| Some((section, stores?))) {
        if !stores.iter().any(|name| holding.contains(name.as_str())) {
            let known = holding.iter().copied().collect::<Vec<_>>().join(", ");
            let message =
                format!("names {}, none of which is a store of the model; accepted are of {known}", stores.join(", "));
            problems.push(Problem { path: format!("assimilation.{section}.stores"), message });
        }
    }
}

/// Grids need flow directions, and gauges to trace them from.
pub(crate) fn network(
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
    if let Some(network) = network {
        if !(0.0..=1.0).contains(&network.minimum_valid_fraction) {
            let message = format!("is {}; accepted is 0 to 1", network.minimum_valid_fraction);
            say("network.minimum_valid_fraction".to_owned(), message);
        }
        if !(0.0..).contains(&network.area_tolerance) {
            say("network.area_tolerance".to_owned(), format!("is {}; accepted is 0 or more", network.area_tolerance));
        }
    }
    for (index, catchment) in catchments.iter().enumerate().filter(|_| network.is_some()) {
        for (key, value) in [("outlet_x_m", catchment.outlet_x_m), ("outlet_y_m", catchment.outlet_y_m)] {
            if value.is_none() {
                say(format!("catchment[{index}].{key}"), "is missing; [network] traces catchments from it".to_owned());
            }
        }
    }
}

pub(crate) fn sources(
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
            SourceKind::Folder(..) => Vec::new(),
        };
        problems.extend(
            found.into_iter().map(|(key, message)| Problem { path: join(&format!("source.{name}"), &key), message }),
        );
        let of_folder = matches!(source.kind, SourceKind::Folder(..));
        let key = match (of_folder, source.variable()) {
            (true, Variable::Discharge) => "source.discharge_delay".to_owned(),
            (true, _) => "source.forcing_delay".to_owned(),
            (false, _) => format!("source.{name}.delay"),
        };
        if source.foresees() && source.delay.seconds() < 0 {
            let message =
                format!("is {}: a forecast is not known before it is made, so accepted is 0s or more", source.delay);
            problems.push(Problem { path: key.clone(), message });
        }
        if source.delay.seconds() < 0 && !source.variable().is_forcing() {
            let message = format!(
                "is {}; accepted is 0s or more: what a gauge or satellite reads is not known beforehand",
                source.delay
            );
            problems.push(Problem { path: key.clone(), message });
        }
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
        let perfect = foreseen.filter(|_| source.variable() == Variable::Precipitation && !source.foresees());
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
    if forecast.is_some_and(|f| f.scenario == Scenario::PastYears) && assimilation.is_some_and(|a| a.members < 2) {
        let message =
            "is 1; with forecast.scenario = \"past_years\" each member meets another year, so accepted is 2 or more";
        problems.push(Problem { path: "assimilation.members".to_owned(), message: message.to_owned() });
    }
    if forecast.is_some_and(|f| f.scenario == Scenario::Members) && !sources.values().any(SourceDefinition::foresees) {
        let message = "is \"members\", and no source delivers a weather forecast; accepted with a table whose forecast = { issue_time, member } names its columns";
        problems.push(Problem { path: "forecast.scenario".to_owned(), message: message.to_owned() });
    }
    for (name, source) in sources {
        let section = match (source.variable(), assimilation) {
            (Variable::SnowWaterEquivalent, Some(a)) if a.snow.is_none() => "snow",
            (Variable::SnowCoveredFraction, Some(a)) if a.snow_cover.is_none() => "snow_cover",
            (Variable::SoilMoisture, Some(a)) if a.soil_moisture.is_none() => "soil_moisture",
            _ => continue,
        };
        let message =
            format!("is \"{}\", which nothing uses; accepted with [assimilation.{section}]", source.variable());
        problems.push(Problem { path: format!("source.{name}.variable"), message });
    }
    let observes = sources.values().any(SourceDefinition::observes_discharge);
    if assimilation.is_some_and(|a| a.method != AssimilationMethod::None) && !observes {
        let message = "no source delivers discharge, so nothing can be assimilated; accepted is such a source or method = \"none\"";
        problems.push(Problem { path: "assimilation.method".to_owned(), message: message.to_owned() });
    }
}

/// What gauges measure is an instant, or a mean over no more than a step: a model says nothing else that it can be held against.
pub(crate) fn periods(sources: &BTreeMap<String, SourceDefinition>, time: &TimeOptions, problems: &mut Vec<Problem>) {
    for (name, source) in sources.iter().filter(|(_, source)| source.observes_discharge()) {
        let SourceKind::Table(options) = &source.kind else { continue };
        let period = options.period;
        if period > time.step {
            let message = format!(
                "is {period}, time.step is {}; accepted is 0s (an instant) or a mean over at most {}: leave this source out, or take a model whose step is {period}",
                time.step, time.step
            );
            problems.push(Problem { path: format!("source.{name}.period"), message });
        }
    }
}

pub(crate) fn package(
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
        let fed = FEEDBACK.contains(&input.name.as_str());
        let delivers = |source: &SourceDefinition| {
            let delivers = source.variable().name() == input.name && !source.foresees();
            if fed { source.observes_discharge() } else { delivers }
        };
        if !sources.values().any(delivers) {
            let name = if fed { Variable::Discharge.name() } else { &input.name };
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
