//! The columns that rows of every layout have, and how a file that does not fit is refused.

use std::{path::Path, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{BASIN, FILE, FolderColumn, VALID_TIME};
use crate::SourceError;

/// Basin, valid time, the numbers of `kind`, and the file.
pub(super) fn schema(columns: &[FolderColumn], kind: &DataType) -> Arc<Schema> {
    let mut fields = vec![
        Field::new(BASIN, DataType::Utf8, false),
        Field::new(VALID_TIME, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ];
    fields.extend(columns.iter().map(|column| Field::new(column.name, kind.clone(), true)));
    fields.push(Field::new(FILE, DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

pub(super) fn unfit(path: &Path, problem: String) -> SourceError {
    SourceError::Options { name: "folder".to_owned(), key: path.display().to_string(), problem }
}
