//! Catchments, their ratings and their rivers.

use std::collections::{BTreeMap, BTreeSet};

use nilometer_assimilation::Ratings;
use nilometer_schemas::Variable;
use nilometer_transforms::check::CheckOptions;

use super::no_station;
use crate::{Catchment, NetworkOptions, Problem, SourceDefinition};

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
        if !seen.insert(&catchment.id) {
            say("id", format!("{:?} is there already", catchment.id));
        }
        if !(catchment.area_km2 > 0.0 && catchment.area_km2 < 1e7) {
            say("area_km2", format!("is {}, accepted is above 0 and below 10⁷", catchment.area_km2));
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

/// Grids need flow directions, and gauges to trace them from.
pub(crate) fn network(
    network: Option<&NetworkOptions>,
    sources: &BTreeMap<String, SourceDefinition>,
    catchments: &[Catchment],
    problems: &mut Vec<Problem>,
) {
    let mut say = |path: String, message: String| problems.push(Problem { path, message });
    let grids = sources.values().any(|source| source.connector.delivers_fields());
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
