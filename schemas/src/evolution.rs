//! Versions of a contract side by side: what an older or a newer producer writes, read by this one's rules.
//!
//! A later version of a contract has the columns of the one before it and more behind them, which may be null. So a reader takes of a later
//! version what it knows, and misses in an earlier one only what may be missing. Anything else is no version but another contract, and
//! is refused.

use arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    datatypes::{Field, Schema},
};

use crate::SchemaError;

/// Metadata key of a contract's name and version in a batch's schema, as `observation.v1`.
pub(crate) const CONTRACT: &str = "nilometer.contract";

/// The columns of `accepted` in a batch of it, of a later version or of an earlier one.
///
/// # Errors
/// [`SchemaError::Column`] names the first column that is not as accepted.
pub(crate) fn columns_of(batch: &RecordBatch, accepted: &Schema) -> Result<Vec<ArrayRef>, SchemaError> {
    let (ours, theirs) = (version(accepted), version(batch.schema_ref()));
    // Within one version, and where none is said, the columns are the same.
    let (mut more, mut fewer) = (false, false);
    if let (Some((name, ours)), Some((other, theirs))) = (ours, theirs) {
        (more, fewer) = (name == other && theirs > ours, name == other && theirs < ours);
    }
    let (expected, found) = (accepted.fields(), batch.schema_ref().fields());
    let same =
        |a: &Field, b: &Field| (a.name(), a.data_type(), a.is_nullable()) == (b.name(), b.data_type(), b.is_nullable());
    for index in 0..expected.len().max(found.len()) {
        let fits = match (expected.get(index), found.get(index)) {
            (Some(want), Some(have)) => same(want, have),
            (Some(want), None) => fewer && want.is_nullable(),
            (None, Some(_)) => more,
            (None, None) => true,
        };
        if !fits {
            let show =
                |field: Option<&std::sync::Arc<Field>>| field.map_or_else(|| "absent".to_owned(), |f| describe(f));
            return Err(SchemaError::Column {
                contract: accepted.metadata().get(CONTRACT).cloned().unwrap_or_default(),
                index,
                found: show(found.get(index)),
                expected: show(expected.get(index)),
            });
        }
    }
    let column = |(index, field): (usize, &std::sync::Arc<Field>)| match batch.columns().get(index) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    Ok(expected.iter().enumerate().map(column).collect())
}

/// Name and version of the contract that a schema says it keeps.
fn version(schema: &Schema) -> Option<(&str, u32)> {
    let (name, version) = schema.metadata().get(CONTRACT)?.rsplit_once(".v")?;
    Some((name, version.parse().ok()?))
}

fn describe(field: &Field) -> String {
    let null = if field.is_nullable() { "nullable " } else { "" };
    format!("{} ({null}{})", field.name(), field.data_type())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use arrow::{
        array::{Array, Float64Array},
        datatypes::DataType,
    };

    use super::*;
    use crate::{Contract, Flag, ObservationRow, Observations, ObservationsBuilder, Timestamp, Variable};

    fn rows() -> RecordBatch {
        let mut builder = ObservationsBuilder::new();
        for value in [1.0, 2.0] {
            builder.push(ObservationRow {
                station: "V1",
                variable: Variable::Discharge,
                valid_time: Timestamp(0),
                period_s: 0,
                value: Some(value),
                flag: Flag::Pass,
                flag_source: "test",
                qualifier: None,
                source: "test",
                ingest_time: Timestamp(0),
            });
        }
        builder.finish().unwrap().into_batch()
    }

    /// A second version of observations: each has its standard error besides.
    fn second(contract: &str, column: Field) -> Schema {
        let first = Contract::Observation.schema();
        let fields = first.fields().iter().cloned().chain([Arc::new(column)]);
        Schema::new_with_metadata(
            fields.collect::<Vec<_>>(),
            HashMap::from([(CONTRACT.to_owned(), contract.to_owned())]),
        )
    }

    fn error_column() -> Field {
        Field::new("standard_error", DataType::Float64, true)
    }

    #[test]
    fn old_and_new_producers_and_consumers_work_together() {
        let v2 = second("observation.v2", error_column());
        let errors = Arc::new(Float64Array::from(vec![Some(0.1), None]));
        let columns = rows().columns().iter().cloned().chain([errors as ArrayRef]).collect();
        let new = RecordBatch::try_new(Arc::new(v2.clone()), columns).unwrap();
        // A new producer and an old consumer.
        let old_reads_new = Observations::try_from(new.clone()).unwrap();
        assert_eq!(old_reads_new.batch(), &rows());
        // An old producer and a new consumer; a new one of each.
        let new_reads_old = columns_of(&rows(), &v2).unwrap();
        assert_eq!((new_reads_old.len(), new_reads_old.last().unwrap().null_count()), (12, 2));
        assert_eq!(columns_of(&new, &v2).unwrap().last().unwrap().null_count(), 1);
    }

    #[test]
    fn rows_of_every_earlier_version_are_read_with_nulls() {
        for (contract, version, first_new) in [
            (Contract::Forecast, "forecast.v1", "stage_q05"),
            (Contract::Forecast, "forecast.v2", "member_values"),
            (Contract::Forecast, "forecast.v3", "q01"),
            (Contract::Operator, "operator.v1", "level"),
            (Contract::Score, "score.v1", "unit"),
            (Contract::Score, "score.v2", "shadow"),
        ] {
            let now = RecordBatch::new_empty(contract.schema());
            let schema = now.schema();
            let before = schema.index_of(first_new).unwrap();
            let metadata = HashMap::from([(CONTRACT.to_owned(), version.to_owned())]);
            let then = Schema::new_with_metadata(schema.fields()[..before].to_vec(), metadata);
            let batch = RecordBatch::try_new(Arc::new(then), now.columns()[..before].to_vec()).unwrap();
            assert_eq!(contract.accept(batch).unwrap(), now, "{version}");
        }
    }

    #[test]
    fn what_is_no_version_of_a_contract_is_refused() {
        let with = |schema: Schema| {
            let column = schema.fields().last().unwrap().data_type().clone();
            let columns = rows().columns().iter().cloned().chain([new_null_array(&column, 2)]).collect();
            RecordBatch::try_new(Arc::new(schema), columns).unwrap()
        };
        for (contract, why) in [
            ("observation.v1", "the same version has the same columns"),
            ("forecast.v2", "another contract"),
            ("observation", "no version"),
        ] {
            let error = Observations::try_from(with(second(contract, error_column()))).unwrap_err().to_string();
            assert!(
                error.contains("column 11 is standard_error") && error.contains("accepted is absent"),
                "{why}: {error}"
            );
        }
        // A column that must be there cannot be missing, in whatever version.
        let strict = second("observation.v2", Field::new("standard_error", DataType::Float64, false));
        assert!(columns_of(&rows(), &strict).is_err());
        let renamed = Observations::try_from(with(second("observation.v9", error_column())).project(&[1, 0]).unwrap());
        assert!(renamed.unwrap_err().to_string().contains("column 0 is variable"));
    }
}
