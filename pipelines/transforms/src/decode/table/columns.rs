//! Rows of columnar tables.

use arrow::{
    array::{
        Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, TimeUnit},
};
use nilometer_schemas::{Reason, Timestamp};

use super::{DecodedTable, Forecast, Origin, Refusal, Rows, Said, bad_time};
use crate::{
    Columns, RawBatch,
    decode::layout::{StationLayout, TableLayout, TimeFormat, TimeLayout},
    payload::render_row,
};

const NO_COLUMN: &str = "a columnar table needs a time column; its layout has the time on line 1";

pub(super) fn decode(batch: &RawBatch, columns: &Columns, layout: &TableLayout) -> Result<DecodedTable, Refusal> {
    let schema = columns.rows.schema();
    let header: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let found = layout.find_columns(&header).map_err(|found| (Reason::HeaderChanged, found))?;
    let changed = |found: String| (Reason::HeaderChanged, found);
    let time = column_times(&columns.rows, layout).map_err(changed)?;
    let issued = match &layout.forecast {
        Some(forecast) => Some(times_of(&columns.rows, &forecast.issue_time, layout).map_err(changed)?),
        None => None,
    };
    let whole = |i: usize| {
        let column = columns.rows.column(i);
        let refuse =
            || (Reason::HeaderChanged, format!("members are {}; accepted are whole numbers", column.data_type()));
        if column.data_type().is_integer() { cast_to::<Int32Array>(column, &DataType::Int32) } else { Err(refuse()) }
    };
    let member = found.member.map(whole).transpose()?;
    let text = |index: Option<usize>| -> Result<Option<StringArray>, Refusal> {
        index.map(|i| cast_to::<StringArray>(columns.rows.column(i), &DataType::Utf8)).transpose()
    };
    let (station, qualifier) = (text(found.station)?, text(found.qualifier)?);
    let value: Float64Array = cast_to(columns.rows.column(found.value), &DataType::Float64)?;

    let mut rows = Rows::new(batch, layout, columns.delay_s);
    let (mut index, mut dead_letters) = (Vec::new(), Vec::new());
    for row in 0..columns.rows.num_rows() {
        let read = || -> Result<_, Refusal> {
            let station = match (&station, &layout.station) {
                (Some(names), _) if names.is_null(row) => {
                    return Err((Reason::UnknownStation, "station is null".to_owned()));
                }
                (Some(names), _) => names.value(row),
                (None, StationLayout::Constant(name) | StationLayout::Column(name)) => name,
            };
            let time = time[row].ok_or_else(|| bad_time("unreadable"))?;
            let value = if value.is_null(row) { None } else { rows.value(value.value(row))? };
            let forecast = match &issued {
                None => None,
                Some(issued) => {
                    let issue_time = issued[row].ok_or_else(|| bad_time("unreadable"))?;
                    let refuse = || (Reason::Undecodable, "member is null; accepted is a whole number".to_owned());
                    let of_row =
                        |member: &Int32Array| member.is_valid(row).then(|| member.value(row)).ok_or_else(refuse);
                    Some(Forecast { issue_time, member: member.as_ref().map(of_row).transpose()? })
                }
            };
            let qualifier = qualifier.as_ref().filter(|q| q.is_valid(row)).map(|q| q.value(row));
            Ok(Said { station, time, value, qualifier: qualifier.filter(|q| !q.is_empty()), forecast })
        };
        let line = columns.first_row + row as u64;
        match read() {
            Ok(said) => {
                rows.push(line, said);
                index.push(row);
            }
            Err(refusal) => dead_letters.push(rows.letter(line, time[row], refusal, render_row(&columns.rows, row))),
        }
    }
    let received = columns.rows.num_rows() as u64;
    Ok(DecodedTable {
        rows: rows.finish(Origin::Columns { rows: columns.rows.clone(), index }),
        dead_letters,
        received,
    })
}

/// A column as another type; a column that cannot become it is a changed header.
fn cast_to<A: Array + Clone + 'static>(column: &ArrayRef, to: &DataType) -> Result<A, Refusal> {
    let refuse =
        || (Reason::HeaderChanged, format!("column is {}; accepted is what can become {to}", column.data_type()));
    let array = cast(column, to).map_err(|_| refuse())?;
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(refuse)
}

/// The valid times of a columnar table, none where a row's time cannot be read. Arrow timestamps count as UTC when they
/// have a zone and as local times of the layout's zone when they have none; text and numbers follow the layout's format.
///
/// # Errors
/// A sentence, when the time column is absent or of a type that holds no times.
pub fn column_times(rows: &RecordBatch, layout: &TableLayout) -> Result<Vec<Option<Timestamp>>, String> {
    let TimeLayout::Column { name, .. } = &layout.time else { return Err(NO_COLUMN.to_owned()) };
    times_of(rows, name, layout)
}

/// From when on each row is known, but for its source's delay: as [`TableLayout::line_origin`].
///
/// # Errors
/// As [`column_times`].
pub fn column_origins(rows: &RecordBatch, layout: &TableLayout) -> Result<Vec<Option<Timestamp>>, String> {
    match &layout.forecast {
        Some(forecast) => times_of(rows, &forecast.issue_time, layout),
        None => column_times(rows, layout),
    }
}

fn times_of(rows: &RecordBatch, name: &str, layout: &TableLayout) -> Result<Vec<Option<Timestamp>>, String> {
    let TimeLayout::Column { format, .. } = &layout.time else { return Err(NO_COLUMN.to_owned()) };
    let column = rows.column_by_name(name).ok_or_else(|| format!("column {name:?} is absent"))?;
    let refuse =
        |_: Refusal| format!("column {name:?} is {}; accepted are times, text and seconds", column.data_type());
    match column.data_type() {
        DataType::Timestamp(_, zone) => {
            let to = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            let times: TimestampMicrosecondArray = cast_to(column, &to).map_err(refuse)?;
            let local = zone.is_none();
            Ok(times
                .iter()
                .map(|t| t.and_then(|t| if local { from_local(t, layout) } else { Some(Timestamp(t)) }))
                .collect())
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
            let times: StringArray = cast_to(column, &DataType::Utf8).map_err(refuse)?;
            Ok(times.iter().map(|t| format.read(t?, &layout.zone)).collect())
        }
        kind if kind.is_integer() && *format == TimeFormat::UnixS => {
            let times: Int64Array = cast_to(column, &DataType::Int64).map_err(refuse)?;
            let read = |s| jiff::Timestamp::from_second(s).ok().map(|t| Timestamp(t.as_microsecond()));
            Ok(times.iter().map(|t| t.and_then(read)).collect())
        }
        _ => Err(refuse((Reason::HeaderChanged, String::new()))),
    }
}

/// Microseconds of a wall clock as an instant.
fn from_local(wall_us: i64, layout: &TableLayout) -> Option<Timestamp> {
    let wall = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(wall_us).ok()?);
    let instant = layout.zone.to_ambiguous_zoned(wall).compatible().ok()?.timestamp();
    Some(Timestamp(instant.as_microsecond()))
}
