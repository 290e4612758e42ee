//! `POST /api/v1/sql`: a statement in, rows as JSON, CSV or an Arrow stream out.

use arrow::{
    array::RecordBatch,
    csv,
    datatypes::SchemaRef,
    error::ArrowError,
    ipc::writer::StreamWriter,
    json::{WriterBuilder, writer::JsonArray},
};
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use nilometer_serve::{Format, Problem, Routes, printable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{Engine, Rows, SqlError, statement::LONGEST_TEXT};

/// Bytes of an answer that are there before its status is said: what fails until then is a problem of its own.
const HELD_BACK: usize = 4 << 20;
/// Bytes of a body beside its statement.
const AROUND: usize = 1 << 10;

/// A question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// one SELECT, EXPLAIN or SHOW
    #[schema(example = "SELECT catchment, max(q50) FROM forecast_latest GROUP BY catchment")]
    query: String,
}

/// Rows as JSON.
#[derive(Serialize, ToSchema)]
struct Answer {
    /// an object a row, its keys the columns of the query
    #[schema(value_type = Vec<Object>)]
    rows: Vec<()>,
}

/// The routes that answer SQL.
#[must_use]
pub fn routes(engine: Engine) -> Routes {
    Routes::default().routes(routes!(sql)).layer(Extension(engine)).layer(DefaultBodyLimit::max(LONGEST_TEXT + AROUND))
}

/// The rows of one SQL statement that reads. `SHOW TABLES` names the tables.
#[utoipa::path(post, path = "/sql", tag = "sql", request_body(
    content((Question = "application/json"), (String = "text/plain")),
), responses(
    (status = 200, description = "the rows", content((Answer = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))),
    (status = 400, description = "a statement that is not accepted or means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 406, description = "no such format", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "too long a body", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "neither JSON nor text", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "over a limit of time, memory or rows", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "too many queries at once", body = Problem, content_type = "application/problem+json"),
))]
async fn sql(Extension(engine): Extension<Engine>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let format = Format::of(None, &headers)?;
    let text = question(&headers, &body)?;
    let rows = engine.query(&text).await.map_err(|error| error.problem())?;
    let mut encoded = Box::pin(encode(format, rows));
    let (mut ready, mut held) = (Vec::new(), 0);
    while held < HELD_BACK {
        let Some(chunk) = encoded.next().await else {
            return Ok(answer(format, Body::from(ready.concat())));
        };
        let chunk = chunk.map_err(|error| error.problem())?;
        held += chunk.len();
        ready.push(chunk);
    }
    let ready = stream::iter(ready.into_iter().map(Ok));
    // The status is said, so the answer ends without its end: clients see that it was cut.
    let rest = encoded.inspect_err(|error| tracing::warn!(%error, "an answer to SQL was cut"));
    Ok(answer(format, Body::from_stream(ready.chain(rest))))
}

fn answer(format: Format, body: Body) -> Response {
    ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
}

/// The statement of a body.
fn question(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    let utf8 = || {
        let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
        Ok(text.to_owned())
    };
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => {
            let question: Question = serde_json::from_slice(body).map_err(|error| {
                Problem::bad_request(format!("the body: {error}; accepted is {{\"query\": \"SELECT …\"}}"))
            })?;
            Ok(question.query)
        }
        // What curl says of --data.
        "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => utf8(),
        other => Err(Problem::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Type is {other}; accepted are application/json and text/plain"),
        )),
    }
}

/// Rows as bytes of a format, a chunk a batch.
pub fn encode(format: Format, rows: Rows) -> impl Stream<Item = Result<Bytes, SqlError>> + Send + use<> {
    let writer = Writer::new(format, rows.schema());
    let steps = rows.map(Step::Rows).chain(stream::once(async { Step::End }));
    let written = steps.scan(Some(writer), |writer, step| {
        let bytes = match (writer.as_mut(), step) {
            (Some(writer), Step::Rows(Ok(batch))) => writer.rows(&batch).map_err(failed),
            (_, Step::Rows(Err(error))) => Err(error),
            (_, Step::End) => writer.take().map_or(Ok(Vec::new()), |writer| writer.end().map_err(failed)),
            (None, Step::Rows(Ok(_))) => Ok(Vec::new()),
        };
        if bytes.is_err() {
            *writer = None;
        }
        std::future::ready(Some(bytes.map(Bytes::from)))
    });
    // Behind an error there is nothing.
    written.scan(false, |ended, chunk| {
        let before = std::mem::replace(ended, *ended || chunk.is_err());
        std::future::ready((!before).then_some(chunk))
    })
}

enum Step {
    Rows(Result<RecordBatch, SqlError>),
    End,
}

fn failed(error: ArrowError) -> SqlError {
    SqlError::Statement(format!("{error}; accepted is a CAST of the column to a plainer type, or an Arrow stream"))
}

/// Writes batches one behind the other.
enum Writer {
    Json { first: bool },
    Csv { schema: SchemaRef, first: bool },
    Arrow(Box<Result<StreamWriter<Vec<u8>>, ArrowError>>),
}

impl Writer {
    fn new(format: Format, schema: SchemaRef) -> Self {
        match format {
            Format::Json => Self::Json { first: true },
            Format::Csv => Self::Csv { schema, first: true },
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema))),
        }
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Json { first } => {
                let mut written = if std::mem::take(first) { b"{\"rows\":[".to_vec() } else { b",".to_vec() };
                let mut objects = Vec::new();
                let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut objects);
                writer.write(&printable(batch, false)?)?;
                writer.finish()?;
                drop(writer);
                // Between the brackets of the array.
                written.extend_from_slice(&objects[1..objects.len() - 1]);
                Ok(written)
            }
            Self::Csv { first, .. } => csv_of(&printable(batch, true)?, std::mem::take(first)),
            Self::Arrow(writer) => {
                let writer = writer.as_mut().as_mut().map_err(|error| ArrowError::IpcError(error.to_string()))?;
                writer.write(batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    fn end(self) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Json { first: true } => Ok(b"{\"rows\":[]}".to_vec()),
            Self::Json { first: false } => Ok(b"]}".to_vec()),
            Self::Csv { schema, first: true } => csv_of(&printable(&RecordBatch::new_empty(schema), true)?, true),
            Self::Csv { first: false, .. } => Ok(Vec::new()),
            Self::Arrow(writer) => (*writer)?.into_inner(),
        }
    }
}

fn csv_of(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut written = Vec::new();
    let mut writer = csv::WriterBuilder::new().with_header(header).build(&mut written);
    writer.write(batch)?;
    drop(writer);
    Ok(written)
}
