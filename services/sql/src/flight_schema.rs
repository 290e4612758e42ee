//! What Flight SQL says of the service itself: which tables there are, and what it can do.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    error::FlightError,
    sql::{
        CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo,
        metadata::{SqlInfoData, SqlInfoDataBuilder},
    },
};

use crate::engine::{DATABASE, SCHEMA};

/// Every table is one of these.
const TABLE: &str = "TABLE";

/// That transactions may be begun and ended. In one nothing is written.
const TRANSACTIONS: i32 = 1;

pub(crate) fn server() -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "Nilometer");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, TRANSACTIONS);
    info.append(SqlInfo::FlightSqlServerCancel, false);
    info.build()
}

pub(crate) fn catalogs(query: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut catalogs = query.into_builder();
    catalogs.append(DATABASE);
    catalogs.build()
}

pub(crate) fn schemas(query: CommandGetDbSchemas) -> Result<RecordBatch, FlightError> {
    let mut schemas = query.into_builder();
    schemas.append(DATABASE, SCHEMA);
    schemas.build()
}

pub(crate) fn tables(query: CommandGetTables, tables: &[(String, SchemaRef)]) -> Result<RecordBatch, FlightError> {
    let mut found = query.into_builder();
    for (name, columns) in tables {
        found.append(DATABASE, SCHEMA, name, TABLE, columns)?;
    }
    found.build()
}

pub(crate) fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut types = query.into_builder();
    types.append(TABLE);
    types.build()
}
