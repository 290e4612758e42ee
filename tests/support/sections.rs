//! Sections of definitions that several tests write.

use std::fs;

use super::definition;

/// The filter of the Cance.
pub fn filter() -> String {
    let cance = fs::read_to_string(definition()).unwrap();
    let (_, filter) = cance.split_once("[assimilation]").unwrap();
    format!("[assimilation]{}", filter.split_once("[forecast]").unwrap().0)
}

/// A table with columns `gauge`, `time` and others.
pub fn table(name: &str, path: &str, value: &str, variable: &str, unit: &str, period: &str, delay: &str) -> String {
    format!(
        "[source.{name}]\nkind = \"table\"\npath = {path:?}\nstation = {{ column = \"gauge\" }}\n\
         time = {{ column = {{ name = \"time\", format = \"rfc3339\" }} }}\nvalue = {value:?}\n\
         variable = {variable:?}\nunit = {unit:?}\nperiod = {period:?}\ndelay = {delay:?}\n"
    )
}

/// Hourly rain, evapotranspiration and discharge of several gauges, in `weather.csv` and `flow.csv`.
pub fn weather_and_flow(delay_of_flow: &str) -> String {
    [
        table("rain", "weather.csv", "rain", "precipitation", "mm", "1h", "0s"),
        table("pet", "weather.csv", "pet", "potential_evapotranspiration", "mm", "1h", "0s"),
        table("flow", "flow.csv", "flow", "discharge", "m3 s-1", "0s", delay_of_flow),
    ]
    .concat()
}

/// Hourly rain, evapotranspiration and discharge of one gauge, each in a file of its own with the columns `time` and `value`.
pub fn files_of_one_gauge(gauge: &str) -> String {
    [
        ("rain", "precipitation", "mm", "1h"),
        ("evapotranspiration", "potential_evapotranspiration", "mm", "1h"),
        ("flow", "discharge", "m3 s-1", "0s"),
    ]
    .map(|(name, variable, unit, period)| {
        format!(
            "[source.{name}]\nkind = \"table\"\npath = \"{name}.csv\"\nstation = {{ constant = \"{gauge}\" }}\n\
             time = {{ column = {{ name = \"time\", format = \"rfc3339\" }} }}\nvalue = \"value\"\n\
             variable = \"{variable}\"\nunit = \"{unit}\"\nperiod = \"{period}\"\n"
        )
    })
    .concat()
}
