//! Sources beside each other, and beside what is forecast.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use nilometer_assimilation::Ratings;
use nilometer_schemas::Variable;
use nilometer_transforms::{Span, check::FARTHEST_S};

use super::some;
use crate::{
    AssimilationMethod, AssimilationOptions, Catchment, ForecastOptions, Problem, Scenario, SourceDefinition,
    TimeOptions,
    all_errors::join,
    folder::Folder,
    overlap::{Overlap, overlaps},
};

pub(crate) fn sources(
    sources: &BTreeMap<String, SourceDefinition>,
    data: &Path,
    forecast: Option<&ForecastOptions>,
    assimilation: Option<&AssimilationOptions>,
    problems: &mut Vec<Problem>,
) {
    for (name, source) in sources {
        let found = source.connector.problems(data);
        problems.extend(
            found.into_iter().map(|(key, message)| Problem { path: join(&format!("source.{name}"), &key), message }),
        );
        let of_folder = source.connector.folder().is_some();
        let key = match (of_folder, source.variable()) {
            (true, Variable::Discharge) => "source.discharge_delay".to_owned(),
            (true, _) => "source.forcing_delay".to_owned(),
            (false, _) => format!("source.{name}.delay"),
        };
        if source.is_forecast() && source.delay.seconds() < 0 {
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
        let of_perfect = forecast.filter(|f| f.scenario == Scenario::Perfect);
        if of_perfect.is_some() && of_folder && source.variable() == Variable::Discharge && source.delay.seconds() > 0 {
            let message = format!(
                "is {}: with forecast.scenario = \"perfect\" no step waits for its gauge, so accepted is 0s, or another scenario",
                source.delay
            );
            problems.push(Problem { path: key.clone(), message });
        }
        let perfect = of_perfect.filter(|_| source.variable() == Variable::Precipitation && !source.is_forecast());
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
    if forecast.is_some_and(|f| f.scenario == Scenario::Members) && !sources.values().any(SourceDefinition::is_forecast)
    {
        let message = "is \"members\", and no source delivers a weather forecast; accepted with a table whose forecast = { issue_time, member } names its columns";
        problems.push(Problem { path: "forecast.scenario".to_owned(), message: message.to_owned() });
    }
    for (name, source) in sources {
        let sections = assimilation.map(AssimilationOptions::store_sections).into_iter().flatten();
        let absent = sections.into_iter().find(|of| of.variable == source.variable() && of.given.is_none());
        let Some(section) = absent else { continue };
        let message =
            format!("is \"{}\", which nothing uses; accepted with [assimilation.{}]", source.variable(), section.name);
        problems.push(Problem { path: format!("source.{name}.variable"), message });
    }
    let observes = sources.values().any(SourceDefinition::observes_discharge);
    if assimilation.is_some_and(|a| a.method != AssimilationMethod::None) && !observes {
        let message = "no source delivers discharge, so nothing can be assimilated; accepted is such a source or method = \"none\"";
        problems.push(Problem { path: "assimilation.method".to_owned(), message: message.to_owned() });
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

/// What gauges measure is an instant, or a mean over no more than a step: a model says nothing else that it can be held against.
pub(crate) fn periods(sources: &BTreeMap<String, SourceDefinition>, time: &TimeOptions, problems: &mut Vec<Problem>) {
    let of_gauges = sources.iter().filter(|(_, source)| source.observes_discharge());
    for (name, source) in of_gauges.filter(|(_, source)| source.connector.folder().is_none()) {
        let period = source.connector.period();
        if period > time.step {
            let message = format!(
                "is {period}, time.step is {}; accepted is 0s (an instant) or a mean over at most {}: leave this source out, or take a model whose step is {period}",
                time.step, time.step
            );
            problems.push(Problem { path: format!("source.{name}.period"), message });
        }
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
