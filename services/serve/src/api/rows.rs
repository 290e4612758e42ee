//! Rows: what the log says of one station, as rows of a contract; the newest from memory, the older from the archive.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array},
    compute::{SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch},
    error::ArrowError,
    row::{RowConverter, SortField},
};
use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
    response::Response,
};
use nilometer_archive::{ArchiveError, visit};
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Site,
    answer::{self, Format},
    problem::Problem,
};

/// What is given where no `from` is: two days, as a hydrograph's past.
const BACK_S: i64 = 2 * 86_400;
/// How far apart `from` and `to` may lie.
const LONGEST_S: i64 = 366 * 86_400;
/// The same of what has a row an issue and lead time, or a step and store, where the archive is read.
const LONGEST_OF_MANY_S: i64 = 31 * 86_400;
/// Rows of an answer where no limit is asked for, and at most.
const LIMITS: [usize; 2] = [10_000, 100_000];

/// What of a station: its name in a path, and the contract.
const TOPICS: [(&str, Contract); 10] = [
    ("observations", Contract::Observation),
    ("forcing", Contract::Forcing),
    ("forecasts", Contract::Forecast),
    ("events", Contract::Event),
    ("scores", Contract::Score),
    ("analyses", Contract::Analysis),
    ("drought", Contract::Drought),
    ("drought-outlook", Contract::DroughtOutlook),
    ("states", Contract::State),
    ("alerts", Contract::Alert),
];

/// Rows as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rows {
    /// name and version of their contract
    #[schema(example = "observation.v1")]
    contract: String,
    /// an object a row, its keys the columns of the contract
    #[schema(value_type = Vec<Object>)]
    rows: Vec<()>,
}

/// Which rows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// first time; two days before `to` where absent
    from: Option<String>,
    /// last time; the newest tick, and as far ahead as forecasts look, where absent
    to: Option<String>,
    /// rows at most, the newest ones; 10 000 where absent, 100 000 at most
    #[param(minimum = 1, maximum = 100_000)]
    limit: Option<usize>,
    /// json, csv or arrow; the Accept header where absent
    f: Option<String>,
}

