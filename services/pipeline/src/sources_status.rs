//! `nilometer sources status`: what each source of a definition has given, from the snapshot of the ingest role and the archive's dead letters.
//! Nothing runs and nothing is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Result, bail};
use arrow::{
    array::{Array, StringArray},
    ipc::reader::StreamReader,
};
use nilometer_archive::visit;
use nilometer_definitions::{Partitioning, Pipeline, SourceDefinition};
use nilometer_engine::Snapshots;
use nilometer_ingest::{SourceTallies, SourceTally};
use nilometer_schemas::{Contract, DeadLetters, Reason, Timestamp};
use object_store::ObjectStore;

use crate::storage::{self, ARCHIVE, SNAPSHOTS};

/// The table, a line a source.
///
/// # Errors
/// When nothing has run in the definition's store, or it cannot be read.
pub async fn status(pipeline: &Pipeline) -> Result<String> {
    let store = storage::look(&pipeline.log.store, &[storage::LOG, SNAPSHOTS]).await?;
    let snapshots =
        Snapshots::new(store.clone(), SNAPSHOTS, "ingest", 2).of_partition(Partitioning::new(pipeline).first());
    let Some((tick, tallies)) = SourceTallies::newest(&snapshots).await? else {
        bail!(
            "log.store {} has no snapshot of the role ingest; accepted is a store in which run, replay or hindcast has come to its first one \
             (log.snapshot_every = {} ticks, or the end)",
            pipeline.log.store,
            pipeline.log.snapshot_every
        );
    };
    let names: BTreeSet<&str> =
        pipeline.sources.keys().map(String::as_str).chain(tallies.iter().map(|(name, _)| name)).collect();
    let refused = refused_behind_ingest(&*storage::below(&store, ARCHIVE)).await?;
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max("source".len());
    let mut text = format!("read up to {tick}\n\n");
    writeln!(
        text,
        "{:<width$}  {:<20}  {:<20}  {:>9}  {:>7}  {:<20}  dead letters",
        "source", "last row", "last arrival", "rows", "late", "silent since"
    )?;
    let (nothing, none) = (SourceTally::default(), BTreeMap::new());
    for name in names {
        let tally = tallies.get(name).unwrap_or(&nothing);
        let mut rejected = tally.rejected.clone();
        for (reason, rows) in refused.get(name).unwrap_or(&none) {
            *rejected.entry(*reason).or_default() += rows;
        }
        let late = rejected.remove(&Reason::Late).unwrap_or(0);
        let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
        let silent = match pipeline.sources.get(name) {
            None => "no source any more".to_owned(),
            Some(source) => silent_since(source, pipeline, tally, tick),
        };
        let mut reasons: Vec<String> = rejected.iter().map(|(reason, rows)| format!("{reason} {rows}")).collect();
        if tally.cells_out_of_range > 0 {
            reasons.push(format!("{} cells out of range", tally.cells_out_of_range));
        }
        let reasons = if reasons.is_empty() { "0".to_owned() } else { reasons.join(", ") };
        writeln!(
            text,
            "{name:<width$}  {:<20}  {:<20}  {:>9}  {late:>7}  {silent:<20}  {reasons}",
            time(tally.newest_valid_time),
            time(tally.newest_arrival),
            tally.used,
        )?;
    }
    Ok(text)
}

/// The last arrival, where a row has been due since: a source gives one a step, or one a period where that is longer.
fn silent_since(source: &SourceDefinition, pipeline: &Pipeline, tally: &SourceTally, tick: Timestamp) -> String {
    let apart_s = source.period_s().max(pipeline.time.step.seconds());
    match tally.newest_arrival {
        None => "the beginning".to_owned(),
        Some(arrival) if tick.seconds_since(arrival) > apart_s => arrival.to_string(),
        Some(_) => "-".to_owned(),
    }
}

/// Rows that the roles behind ingest refused, by the source that they came from and reason.
async fn refused_behind_ingest(archive: &dyn ObjectStore) -> Result<BTreeMap<String, BTreeMap<Reason, u64>>> {
    let mut refused: BTreeMap<String, BTreeMap<Reason, u64>> = BTreeMap::new();
    visit(archive, Contract::DeadLetter, None, |batch| {
        let dead_letters = DeadLetters::try_from(batch)?;
        for row in (0..dead_letters.len()).filter(|row| dead_letters.content_type().value(*row) == ROWS) {
            let name = dead_letters.reason().value(row);
            let Some(reason) = Reason::ALL.into_iter().find(|reason| reason.name() == name) else { continue };
            for source in sources_of(dead_letters.bytes().value(row)) {
                *refused.entry(source).or_default().entry(reason).or_default() += 1;
            }
        }
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(refused)
}

/// How a dead letter holds rows of the log.
const ROWS: &str = "application/vnd.apache.arrow.stream";

/// The source of each row of a dead letter; none where its bytes are no rows that name one.
fn sources_of(bytes: &[u8]) -> Vec<String> {
    let Ok(reader) = StreamReader::try_new(bytes, None) else { return Vec::new() };
    let mut sources = Vec::new();
    for batch in reader.flatten() {
        let column = batch.column_by_name("source").and_then(|c| c.as_any().downcast_ref::<StringArray>());
        sources.extend(column.into_iter().flat_map(StringArray::iter).flatten().map(str::to_owned));
    }
    sources
}
