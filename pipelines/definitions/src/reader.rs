//! The reader: sections out of the file's table, each with its problems by path.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nilometer_connectors::{CONNECTORS, Connector, ConnectorVisitor, visit_connector};
use nilometer_packages::Mixture;
use nilometer_transforms::Span;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Catchment, Problem, SourceDefinition, all_errors::collect};

/// Takes sections out of the file's table; what stays in it is unknown.
pub(crate) struct Reader<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub(crate) fn section<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.table.remove(key) {
            Some(value) => self.read(key, value),
            None => {
                self.problems.push(Problem { path: key.to_owned(), message: "is missing".to_owned() });
                None
            }
        }
    }

    pub(crate) fn optional<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        self.table.remove(key).and_then(|value| self.read(key, value)).unwrap_or_default()
    }

    pub(crate) fn read<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        collect(path, value).map_err(|problems| self.problems.extend(problems)).ok()
    }

    pub(crate) fn catchments(&mut self) -> Vec<Catchment> {
        match self.table.remove("catchment") {
            Some(Value::Array(items)) if !items.is_empty() => items
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| self.read(&format!("catchment[{index}]"), with_flood_flows(value)))
                .collect(),
            found => {
                let message = format!("{}; accepted is one [[catchment]] or more", absence(found.as_ref()));
                self.problems.push(Problem { path: "catchment".to_owned(), message });
                Vec::new()
            }
        }
    }

    /// The verified package, or the blend, at `folder`.
    pub(crate) fn models(&mut self, folder: &Path) -> Option<Mixture> {
        Mixture::load(folder)
            .map_err(|error| {
                let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
                self.problems.push(Problem { path: "model.package".to_owned(), message: format!("{error}{cause}") });
            })
            .ok()
    }

    pub(crate) fn sources(&mut self) -> BTreeMap<String, SourceDefinition> {
        let found = self.table.remove("source");
        let absence = absence(found.as_ref());
        let Some(Value::Table(sources)) = found.filter(|value| value.as_table().is_some_and(|t| !t.is_empty())) else {
            let message = format!("{absence}; accepted is one [source.NAME] or more");
            self.problems.push(Problem { path: "source".to_owned(), message });
            return BTreeMap::new();
        };
        sources.into_iter().filter_map(|(name, value)| Some((name.clone(), self.source(&name, value)?))).collect()
    }

    pub(crate) fn source(&mut self, name: &str, value: Value) -> Option<SourceDefinition> {
        let path = format!("source.{name}");
        let Value::Table(mut table) = value else {
            self.problems.push(Problem { path, message: "is no table".to_owned() });
            return None;
        };
        let delay = table.remove("delay").map_or(Some(Span::default()), |v| self.read(&format!("{path}.delay"), v));
        let kind = table.remove("kind");
        let kind = kind.as_ref().and_then(Value::as_str);
        let read = ReadConnector { reader: self, path: &path, table };
        let Some(connector) = visit_connector(kind.unwrap_or_default(), read) else {
            let found = kind.map_or_else(|| "is missing".to_owned(), |kind| format!("is {kind:?}"));
            let message = format!("{found}; accepted is {}", one_of(CONNECTORS.into_iter()));
            self.problems.push(Problem { path: format!("{path}.kind"), message });
            return None;
        };
        Some(SourceDefinition { delay: delay?, connector: connector? })
    }
}

/// Reads the options of a source, whatever their type.
struct ReadConnector<'r, 'a> {
    reader: &'r mut Reader<'a>,
    path: &'r str,
    table: Table,
}

impl ConnectorVisitor for ReadConnector<'_, '_> {
    type Output = Option<Arc<dyn Connector>>;

    fn visit<C: Connector + DeserializeOwned + JsonSchema + 'static>(self) -> Self::Output {
        let options: C = self.reader.read(self.path, Value::Table(self.table))?;
        Some(Arc::new(options))
    }
}

/// A catchment whose definition of an earlier build lists `flood_thresholds_m3_s`, with a threshold of each, named by its flow.
fn with_flood_flows(mut catchment: Value) -> Value {
    let Some(table) = catchment.as_table_mut() else { return catchment };
    let Some(Value::Array(flows)) = table.remove("flood_thresholds_m3_s") else { return catchment };
    let mut flows: Vec<f64> =
        flows.iter().filter_map(|flow| flow.as_float().or_else(|| flow.as_integer().map(|flow| flow as f64))).collect();
    flows.sort_by(f64::total_cmp);
    let threshold = |flow: f64| {
        let id = format!("{flow}").replace(['.', '-'], "_");
        let (unit, kind) = (Value::String("m3 s-1".to_owned()), Value::String("flow".to_owned()));
        let pairs = [("id", Value::String(id)), ("value", Value::Float(flow)), ("unit", unit), ("kind", kind)];
        Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let thresholds = table.entry("thresholds").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(thresholds) = thresholds.as_array_mut() {
        thresholds.extend(flows.into_iter().map(threshold));
    }
    catchment
}

/// Words of which one is accepted.
pub(crate) fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(" or ")
}

/// Why a value gives no table.
fn absence(value: Option<&Value>) -> &'static str {
    match value {
        None => "is missing",
        Some(Value::Array(items)) if items.is_empty() => "is empty",
        Some(Value::Table(tables)) if tables.is_empty() => "is empty",
        Some(_) => "is a value of another kind",
    }
}
