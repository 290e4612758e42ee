//! Tables: CSV and Parquet files of gauge rows.

mod columns;
mod delivered;
mod file;
mod lines;
mod options;
mod parquet_file;

use std::{ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, RawBatch, TableLayout, lines_of};

use crate::{Arrival, Cursor, Source, SourceError, Window};
use delivered::hash;
use file::{Content, load};

pub use delivered::Delivered;
pub use options::{ForecastOption, MissingValue, OtherStations, StationOption, TableFormat, TableOptions, TimeOption};

/// Rows of one batch at most.
const BATCH_ROWS: usize = 1 << 16;
/// Bytes of one piece of an unreadable file at most.
const PIECE_BYTES: usize = 1 << 20;

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
    /// rows of the window in order of arrival; none when the table is read as it grows
    index: Option<Index>,
}

/// What a table gives in a replay.
enum Index {
    Lines(lines::LineIndex),
    Columns(columns::RowIndex),
    /// The file cannot be read as the layout says: all of it arrives at the start of the window.
    Unreadable(Vec<Payload>),
}

impl Table {
    fn open(mut self) -> Result<Self, SourceError> {
        let Arrival::Delay { delay } = self.arrival else { return Ok(self) };
        let bytes = match load(&self.at).map_err(|error| SourceError::io(&self.name, &self.at, error))? {
            Content::Whole(bytes) => bytes,
            Content::TooLarge(payload) => {
                self.index = Some(Index::Unreadable(vec![payload]));
                return Ok(self);
            }
        };
        self.index = Some(match self.format {
            TableFormat::Csv => match lines::LineIndex::new(bytes, &self.layout, delay.seconds(), self.window) {
                Ok(index) => Index::Lines(index),
                Err(unreadable) => Index::Unreadable(unreadable),
            },
            TableFormat::Parquet => match columns::RowIndex::new(&bytes, &self.layout, delay.seconds(), self.window) {
                Ok(index) => Index::Columns(index),
                Err(detail) => Index::Unreadable(file_of_unknown_rows(&bytes, &detail)),
            },
        });
        Ok(self)
    }

    fn batch(&self, arrival: Timestamp, payload: Payload) -> RawBatch {
        RawBatch { source: self.name.clone(), locator: self.locator.clone(), arrival, payload }
    }

    /// The file as it is now; none when there is none.
    fn look(&self) -> Result<Option<Seen>, SourceError> {
        let bytes = match load(&self.at) {
            Ok(Content::Whole(bytes)) => bytes,
            Ok(Content::TooLarge(payload)) => return Ok(Some(Seen::TooLarge(payload, [hash(b"too large")]))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SourceError::io(&self.name, &self.at, error)),
        };
        Ok(Some(match self.format {
            TableFormat::Csv => Seen::Lines(lines::WholeLines::new(&bytes, &self.layout)),
            TableFormat::Parquet => Seen::Columns(columns::WholeRows::new(&bytes, &self.layout).map_err(|source| {
                SourceError::Parquet { name: self.name.to_string(), path: self.at.clone(), source }
            })?),
        }))
    }

    /// What the file holds beyond what was delivered.
    fn read_growth(&self, cursor: &Cursor, until: Timestamp) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let mut next = cursor.moved_to(until);
        let Some(seen) = self.look()? else { return Ok((Vec::new(), next)) };
        let (news, delivered) = cursor.delivered.news(seen.hashes(), !self.layout.has_header());
        if delivered != cursor.delivered && cursor.delivered.still_in(seen.hashes()).is_none() {
            let (new, of) = (news.iter().map(Range::len).sum::<usize>(), seen.hashes().len());
            tracing::info!(source = &*self.name, locator = self.locator, new, of, "the table was replaced");
        }
        next.delivered = delivered;
        Ok((self.batches(&seen, &news, until), next))
    }

    fn batches(&self, seen: &Seen, news: &[Range<usize>], until: Timestamp) -> Vec<RawBatch> {
        let payloads = |places: &Range<usize>| match seen {
            Seen::Lines(lines) => lines.payloads(places.clone(), &self.layout),
            Seen::Columns(rows) => rows.payloads(places.clone()),
            Seen::TooLarge(payload, _) => vec![payload.clone()],
        };
        news.iter().flat_map(payloads).map(|payload| self.batch(until, payload)).collect()
    }
}

/// A file that grows, as it is now.
enum Seen {
    Lines(lines::WholeLines),
    Columns(columns::WholeRows),
    /// told once, however it grows
    TooLarge(Payload, [u64; 1]),
}

