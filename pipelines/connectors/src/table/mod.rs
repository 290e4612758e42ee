//! Tables: CSV and Parquet files of gauge rows.
//!
//! ```text
//! file ──Content──▶ rows: origin, hash ──by arrival (replay), or new and due (operations)──▶ runs ──▶ RawBatch …
//! ```

mod columns;
mod lines;
mod options;
mod parquet_file;
mod refused;

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, RawBatch, TableLayout};
use serde::{Deserialize, Serialize};

use crate::{
    Arrival, Delivered, Look, PositionedSource, SourceError, Window,
    file::{self, Found, Stamp},
    source::Arrived,
};
use columns::ColumnRows;
use lines::LineRows;
use refused::Refused;

pub(crate) use parquet_file::{caught, read as read_parquet};

pub use options::{ForecastOption, MissingValue, OtherStations, StationOption, TableFormat, TableOptions, TimeOption};

/// Rows of one batch at most.
const BATCH_ROWS: usize = 1 << 16;
/// A last line without its end is taken for half written until the file has not changed for so long.
const QUIET_S: i64 = 15;

/// How far a table has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct TablePosition {
    #[serde(flatten)]
    arrived: Arrived,
    /// rows that were delivered of a file that grows; none where a replay has not said it
    delivered: Option<Delivered>,
}

/// One table.
struct Table {
    name: Arc<str>,
    at: PathBuf,
    /// path below the data root
    locator: String,
    format: TableFormat,
    layout: TableLayout,
    arrival: Arrival,
    window: Window,
    /// the file as it was last read
    seen: Option<Seen>,
    /// in a replay: its rows in order of arrival
    index: Vec<Entry>,
}

/// A file, read.
struct Seen {
    stamp: Stamp,
    /// whether a last line without its end counts as whole
    quiet: bool,
    content: Arc<Content>,
}

/// The rows of a file.
enum Content {
    Lines(LineRows),
    Columns(ColumnRows),
    /// as the layout says it cannot be read
    Refused(Refused),
}

/// A row and when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    arrival: Timestamp,
    row: usize,
    /// whether its time can be read; a run is either or
    timed: bool,
}

impl Content {
    fn new(found: &Found, format: TableFormat, layout: &TableLayout, quiet: bool) -> Self {
        if let Some(detail) = &found.too_large {
            return Self::Refused(Refused::whole(&found.bytes, Reason::Undecodable, detail));
        }
        match format {
            TableFormat::Parquet => match ColumnRows::new(&found.bytes, layout) {
                Ok(rows) => Self::Columns(rows),
                Err(detail) => Self::Refused(Refused::whole(&found.bytes, Reason::Undecodable, &detail)),
            },
            TableFormat::Csv if let Some(detail) = no_text(&found.bytes) => {
                Self::Refused(Refused::whole(&found.bytes, Reason::Undecodable, detail))
            }
            TableFormat::Csv => {
                let ended = found.bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                let bytes = if quiet { found.bytes.clone() } else { found.bytes.slice(..ended) };
                match LineRows::new(&bytes, layout) {
                    Ok(rows) => Self::Lines(rows),
                    Err(detail) => Self::Refused(Refused::lines(&bytes, Reason::HeaderChanged, &detail)),
                }
            }
        }
    }

    /// Of each row from when on it is known, but for the source's delay; none where that cannot be determined.
    fn origins(&self) -> &[Option<Timestamp>] {
        match self {
            Self::Lines(rows) => rows.origins(),
            Self::Columns(rows) => rows.origins(),
            Self::Refused(rows) => rows.origins(),
        }
    }

    fn hashes(&self) -> &[u64] {
        match self {
            Self::Lines(rows) => rows.hashes(),
            Self::Columns(rows) => rows.hashes(),
            Self::Refused(rows) => rows.hashes(),
        }
    }

    fn follows(&self, before: usize, row: usize) -> bool {
        match self {
            Self::Lines(rows) => rows.follows(before, row),
            Self::Columns(_) | Self::Refused(_) => before + 1 == row,
        }
    }

    fn payloads(&self, rows: Range<usize>, delay_s: Option<i64>) -> Vec<Payload> {
        match self {
            Self::Lines(lines) => vec![lines.payload(rows, delay_s)],
            Self::Columns(columns) => vec![columns.payload(rows, delay_s)],
            Self::Refused(refused) => refused.payloads(rows),
        }
    }
}

