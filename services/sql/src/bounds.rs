//! Bounds: what is known of the rows of a message, a day or a file before they are read, and what a predicate makes of it.

use std::{collections::HashSet, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray};
use datafusion::{
    common::{Column, Result, ScalarValue, pruning::PruningStatistics},
    physical_optimizer::pruning::PruningPredicate,
};
use nilometer_archive::Ranges;
use nilometer_schemas::{Contract, Timestamp};

use crate::tables::RowTable;

const DAY_S: i64 = 86_400;

/// Smallest and largest values that rows may have, by column; what is not known is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds {
    times: Vec<(&'static str, Option<Timestamp>, Option<Timestamp>)>,
    names: Vec<(&'static str, String, String)>,
}

impl Bounds {
    /// Of messages whose time lies from `first` to `last`. A row was known at the time of its message; a forecast is issued at it, and looks ahead.
    fn of_messages(table: &RowTable, first: Timestamp, last: Timestamp) -> Self {
        let mut times = Vec::new();
        if let Some(column) = table.known_by {
            let begins = (table.contract == Contract::Forecast).then_some(first);
            times.push((column, begins, Some(last)));
        }
        if table.contract == Contract::Forecast {
            times.push(("valid_time", Some(first), None));
        }
        Self { times, names: Vec::new() }
    }

    /// Of a message of this time.
    pub(crate) fn of_message(table: &RowTable, time: Timestamp) -> Self {
        Self::of_messages(table, time, time)
    }

    /// Of the messages of a day that begins then.
    pub(crate) fn of_day(table: &RowTable, begin: Timestamp) -> Self {
        Self::of_messages(table, begin, begin.plus_s(DAY_S))
    }

    /// Of a file, as its manifest says.
    pub(crate) fn of_file(ranges: &Ranges) -> Self {
        let time =
            |name, range: Option<(Timestamp, Timestamp)>| range.map(|(first, last)| (name, Some(first), Some(last)));
        let name = |name, range: &Option<(String, String)>| range.clone().map(|(first, last)| (name, first, last));
        let times = [time("issue_time", ranges.issue_time), time("valid_time", ranges.valid_time)];
        let names = [name("catchment", &ranges.catchment), name("station", &ranges.station)];
        Self { times: times.into_iter().flatten().collect(), names: names.into_iter().flatten().collect() }
    }
}

/// Those of `items` that may have a row of the predicate.
pub(crate) fn may_match<T>(
    predicate: Option<&PruningPredicate>,
    items: Vec<T>,
    bounds: impl Fn(&T) -> Bounds,
) -> Result<Vec<T>> {
    let Some(predicate) = predicate else { return Ok(items) };
    let kept = predicate.prune(&Known(items.iter().map(bounds).collect()))?;
    Ok(items.into_iter().zip(kept).filter_map(|(item, kept)| kept.then_some(item)).collect())
}

struct Known(Vec<Bounds>);

impl Known {
    fn column(&self, name: &str, low: bool) -> Option<ArrayRef> {
        let time = |bounds: &Bounds| {
            let (_, first, last) = bounds.times.iter().find(|(of, ..)| *of == name)?;
            if low { first.map(|time| time.0) } else { last.map(|time| time.0) }
        };
        let text = |bounds: &Bounds| {
            let (_, first, last) = bounds.names.iter().find(|(of, ..)| *of == name)?;
            Some(if low { first.clone() } else { last.clone() })
        };
        match name {
            "issue_time" | "valid_time" | "time" => {
                let times: TimestampMicrosecondArray = self.0.iter().map(time).collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            "catchment" | "station" => Some(Arc::new(self.0.iter().map(text).collect::<StringArray>())),
            _ => None,
        }
    }
}

impl PruningStatistics for Known {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(&column.name, true)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(&column.name, false)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use datafusion::{
        common::ToDFSchema as _,
        physical_optimizer::pruning::PruningPredicateBuilder,
        prelude::{SessionContext, col, lit},
    };

    use super::*;
    use crate::tables::TABLES;

    /// Of a table, whether a message of noon is looked into for what is valid behind noon.
    fn looks_behind_its_time(name: &str) -> bool {
        let table = TABLES.into_iter().find(|table| table.name == name).unwrap();
        let (schema, noon) = (table.contract.schema(), "2014-11-04T12:00:00Z".parse::<Timestamp>().unwrap());
        let behind = col("valid_time").gt(lit(ScalarValue::TimestampMicrosecond(Some(noon.0), Some("UTC".into()))));
        let state = SessionContext::new().state();
        let predicate = state.create_physical_expr(behind, &schema.clone().to_dfschema().unwrap()).unwrap();
        let predicate = PruningPredicateBuilder::new().with_file_schema(schema).try_build(predicate).unwrap();
        let kept = may_match(Some(&predicate), vec![noon], |time| Bounds::of_message(&table, *time)).unwrap();
        !kept.is_empty()
    }

    #[test]
    fn a_message_is_left_out_only_where_no_row_of_it_can_be_later() {
        let later = ["forecast", "observation", "forcing"].map(looks_behind_its_time);
        assert_eq!(later, [true; 3], "forecasts look ahead, and a gauge's clock may be fast");
        let never = ["analysis", "score", "state", "drought"].map(looks_behind_its_time);
        assert_eq!(never, [false; 4]);
    }
}
