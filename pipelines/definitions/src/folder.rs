//! `[source]` as one folder in a layout that others publish: it brings sources and catchments. `[source.NAME]` beside it brings what the folder lacks.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_connectors::{
    Connector as _, FolderLayout, FolderOptions, FolderSource,
    folder::{FolderCatchment, FolderColumn, Inventory},
};
use nilometer_packages::Mixture;
use nilometer_transforms::Span;
use toml::{Table, Value};

use crate::{
    Catchment, Downstream, ForecastOptions, Problem, Scenario, SourceDefinition,
    all_errors::join,
    reader::{Reader, one_of},
};

/// A folder that brings the catchments of a definition, and all that these have but for sources beside it.
pub(crate) struct Folder {
    pub(crate) options: FolderOptions,
    pub(crate) inventory: Inventory,
    pub(crate) forcing_delay: Option<Span>,
    pub(crate) discharge_delay: Span,
    /// where rivers go, by basin; of basins that are not run it says nothing
    pub(crate) downstream: BTreeMap<String, Downstream>,
    /// what it does not hold, from sources of their own
    beside: BTreeMap<String, SourceDefinition>,
}

impl Folder {
    /// A source a column that the models take, and discharge. Unless the definition says when forcing arrives, a perfect scenario
    /// knows it as far as it looks.
    pub(crate) fn sources(
        &self,
        forecast: Option<&ForecastOptions>,
        models: Option<&Mixture>,
    ) -> BTreeMap<String, SourceDefinition> {
        let taken = |c: &FolderColumn| {
            models.is_none_or(|m| m.first().card().inputs.iter().any(|i| i.name == c.variable.name()))
        };
        let ahead = forecast.filter(|f| f.scenario == Scenario::Perfect);
        let foresight = ahead.map_or(Span::default(), |f| Span::from_seconds(-f.horizon.seconds()));
        let forcing_delay = self.forcing_delay.unwrap_or(foresight);
        let layout = self.options.layout;
        let discharge = layout.discharge();
        let columns: Vec<FolderColumn> = layout.forcing().iter().copied().filter(taken).chain([discharge]).collect();
        let source = |source: FolderSource| {
            let variable = source.variable();
            let delay = if variable == discharge.variable { self.discharge_delay } else { forcing_delay };
            (variable.name().to_owned(), SourceDefinition { delay, connector: Arc::new(source) })
        };
        let own = FolderSource::each(&self.options, &columns).into_iter().map(source);
        own.chain(self.beside.clone()).collect()
    }

    pub(crate) fn catchments(&self) -> Vec<Catchment> {
        let runs = |id: &str| self.inventory.catchments.iter().any(|c| c.id == id);
        let catchment = |c: &FolderCatchment| Catchment {
            id: c.id.clone(),
            station: None,
            formerly: Vec::new(),
            parameters: None,
            area_km2: c.area_km2,
            outlet_x_m: None,
            outlet_y_m: None,
            attributes: c.attributes.clone(),
            downstream: self.downstream.get(&c.id).filter(|next| runs(&next.id)).cloned(),
            name: None,
            river: None,
            latitude: None,
            longitude: None,
            timezone: None,
            datum: None,
            thresholds: Vec::new(),
        };
        self.inventory.catchments.iter().map(catchment).collect()
    }
}

impl Reader<'_> {
    /// `[source]` as one folder of many catchments.
    pub(crate) fn folder(&mut self) -> Option<Folder> {
        let one = |t: &Table| t.get("kind").is_some_and(Value::is_str);
        if !self.table.get("source").and_then(Value::as_table).is_some_and(one) {
            return None;
        }
        let Some(Value::Table(table)) = self.table.remove("source") else { return None };
        let (beside, mut table): (Table, Table) =
            table.into_iter().partition(|(_, value)| value.as_table().is_some_and(one));
        let beside = beside.into_iter().filter_map(|(name, value)| Some((name.clone(), self.source(&name, value)?)));
        let beside: BTreeMap<_, _> = beside.collect();
        let mut delay = |key: &str| table.remove(key).map(|v| self.read::<Span>(&format!("source.{key}"), v));
        let (forcing_delay, discharge_delay) = (delay("forcing_delay").flatten(), delay("discharge_delay").flatten());
        let downstream = table.remove("downstream").and_then(|v| self.read("source.downstream", v)).unwrap_or_default();
        let kind = table.remove("kind");
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        let layout = FolderLayout::named(kind).unwrap_or_else(|| {
            let accepted = one_of(FolderLayout::kinds());
            let message = format!("is {kind:?}; accepted is {accepted}, or [source.NAME] tables");
            self.problems.push(Problem { path: "source.kind".to_owned(), message });
            FolderLayout::default()
        });
        let read = self.read::<FolderOptions>("source", Value::Table(table)).unwrap_or_default();
        let options = FolderOptions { layout, ..read };
        let mut inventory = Inventory::default();
        if self.problems.iter().all(|p| !p.path.starts_with("source")) {
            match options.inventory() {
                Ok(found) => inventory = found,
                Err(found) => self
                    .problems
                    .extend(found.into_iter().map(|(key, message)| Problem { path: join("source", &key), message })),
            }
        }
        let columns = layout.forcing().iter().copied().chain([layout.discharge()]);
        let own: Vec<&str> = columns.map(|column| column.variable.name()).collect();
        for name in own.iter().filter(|name| beside.contains_key(**name)) {
            let message =
                format!("has the name of a source of the folder; accepted is another than {}", own.join(", "));
            self.problems.push(Problem { path: join("source", name), message });
        }
        let discharge_delay = discharge_delay.unwrap_or_default();
        Some(Folder { options, inventory, forcing_delay, discharge_delay, downstream, beside })
    }
}
