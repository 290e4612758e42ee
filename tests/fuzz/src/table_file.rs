use crate::{delivery, layouts};

/// A text file through its source: header, remarks, encodings, order of arrival.
pub(crate) fn table_file(bytes: &[u8]) {
    for options in layouts::options("flow.csv") {
        delivery::read(bytes, &options);
    }
}
