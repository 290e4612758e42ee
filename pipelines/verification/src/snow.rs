//! Snow: what the stores of a model hold beside what was observed, day by day: an independent check of a store that no gauge measures.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use arrow::{
    array::{Array as _, AsArray as _, Float64Array},
    compute::cast,
    datatypes::{DataType, Int32Type},
};
use nilometer_archive::{ArchiveError, visit};
use nilometer_schemas::{Contract, States, Timestamp};
use nilometer_statistics::mean;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const DAY_US: i64 = 86_400_000_000;
/// Stores that hold snow.
const STORES: [&str; 2] = ["snow_store", "melt_water_store"];
/// Mean of what was observed from which on a catchment has snow, mm.
const SNOWY_MM: f64 = 5.0;
/// Catchments that are named, those that fit least.
const NAMED: usize = 5;

/// What to compare.
pub struct Request {
    /// archive of the states
    pub archive: Arc<dyn ObjectStore>,
    /// a Parquet file of what was observed, or a folder of them
    pub observed: PathBuf,
    /// its columns: of the catchment, of the day, of the value
    pub columns: [String; 3],
    /// millimetres of one of its units
    pub scale: f64,
    /// days from here
    pub from: Timestamp,
    /// to here
    pub to: Timestamp,
    /// a table of every catchment goes here, where it is named
    pub out: Option<PathBuf>,
}

/// By catchment and day, counted from 1970, mm.
type Days = BTreeMap<String, BTreeMap<i64, f64>>;

/// Says how the snow of each model goes with what was observed, over all catchments and one by one.
///
/// # Errors
/// When a table cannot be read, or has nothing of the archive's catchments.
pub async fn snow(request: &Request) -> Result<String> {
    let models = simulated(request).await?;
    if models.is_empty() {
        bail!("the archive has no store that holds snow: state.v1 has none of {}", STORES.join(", "));
    }
    let observed = observed(request)?;
    let mut text = format!("Snow from {} to {}\n", request.from.date(), request.to.date());
    let mut csv = "model,catchment,days,mean_observed_mm,mean_simulated_mm,correlation\n".to_owned();
    for (model, simulated) in &models {
        let pairs: BTreeMap<&str, Vec<(i64, f64, f64)>> = simulated
            .iter()
            .filter_map(|(catchment, days)| {
                let observed = observed.get(catchment)?;
                let pairs = days.iter().filter_map(|(day, mm)| Some((*day, *observed.get(day)?, *mm)));
                Some((catchment.as_str(), pairs.collect::<Vec<_>>()))
            })
            .filter(|(_, pairs)| pairs.len() > 1)
            .collect();
        if pairs.is_empty() {
            bail!("{} has no day of the archive's catchments", request.observed.display());
        }
        describe(model, &pairs, &mut text, &mut csv)?;
    }
    if let Some(out) = &request.out {
        fs::write(out, csv).with_context(|| format!("{} cannot be written", out.display()))?;
        writeln!(text, "\nWritten to {}: a line a catchment.", out.display())?;
    }
    Ok(text)
}

fn describe(
    model: &str,
    pairs: &BTreeMap<&str, Vec<(i64, f64, f64)>>,
    text: &mut String,
    csv: &mut String,
) -> Result<()> {
    let mut of_days: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    let mut snowy = Vec::new();
    for (catchment, pairs) in pairs {
        pairs
            .iter()
            .for_each(|(day, observed, simulated)| of_days.entry(*day).or_default().push((*observed, *simulated)));
        let series = |of: fn(&(i64, f64, f64)) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
        let (observed, simulated) = (series(|pair| pair.1), series(|pair| pair.2));
        let (mean_observed, mean_simulated) = (mean(&observed)?, mean(&simulated)?);
        let r = correlation(&observed, &simulated);
        let said = r.map_or_else(String::new, |r| format!("{r:.4}"));
        writeln!(csv, "{model},{catchment},{},{mean_observed:.2},{mean_simulated:.2},{said}", pairs.len())?;
        if mean_observed > SNOWY_MM {
            snowy.push((r.unwrap_or(0.0), *catchment, mean_observed, mean_simulated));
        }
    }
    // Days that not all catchments have would be means of others.
    let most = of_days.values().map(Vec::len).max().unwrap_or(0);
    let whole: Vec<&Vec<(f64, f64)>> = of_days.values().filter(|of_day| of_day.len() == most).collect();
    let average = |of: fn(&(f64, f64)) -> f64| {
        whole.iter().map(|of_day| of_day.iter().map(of).sum::<f64>() / most as f64).collect::<Vec<f64>>()
    };
    let (observed, simulated) = (average(|pair| pair.0), average(|pair| pair.1));
    let r = correlation(&observed, &simulated).map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"));
    writeln!(
        text,
        "\n{model}\n  mean over {most} catchments, {} days: r {r}, {:.1} mm observed, {:.1} mm simulated",
        whole.len(),
        mean(&observed)?,
        mean(&simulated)?
    )?;
    snowy.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((median, ..)) = snowy.get(snowy.len() / 2) {
        let quartile = |share: f64| snowy[((snowy.len() - 1) as f64 * share).round() as usize].0;
        writeln!(
            text,
            "  {} catchments with more than {SNOWY_MM} mm on average: median r {median:.3}, quartiles {:.3} and {:.3}",
            snowy.len(),
            quartile(0.25),
            quartile(0.75)
        )?;
        for (r, catchment, observed, simulated) in snowy.iter().take(NAMED) {
            writeln!(text, "    {catchment}: r {r:.2}, {observed:.0} mm observed, {simulated:.0} mm simulated")?;
        }
    }
    Ok(())
}

