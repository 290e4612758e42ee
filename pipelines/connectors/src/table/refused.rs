//! A file that cannot be read as its layout says.

use std::ops::Range;

use bytes::Bytes;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, lines_of};

use crate::delivered::hash;

/// Bytes of one piece of an unreadable file at most.
const PIECE_BYTES: usize = 1 << 20;

/// Its lines, or all of it as one row.
pub(super) struct Refused {
    bytes: Bytes,
    reason: Reason,
    detail: String,
    /// where each row begins, and the end
    starts: Vec<usize>,
    origins: Vec<Option<Timestamp>>,
    hashes: Vec<u64>,
    /// whether its rows cannot be counted: all of it counts as one
    whole: bool,
}

impl Refused {
    /// A file whose rows cannot be counted.
    pub(super) fn whole(bytes: &Bytes, reason: Reason, detail: &str) -> Self {
        Self {
            bytes: bytes.clone(),
            reason,
            detail: detail.to_owned(),
            starts: vec![0, bytes.len()],
            origins: vec![None],
            hashes: vec![hash(bytes)],
            whole: true,
        }
    }

    /// A file whose line 1 is not what the layout expects. Line 1 counts as that, not as a row.
    pub(super) fn lines(bytes: &Bytes, reason: Reason, detail: &str) -> Self {
        let lines = || lines_of(bytes);
        let starts: Vec<usize> = lines().map(|(start, _)| start).chain([bytes.len()]).collect();
        let hashes: Vec<u64> = lines().map(|(start, end)| hash(&bytes[start..end])).collect();
        let origins = vec![None; hashes.len()];
        Self { bytes: bytes.clone(), reason, detail: detail.to_owned(), starts, origins, hashes, whole: false }
    }

    pub(super) fn origins(&self) -> &[Option<Timestamp>] {
        &self.origins
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    pub(super) fn payloads(&self, rows: Range<usize>) -> Vec<Payload> {
        if self.whole {
            return whole(&self.bytes, self.reason, &self.detail);
        }
        let mut pieces =
            pieces(&self.bytes.slice(self.starts[rows.start]..self.starts[rows.end]), self.reason, &self.detail);
        if let Some(Payload::Unreadable { rows: count, .. }) = pieces.first_mut().filter(|_| rows.start == 0) {
            *count = count.saturating_sub(1).max(1);
        }
        pieces
    }
}

/// A file that counts as one row, in its first piece.
fn whole(bytes: &Bytes, reason: Reason, detail: &str) -> Vec<Payload> {
    let mut pieces = pieces(bytes, reason, detail);
    if pieces.is_empty() {
        pieces.push(Payload::Unreadable { reason, detail: detail.to_owned(), bytes: Bytes::new(), rows: 1 });
    }
    for (at, piece) in pieces.iter_mut().enumerate() {
        if let Payload::Unreadable { rows, .. } = piece {
            *rows = u64::from(at == 0);
        }
    }
    pieces
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
