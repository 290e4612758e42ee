//! A table of texts: chosen columns of a CSV or Parquet file that is read as a whole, as the names and places of stations are.

use std::{fs, path::Path};

use arrow::{array::AsArray as _, compute::cast, datatypes::DataType};
use bytes::Bytes;

use crate::table::read_parquet;

/// Bytes of a file at most.
const LARGEST_BYTES: u64 = 1 << 26;

/// The chosen `columns` of each row, as text without blanks around it; empty where there is none. A file whose name ends with `.parquet` is
/// Parquet, another one CSV with a header line.
///
/// # Errors
/// Why the file cannot be read, or which column it lacks, with those that it has.
pub fn read_text_table(path: &Path, columns: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > LARGEST_BYTES {
        return Err(format!("has {size} bytes; accepted are {LARGEST_BYTES} at most"));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    if parquet { of_parquet(&Bytes::from(bytes), columns) } else { of_csv(&bytes, columns) }
}

fn of_csv(bytes: &[u8], columns: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(|error| format!("has no header: {error}"))?.clone();
    let names: Vec<&str> = header.iter().map(|name| name.trim().trim_start_matches('\u{feff}')).collect();
    let places = places(&names, columns)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| format!("is no CSV: {error}"))?;
        let text = |place: &usize| record.get(*place).unwrap_or_default().trim().to_owned();
        rows.push(places.iter().map(text).collect());
    }
    Ok(rows)
}

fn of_parquet(bytes: &Bytes, columns: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let batch = read_parquet(bytes).map_err(|error| format!("is no Parquet that can be read: {error}"))?;
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = vec![Vec::with_capacity(columns.len()); batch.num_rows()];
    for (place, name) in places(&names, columns)?.into_iter().zip(columns) {
        let text = cast(batch.column(place), &DataType::Utf8)
            .map_err(|error| format!("has a column {name:?} that is no text and no number: {error}"))?;
        for (row, value) in rows.iter_mut().zip(text.as_string::<i32>()) {
            row.push(value.unwrap_or_default().trim().to_owned());
        }
    }
    Ok(rows)
}

/// Where each of the chosen columns is.
fn places(names: &[&str], columns: &[&str]) -> Result<Vec<usize>, String> {
    let place = |column: &&str| {
        let found = names.iter().position(|name| name == column);
        found.ok_or_else(|| format!("has no column {column:?}; its columns are {}", names.join(", ")))
    };
    columns.iter().map(place).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn csv_and_parquet_give_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("stations.csv");
        fs::write(&csv, "\u{feff}id, stage ,name\n 07 ,12.5,\"Creek, upper\"\n08,\n").unwrap();
        let wanted = [["Creek, upper", "07", "12.5"], ["", "08", ""]];
        assert_eq!(read_text_table(&csv, &["name", "id", "stage"]).unwrap(), wanted);
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from(vec!["07", "08"]))),
            ("stage", Arc::new(Float64Array::from(vec![Some(12.5), None]))),
            ("name", Arc::new(StringArray::from(vec![Some("Creek, upper"), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = folder.path().join("stations.parquet");
        let mut writer = ArrowWriter::try_new(fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(read_text_table(&file, &["name", "id", "stage"]).unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stations.csv");
        assert!(read_text_table(&file, &["id"]).unwrap_err().contains("cannot be read"));
        fs::write(&file, "id,name\n1,a\n").unwrap();
        let error = read_text_table(&file, &["id", "river"]).unwrap_err();
        assert_eq!(error, "has no column \"river\"; its columns are id, name");
        let parquet = folder.path().join("stations.parquet");
        fs::write(&parquet, "id,name\n").unwrap();
        assert!(read_text_table(&parquet, &["id"]).unwrap_err().contains("no Parquet"));
    }
}
