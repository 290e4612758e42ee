//! Rows in the order in which they arrive.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    compute::{cast, concat_batches, take_record_batch},
    datatypes::DataType,
};
use nilometer_schemas::{Timestamp, Variable};
use nilometer_transforms::{Columns, Payload, RawBatch};

use super::{
    BASIN, FILE, FolderColumn, FolderOptions, VALID_TIME,
    rows::{schema, unfit},
};
use crate::{Look, PositionedSource, Source, SourceError, source::Arrived};

/// Forcing of a folder within a window, sorted by time, then basin.
#[derive(Debug)]
pub struct FolderSeries {
    options: FolderOptions,
    forcing: Steps,
}

#[derive(Debug)]
pub(super) struct Steps {
    rows: RecordBatch,
    /// the rows valid at each time, ascending
    times: Vec<(Timestamp, Range<usize>)>,
}

/// Steps of a basin without a number where the model needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// the basin
    pub basin: String,
    /// the column
    pub column: &'static str,
    /// the file that holds the null; none where there is no row at all
    pub file: Option<String>,
    /// end of the first of the steps
    pub first: Timestamp,
    /// how many
    pub steps: usize,
}

impl FolderSeries {
    /// Reads the forcing valid in `(from, until]` of the basins that `options` wants.
    ///
    /// # Errors
    /// [`SourceError`] naming the file and what is wrong with it.
    pub fn load(options: &FolderOptions, from: Timestamp, until: Timestamp) -> Result<Self, SourceError> {
        Ok(Self { options: options.clone(), forcing: Steps::load(options, false, (from, until))? })
    }

    /// Seconds between two rows.
    #[must_use]
    pub const fn step_s(&self) -> i64 {
        self.options.layout.step_s()
    }

    /// The first time from which on every step up to `until` has forcing of some basin: history before a hole cannot warm up what
    /// comes after it. None where the last step has none.
    #[must_use]
    pub fn unbroken_from(&self, until: Timestamp) -> Option<Timestamp> {
        let mut begin = None;
        let mut expected = until;
        for (time, _) in self.forcing.times.iter().rev().skip_while(|(time, _)| *time > until) {
            if *time != expected {
                break;
            }
            expected = time.plus_s(-self.step_s());
            begin = Some(expected);
        }
        begin
    }

    /// The file that holds the forcing of a basin that is nearest before a time, or else behind it: where a row of that time is looked for.
    #[must_use]
    pub fn file_beside(&self, basin: &str, time: Timestamp) -> Option<&str> {
        let (names, files) = (text(&self.forcing.rows, BASIN), text(&self.forcing.rows, FILE));
        let at = self.forcing.times.partition_point(|(t, _)| *t < time);
        let (before, behind) = self.forcing.times.split_at(at);
        let mut rows = before.iter().rev().chain(behind).flat_map(|(_, rows)| rows.clone());
        rows.find(|row| names.value(*row) == basin).map(|row| files.value(row))
    }

    /// The newest time up to `until` that has forcing.
    #[must_use]
    pub fn forcing_until(&self, until: Timestamp) -> Option<Timestamp> {
        self.forcing.times.iter().rev().map(|(time, _)| *time).find(|time| *time <= until)
    }

    /// What is missing of the forcing `needed` of `basins` (ascending) in the steps valid in `(from, until]`.
    #[must_use]
    pub fn gaps(&self, basins: &[String], needed: &[Variable], from: Timestamp, until: Timestamp) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut add = |basin: &str, column: &'static str, file: Option<String>, time: Timestamp| match gaps
            .iter_mut()
            .find(|g| g.basin == basin && g.column == column && g.file == file)
        {
            Some(gap) => gap.steps += 1,
            None => gaps.push(Gap { basin: basin.to_owned(), column, file, first: time, steps: 1 }),
        };
        let names = text(&self.forcing.rows, BASIN);
        let at_fault = text(&self.forcing.rows, FILE);
        let columns: Vec<(&'static str, &ArrayRef)> = self
            .options
            .layout
            .forcing()
            .iter()
            .filter(|c| needed.contains(&c.variable))
            .filter_map(|c| Some((c.name, self.forcing.rows.column_by_name(c.name)?)))
            .collect();
        let mut time = from.plus_s(1).ceil_s(self.step_s());
        let mut at = self.forcing.times.partition_point(|(t, _)| *t < time);
        while time <= until {
            let rows = match self.forcing.times.get(at) {
                Some((t, rows)) if *t == time => {
                    at += 1;
                    rows.clone()
                }
                _ => 0..0,
            };
            if rows.len() < basins.len() {
                let here: Vec<&str> = rows.clone().map(|row| names.value(row)).collect();
                for basin in basins.iter().filter(|b| here.binary_search(&b.as_str()).is_err()) {
                    add(basin, "row", None, time);
                }
            }
            for (name, values) in columns.iter().filter(|(_, values)| values.null_count() > 0) {
                let counts = |row: &usize| basins.binary_search_by(|b| b.as_str().cmp(names.value(*row))).is_ok();
                for row in rows.clone().filter(|row| values.is_null(*row) && counts(row)) {
                    add(names.value(row), name, Some(at_fault.value(row).to_owned()), time);
                }
            }
            time = time.plus_s(self.step_s());
        }
        gaps
    }
}