/// What bytes are that are no text which can be read; none where they may be.
fn no_text(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("the file is compressed with gzip; accepted is plain text, or Parquet"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("the file is UTF-16; accepted is UTF-8"),
        _ => None,
    }
}

impl Table {
    /// In a replay the file is read now, once.
    fn open(mut self) -> Result<Self, SourceError> {
        let Arrival::Delay { .. } = self.arrival else { return Ok(self) };
        let content = match file::read(&self.at) {
            Ok(found) => Content::new(&found, self.format, &self.layout, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SourceError::io(&self.name, &self.at, error));
            }
            // What is there and cannot be read must not end a run over other sources.
            Err(error) => {
                let detail = format!("the file cannot be read: {error}");
                Content::Refused(Refused::whole(&Bytes::new(), Reason::Undecodable, &detail))
            }
        };
        let entry = |(row, origin): (usize, &Option<Timestamp>)| {
            let arrival = match origin {
                None => self.window.from,
                Some(origin) => Some(origin.plus_s(self.arrival.delay_s()))
                    .filter(|arrival| self.window.contains(*origin, *arrival))?,
            };
            Some(Entry { arrival, row, timed: origin.is_some() })
        };
        self.index = content.origins().iter().enumerate().filter_map(entry).collect();
        self.index.sort_unstable();
        self.seen = Some(Seen { stamp: Stamp::default(), quiet: true, content: Arc::new(content) });
        Ok(self)
    }

    /// The file as it is now; none when there is none.
    fn look(&mut self, now: Timestamp) -> Result<Option<Arc<Content>>, SourceError> {
        let fail = |error| SourceError::io(&self.name, &self.at, error);
        let stamp = match file::stamp(&self.at) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let quiet = stamp.modified.plus_s(QUIET_S) <= now;
        if let Some(seen) = self.seen.as_ref().filter(|seen| seen.stamp == stamp && (seen.quiet || !quiet)) {
            return Ok(Some(seen.content.clone()));
        }
        let found = match file::read(&self.at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let quiet = quiet && found.stamp == stamp;
        if found.bytes.is_empty() && self.seen.as_ref().is_some_and(|seen| !seen.content.hashes().is_empty()) {
            tracing::warn!(
                source = &*self.name,
                locator = self.locator,
                "the file is empty now; what it had counts, and it is looked at at every tick"
            );
        }
        let content = Arc::new(Content::new(&found, self.format, &self.layout, quiet));
        self.seen = Some(Seen { stamp: found.stamp, quiet, content: content.clone() });
        Ok(Some(content))
    }

    /// What the file holds beyond what was delivered, as far as it counts by now.
    fn read_growth(
        &mut self,
        position: &TablePosition,
        look: Look,
    ) -> Result<(Vec<RawBatch>, TablePosition), SourceError> {
        let mut next = position.moved_to(look.tick);
        let Some(content) = self.look(look.now)? else { return Ok((Vec::new(), next)) };
        let delivered = self.delivered(position, &content);
        let mut rows = delivered.news(content.hashes());
        for (new, origin) in rows.iter_mut().zip(content.origins()) {
            *new &= origin.is_none_or(|origin| self.counts(origin, look));
        }
        next.delivered = Some(match &*content {
            Content::Refused(_) => delivered.and(content.hashes(), &rows),
            Content::Lines(_) | Content::Columns(_) => delivered.with(content.hashes(), &rows),
        });
        Ok((self.batches(&content, &rows, look.now), next))
    }

    /// Whether a row that is new counts in a look. One whose time is so far ahead that it must be wrong does: it is refused at once.
    fn counts(&self, origin: Timestamp, look: Look) -> bool {
        let wrong = match self.arrival {
            Arrival::WhenSeen { ahead, .. } => origin > look.now.plus_s(ahead.seconds()),
            Arrival::Delay { .. } => false,
        };
        origin >= self.window.from && (wrong || look.counts(origin, self.arrival.delay_s()))
    }

    /// What was delivered of a file by what the position says; after a replay that was cut off, what had arrived by then.
    fn delivered(&self, position: &TablePosition, content: &Content) -> Delivered {
        match (&position.delivered, position.arrived.arrival) {
            (Some(delivered), _) => delivered.clone(),
            (None, None) => Delivered::default(),
            (None, Some(arrival)) => {
                let had = |origin: &Option<Timestamp>| {
                    origin.is_none_or(|time| time >= self.window.from && time.plus_s(self.arrival.delay_s()) <= arrival)
                };
                let rows = content.origins().iter().zip(content.hashes()).filter(|(origin, _)| had(origin));
                Delivered::of(rows.map(|(_, hash)| *hash).collect())
            }
        }
    }

    /// Rows of a file in order of arrival.
    fn batches(&self, content: &Content, rows: &[bool], now: Timestamp) -> Vec<RawBatch> {
        let origins = content.origins();
        let entry =
            |row: usize| Entry { arrival: origins[row].unwrap_or(Timestamp::MIN), row, timed: origins[row].is_some() };
        let mut entries: Vec<Entry> = (0..rows.len()).filter(|row| rows[*row]).map(entry).collect();
        entries.sort_unstable();
        self.runs(content, &entries)
            .into_iter()
            .flat_map(|(_, rows)| content.payloads(rows, None))
            .map(|p| self.batch(now, p))
            .collect()
    }

    /// What arrived in `(since, until]` of a replay.
    fn due(&self, content: &Content, since: Arrived, until: Timestamp) -> Vec<RawBatch> {
        let first = self.index.partition_point(|e| since.arrival >= Some(e.arrival));
        let end = self.index.partition_point(|e| e.arrival <= until).max(first);
        let delay_s = self.arrival.delay_s();
        let runs = self.runs(content, &self.index[first..end]).into_iter();
        runs.flat_map(|(arrival, rows)| content.payloads(rows, Some(delay_s)).into_iter().map(move |p| (arrival, p)))
            .map(|(arrival, payload)| self.batch(arrival, payload))
            .collect()
    }

    /// Runs of rows that follow each other in the file, each with the arrival of its last.
    fn runs(&self, content: &Content, entries: &[Entry]) -> Vec<(Timestamp, Range<usize>)> {
        let runs = entries.chunk_by(|a, b| content.follows(a.row, b.row) && a.timed == b.timed);
        runs.flat_map(|run| run.chunks(BATCH_ROWS))
            .map(|run| (run[run.len() - 1].arrival, run[0].row..run[run.len() - 1].row + 1))
            .collect()
    }

    fn batch(&self, arrival: Timestamp, payload: Payload) -> RawBatch {
        RawBatch { source: self.name.clone(), locator: self.locator.clone(), arrival, payload }
    }
}

