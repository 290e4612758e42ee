use crate::{delivery, layouts};

/// A Parquet file through its source.
pub(crate) fn parquet(bytes: &[u8]) {
    for options in layouts::of_columns("flow.parquet") {
        delivery::read(bytes, &options);
    }
}