/// Pearson's; none of a series that does not change.
fn correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    let (mean_one, mean_other) = (mean(one).ok()?, mean(other).ok()?);
    let products = one.iter().zip(other).map(|(a, b)| (a - mean_one, b - mean_other));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in products {
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// Mean over the members of all snow, by model.
async fn simulated(request: &Request) -> Result<BTreeMap<String, Days>> {
    let mut models: BTreeMap<String, Days> = BTreeMap::new();
    visit(&*request.archive, Contract::State, Some((request.from, request.to.plus_s(86_400))), |batch| {
        let rows = States::try_from(batch)?;
        for row in 0..rows.len() {
            let valid_time = Timestamp(rows.valid_time().value(row));
            // The last step of a day ends at midnight.
            let ends_a_day = valid_time.is_multiple_of_s(86_400);
            if !ends_a_day
                || !(request.from..=request.to).contains(&valid_time)
                || !STORES.contains(&rows.store().value(row))
            {
                continue;
            }
            let day = (valid_time.0 - 1).div_euclid(DAY_US);
            let of_model = models.entry(rows.model().value(row).to_owned()).or_default();
            let of_catchment = of_model.entry(rows.catchment().value(row).to_owned()).or_default();
            *of_catchment.entry(day).or_default() += rows.mean().value(row);
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(models)
}

fn observed(request: &Request) -> Result<Days> {
    let mut days = Days::new();
    for file in files(&request.observed)? {
        read(&file, request, &mut days).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(days)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = fs::read_dir(path).with_context(|| {
        format!("{} cannot be read; accepted is a Parquet file or a folder of them", path.display())
    })?;
    let mut files: Vec<PathBuf> = listed
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} has no *.parquet; accepted is a Parquet file or a folder of them", path.display());
    }
    Ok(files)
}

fn read(file: &Path, request: &Request, days: &mut Days) -> Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()?;
    for batch in reader {
        let batch = batch?;
        let column = |name: &str, kind: &DataType| {
            let column = batch.column_by_name(name).with_context(|| {
                let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
                format!("it has no column {name:?}; it has {}", names.join(", "))
            })?;
            cast(column, kind).with_context(|| format!("column {name:?} is no {kind}"))
        };
        let [catchment, day, value] = &request.columns;
        let catchments = column(catchment, &DataType::Utf8)?;
        let of_days = column(&day.clone(), &DataType::Date32)?;
        let values = column(value, &DataType::Float64)?;
        let (catchments, of_days) = (catchments.as_string::<i32>(), cast(&of_days, &DataType::Int32)?);
        let of_days = of_days.as_primitive::<Int32Type>();
        let Some(values) = values.as_any().downcast_ref::<Float64Array>() else {
            bail!("column {value:?} has no numbers")
        };
        for row in (0..batch.num_rows()).filter(|row| values.is_valid(*row) && of_days.is_valid(*row)) {
            let id = catchments.value(row);
            if !days.contains_key(id) {
                days.insert(id.to_owned(), BTreeMap::new());
            }
            if let Some(of_catchment) = days.get_mut(id) {
                of_catchment.insert(i64::from(of_days.value(row)), values.value(row) * request.scale);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_is_of_what_changes() {
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), Some(1.0));
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
        assert!((correlation(&[0.0, 1.0, 2.0, 3.0], &[3.0, 2.0, 2.0, 0.0]).unwrap_or(0.0) + 0.923_381).abs() < 1e-5);
    }
}
