use arrow::array::RecordBatch;
use nilometer_engine::{from_ipc, to_ipc};

use crate::assert_described;

/// The body of a message: an Arrow IPC stream.
pub(crate) fn message(bytes: &[u8]) {
    let batch = match from_ipc(bytes) {
        Ok((batch, _)) => batch,
        Err(error) => return assert_described(&error),
    };
    // Arrow reads some types that it does not write, and writes an empty time zone as none: the second copy is held to the first.
    let Some(first) = copy(&batch) else { return };
    let second = copy(&first).expect("what was written and read can be written and read again");
    assert_eq!((first.num_rows(), second.num_rows()), (batch.num_rows(), batch.num_rows()));
    assert_eq!(second.schema(), first.schema());
    // Not a number is not equal to itself.
    assert_eq!(format!("{:?}", second.columns()), format!("{:?}", first.columns()));
}

/// The batch, written and read; none where Arrow does not write it, and where it has too many rows without a byte.
fn copy(batch: &RecordBatch) -> Option<RecordBatch> {
    let bytes = to_ipc(batch, &[]).ok()?;
    from_ipc(&bytes).ok().map(|(batch, _)| batch)
}
