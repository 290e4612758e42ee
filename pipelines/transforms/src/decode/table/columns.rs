//! Rows of columnar tables.

use arrow::{
    array::{
        Array, ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, TimeUnit},
};
use nilometer_schemas::{Reason, Timestamp};

use super::{Cell, DecodedTable, Forecast, Origin, Refusal, RowContent, Rows, bad_time};
use crate::{
    Columns, RawBatch,
    decode::{
        clock::LocalClock,
        layout::{StationLayout, TableLayout, TimeLayout, series_hash},
        time::{ReadTime, TimeFormat, Times, Written},
    },
    payload::{render_cell, render_row},
};

const NO_COLUMN: &str = "a columnar table needs a time column; its layout has the time on line 1";

pub(super) fn decode(batch: &RawBatch, columns: &Columns, layout: &TableLayout) -> Result<DecodedTable, Refusal> {
    let schema = columns.rows.schema();
    let header: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let changed = |found: String| (Reason::HeaderChanged, found);
    let found = layout.find_columns(&header).map_err(changed)?;
    let of_batch;
    let times = match &columns.times {
        Some(times) => times,
        None => {
            of_batch = column_times(&columns.rows, layout).map_err(changed)?;
            &of_batch
        }
    };
    let whole = |i: usize| {
        let column = columns.rows.column(i);
        let refuse =
            || (Reason::HeaderChanged, format!("members are {}; accepted are whole numbers", column.data_type()));
        if column.data_type().is_integer() { cast_to::<Int32Array>(column, &DataType::Int32) } else { Err(refuse()) }
    };
    let member = found.member.map(whole).transpose()?;
    let text = |index: Option<usize>| index.map(|i| words(columns.rows.column(i))).transpose();
    let (station, qualifier) = (text(found.station)?, text(found.qualifier)?);
    let values = Values::new(columns.rows.column(found.value))?;

    let mut rows = Rows::new(batch, layout, columns.delay_s);
    let (mut index, mut dead_letters) = (Vec::new(), Vec::new());
    for row in 0..columns.rows.num_rows() {
        if station.as_ref().is_some_and(|names| names.is_valid(row) && layout.stations.skips(names.value(row))) {
            rows.skipped += 1;
            continue;
        }
        let refuse_time = |column: Option<usize>, problem| {
            let cell = |column: Option<usize>| column.map_or_else(String::new, |i| render_cell(&columns.rows, i, row));
            bad_time(format!("{} {}", cell(column), cell(found.zone)).trim_end(), problem)
        };
        let read = || -> Result<RowContent<'_>, Refusal> {
            let station = match (&station, &layout.station) {
                (Some(names), _) if names.is_null(row) => {
                    return Err((Reason::UnknownStation, "station is null".to_owned()));
                }
                (Some(names), _) => names.value(row),
                (None, StationLayout::Constant(name) | StationLayout::Column(name)) => name,
            };
            let time = times.valid(row).map_err(|problem| refuse_time(found.time, problem))?;
            let forecast = match times.issued(row) {
                None => None,
                Some(issued) => {
                    let issue_time = issued.map_err(|problem| refuse_time(found.issue_time, problem))?;
                    let refuse = || (Reason::Undecodable, "member is null; accepted is a whole number".to_owned());
                    let of_row =
                        |member: &Int32Array| member.is_valid(row).then(|| member.value(row)).ok_or_else(refuse);
                    Some(Forecast { issue_time, member: member.as_ref().map(of_row).transpose()? })
                }
            };
            let qualifier = qualifier.as_ref().filter(|q| q.is_valid(row)).map(|q| q.value(row).trim());
            let qualifier = qualifier.filter(|q| !q.is_empty());
            Ok(RowContent { station, time, value: values.cell(row), qualifier, forecast })
        };
        let line = columns.first_row + row as u64;
        match read().and_then(|said| rows.push(line, said)) {
            Ok(()) => index.push(row),
            Err(refusal) => {
                dead_letters.push(rows.dead_letter(line, times.origin(row), refusal, render_row(&columns.rows, row)));
            }
        }
    }
    Ok(rows.finish_table(Origin::Columns { rows: columns.rows.clone(), index }, dead_letters))
}

/// A column of values: numbers of any kind, or text that holds them.
enum Values {
    Numbers(Float64Array),
    Words(StringArray),
}

impl Values {
    fn new(column: &ArrayRef) -> Result<Self, Refusal> {
        if is_text(column.data_type()) {
            return Ok(Self::Words(words(column)?));
        }
        Ok(Self::Numbers(cast_to(column, &DataType::Float64)?))
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Numbers(numbers) if numbers.is_valid(row) => Cell::Number(numbers.value(row)),
            Self::Words(words) if words.is_valid(row) => match words.value(row).trim() {
                "" => Cell::Absent,
                word => Cell::Word(word),
            },
            Self::Numbers(_) | Self::Words(_) => Cell::Absent,
        }
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn words(column: &ArrayRef) -> Result<StringArray, Refusal> {
    cast_to(column, &DataType::Utf8)
}

/// A column as another type; a column that cannot become it is a changed header.
fn cast_to<A: Array + Clone + 'static>(column: &ArrayRef, to: &DataType) -> Result<A, Refusal> {
    let refuse =
        || (Reason::HeaderChanged, format!("column is {}; accepted is what can become {to}", column.data_type()));
    let array = cast(column, to).map_err(|_| refuse())?;
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(refuse)
}

