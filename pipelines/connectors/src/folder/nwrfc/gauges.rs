//! Which gauges a folder has, and which zones of land drain to each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::folder::{FolderCatchment, FolderOptions, Found, Inventory, files};

const FLOW: &str = "flow_instantaneous_";
const FORCING: &str = "forcing_por_";
const UPSTREAM: &str = "upflow_";
const FACTS: &str = "pars_default.csv";

/// One gauge and its own zones.
pub(super) struct Gauge {
    pub(super) id: String,
    pub(super) folder: PathBuf,
    pub(super) flow: PathBuf,
    /// or why there are none
    zones: Result<Vec<Zone>, String>,
    /// gauges whose water comes past this one
    above: Vec<String>,
}

/// A piece of land with weather of its own.
pub(super) struct Zone {
    pub(super) area_km2: f64,
    pub(super) latitude: f64,
    pub(super) forcing: PathBuf,
}

impl Gauge {
    /// The zones of its whole catchment, as far as the folder has them.
    pub(super) fn catchment<'a>(&'a self, all: &'a BTreeMap<String, Gauge>) -> Result<Vec<&'a Zone>, String> {
        let mut zones = Vec::new();
        for gauge in self.with_upstream(all) {
            zones.extend(gauge.zones.as_ref().map_err(Clone::clone)?);
        }
        Ok(zones)
    }

    fn with_upstream<'a>(&'a self, all: &'a BTreeMap<String, Gauge>) -> Vec<&'a Gauge> {
        let (mut found, mut open, mut seen) = (Vec::new(), vec![self], BTreeSet::new());
        while let Some(gauge) = open.pop() {
            if seen.insert(&gauge.id) {
                found.push(gauge);
                open.extend(gauge.above.iter().filter_map(|id| all.get(id)));
            }
        }
        found
    }

    /// Gauges upstream whose land the folder does not have.
    fn unknown_upstream<'a>(&'a self, all: &'a BTreeMap<String, Gauge>) -> Vec<&'a str> {
        let gauges = self.with_upstream(all);
        let above = gauges.iter().flat_map(|gauge| &gauge.above).map(String::as_str);
        above.filter(|id| !all.contains_key(*id)).collect()
    }
}

/// The gauges that are wanted; what is wrong with one goes to `problems`.
pub(in crate::folder) fn inventory(options: &FolderOptions, problems: &mut Found) -> Result<Inventory, String> {
    let all = gauges(&options.path)?;
    let mut catchments = Vec::new();
    for gauge in all.values().filter(|gauge| options.wants(&gauge.id)) {
        let (id, unknown) = (gauge.id.clone(), gauge.unknown_upstream(&all));
        let zones = match gauge.catchment(&all) {
            Ok(zones) => zones,
            Err(problem) => {
                problems.push(("path".to_owned(), format!("{problem}; or name gauge {id} in source.leave_out")));
                continue;
            }
        };
        let area_km2 = match options.area_km2.get(&id) {
            Some(area_km2) => *area_km2,
            None if unknown.is_empty() => zones.iter().map(|zone| zone.area_km2).sum(),
            None => {
                let problem = format!(
                    "water of {} comes past gauge {id}, and the folder does not say how large their land is; accepted is the whole area as source.area_km2.{id}, or name the gauge in source.leave_out",
                    unknown.join(", ")
                );
                problems.push(("path".to_owned(), problem));
                continue;
            }
        };
        catchments.push(FolderCatchment { id, area_km2, attributes: BTreeMap::new() });
    }
    Ok(Inventory { catchments, files: BTreeMap::new() })
}

/// Every gauge of a folder, by name.
pub(super) fn gauges(folder: &Path) -> Result<BTreeMap<String, Gauge>, String> {
    let list =
        |prefix: &str| files(folder, prefix, ".csv").map_err(|e| format!("{} cannot be listed: {e}", folder.display()));
    let (forcing, upstream) = (list(FORCING)?, list(UPSTREAM)?);
    let mut found: BTreeMap<String, Gauge> = BTreeMap::new();
    for flow in list(FLOW)? {
        let (id, folder) = (behind(&flow, FLOW), flow.parent().unwrap_or(folder).to_owned());
        let beside = |path: &&PathBuf| path.parent() == Some(&folder);
        let own: Vec<&PathBuf> = forcing.iter().filter(beside).collect();
        let zones = zones(&id, &own, &folder.join(FACTS));
        let above = upstream.iter().filter(beside).map(|path| behind(path, UPSTREAM)).collect();
        if let Some(other) = found.insert(id.clone(), Gauge { id, folder, flow: flow.clone(), zones, above }) {
            return Err(format!("{} and {}: one gauge twice, accepted is once", other.flow.display(), flow.display()));
        }
    }
    if found.is_empty() {
        return Err(format!("{} holds no {FLOW}*.csv; accepted is a folder in the NWRFC layout", folder.display()));
    }
    Ok(found)
}

/// The zones of a gauge, from the forcing beside it and the facts of each.
fn zones(id: &str, forcing: &[&PathBuf], facts: &Path) -> Result<Vec<Zone>, String> {
    let (areas, latitudes) = facts_of(facts)?;
    let mut zones = Vec::new();
    for path in forcing {
        let name = behind(path, FORCING);
        // A zone whose name is no number is no land of its own: where water is taken from the river, for one.
        let number = name.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
        if !number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            continue;
        }
        let fact = |of: &ByZone, what: &str| {
            let value = of.get(&name).copied();
            value.ok_or_else(|| format!("{}: no {what} of zone {name}, accepted is a row with it", facts.display()))
        };
        zones.push(Zone {
            area_km2: fact(&areas, "zone_area above 0")?,
            latitude: fact(&latitudes, "alat from -90 to 90")?,
            forcing: (*path).clone(),
        });
    }
    if zones.is_empty() {
        return Err(format!("{}: no {FORCING}{id}-1.csv beside it, accepted is one a zone", facts.display()));
    }
    Ok(zones)
}

/// What stands between a prefix and the suffix of a file's name.
fn behind(path: &Path, prefix: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix(prefix).unwrap_or(&stem).to_owned()
}

type ByZone = BTreeMap<String, f64>;

/// Area and latitude by zone.
fn facts_of(path: &Path) -> Result<(ByZone, ByZone), String> {
    let refuse = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(|e| refuse(&e))?;
    let header = reader.headers().map_err(|e| refuse(&e))?.clone();
    let find = |name: &str| header.iter().position(|h| h == name).ok_or_else(|| refuse(&format!("no column {name}")));
    let (name, zone, value) = (find("name")?, find("zone")?, find("value")?);
    let (mut areas, mut latitudes) = (ByZone::new(), ByZone::new());
    for record in reader.records() {
        let record = record.map_err(|e| refuse(&e))?;
        let cell = |place: usize| record.get(place).unwrap_or_default().trim();
        let number = || cell(value).parse::<f64>().ok();
        match cell(name) {
            "zone_area" => areas.extend(number().filter(|a| *a > 0.0).map(|a| (cell(zone).to_owned(), a))),
            "alat" => latitudes.extend(number().filter(|a| a.abs() <= 90.0).map(|a| (cell(zone).to_owned(), a))),
            _ => {}
        }
    }
    Ok((areas, latitudes))
}
