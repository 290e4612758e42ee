//! Daily rows in the order in which they arrive.

use std::{
    collections::BTreeMap,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Date32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
        UInt32Array,
    },
    compute::{cast, concat_batches, filter_record_batch, take_record_batch},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use nilometer_schemas::{Timestamp, Variable};
use nilometer_transforms::{Columns, Payload, RawBatch};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{BASIN, CamelsColumn, CamelsOptions, DATE, DAY_S, DISCHARGE, FILE, FORCING, VALID_TIME, files};
use crate::{Cursor, Source, SourceError};

/// Rows of a folder within a window, sorted by day, then basin.
#[derive(Debug, Clone)]
pub struct CamelsSeries {
    folder: PathBuf,
    forcing: Arc<Days>,
    discharge: Arc<Days>,
}

#[derive(Debug)]
struct Days {
    rows: RecordBatch,
    /// the rows valid at each time, ascending
    days: Vec<(Timestamp, Range<usize>)>,
}

/// Days of a basin without a number where the model needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// the basin
    pub basin: String,
    /// the column
    pub column: &'static str,
    /// the file that holds the null; none where there is no row at all
    pub file: Option<String>,
    /// first of the days
    pub first: Timestamp,
    /// how many
    pub days: usize,
}

impl CamelsSeries {
    /// Reads the rows valid in `(from, until]` of the basins that `options` wants.
    ///
    /// # Errors
    /// [`SourceError`] naming the file and what is wrong with it.
    pub fn load(options: &CamelsOptions, from: Timestamp, until: Timestamp) -> Result<Self, SourceError> {
        let forcing: Vec<&'static str> = FORCING.iter().map(|c| c.name).collect();
        let load =
            |prefix: &str, columns: &[&'static str]| Days::load(options, prefix, columns, from, until).map(Arc::new);
        Ok(Self {
            folder: options.path.clone(),
            forcing: load("forcing_", &forcing)?,
            discharge: load("streamflow_", &[DISCHARGE.name])?,
        })
    }

    /// The first time from which on every day up to `until` has forcing of some basin: history before a hole cannot warm up what
    /// comes after it. None where the last day has none.
    #[must_use]
    pub fn unbroken_from(&self, until: Timestamp) -> Option<Timestamp> {
        let mut begin = None;
        let mut expected = until;
        for (day, _) in self.forcing.days.iter().rev().skip_while(|(day, _)| *day > until) {
            if *day != expected {
                break;
            }
            expected = day.plus_s(-DAY_S);
            begin = Some(expected);
        }
        begin
    }

    /// The newest time up to `until` that has forcing.
    #[must_use]
    pub fn forcing_until(&self, until: Timestamp) -> Option<Timestamp> {
        self.forcing.days.iter().rev().map(|(day, _)| *day).find(|day| *day <= until)
    }

    /// What is missing of the forcing `needed` of `basins` (ascending) on the days valid in `(from, until]`.
    #[must_use]
    pub fn gaps(&self, basins: &[String], needed: &[Variable], from: Timestamp, until: Timestamp) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut add = |basin: &str, column: &'static str, file: Option<String>, day: Timestamp| match gaps
            .iter_mut()
            .find(|g| g.basin == basin && g.column == column && g.file == file)
        {
            Some(gap) => gap.days += 1,
            None => gaps.push(Gap { basin: basin.to_owned(), column, file, first: day, days: 1 }),
        };
        let names = text(&self.forcing.rows, BASIN);
        let at_fault = text(&self.forcing.rows, FILE);
        let columns: Vec<(&'static str, &ArrayRef)> = FORCING
            .iter()
            .filter(|c| needed.contains(&c.variable))
            .filter_map(|c| Some((c.name, self.forcing.rows.column_by_name(c.name)?)))
            .collect();
        let mut day = from.plus_s(1).ceil_s(DAY_S);
        let mut at = self.forcing.days.partition_point(|(d, _)| *d < day);
        while day <= until {
            let rows = match self.forcing.days.get(at) {
                Some((d, rows)) if *d == day => {
                    at += 1;
                    rows.clone()
                }
                _ => 0..0,
            };
            if rows.len() < basins.len() {
                let here: Vec<&str> = rows.clone().map(|row| names.value(row)).collect();
                for basin in basins.iter().filter(|b| here.binary_search(&b.as_str()).is_err()) {
                    add(basin, "row", None, day);
                }
            }
            for (name, values) in columns.iter().filter(|(_, values)| values.null_count() > 0) {
                for row in rows.clone().filter(|row| values.is_null(*row)) {
                    add(names.value(row), name, Some(at_fault.value(row).to_owned()), day);
                }
            }
            day = day.plus_s(DAY_S);
        }
        gaps
    }

    /// The rows of one column as a source, each `delay_s` after its valid time.
    #[must_use]
    pub fn source(&self, name: &str, column: CamelsColumn, delay_s: i64) -> Box<dyn Source> {
        let (days, prefix) =
            if column == DISCHARGE { (&self.discharge, "streamflow_") } else { (&self.forcing, "forcing_") };
        let wanted: Vec<usize> = [BASIN, VALID_TIME, column.name, FILE]
            .iter()
            .filter_map(|name| days.rows.schema().index_of(name).ok())
            .collect();
        let rows = days.rows.project(&wanted).unwrap_or_else(|_| days.rows.clone());
        Box::new(Series {
            name: name.into(),
            locator: format!("{}/**/{prefix}*.parquet", self.folder.display()),
            rows,
            days: days.clone(),
            delay_s,
        })
    }
}

struct Series {
    name: Arc<str>,
    locator: String,
    rows: RecordBatch,
    days: Arc<Days>,
    delay_s: i64,
}

impl Source for Series {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, cursor: &Cursor, until: Timestamp) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let days = &self.days.days;
        let arrival = |day: Timestamp| day.plus_s(self.delay_s);
        let first = days.partition_point(|(day, _)| cursor.arrival >= Some(arrival(*day)));
        let batches = days[first..].iter().take_while(|(day, _)| arrival(*day) <= until).map(|(day, rows)| RawBatch {
            source: self.name.clone(),
            locator: self.locator.clone(),
            arrival: arrival(*day),
            payload: Payload::Columns(Columns {
                rows: self.rows.slice(rows.start, rows.len()),
                first_row: rows.start as u64 + 1,
                delay_s: Some(self.delay_s),
            }),
        });
        Ok((batches.collect(), cursor.moved_to(until)))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        self.days.days.last().map(|(day, _)| day.plus_s(self.delay_s))
    }
}

