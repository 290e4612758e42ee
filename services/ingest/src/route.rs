//! Which partition each row goes to.

use arrow::{
    array::{RecordBatch, StringArray, UInt64Array},
    compute::take_record_batch,
    error::ArrowError,
};

/// The rows of a batch, parted by the partition of what they name: one batch for each of `numbers`, which are ascending, also where it has no
/// rows. Their order stays.
pub(crate) fn route(
    batch: &RecordBatch,
    names: &StringArray,
    numbers: &[u32],
    partition_of: impl Fn(&str) -> u32,
) -> Result<Vec<RecordBatch>, ArrowError> {
    if numbers.len() == 1 {
        return Ok(vec![batch.clone()]);
    }
    let mut rows: Vec<Vec<u64>> = vec![Vec::new(); numbers.len()];
    for (row, name) in names.iter().enumerate() {
        let number = partition_of(name.unwrap_or_default());
        rows[numbers.binary_search(&number).unwrap_or(0)].push(row as u64);
    }
    rows.into_iter().map(|rows| take_record_batch(batch, &UInt64Array::from(rows))).collect()
}
