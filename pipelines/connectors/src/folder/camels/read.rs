//! Rows of the Parquet files.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Schema},
};
use nilometer_schemas::Timestamp;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use super::DATE;
use crate::{
    SourceError,
    folder::{
        BASIN, DAY_S, FolderColumn, FolderOptions, files,
        rows::{schema, unfit},
    },
    table::caught,
};

/// The rows valid in `(from, until]` of the basins that are wanted, a batch or more a file.
pub(in crate::folder) fn rows(
    options: &FolderOptions,
    discharge: bool,
    columns: &[FolderColumn],
    window: (Timestamp, Timestamp),
) -> Result<Vec<RecordBatch>, SourceError> {
    let prefix = if discharge { "streamflow_" } else { "forcing_" };
    let names: Vec<&'static str> = columns.iter().map(|c| c.name).collect();
    let schema = schema(columns, &DataType::Int32);
    let mut batches = Vec::new();
    let paths = files(&options.path, prefix, ".parquet");
    for path in paths.map_err(|source| SourceError::io(prefix, &options.path, source))? {
        caught(|| read(&path, options, &names, &schema, window, &mut batches)).map_err(|e| unreadable(&path, e))??;
    }
    Ok(batches)
}

fn unreadable(path: &Path, source: ParquetError) -> SourceError {
    SourceError::Parquet { name: "camels".to_owned(), path: path.to_owned(), source }
}

/// Adds the wanted rows of one file.
fn read(
    path: &Path,
    options: &FolderOptions,
    columns: &[&'static str],
    schema: &Arc<Schema>,
    (from, until): (Timestamp, Timestamp),
    into: &mut Vec<RecordBatch>,
) -> Result<(), SourceError> {
    let parquet = |source| unreadable(path, source);
    let file = File::open(path).map_err(|source| SourceError::io("camels", path, source))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let wanted = [BASIN, DATE].into_iter().chain(columns.iter().copied());
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let name = path.strip_prefix(&options.path).unwrap_or(path).display().to_string();
    for batch in builder.with_projection(mask).with_batch_size(1 << 16).build().map_err(parquet)? {
        let batch = batch.map_err(|e| unfit(path, e.to_string()))?;
        let column = |name: &str, kind: &DataType| as_kind(&batch, name, kind).map_err(|problem| unfit(path, problem));
        let (basins, dates) = (column(BASIN, &DataType::Utf8)?, column(DATE, &DataType::Date32)?);
        let none =
            |what: &str| unfit(path, format!("column {what} has a row without a value, accepted is one in each"));
        if basins.null_count() > 0 {
            return Err(none(BASIN));
        }
        if dates.null_count() > 0 {
            return Err(none(DATE));
        }
        let dates = dates.as_any().downcast_ref::<Date32Array>().ok_or_else(|| none(DATE))?;
        // A day's row is valid at its end.
        let at = |day: &i32| (i64::from(*day) + 1).checked_mul(DAY_S * 1_000_000);
        if let Some(day) = dates.values().iter().find(|day| at(day).is_none()) {
            return Err(unfit(
                path,
                format!("column {DATE} has day {day} since 1970, accepted are dates of a calendar"),
            ));
        }
        let times: TimestampMicrosecondArray = dates.values().iter().map(at).collect();
        let times = times.with_timezone("UTC");
        let names = basins.as_any().downcast_ref::<StringArray>().ok_or_else(|| none(BASIN))?;
        let mut wanted = (String::new(), false);
        let keep: BooleanArray = names
            .iter()
            .zip(times.values())
            .map(|(basin, time)| {
                let basin = basin.unwrap_or_default();
                if wanted.0 != basin {
                    wanted = (basin.to_owned(), options.wants(basin));
                }
                Some(wanted.1 && *time > from.0 && *time <= until.0)
            })
            .collect();
        let mut arrays: Vec<ArrayRef> = vec![basins.clone(), Arc::new(times)];
        for name in columns {
            arrays.push(column(name, &DataType::Int32)?);
        }
        arrays.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&name, batch.num_rows()))));
        let whole = RecordBatch::try_new(schema.clone(), arrays).map_err(|e| unfit(path, e.to_string()))?;
        into.push(filter_record_batch(&whole, &keep).map_err(|e| unfit(path, e.to_string()))?);
    }
    Ok(())
}

/// A column as the kind that it stands for: dictionaries as text, times as days, other integers as 32 bits.
pub(super) fn as_kind(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, String> {
    let array = batch.column_by_name(name).ok_or_else(|| format!("column {name} is absent"))?;
    let found = array.data_type();
    let stands_for = match kind {
        DataType::Utf8 => matches!(found, DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..)),
        DataType::Date32 => matches!(found, DataType::Date64 | DataType::Timestamp(..)),
        _ => found.is_integer(),
    };
    let refuse = || format!("column {name} is {found}, accepted is {kind}");
    match array {
        array if found == kind => Ok(array.clone()),
        array if stands_for => {
            let cast = cast(array, kind).map_err(|_| refuse())?;
            // An integer that does not fit would become a null, as if it had been missing.
            let lost = (0..cast.len()).find(|row| cast.is_null(*row) && array.is_valid(*row));
            match lost {
                None => Ok(cast),
                Some(row) => {
                    let value = arrow::util::display::array_value_to_string(array, row).unwrap_or_default();
                    Err(format!("column {name} has {value} in row {}, accepted is what fits {kind}", row + 1))
                }
            }
        }
        _ => Err(refuse()),
    }
}
