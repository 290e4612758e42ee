//! What a model package needs of the rest.

use std::collections::BTreeMap;

use nilometer_packages::{FEEDBACK, Package};
use nilometer_schemas::Variable;

use super::SHOWN;
use crate::{Catchment, Problem, SourceDefinition, TimeOptions, folder::Folder};

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
        let feedback = FEEDBACK.contains(&input.name.as_str());
        let delivers = |source: &SourceDefinition| {
            let delivers = source.variable().name() == input.name && !source.is_forecast();
            if feedback { source.observes_discharge() } else { delivers }
        };
        if !sources.values().any(delivers) {
            let name = if feedback { Variable::Discharge.name() } else { &input.name };
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