struct Series {
    name: Arc<str>,
    locator: String,
    rows: RecordBatch,
    steps: Arc<Steps>,
    delay_s: i64,
}

impl PositionedSource for Series {
    type Position = Arrived;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, position: &Arrived, look: Look) -> Result<(Vec<RawBatch>, Arrived), SourceError> {
        let times = &self.steps.times;
        let arrival = |time: Timestamp| time.plus_s(self.delay_s);
        let first = times.partition_point(|(time, _)| position.arrival >= Some(arrival(*time)));
        let batches =
            times[first..].iter().take_while(|(time, _)| arrival(*time) <= look.tick).map(|(time, rows)| RawBatch {
                source: self.name.clone(),
                locator: self.locator.clone(),
                arrival: arrival(*time),
                payload: Payload::Columns(Columns {
                    rows: self.rows.slice(rows.start, rows.len()),
                    first_row: rows.start as u64 + 1,
                    times: None,
                    delay_s: Some(self.delay_s),
                }),
            });
        Ok((batches.collect(), position.moved_to(look.tick)))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        self.steps.times.last().map(|(time, _)| time.plus_s(self.delay_s))
    }
}

impl Steps {
    /// The rows of one column as a source, each `delay_s` after its valid time.
    pub(super) fn source(
        self: &Arc<Self>,
        options: &FolderOptions,
        name: &str,
        column: FolderColumn,
        delay_s: i64,
    ) -> Box<dyn Source> {
        let wanted: Vec<usize> = [BASIN, VALID_TIME, column.name, FILE]
            .iter()
            .filter_map(|name| self.rows.schema().index_of(name).ok())
            .collect();
        let rows = self.rows.project(&wanted).unwrap_or_else(|_| self.rows.clone());
        let pattern = options.layout.pattern(column == options.layout.discharge());
        Box::new(Series {
            name: name.into(),
            locator: format!("{}/{pattern}", options.path.display()),
            rows,
            steps: self.clone(),
            delay_s,
        })
    }

    pub(super) fn load(
        options: &FolderOptions,
        discharge: bool,
        window: (Timestamp, Timestamp),
    ) -> Result<Self, SourceError> {
        let layout = options.layout;
        let observed = [layout.discharge()];
        let columns = if discharge { &observed[..] } else { layout.forcing() };
        let batches = (layout.0.rows)(options, discharge, columns, window)?;
        let schema = schema(columns, &layout.0.number);
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
            let (files, time) = (text(&all, FILE), Timestamp(times.value(a)).plus_s(-layout.step_s()));
            let day =
                if layout.step_s() == super::DAY_S { time.date() } else { time.plus_s(layout.step_s()).to_string() };
            let problem = format!(
                "basin {} has two rows of {day}, in {} and {}; accepted is one",
                names.value(a),
                files.value(a),
                files.value(b)
            );
            return Err(unfit(&options.path, problem));
        }
        let rows = take_record_batch(&all, &UInt32Array::from(order)).map_err(refuse)?;
        let mut by_time: Vec<(Timestamp, Range<usize>)> = Vec::new();
        for (row, time) in self::times(&rows).values().iter().enumerate() {
            match by_time.last_mut() {
                Some((last, span)) if last.0 == *time => span.end = row + 1,
                _ => by_time.push((Timestamp(*time), row..row + 1)),
            }
        }
        Ok(Self { rows, times: by_time })
    }
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
    options: &FolderOptions,
    from: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<String, BTreeMap<Timestamp, f64>>, SourceError> {
    let steps = Steps::load(options, true, (from, until))?;
    let discharge = options.layout.discharge();
    let refuse = |e: &dyn std::fmt::Display| unfit(&options.path, e.to_string());
    let layout = discharge.layout().map_err(|e| refuse(&e))?;
    let (names, times) = (text(&steps.rows, BASIN), times(&steps.rows));
    let column = steps.rows.column_by_name(discharge.name).ok_or_else(|| refuse(&"no discharge"))?;
    let column = cast(column, &DataType::Float64).map_err(|e| refuse(&e))?;
    let raw: &Float64Array = column.as_any().downcast_ref().ok_or_else(|| refuse(&"discharge is no number"))?;
    let mut found: BTreeMap<String, BTreeMap<Timestamp, f64>> = BTreeMap::new();
    for row in (0..steps.rows.num_rows()).filter(|row| raw.is_valid(*row) && raw.value(*row) >= 0.0) {
        let m3_s = layout.conversion.apply(raw.value(row));
        match found.get_mut(names.value(row)) {
            Some(series) => series.insert(Timestamp(times.value(row)), m3_s),
            None => found.entry(names.value(row).to_owned()).or_default().insert(Timestamp(times.value(row)), m3_s),
        };
    }
    Ok(found)
}
