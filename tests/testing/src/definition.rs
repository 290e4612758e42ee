//! Definitions of pipelines, as tests make them.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use crate::root;

/// A definition. Its data lie beside it.
#[derive(Debug, Clone)]
pub struct Definition(Table);

impl Definition {
    /// A pipeline without catchments, sources and a model, of the steps from one time to another.
    #[must_use]
    pub fn new(name: &str, step: &str, from: impl Display, to: impl Display) -> Self {
        let empty = Self(Table::new()).set("name", name).set("data", ".").set("log.store", "unused");
        empty.set("time.step", step).set("time.from", from.to_string()).set("time.to", to.to_string())
    }

    /// Sets the value of a key, which has dots between its sections.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let mut sections: Vec<&str> = key.split('.').collect();
        let last = sections.pop().unwrap();
        let table = sections.into_iter().fold(&mut self.0, |table, section| {
            table.entry(section).or_insert_with(|| Table::new().into()).as_table_mut().unwrap()
        });
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Sets every key of a section that `keys` has.
    #[must_use]
    pub fn section(self, name: &str, keys: Table) -> Self {
        keys.into_iter().fold(self, |definition, (key, value)| definition.set(&format!("{name}.{key}"), value))
    }

    /// Runs a package of the zoo.
    #[must_use]
    pub fn model(self, package: &str) -> Self {
        self.set("model.package", root().join("models/zoo").join(package).display().to_string())
    }

    /// Takes a section of the Cance's definition.
    #[must_use]
    pub fn section_of_cance(self, name: &str) -> Self {
        let cance: Table = fs::read_to_string(cance_definition()).unwrap().parse().unwrap();
        let section = name.split('.').fold(&Value::Table(cance), |table, key| &table[key]).clone();
        self.set(name, section)
    }

    /// Adds catchments, each with its area.
    #[must_use]
    pub fn catchments<'a>(self, catchments: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let add = |definition: Self, (id, area_km2): (&str, f64)| definition.catchment(id, area_km2, Table::new());
        catchments.into_iter().fold(self, add)
    }

    /// Adds a catchment with further keys.
    #[must_use]
    pub fn catchment(mut self, id: &str, area_km2: f64, mut keys: Table) -> Self {
        keys.insert("id".to_owned(), id.into());
        keys.insert("area_km2".to_owned(), area_km2.into());
        let catchments = self.0.entry("catchment").or_insert_with(|| Value::Array(Vec::new()));
        catchments.as_array_mut().unwrap().push(keys.into());
        self
    }

    /// Adds a source.
    #[must_use]
    pub fn source(self, name: &str, source: impl Into<Value>) -> Self {
        self.set(&format!("source.{name}"), source)
    }

    /// Adds hourly rain, evapotranspiration and discharge of several gauges, in `weather.csv` and `flow.csv`.
    #[must_use]
    pub fn weather_and_flow(self, delay_of_flow: &str) -> Self {
        self.source("rain", TableSource::new("weather.csv", "rain", "precipitation", "mm").period("1h"))
            .source("pet", TableSource::new("weather.csv", "pet", "potential_evapotranspiration", "mm").period("1h"))
            .source("flow", TableSource::new("flow.csv", "flow", "discharge", "m3 s-1").delay(delay_of_flow))
    }

    /// Adds hourly rain, evapotranspiration and discharge of one gauge, each in a file of its own with the columns `time` and `value`.
    #[must_use]
    pub fn files_of_one_gauge(self, gauge: &str) -> Self {
        let evapotranspiration = "potential_evapotranspiration";
        self.source("rain", TableSource::new("rain.csv", "value", "precipitation", "mm").station(gauge).period("1h"))
            .source(
                "evapotranspiration",
                TableSource::new("evapotranspiration.csv", "value", evapotranspiration, "mm")
                    .station(gauge)
                    .period("1h"),
            )
            .source("flow", TableSource::new("flow.csv", "value", "discharge", "m3 s-1").station(gauge))
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Writes its file, `NAME.toml`, into a folder.
    #[must_use]
    pub fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("{}.toml", self.0["name"].as_str().unwrap()));
        fs::write(&file, self.text()).unwrap();
        file
    }
}

/// A source of kind `table`, whose columns `gauge` and `time` say of what and when a row is.
#[derive(Debug, Clone)]
pub struct TableSource(Table);

impl TableSource {
    /// The values of a column, which are instants.
    #[must_use]
    pub fn new(path: &str, value: &str, variable: &str, unit: &str) -> Self {
        Self(toml::toml! {
            kind = "table"
            station = { column = "gauge" }
            time = { column = { name = "time", format = "rfc3339" } }
        })
        .set("path", path)
        .set("value", value)
        .set("variable", variable)
        .set("unit", unit)
    }

    /// Every row is of one station.
    #[must_use]
    pub fn station(self, id: &str) -> Self {
        self.set("station", Table::from_iter([("constant".to_owned(), id.into())]))
    }

    /// The values are of periods.
    #[must_use]
    pub fn period(self, period: &str) -> Self {
        self.set("period", period)
    }

    /// Rows come later than they are valid, or before that.
    #[must_use]
    pub fn delay(self, delay: &str) -> Self {
        self.set("delay", delay)
    }

    /// Sets a key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

impl From<TableSource> for Value {
    fn from(source: TableSource) -> Self {
        source.0.into()
    }
}

/// The definition of the Cance.
#[must_use]
pub fn cance_definition() -> PathBuf {
    root().join("pipelines/definitions/cance.toml")
}