impl TablePosition {
    fn moved_to(&self, until: Timestamp) -> Self {
        Self { arrived: self.arrived.moved_to(until), ..self.clone() }
    }
}

impl PositionedSource for Table {
    type Position = TablePosition;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, position: &TablePosition, look: Look) -> Result<(Vec<RawBatch>, TablePosition), SourceError> {
        if let Arrival::WhenSeen { .. } = self.arrival {
            return self.read_growth(position, look);
        }
        let batches = self.seen.as_ref().map(|seen| self.due(&seen.content, position.arrived, look.tick));
        Ok((batches.unwrap_or_default(), position.moved_to(look.tick)))
    }

    fn read_again(
        &mut self,
        position: &TablePosition,
        planned: &TablePosition,
        look: Look,
    ) -> Result<(Vec<RawBatch>, TablePosition), SourceError> {
        if let Arrival::Delay { .. } = self.arrival {
            return Ok((self.read(position, look)?.0, planned.clone()));
        }
        let Some(content) = self.look(look.now)? else { return Ok((Vec::new(), position.moved_to(look.tick))) };
        let before = self.delivered(position, &content);
        let after = planned.delivered.clone().unwrap_or_else(|| before.clone());
        let rows = before.between(&after, content.hashes());
        let (found, expected) = (rows.iter().filter(|row| **row).count(), after.added_to(&before));
        let mut next = planned.clone();
        if found < expected {
            tracing::warn!(
                source = &*self.name,
                locator = self.locator,
                rows = expected - found,
                "rows left the file while the tick that read them was being written; what it wrote of them stays"
            );
            next.delivered = Some(before.with(content.hashes(), &rows));
        }
        Ok((self.batches(&content, &rows, look.now), next))
    }

    fn handed_over(&mut self, position: &TablePosition) -> TablePosition {
        let of_replay = TablePosition { delivered: None, ..position.clone() };
        let delivered = self.seen.as_ref().map(|seen| self.delivered(&of_replay, &seen.content));
        TablePosition { delivered: delivered.filter(|_| matches!(self.arrival, Arrival::Delay { .. })), ..of_replay }
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        self.index.last().map(|entry| entry.arrival)
    }
}