impl Days {
    fn load(
        options: &CamelsOptions,
        prefix: &str,
        columns: &[&'static str],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Self, SourceError> {
        let io = |source| SourceError::io(prefix, &options.path, source);
        let mut fields = vec![
            Field::new(BASIN, DataType::Utf8, false),
            Field::new(VALID_TIME, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        ];
        fields.extend(columns.iter().map(|name| Field::new(*name, DataType::Int32, true)));
        fields.push(Field::new(FILE, DataType::Utf8, false));
        let schema = Arc::new(Schema::new(fields));
        let mut batches = Vec::new();
        for path in files(&options.path, prefix).map_err(io)? {
            read(&path, options, columns, &schema, (from, until), &mut batches)?;
        }
        let refuse = |error: arrow::error::ArrowError| unfit(&options.path, error.to_string());
        let all = concat_batches(&schema, &batches).map_err(refuse)?;
        let (names, times) = (text(&all, BASIN), times(&all));
        let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).unwrap_or(u32::MAX)).collect();
        order.sort_by_key(|row| (times.value(*row as usize), names.value(*row as usize)));
        let twice = order.windows(2).find(|pair| {
            let [a, b] = [pair[0] as usize, pair[1] as usize];
            times.value(a) == times.value(b) && names.value(a) == names.value(b)
        });
        if let Some(pair) = twice {
            let [a, b] = [pair[0] as usize, pair[1] as usize];
            let (files, day) = (text(&all, FILE), Timestamp(times.value(a)).plus_s(-DAY_S).date());
            let problem = format!(
                "basin {} has two rows of {day}, in {} and {}; accepted is one",
                names.value(a),
                files.value(a),
                files.value(b)
            );
            return Err(unfit(&options.path, problem));
        }
        let rows = take_record_batch(&all, &UInt32Array::from(order)).map_err(refuse)?;
        let mut days: Vec<(Timestamp, Range<usize>)> = Vec::new();
        for (row, time) in self::times(&rows).values().iter().enumerate() {
            match days.last_mut() {
                Some((day, span)) if day.0 == *time => span.end = row + 1,
                _ => days.push((Timestamp(*time), row..row + 1)),
            }
        }
        Ok(Self { rows, days })
    }
}

/// Adds the wanted rows of one file.
fn read(
    path: &Path,
    options: &CamelsOptions,
    columns: &[&'static str],
    schema: &Arc<Schema>,
    (from, until): (Timestamp, Timestamp),
    into: &mut Vec<RecordBatch>,
) -> Result<(), SourceError> {
    let parquet = |source| SourceError::Parquet { name: "camels".to_owned(), path: path.to_owned(), source };
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

fn unfit(path: &Path, problem: String) -> SourceError {
    SourceError::Options { name: "camels".to_owned(), key: path.display().to_string(), problem }
}

fn text<'a>(rows: &'a RecordBatch, name: &str) -> &'a StringArray {
    rows.column_by_name(name).and_then(|c| c.as_any().downcast_ref()).expect("the schema above has this column of text")
}

fn times(rows: &RecordBatch) -> &TimestampMicrosecondArray {
    rows.column_by_name(VALID_TIME)
        .and_then(|c| c.as_any().downcast_ref())
        .expect("the schema above has this column of times")
}

/// Discharge of the folder's basins that `options` wants, m³ s⁻¹ by basin and valid time in `(from, until]`; missing and negative
/// values are left out.
///
/// # Errors
/// [`SourceError`] naming the file and what is wrong with it.
pub fn discharge_m3_s(
    options: &CamelsOptions,
    from: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<String, BTreeMap<Timestamp, f64>>, SourceError> {
    let days = Days::load(options, "streamflow_", &[DISCHARGE.name], from, until)?;
    let layout = DISCHARGE.layout().map_err(|e| unfit(&options.path, e.to_string()))?;
    let (names, times) = (text(&days.rows, BASIN), times(&days.rows));
    let hundredths: &Int32Array = days
        .rows
        .column_by_name(DISCHARGE.name)
        .and_then(|c| c.as_any().downcast_ref())
        .expect("the schema above has this column of integers");
    let mut found: BTreeMap<String, BTreeMap<Timestamp, f64>> = BTreeMap::new();
    for row in (0..days.rows.num_rows()).filter(|row| hundredths.is_valid(*row) && hundredths.value(*row) >= 0) {
        let m3_s = layout.conversion.apply(f64::from(hundredths.value(row)));
        match found.get_mut(names.value(row)) {
            Some(series) => series.insert(Timestamp(times.value(row)), m3_s),
            None => found.entry(names.value(row).to_owned()).or_default().insert(Timestamp(times.value(row)), m3_s),
        };
    }
    Ok(found)
}
