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

use super::{BASIN, CamelsOptions, files, series::as_kind};

const INVENTORY: &str = "basin_inventory.csv";
const AREA: &str = "area_m2";
/// Problems worth reading at once.
const SHOWN: usize = 20;

/// One basin with forcing.
#[derive(Debug, Clone, PartialEq)]
pub struct CamelsCatchment {
    /// its name
    pub id: String,
    /// area, km²
    pub area_km2: f64,
    /// static attributes by name; NaN where the file has no number
    pub attributes: BTreeMap<String, f64>,
}

/// The basins of a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CamelsInventory {
    /// by name
    pub catchments: Vec<CamelsCatchment>,
    /// the file that each attribute stands in
    pub files: BTreeMap<String, String>,
}

impl CamelsOptions {
    /// The basins that have forcing, with their areas and attributes.
    ///
    /// # Errors
    /// Every problem: key of the option and what is wrong in which file.
    pub fn inventory(&self) -> Result<CamelsInventory, Vec<(String, String)>> {
        let refuse = |problem: String| vec![("path".to_owned(), problem)];
        if !self.path.is_dir() {
            return Err(refuse(format!("is {}; accepted is a folder in the CAMELS layout", self.path.display())));
        }
        let basins: BTreeSet<String> =
            basins_with_forcing(&self.path).map_err(refuse)?.into_iter().filter(|b| self.wants(b)).collect();
        let mut problems = Vec::new();
        for basin in self.only.iter().filter(|b| !basins.contains(*b)) {
            let found = if self.leave_out.contains(basin) {
                format!("names basin {basin:?}, which leave_out names too; accepted is one of them")
            } else {
                format!(
                    "names basin {basin:?}, which has no forcing in {}; accepted are names as in its files",
                    self.path.display()
                )
            };
            problems.push(("only".to_owned(), found));
        }
        if basins.is_empty() && problems.is_empty() {
            return Err(refuse(format!(
                "{}: no basin is left; accepted is one with forcing or more",
                self.path.display()
            )));
        }
        let areas = areas_km2(&self.path.join(INVENTORY)).map_err(refuse)?;
        let (mut attributes, files) = attributes(&self.path.join("attributes")).map_err(refuse)?;
        let mut catchments = Vec::new();
        for id in basins {
            match areas.get(&id) {
                Some(Ok(area_km2)) => {
                    let attributes = attributes.remove(&id).unwrap_or_default();
                    catchments.push(CamelsCatchment { id, area_km2: *area_km2, attributes });
                }
                Some(Err(text)) => problems.push((
                    "path".to_owned(),
                    format!("{INVENTORY}: {AREA} of basin {id} is {text:?}, accepted is a number above 0; complete it, or name the basin in source.leave_out"),
                )),
                None => problems.push((
                    "path".to_owned(),
                    format!("{INVENTORY}: basin {id} has forcing but no row, accepted is a row with {AREA}; add it, or name the basin in source.leave_out"),
                )),
            }
        }
        if problems.is_empty() { Ok(CamelsInventory { catchments, files }) } else { Err(shortened(problems)) }
    }
}

/// The first problems, and how many there are besides.
fn shortened(mut problems: Vec<(String, String)>) -> Vec<(String, String)> {
    let more = problems.len().saturating_sub(SHOWN);
    if more > 0 {
        problems.truncate(SHOWN);
        problems.push(("path".to_owned(), format!("and {more} more problems of this kind")));
    }
    problems
}

fn basins_with_forcing(folder: &Path) -> Result<BTreeSet<String>, String> {
    let paths = files(folder, "forcing_").map_err(|e| format!("{} cannot be listed: {e}", folder.display()))?;
    if paths.is_empty() {
        return Err(format!(
            "{} holds no forcing_*.parquet; accepted is a folder in the CAMELS layout",
            folder.display()
        ));
    }
    let mut basins = BTreeSet::new();
    for path in paths {
        let refuse = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(&path).map_err(|e| refuse(&e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| refuse(&e))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [BASIN]);
        for batch in builder.with_projection(mask).with_batch_size(1 << 16).build().map_err(|e| refuse(&e))? {
            let batch = batch.map_err(|e| refuse(&e))?;
            let column = as_kind(&batch, BASIN, &DataType::Utf8).map_err(|e| refuse(&e))?;
            let names: &StringArray = column.as_any().downcast_ref().ok_or_else(|| refuse(&"basins are no text"))?;
            let mut last = None;
            for name in names.iter().flatten() {
                // Rows of one basin follow each other.
                if last != Some(name) {
                    basins.insert(name.to_owned());
                    last = Some(name);
                }
            }
        }
    }
    Ok(basins)
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
