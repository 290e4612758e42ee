use std::fs;

use nilometer_connectors::{FolderLayout, FolderOptions, FolderSeries, folder::discharge_m3_s};
use nilometer_schemas::{Timestamp, Variable};

use crate::assert_described;

/// Behind each of these a file of the folder begins.
const SEPARATOR: &str = "\n---\n";
const FILES: [&str; 3] = ["flow_instantaneous_LOW.csv", "forcing_por_LOW-1.csv", "pars_default.csv"];

/// The files of one gauge of a folder in the layout of the NWRFC: discharge, forcing and the facts of its zone.
pub(crate) fn folder(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES.iter().zip(text.split(SEPARATOR)) {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let options = FolderOptions {
        layout: FolderLayout::named("nwrfc").unwrap(),
        path: folder.path().to_owned(),
        ..FolderOptions::default()
    };
    match options.inventory() {
        Err(problems) => assert!(!problems.is_empty() && problems.iter().all(|(_, problem)| !problem.is_empty())),
        Ok(inventory) => assert!(inventory.catchments.iter().all(|catchment| catchment.area_km2 > 0.0)),
    }
    let (from, until): (Timestamp, Timestamp) = ("2000-06-20".parse().unwrap(), "2000-06-23".parse().unwrap());
    match FolderSeries::load(&options, from, until) {
        Err(error) => assert_described(&error),
        Ok(series) => {
            assert!(series.forcing_until(until).is_none_or(|newest| newest > from && newest <= until));
            let gaps = series.gaps(&["LOW".to_owned()], &[Variable::Precipitation], from, until);
            assert!(gaps.iter().all(|gap| gap.steps > 0));
        }
    }
    match discharge_m3_s(&options, from, until) {
        Err(error) => assert_described(&error),
        Ok(observed) => {
            assert!(observed.values().flat_map(|rows| rows.values()).all(|flow| flow.is_finite() && *flow >= 0.0));
        }
    }
}