impl Seen {
    /// Of its head and each row.
    fn hashes(&self) -> &[u64] {
        match self {
            Self::Lines(lines) => lines.hashes(),
            Self::Columns(rows) => rows.hashes(),
            Self::TooLarge(_, hashes) => hashes,
        }
    }
}

impl Source for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, cursor: &Cursor, until: Timestamp) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let batches = match &self.index {
            None => return self.read_growth(cursor, until),
            Some(Index::Lines(index)) => index.due(cursor, until),
            Some(Index::Columns(index)) => index.due(cursor, until),
            Some(Index::Unreadable(pieces)) if cursor.is_due(self.window.from, until) => {
                pieces.iter().map(|p| (self.window.from, p.clone())).collect()
            }
            Some(Index::Unreadable(_)) => Vec::new(),
        };
        Ok((batches.into_iter().map(|(arrival, p)| self.batch(arrival, p)).collect(), cursor.moved_to(until)))
    }

    fn read_again(
        &mut self,
        cursor: &Cursor,
        planned: &Cursor,
        until: Timestamp,
    ) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        if self.index.is_some() {
            return Ok((self.read(cursor, until)?.0, planned.clone()));
        }
        if planned.delivered == cursor.delivered {
            return Ok((Vec::new(), planned.clone()));
        }
        let seen = self.look()?;
        let Some((seen, then)) = seen.as_ref().and_then(|s| Some((s, planned.delivered.still_in(s.hashes())?))) else {
            tracing::warn!(
                source = &*self.name,
                locator = self.locator,
                "the table was replaced while a tick was being written; the next tick reads it"
            );
            return Ok((Vec::new(), cursor.moved_to(until)));
        };
        let (news, _) = cursor.delivered.news(then, !self.layout.has_header());
        Ok((self.batches(seen, &news, until), planned.clone()))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        match self.index.as_ref()? {
            Index::Lines(index) => index.last_arrival(),
            Index::Columns(index) => index.last_arrival(),
            Index::Unreadable(pieces) => (!pieces.is_empty()).then_some(self.window.from),
        }
    }
}

/// A file that cannot be read, in pieces that end with a line where they can; every line is counted in one of them.
fn pieces(bytes: &Bytes, reason: Reason, detail: &str) -> Vec<Payload> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let limit = bytes.len().min(start + PIECE_BYTES);
        let feed = bytes[start..limit].iter().rposition(|b| *b == b'\n').map(|at| start + at + 1);
        let end = if limit == bytes.len() { limit } else { feed.unwrap_or(limit) };
        let piece = bytes.slice(start..end);
        let lines = lines_of(&piece).count() as u64;
        // A line that goes on in the next piece is counted there.
        let rows = if end < bytes.len() && !piece.ends_with(b"\n") { lines - 1 } else { lines };
        pieces.push(Payload::Unreadable { reason, detail: detail.to_owned(), bytes: piece, rows });
        start = end;
    }
    pieces
}

/// A file whose rows cannot be counted: it counts as one, in its first piece.
fn file_of_unknown_rows(bytes: &Bytes, detail: &str) -> Vec<Payload> {
    let mut pieces = pieces(bytes, Reason::Undecodable, detail);
    for (at, piece) in pieces.iter_mut().enumerate() {
        if let Payload::Unreadable { rows, .. } = piece {
            *rows = u64::from(at == 0);
        }
    }
    pieces
}

/// A file whose line 1 is not the header (or time) that the layout expects. Line 1 counts as a changed header, not a row.
fn file_of_another_header(bytes: &Bytes, detail: &str) -> Vec<Payload> {
    let mut pieces = pieces(bytes, Reason::HeaderChanged, detail);
    if let Some(Payload::Unreadable { rows, .. }) = pieces.first_mut() {
        *rows = rows.saturating_sub(1);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_byte_and_count_every_line_once() {
        let mut text = "x".repeat(PIECE_BYTES + 10);
        text.push('\n');
        text.push_str(&"line\n".repeat(300_000));
        text.push_str("last");
        let bytes = Bytes::from(text);
        let pieces = pieces(&bytes, Reason::HeaderChanged, "changed");
        let (mut held, mut counted) = (Vec::new(), 0);
        for piece in &pieces {
            let Payload::Unreadable { bytes, rows, .. } = piece else { unreachable!() };
            assert!(bytes.len() <= PIECE_BYTES);
            held.extend_from_slice(bytes);
            counted += rows;
        }
        assert_eq!((held.len(), counted), (bytes.len(), 300_002));
        assert!(held == bytes);
    }
}
