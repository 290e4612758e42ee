//! Raw: what cannot be read twice, as it came.

use super::contract;
use crate::{
    Contract, SchemaError,
    columns::{Bytes, Text, Time},
};

contract! {
    /// Messages that their sources give once: requests, messages of a broker, answers. Each is here with its bytes before it is decoded.
    RawMessages,
    /// One message, borrowing its words.
    RawMessageRow, RawMessagesBuilder: Contract::Raw, checked by check;
    beside {}
    columns of row {
        /// name of the source in the definition
        source: Text,
        /// where the source found it
        locator: Text,
        /// the format of the bytes, by its name
        format: Text,
        /// when it reached us
        ingest_time: Time,
        /// all of it
        bytes: Bytes,
    }
}

fn check(_: &RawMessages) -> Result<(), SchemaError> {
    Ok(())
}