/// What the log says of one station, as rows of a contract, by time.
#[utoipa::path(get, path = "/stations/{id}/{topic}", tag = "rows", params(
    ("id" = String, Path, description = "identifier of the catchment"),
    ("topic" = String, Path, description = "observations, forcing, forecasts, events, scores, analyses, drought, drought-outlook, states or alerts"),
    Which,
), responses(
    (status = 200, description = "rows of the topic's contract", content((Rows = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such station or topic", body = Problem, content_type = "application/problem+json"),
    (status = 406, description = "no such format", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn of_station(
    State(site): State<Site>,
    Path((id, topic)): Path<(String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = Format::of(which.f.as_deref(), &headers)?;
    let Some((_, contract)) = TOPICS.into_iter().find(|(name, _)| *name == topic) else {
        let accepted: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
        return Err(Problem::not_found(format!(
            "no {topic} of a station; accepted are forecast, foresight, {}",
            accepted.join(", ")
        )));
    };
    site.catchment(&id)?;
    let ahead_s = site.pipeline().forecast.horizon.seconds();
    let to = match which.to.as_deref() {
        Some(text) => instant("to", text)?,
        None => site.time().unwrap_or_default().plus_s(ahead_s),
    };
    let from = match which.from.as_deref() {
        Some(text) => instant("from", text)?,
        None if which.to.is_some() => to.plus_s(-BACK_S),
        None => to.plus_s(-ahead_s - BACK_S),
    };
    ordered(from, to)?;
    let [usual, most] = LIMITS;
    let limit = which.limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is {limit}; accepted is 1 to {most}")));
    }
    let rows = between(&site, contract, &id, (from, to), Look::Everywhere).await?;
    answer::rows(format, contract, &newest(rows, limit))
}

/// Refuses what is too long, or the wrong way round.
pub(crate) fn ordered(from: Timestamp, to: Timestamp) -> Result<(), Problem> {
    if from > to || to.seconds_since(from) > LONGEST_S {
        return Err(Problem::bad_request(format!("from {from} to {to}; accepted are up to 366 days, in this order")));
    }
    Ok(())
}

/// A time of a parameter.
pub(crate) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    // A plus in a query is a space.
    text.replace(' ', "+").parse().map_err(|_| {
        Problem::bad_request(format!(
            "{name} is {text}; accepted is RFC 3339 with a zone as 2014-11-04T20:00:00Z, or a date as 2014-11-04"
        ))
    })
}

/// The column that `from` and `to` are about.
const fn time_column(contract: Contract) -> &'static str {
    match contract {
        Contract::Forecast | Contract::Event | Contract::DroughtOutlook => "issue_time",
        Contract::Alert => "time",
        Contract::Operator => "ingest_time",
        _ => "valid_time",
    }
}

/// What the rows of a catchment are found by: its own name, or that of its station.
fn key(site: &Site, contract: Contract, catchment: &str) -> Result<String, Problem> {
    let of_station = matches!(contract, Contract::Observation | Contract::Operator);
    let catchment = site.catchment(catchment)?;
    Ok(if of_station { catchment.station() } else { &catchment.id }.to_owned())
}

/// Where rows are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// in memory, and in the archive where memory does not reach back far enough
    Everywhere,
    /// in memory alone, where a request is about many stations
    Memory,
}

impl Look {
    /// Of a request about so many stations.
    pub(crate) const fn of(stations: usize) -> Self {
        if stations <= 3 { Self::Everywhere } else { Self::Memory }
    }
}

/// The rows of a catchment whose time lies between two, by time.
pub(crate) async fn between(
    site: &Site,
    contract: Contract,
    catchment: &str,
    (from, to): (Timestamp, Timestamp),
    how: Look,
) -> Result<RecordBatch, Problem> {
    let key = key(site, contract, catchment)?;
    let times = from..=to;
    let column = time_column(contract);
    // Forcing is known before its time by as much as weather is.
    let ahead_s = if contract == Contract::Forcing { site.pipeline().foresight_s() } else { 0 };
    let (mut found, reaches) = {
        let Some(tail) = site.tail(Partition::new(contract, site.number_of(catchment))) else {
            return Err(Problem::not_found(format!("{contract} is not served")));
        };
        // A message has rows of its own time and before. Where the log begins in memory there is nothing older.
        let reaches = tail.start() == 0 || tail.oldest().is_some_and(|oldest| oldest < from.plus_s(-ahead_s));
        let of_key = tail.newest_first().filter_map(|held| held.of(&key));
        let found: Vec<RecordBatch> =
            of_key.map(|rows| only(&rows, column, times.clone())).collect::<Result<_, _>>()?;
        (found, reaches)
    };
    found.reverse();
    found.retain(|rows| rows.num_rows() > 0);
    if !reaches && how == Look::Everywhere {
        let longest_s = match contract {
            Contract::Observation | Contract::Drought | Contract::Alert => LONGEST_S,
            _ => LONGEST_OF_MANY_S,
        };
        if to.seconds_since(from) > longest_s {
            let days = longest_s / 86_400;
            return Err(Problem::bad_request(format!(
                "from {from} to {to} of {contract}; accepted are up to {days} days of what is older than memory"
            )));
        }
        // Each reads whole days of all stations: few at once.
        let _place = site.archive_place().await;
        // A row may come as late as the definition lets it.
        let last = to.plus_s(site.pipeline().forecast.lateness.seconds());
        let mut archived = Vec::new();
        visit::<Problem>(&**site.archive(), contract, Some((from.plus_s(-ahead_s), last)), |batch| {
            let rows = contract.accept(batch).map_err(|error| Problem::internal(&error))?;
            let rows = only(&of_key(&rows, contract, &key)?, column, times.clone())?;
            archived.extend((rows.num_rows() > 0).then_some(rows));
            Ok(())
        })
        .await?;
        archived.append(&mut found);
        found = archived;
    }
    joined(contract, &found, column).map_err(|error| Problem::internal(&error))
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        Self::internal(&error)
    }
}

/// The rows of a key.
fn of_key(rows: &RecordBatch, contract: Contract, key: &str) -> Result<RecordBatch, Problem> {
    let name = if matches!(contract, Contract::Observation | Contract::Operator) { "station" } else { "catchment" };
    let Some(keys) = rows.column_by_name(name).and_then(|keys| keys.as_any().downcast_ref::<StringArray>()) else {
        return Ok(rows.slice(0, 0));
    };
    let mine = BooleanArray::from_iter(keys.iter().map(|of| Some(of == Some(key))));
    filter_record_batch(rows, &mine).map_err(|error| Problem::internal(&error))
}

/// The rows whose time in a column lies in a range.
pub(crate) fn only(rows: &RecordBatch, column: &str, range: RangeInclusive<Timestamp>) -> Result<RecordBatch, Problem> {
    let Some(times) =
        rows.column_by_name(column).and_then(|times| times.as_any().downcast_ref::<TimestampMicrosecondArray>())
    else {
        return Ok(rows.slice(0, 0));
    };
    if times.values().iter().all(|time| range.contains(&Timestamp(*time))) {
        return Ok(rows.clone());
    }
    let wanted = BooleanArray::from_iter(times.iter().map(|time| time.map(|time| range.contains(&Timestamp(time)))));
    filter_record_batch(rows, &wanted).map_err(|error| Problem::internal(&error))
}

/// Batches as one, by time and by when it was known; what memory and archive both have is there once.
fn joined(contract: Contract, batches: &[RecordBatch], column: &str) -> Result<RecordBatch, ArrowError> {
    let mut all = concat_batches(&contract.schema(), batches)?;
    if batches.len() > 1 {
        let sorts = all.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let rows = RowConverter::new(sorts)?.convert_columns(all.columns())?;
        let mut seen = HashSet::with_capacity(all.num_rows());
        let first: UInt64Array = (0..all.num_rows())
            .filter(|row| seen.insert(rows.row(*row).data().to_vec()))
            .map(|row| row as u64)
            .collect();
        all = take_record_batch(&all, &first)?;
    }
    let known = ["ingest_time", "analysis_time", "score_time"].into_iter().filter_map(|name| all.column_by_name(name));
    let times = all.column_by_name(column).into_iter().chain(known).cloned();
    // Of equal times the earlier row stays first.
    let position: ArrayRef = Arc::new((0..all.num_rows() as u64).collect::<UInt64Array>());
    let by: Vec<SortColumn> = times.chain([position]).map(|values| SortColumn { values, options: None }).collect();
    take_record_batch(&all, &lexsort_to_indices(&by, None)?)
}

/// The last rows.
fn newest(rows: RecordBatch, limit: usize) -> RecordBatch {
    let surplus = rows.num_rows().saturating_sub(limit);
    rows.slice(surplus, rows.num_rows() - surplus)
}
