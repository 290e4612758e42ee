//! Answers: rows as JSON, CSV or an Arrow stream, whichever the request accepts.

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, StringBuilder},
    csv,
    datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
    ipc::writer::StreamWriter,
    json::{ArrayWriter, WriterBuilder, writer::JsonArray},
    util::display::{ArrayFormatter, FormatOptions},
};
use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use nilometer_schemas::Contract;
use std::sync::Arc;

use crate::{Site, problem::Problem};

/// What an Arrow IPC stream is called.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
/// What CSV is called.
pub(crate) const CSV: &str = "text/csv; charset=utf-8";

/// Where each request is answered, as the client has named us.
pub(crate) fn base(site: &Site, headers: &HeaderMap) -> String {
    let word = |name: &str| headers.get(name).and_then(|word| word.to_str().ok());
    let host = word("host").unwrap_or("127.0.0.1");
    // A proxy in front may speak TLS where we do not.
    let is_secure = site.pipeline().serve.tls().is_some() || word("x-forwarded-proto") == Some("https");
    format!("{}://{host}", if is_secure { "https" } else { "http" })
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// an array of objects
    Json,
    /// lines, the first of which names the columns
    Csv,
    /// an Arrow IPC stream
    Arrow,
}

impl Format {
    /// What a request asks for: `f` before the header, JSON where neither says.
    ///
    /// # Errors
    /// [`Problem`] where it asks for none of these.
    pub fn of(f: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(f) = f {
            return match f {
                "json" => Ok(Self::Json),
                "csv" => Ok(Self::Csv),
                "arrow" => Ok(Self::Arrow),
                _ => Err(Problem::bad_request(format!("f is {f}; accepted is json, csv or arrow"))),
            };
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
        Self::preferred(accept).ok_or_else(|| {
            Problem::not_acceptable(format!("Accept is {accept}; accepted are application/json, text/csv and {ARROW}"))
        })
    }

    /// What the answer is called.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => CSV,
            Self::Arrow => ARROW,
        }
    }

    /// The format of the highest weight; of equal ones that which is named first.
    fn preferred(accept: &str) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default() {
                "application/json" | "application/*" | "*/*" | "" => Self::Json,
                "text/csv" | "text/*" => Self::Csv,
                ARROW => Self::Arrow,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            if weight > 0.0 && best.is_none_or(|(_, known)| weight > known) {
                best = Some((format, weight));
            }
        }
        best.map(|(format, _)| format)
    }
}

/// The rows of a contract as an answer.
pub(crate) fn rows(format: Format, contract: Contract, batch: &RecordBatch) -> Result<Response, Problem> {
    let written = match format {
        Format::Json => json(batch).map(|rows| {
            let mut body = format!("{{\"contract\":\"{}\",\"rows\":", contract.version()).into_bytes();
            body.extend(rows);
            body.push(b'}');
            ("application/json", body)
        }),
        Format::Csv => csv(batch).map(|body| (CSV, body)),
        Format::Arrow => arrow(batch).map(|body| (ARROW, body)),
    };
    let (content_type, body) = written.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// An array of objects; times as RFC 3339, what is null as `null`.
pub(crate) fn json(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    if batch.num_rows() == 0 {
        return Ok(b"[]".to_vec());
    }
    let mut written = Vec::new();
    let mut writer: ArrayWriter<_> = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut written);
    writer.write(&printable(batch, false)?)?;
    writer.finish()?;
    drop(writer);
    Ok(written)
}

fn csv(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut written = Vec::new();
    let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut written);
    writer.write(&printable(batch, true)?)?;
    drop(writer);
    Ok(written)
}

fn arrow(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

/// The same rows as text can be made of them: Arrow prints times of an offset and not of a named zone, and CSV has no lists, which become words.
///
/// # Errors
/// [`ArrowError`] where a value cannot be written.
pub fn printable(batch: &RecordBatch, without_lists: bool) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column: ArrayRef = match column.data_type() {
            DataType::List(_) if without_lists => Arc::new(words(column)?),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"))
            }
            _ => column.clone(),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn words(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::new();
    let lists = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut words = StringBuilder::new();
    for row in 0..column.len() {
        match column.is_valid(row) {
            true => words.append_value(lists.value(row).try_to_string()?),
            false => words.append_null(),
        }
    }
    Ok(words.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_the_highest_weight_is_taken() {
        let of = |accept| Format::preferred(accept);
        assert_eq!(of("*/*"), Some(Format::Json));
        assert_eq!(of("text/html, text/csv;q=0.8, application/json;q=0.9"), Some(Format::Json));
        assert_eq!(of("application/json;q=0.1, application/vnd.apache.arrow.stream"), Some(Format::Arrow));
        assert_eq!(of("application/json;q=0, text/csv;q=0.1"), Some(Format::Csv));
        assert_eq!(of("image/png"), None);
    }
}
