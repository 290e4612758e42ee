//! The order of the rows of a compacted file.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, UInt64Array},
    compute::{SortColumn, concat, interleave_record_batch, lexsort_to_indices},
    error::ArrowError,
};
use nilometer_schemas::Contract;

/// Rows that are put in order at once.
const CHUNK: usize = 8_192;

/// The columns that rows are sorted by; rows that are the same in these stay in the order in which they are read. None where that is the order.
const fn sort_columns(contract: Contract) -> &'static [&'static str] {
    match contract {
        Contract::Forecast | Contract::ShadowForecast => &["catchment", "issue_time", "lead_time_s", "model"],
        Contract::State => &["catchment", "model", "store", "valid_time"],
        Contract::Drought => &["catchment", "index", "valid_time"],
        Contract::Outlook | Contract::DroughtOutlook | Contract::OutlookScore => {
            &["catchment", "index", "issue_time", "week"]
        }
        Contract::Operator => &["station", "number"],
        Contract::Alert => &["station", "kind", "threshold", "time"],
        Contract::Event => &["catchment", "threshold", "issue_time"],
        Contract::Score => &["catchment", "valid_time", "lead_time_s", "issue_time", "score_time"],
        Contract::Analysis => &["catchment", "station", "variable", "valid_time", "analysis_time"],
        // Of two values of one time that counts which arrived last, so the values of a station stay in the order of their arrival.
        Contract::Observation => &["station", "variable"],
        Contract::Forcing => &["catchment", "variable"],
        _ => &[],
    }
}

/// Gives the rows of `batches` to `writer` in the order of the contract, a chunk at a time.
pub(crate) fn write_in_order<E: From<ArrowError>>(
    contract: Contract,
    batches: &[RecordBatch],
    mut writer: impl FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let columns = sort_columns(contract);
    if columns.is_empty() || batches.is_empty() {
        return batches.iter().try_for_each(writer);
    }
    let batch_and_row: Vec<(usize, usize)> = batches
        .iter()
        .enumerate()
        .flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
        .collect();
    let ascending = |values| SortColumn { values, options: None };
    let mut keys = Vec::new();
    for column in columns {
        let of_batches: Vec<&dyn arrow::array::Array> =
            batches.iter().filter_map(|batch| batch.column_by_name(column)).map(AsRef::as_ref).collect();
        keys.push(ascending(concat(&of_batches)?));
    }
    // The sort is not stable by itself.
    let read_order: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..batch_and_row.len() as u64));
    keys.push(ascending(read_order));
    let sorted = lexsort_to_indices(&keys, None)?;
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    for chunk in sorted.values().chunks(CHUNK) {
        let rows: Vec<(usize, usize)> = chunk.iter().map(|index| batch_and_row[*index as usize]).collect();
        writer(&interleave_record_batch(&batches, &rows)?)?;
    }
    Ok(())
}
