//! What is assimilated, and how.

use std::collections::BTreeSet;

use nilometer_assimilation::{ErrorFactors, RiverDistances, RiverReach};
use nilometer_packages::Mixture;

use crate::{AssimilationMethod, AssimilationOptions, Catchment, Problem, TimeOptions};

/// Steps between two analyses: each keeps what every member predicted.
const MOST_STEPS: i64 = 1_000;

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
    for section in options.store_sections() {
        for (key, number, least, most) in section.given.into_iter().flat_map(|given| given.numbers) {
            within(&format!("{}.{key}", section.name), number, least, most);
        }
    }
    within("particle_jitter", options.particle_jitter, 0.0, 1.0);
    within("error_learning_rate", options.error_learning_rate, 0.0, 0.2);
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
    ];
    let stores = options.store_sections().map(|section| (section.name, section.given.is_some()));
    for (key, _) in asked.into_iter().chain(stores).filter(|(_, asked)| *asked && !options.method.is_filter()) {
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
    let sections = options.store_sections();
    for (section, stores) in sections.iter().filter_map(|of| Some((of.name, of.given.as_ref()?.stores))) {
        if !stores.iter().any(|name| holding.contains(name.as_str())) {
            let known = holding.iter().copied().collect::<Vec<_>>().join(", ");
            let message =
                format!("names {}, none of which is a store of the model; accepted are of {known}", stores.join(", "));
            problems.push(Problem { path: format!("assimilation.{section}.stores"), message });
        }
    }
}
