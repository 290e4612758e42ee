//! Every key of a definition, with its type, default and meaning as the option types and their doc comments have them.

use std::collections::BTreeSet;

use nilometer_assimilation::RatingOptions;
use nilometer_connectors::{CONNECTORS, Connector, ConnectorVisitor, FolderLayout, FolderOptions, visit_connector};
use nilometer_engine::KafkaOptions;
use nilometer_transforms::check::CheckOptions;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    AlertOptions, AssimilationOptions, Catchment, DroughtOptions, ForecastOptions, LogOptions, ModelOptions,
    NetworkOptions, OperationsOptions, ServeOptions, StationTable, TimeOptions,
    defaults::{self, StepDefault},
};

/// One table of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// its header in the file, as `[time]`
    pub header: String,
    /// its keys: those that must be there first, each group by name
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// its name below the section, dotted
    pub name: String,
    /// what its value is
    pub kind: String,
    /// its value when absent; none where it must be there
    pub default: Option<String>,
    /// what it means
    pub meaning: String,
}

/// Every section, in the order in which a definition has them.
#[must_use]
pub fn sections() -> Vec<Section> {
    let kinds = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let layouts: Vec<&str> = FolderLayout::kinds().collect();
    let of_layouts = layouts.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    let mut folder = of::<FolderOptions>(&format!("[source] with kind = {of_layouts}"));
    let mut sources = Vec::new();
    for kind in CONNECTORS {
        let header = format!("[source.NAME] with kind = \"{kind}\"");
        let Some(mut section) = visit_connector(kind, ReferenceOf(&header)) else { continue };
        section.keys.insert(0, key("kind", &kinds(&CONNECTORS), None, "connector"));
        let meaning = "how long after a value's time (for a period: after its end; for a weather forecast: after its issue time) it arrives in a replay; negative is foresight";
        section.keys.push(key("delay", "length of time", Some("\"0s\""), meaning));
        sources.push(section);
    }
    folder.keys.insert(0, key("kind", &kinds(&layouts), None, "layout of the folder"));
    folder.keys.extend([
        key("discharge_delay", "length of time", Some("\"0s\""), "as `delay` of other sources, of discharge"),
        key(
            "forcing_delay",
            "length of time",
            Some("\"0s\"; with forecast.scenario = \"perfect\" -forecast.horizon"),
            "as `delay` of other sources, of forcing",
        ),
        key("downstream", "table of NAME = { id, river_km }", Some("{}"), "where rivers go next, by basin"),
    ]);
    let mut assimilation = of::<AssimilationOptions>("[assimilation]");
    assimilation.of_step(&defaults::ASSIMILATION);
    let mut forecast = of::<ForecastOptions>("[forecast]");
    forecast.of_step(&defaults::FORECAST);
    let whole = Section {
        header: "top level".to_owned(),
        keys: vec![
            key("name", "text", None, "name of the pipeline"),
            key("data", "text", None, "folder that the sources' paths are relative to; not with [source] as a folder"),
        ],
    };
    let before = [
        whole,
        of::<TimeOptions>("[time]"),
        of::<Catchment>("[[catchment]]"),
        of::<StationTable>("[stations]"),
        of::<NetworkOptions>("[network]"),
    ];
    let behind = [
        folder,
        of::<CheckOptions>("[checks] and [station_checks.STATION]"),
        of::<RatingOptions>("[[rating.STATION]]"),
        of::<ModelOptions>("[model]"),
        assimilation,
        forecast,
        of::<DroughtOptions>("[drought]"),
        of::<AlertOptions>("[alerts]"),
        of::<LogOptions>("[log]"),
        of::<KafkaOptions>("[log.kafka]"),
        of::<OperationsOptions>("[operations]"),
        of::<ServeOptions>("[serve]"),
    ];
    before.into_iter().chain(sources).chain(behind).collect()
}

/// The keys of a kind of source, behind a header.
struct ReferenceOf<'a>(&'a str);

impl ConnectorVisitor for ReferenceOf<'_> {
    type Output = Section;

    fn visit<C: Connector + DeserializeOwned + JsonSchema + 'static>(self) -> Section {
        of::<C>(self.0)
    }
}

impl Section {
    /// Enters the defaults that the step decides.
    fn of_step(&mut self, defaults: &[StepDefault]) {
        for default in defaults {
            let below = format!("{}.", default.key);
            for key in self.keys.iter_mut().filter(|key| key.name == default.key || key.name.starts_with(&below)) {
                key.default = Some(if key.name == default.key { default.says } else { "see above" }.to_owned());
            }
        }
        self.required_first();
    }

    /// Each table's own keys stay behind it.
    fn required_first(&mut self) {
        let optional = self.keys.iter().filter(|key| key.default.is_some() && !key.name.contains('.'));
        let optional: BTreeSet<String> = optional.map(|key| key.name.clone()).collect();
        self.keys.sort_by_key(|key| key.name.split('.').next().is_some_and(|root| optional.contains(root)));
    }
}

