use nilometer_engine::from_ipc;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Columns, Payload, RawBatch};

use crate::{delivery, layouts};

/// Rows of a columnar table, as an Arrow IPC stream holds them.
pub(crate) fn table_columns(bytes: &[u8]) {
    let Ok((rows, _)) = from_ipc(bytes) else { return };
    for options in layouts::of_columns("flow.parquet") {
        let batch = RawBatch {
            source: "fuzz".into(),
            locator: "flow.parquet".into(),
            arrival: Timestamp(1_414_800_000_000_000),
            payload: Payload::Columns(Columns { rows: rows.clone(), first_row: 1, times: None, delay_s: None }),
        };
        delivery::decode(&batch, &options.layout().unwrap());
    }
}
