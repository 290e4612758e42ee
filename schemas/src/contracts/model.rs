//! Models: which weights forecasts are made with, from when on.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{Float64, Text, Time, UInt64},
};

contract! {
    /// Which weights forecasts are made with from a tick on, and why. A row of weight 1 is in force from its message's tick on.
    Models,
    /// One change of weights, borrowing its words.
    ModelRow, ModelsBuilder: Contract::Model, checked by check;
    beside {}
    columns of row {
        /// name of the package or the blend
        name: Text,
        /// its version
        version: Text,
        /// SHA-256 of all of its files, hexadecimal: the folder below `models/` of the store
        package_sha256: Text,
        /// SHA-256 of its weights, hexadecimal, as forecasts say it
        weights_sha256: Text,
        /// share of it in what forecasts say, 0 to 1
        weight: Float64 ["unit": "1"],
        /// why it takes the place of the one before
        reason: Text,
        /// who put it there
        author: Text,
        /// number of the announcement that this row is of
        announcement: UInt64,
        /// when the row reached us
        ingest_time: Time,
    }
}

fn check(m: &Models) -> Result<(), SchemaError> {
    for (row, weight) in m.weight().values().iter().enumerate() {
        if !(0.0..=1.0).contains(weight) {
            return Err(refuse(Contract::Model, "weight", row, weight, "0 to 1"));
        }
        let sha256 = m.package_sha256().value(row);
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(refuse(Contract::Model, "package_sha256", row, sha256, "64 hexadecimal digits"));
        }
    }
    Ok(())
}
