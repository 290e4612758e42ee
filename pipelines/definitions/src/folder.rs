//! `[source]` as one folder in a layout that others publish: it brings sources and catchments.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_connectors::{
    Connector as _, FolderOptions, FolderSource,
    folder::{FolderCatchment, FolderColumn, Inventory},
};
use nilometer_packages::Mixture;
use nilometer_transforms::Span;

use crate::{Catchment, Downstream, ForecastOptions, Scenario, SourceDefinition};

/// A folder that is the whole of a definition's input.
pub(crate) struct Folder {
    pub(crate) options: FolderOptions,
    pub(crate) inventory: Inventory,
    pub(crate) forcing_delay: Option<Span>,
    pub(crate) discharge_delay: Span,
    /// where rivers go, by basin; of basins that are not run it says nothing
    pub(crate) downstream: BTreeMap<String, Downstream>,
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
        FolderSource::each(&self.options, &columns).into_iter().map(source).collect()
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