fn key(name: &str, kind: &str, default: Option<&str>, meaning: &str) -> Key {
    let default = default.map(str::to_owned);
    Key { name: name.to_owned(), kind: kind.to_owned(), default, meaning: meaning.to_owned() }
}

fn of<T: JsonSchema>(header: &str) -> Section {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = SchemaGenerator::from(settings).into_root_schema_for::<T>().to_value();
    let mut keys = Vec::new();
    add_keys("", &schema, &mut keys);
    keys.retain(|key| !key.name.starts_with("kafka."));
    let mut section = Section { header: header.to_owned(), keys };
    section.required_first();
    section
}

/// The keys of a table, and behind each that is a table itself the keys of that one.
fn add_keys(at: &str, schema: &Value, keys: &mut Vec<Key>) {
    let required = |name: &str| list(schema, "required").iter().any(|key| key.as_str() == Some(name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = crate::all_errors::join(at, name);
        let default = match property.get("default") {
            Some(value) if !value.is_null() => Some(toml(value)),
            _ if required(name) => None,
            _ => Some("absent".to_owned()),
        };
        let table = present(property).filter(|schema| schema.get("properties").is_some());
        let kind = table.map_or_else(|| kind(property), |_| "table".to_owned());
        let default = if table.is_some() { default.map(|_| "absent".to_owned()) } else { default };
        let meaning = text(property, "description");
        keys.push(Key { name: path.clone(), kind, default, meaning });
        if let Some(table) = table {
            add_keys(&path, table, keys);
        }
    }
}

/// A schema itself; of one that may be null the other.
fn present(schema: &Value) -> Option<&Value> {
    match schema.get("anyOf") {
        Some(_) => list(schema, "anyOf").iter().find(|one| one["type"] != "null"),
        None => Some(schema),
    }
}

/// What a value is, in words.
fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    for key in ["anyOf", "oneOf"] {
        if schema.get(key).is_some() {
            let kinds = list(schema, key).iter().filter(|one| one["type"] != "null");
            return kinds.map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    if schema.get("enum").is_some() {
        let words = list(schema, "enum").iter().filter_map(Value::as_str);
        return words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    if let Some(properties) = schema["properties"].as_object() {
        let inner = properties.iter().map(|(name, schema)| format!("{name} = {}", kind(schema)));
        return format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "));
    }
    let of = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match of {
        "array" if schema.get("items").is_some() => format!("list of {}", kind(&schema["items"])),
        "array" => list(schema, "prefixItems").iter().map(kind).collect::<Vec<_>>().join(" and "),
        "object" => format!("table of NAME = {}", kind(&schema["additionalProperties"])),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(schema: &Value, key: &str) -> String {
    // Links of the crates' own documentation lead nowhere on a page.
    schema[key].as_str().unwrap_or_default().replace('\n', " ").replace("[`", "`").replace("`]", "`")
}

/// A value as a definition spells it.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let pairs = map.iter().filter(|(_, value)| !value.is_null());
            format!("{{ {} }}", pairs.map(|(k, v)| format!("{k} = {}", toml(v))).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    fn key_of<'a>(sections: &'a [Section], header: &str, name: &str) -> &'a Key {
        let section = sections.iter().find(|section| section.header.starts_with(header)).unwrap();
        section.keys.iter().find(|key| key.name == name).unwrap()
    }

    #[test]
    fn keys_have_their_types_defaults_and_meanings() {
        let all = sections();
        let horizon = key_of(&all, "[forecast]", "horizon");
        assert_eq!(
            (horizon.kind.as_str(), &horizon.default, horizon.meaning.as_str()),
            ("length of time", &None, "how far ahead")
        );
        assert_eq!(key_of(&all, "[forecast]", "years").default.as_deref(), Some("10"));
        assert_eq!(key_of(&all, "[model]", "providers").default.as_deref(), Some("[\"cpu\"]"));
        assert_eq!(key_of(&all, "[model]", "providers").kind, "list of `cpu` or `cuda`");
        assert_eq!(key_of(&all, "[source.NAME] with kind = \"table\"", "delimiter").default.as_deref(), Some("\",\""));
        assert_eq!(key_of(&all, "[assimilation]", "variational.window").default.as_deref(), Some("5"));
        assert_eq!(
            key_of(&all, "[assimilation]", "rain_memory").default.as_deref(),
            Some(defaults::ASSIMILATION[5].says)
        );
        assert_eq!(key_of(&all, "[checks]", "gap.max_rows").default.as_deref(), Some("744"));
        let bare: Vec<&Key> =
            all.iter().flat_map(|s| &s.keys).filter(|k| k.meaning.is_empty() || k.kind.is_empty()).collect();
        assert!(bare.is_empty(), "without a type or a meaning: {bare:?}");
    }
}
