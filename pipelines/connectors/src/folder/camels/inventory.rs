//! Which basins a folder has, how large they are, and what is known of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
};

use arrow::{
    array::{Array, StringArray},
    datatypes::DataType,
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::read::as_kind;
use crate::{
    folder::{BASIN, FolderCatchment, FolderOptions, Found, Inventory, files},
    table::caught,
};

const INVENTORY: &str = "basin_inventory.csv";
const AREA: &str = "area_m2";

/// The basins that have forcing and are wanted; what is wrong with one goes to `problems`.
pub(in crate::folder) fn inventory(options: &FolderOptions, problems: &mut Found) -> Result<Inventory, String> {
    let basins = basins_with_forcing(&options.path)?;
    let areas = areas_km2(&options.path.join(INVENTORY))?;
    let (mut attributes, files) = attributes(&options.path.join("attributes"))?;
    let mut catchments = Vec::new();
    for id in basins.into_iter().filter(|basin| options.wants(basin)) {
        let given = options.area_km2.get(&id).map(|area| Ok(*area));
        let mut say = |problem: String| problems.push(("path".to_owned(), problem));
        match given.as_ref().or_else(|| areas.get(&id)) {
            Some(Ok(area_km2)) => {
                let (area_km2, attributes) = (*area_km2, attributes.remove(&id).unwrap_or_default());
                catchments.push(FolderCatchment { id, area_km2, attributes });
            }
            Some(Err(text)) => say(format!(
                "{INVENTORY}: {AREA} of basin {id} is {text:?}, accepted is a number above 0; complete it, or name the basin in source.leave_out"
            )),
            None => say(format!(
                "{INVENTORY}: basin {id} has forcing but no row, accepted is a row with {AREA}; add it, or name the basin in source.leave_out"
            )),
        }
    }
    Ok(Inventory { catchments, files })
}

fn basins_with_forcing(folder: &Path) -> Result<BTreeSet<String>, String> {
    let paths =
        files(folder, "forcing_", ".parquet").map_err(|e| format!("{} cannot be listed: {e}", folder.display()))?;
    if paths.is_empty() {
        return Err(format!(
            "{} holds no forcing_*.parquet; accepted is a folder in the CAMELS layout",
            folder.display()
        ));
    }
    let mut basins = BTreeSet::new();
    for path in paths {
        let read = caught(|| add_basins(&path, &mut basins));
        read.map_err(|e| e.to_string()).flatten().map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(basins)
}

/// Adds the basins that a file names.
fn add_basins(path: &Path, basins: &mut BTreeSet<String>) -> Result<(), String> {
    let refuse = |e: &dyn std::fmt::Display| e.to_string();
    let file = File::open(path).map_err(|e| refuse(&e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| refuse(&e))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [BASIN]);
    for batch in builder.with_projection(mask).with_batch_size(1 << 16).build().map_err(|e| refuse(&e))? {
        let batch = batch.map_err(|e| refuse(&e))?;
        let column = as_kind(&batch, BASIN, &DataType::Utf8)?;
        let names: &StringArray = column.as_any().downcast_ref().ok_or("basins are no text")?;
        let mut last = None;
        for name in names.iter().flatten() {
            // Rows of one basin follow each other.
            if last != Some(name) {
                basins.insert(name.to_owned());
                last = Some(name);
            }
        }
    }
    Ok(())
}

/// Area of each basin, or the text that is none.
fn areas_km2(path: &Path) -> Result<BTreeMap<String, Result<f64, String>>, String> {
    let refuse = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(|e| refuse(&e))?;
    let header = reader.headers().map_err(|e| refuse(&e))?.clone();
    let find = |name: &str| header.iter().position(|h| h == name).ok_or_else(|| refuse(&format!("no column {name}")));
    let (basin, area) = (find(BASIN)?, find(AREA)?);
    let mut areas = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|e| refuse(&e))?;
        let text = record.get(area).unwrap_or_default().trim();
        let km2 = text.parse::<f64>().ok().filter(|a| a.is_finite() && *a > 0.0).map(|m2| m2 / 1e6);
        areas.insert(record.get(basin).unwrap_or_default().to_owned(), km2.ok_or_else(|| text.to_owned()));
    }
    Ok(areas)
}

type Attributes = (BTreeMap<String, BTreeMap<String, f64>>, BTreeMap<String, String>);

/// Attributes by basin and name, and the file of each. Words (names, rock classes) become NaN.
fn attributes(folder: &Path) -> Result<Attributes, String> {
    let (mut found, mut files): Attributes = Default::default();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok((found, files)) };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !(name.starts_with("camels_") && name.ends_with(".txt")) {
            continue;
        }
        let refuse = |e: &dyn std::fmt::Display| format!("attributes/{name}: {e}");
        let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_path(&path).map_err(|e| refuse(&e))?;
        let header = reader.headers().map_err(|e| refuse(&e))?.clone();
        if header.get(0) != Some("gauge_id") {
            return Err(refuse(&"the first column is not gauge_id; accepted are columns between semicolons"));
        }
        for column in header.iter().skip(1) {
            files.insert(column.to_owned(), format!("attributes/{name}"));
        }
        for record in reader.records() {
            let record = record.map_err(|e| refuse(&e))?;
            let of_basin = found.entry(record.get(0).unwrap_or_default().to_owned()).or_default();
            for (column, text) in header.iter().zip(&record).skip(1) {
                of_basin.insert(column.to_owned(), text.trim().parse().unwrap_or(f64::NAN));
            }
        }
    }
    Ok((found, files))
}