/// The times of the rows of a columnar table. Give a whole file: the order of its rows tells the doubled hour of autumn apart. Arrow
/// timestamps count as UTC when they have a zone and as local times of the layout's zone when they have none; a date is the first instant
/// of its day there; text and whole numbers follow the layout's format.
///
/// # Errors
/// A sentence, when a time column is absent or of a type that holds no times.
pub fn column_times(rows: &RecordBatch, layout: &TableLayout) -> Result<Times, String> {
    let TimeLayout::Column { name, format, zone } = &layout.time else { return Err(NO_COLUMN.to_owned()) };
    let column_of = |name: &str| {
        let column = rows.column_by_name(name).ok_or_else(|| format!("column {name:?} is absent"))?;
        TimeColumn::new(name, column, format)
    };
    let text = |name: Option<&String>| -> Result<Option<StringArray>, String> {
        let Some(column) = name.and_then(|name| rows.column_by_name(name)) else { return Ok(None) };
        words(column).map(Some).map_err(|(_, problem)| problem)
    };
    let valid = column_of(name)?;
    let issued = layout.forecast.as_ref().map(|forecast| column_of(&forecast.issue_time)).transpose()?;
    let codes = text(zone.as_ref())?;
    let station = match &layout.station {
        StationLayout::Column(name) => text(Some(name))?,
        StationLayout::Constant(_) => None,
    };
    let member = text(layout.forecast.as_ref().and_then(|forecast| forecast.member.as_ref()))?;
    let cell = |words: &'_ Option<StringArray>, row: usize| -> Option<String> {
        words.as_ref().filter(|words| words.is_valid(row)).map(|words| words.value(row).to_owned())
    };
    let mut clock = LocalClock::new(&layout.zone);
    let mut issue_times: Vec<ReadTime> = Vec::new();
    for row in 0..rows.num_rows() {
        let code = codes.as_ref().filter(|codes| codes.is_valid(row)).map(|codes| codes.value(row));
        clock.push(valid.written(row, format), code, || {
            let issue =
                issued.as_ref().and_then(|issued| issued.written(row, format)).map(|written| format!("{written:?}"));
            let names = [cell(&station, row), issue, cell(&member, row)];
            series_hash(names.each_ref().map(|name| name.as_ref().map(String::as_bytes)))
        });
        if let Some(issued) = &issued {
            issue_times.push(layout.issue_time(issued.written(row, format), code));
        }
    }
    Ok(layout.labelled(clock.finish(), issued.map(|_| issue_times)))
}

/// A column of times.
enum TimeColumn {
    /// UTC microseconds
    Instants(TimestampMicrosecondArray),
    /// microseconds of a wall clock
    Local(TimestampMicrosecondArray),
    /// days of a calendar since 1970-01-01
    Dates(Date32Array),
    Seconds(Int64Array),
    Words(StringArray),
}

impl TimeColumn {
    fn new(name: &str, column: &ArrayRef, format: &TimeFormat) -> Result<Self, String> {
        let refuse = |_: Refusal| {
            format!(
                "column {name:?} is {}; accepted are timestamps, dates, text, and whole numbers in the layout's format",
                column.data_type()
            )
        };
        match column.data_type() {
            DataType::Timestamp(_, zone) => {
                let to = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                let times = cast_to(column, &to).map_err(refuse)?;
                Ok(if zone.is_some() { Self::Instants(times) } else { Self::Local(times) })
            }
            DataType::Date32 | DataType::Date64 => cast_to(column, &DataType::Date32).map(Self::Dates).map_err(refuse),
            kind if kind.is_integer() && *format == TimeFormat::UnixS => {
                cast_to(column, &DataType::Int64).map(Self::Seconds).map_err(refuse)
            }
            kind if is_text(kind) || (kind.is_integer() && matches!(format, TimeFormat::Strftime(_))) => {
                words(column).map(Self::Words).map_err(refuse)
            }
            _ => Err(refuse((Reason::HeaderChanged, String::new()))),
        }
    }

    fn written<'a>(&'a self, row: usize, format: &TimeFormat) -> Option<Written<'a>> {
        match self {
            Self::Instants(times) => times.is_valid(row).then(|| Written::Instant(Timestamp(times.value(row)))),
            Self::Local(times) => {
                let wall = times.is_valid(row).then(|| jiff::Timestamp::from_microsecond(times.value(row)).ok())??;
                Some(Written::Local(jiff::tz::TimeZone::UTC.to_datetime(wall), None))
            }
            Self::Dates(days) => {
                let day_s = days.is_valid(row).then(|| i64::from(days.value(row)) * 86_400)?;
                let midnight = jiff::Timestamp::from_second(day_s).ok()?;
                Some(Written::Local(jiff::tz::TimeZone::UTC.to_datetime(midnight), None))
            }
            Self::Seconds(seconds) => {
                let time = seconds.is_valid(row).then(|| jiff::Timestamp::from_second(seconds.value(row)).ok())??;
                Some(Written::Instant(Timestamp(time.as_microsecond())))
            }
            Self::Words(words) => words.is_valid(row).then(|| format.written(words.value(row)))?,
        }
    }
}
