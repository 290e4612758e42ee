//! Dead letters: what could not be used keeps its bytes and gets a reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::contract;
use crate::{
    Contract, SchemaError, Timestamp,
    columns::{Bytes, ReasonName, Text, Time, UInt64},
};

/// Why something could not be used. The spelling is the value of metric labels and of the column `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// the bytes are not what their format says
    Undecodable,
    /// a table's columns are not those of the definition
    HeaderChanged,
    /// a row's time cannot be read
    BadTime,
    /// a row's value is no finite number
    NotFinite,
    /// a grid in another reference system than its source's or the catchments'
    GridShape,
    /// no catchment has enough valid cells
    NoValidCells,
    /// outside the range that the definition calls possible
    GrossRange,
    /// the same station, variable and time again, with the same value
    Duplicate,
    /// the same station, variable and time again, with another value
    ConflictingDuplicate,
    /// for a station or catchment that the pipeline does not have
    UnknownStation,
    /// a stage whose station has no rating curve at its time
    NoRating,
    /// for a time that the state has already passed
    Late,
    /// a row that a later one corrected or withdrew
    Superseded,
    /// a log segment whose checksum does not fit
    DamagedSegment,
    /// a message that does not keep its contract
    BrokenContract,
    /// weights that cannot be gone on with
    UnusableModel,
    /// a reading that is suspect, or whose gauge is shifted, where checks.suspect leaves it out; the ledger keeps it, not a dead letter
    Suspect,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Undecodable,
        Self::HeaderChanged,
        Self::BadTime,
        Self::NotFinite,
        Self::GridShape,
        Self::NoValidCells,
        Self::GrossRange,
        Self::Duplicate,
        Self::ConflictingDuplicate,
        Self::UnknownStation,
        Self::NoRating,
        Self::Late,
        Self::Superseded,
        Self::DamagedSegment,
        Self::BrokenContract,
        Self::UnusableModel,
        Self::Suspect,
    ];

    /// The spelling in labels and columns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::HeaderChanged => "header_changed",
            Self::BadTime => "bad_time",
            Self::NotFinite => "not_finite",
            Self::GridShape => "grid_shape",
            Self::NoValidCells => "no_valid_cells",
            Self::GrossRange => "gross_range",
            Self::Duplicate => "duplicate",
            Self::ConflictingDuplicate => "conflicting_duplicate",
            Self::UnknownStation => "unknown_station",
            Self::NoRating => "no_rating",
            Self::Late => "late",
            Self::Superseded => "superseded",
            Self::DamagedSegment => "damaged_segment",
            Self::BrokenContract => "broken_contract",
            Self::UnusableModel => "unusable_model",
            Self::Suspect => "suspect",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

contract! {
    /// What could not be used, with the bytes and the reason.
    DeadLetters,
    /// One dead letter, borrowing its words and bytes.
    BorrowedDeadLetter, BorrowedDeadLettersBuilder: Contract::DeadLetter, checked by accept_all;
    beside {}
    columns of row {
        /// source or role that gave up on it
        source: Text,
        /// where it was: file and line, topic and position
        locator: Text,
        /// machine-readable reason, see [`Reason`]
        reason: ReasonName,
        /// the sentence for people
        detail: Text,
        /// rows that the bytes stand for
        rows: UInt64,
        /// media type of the bytes
        content_type: Text,
        /// the bytes as they came
        bytes: Bytes,
        /// when it was given up
        ingest_time: Time,
    }
}

/// One dead letter. Columns are described at [`DeadLetters`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DeadLetterRow {
    pub source: String,
    pub locator: String,
    pub reason: Reason,
    pub detail: String,
    pub rows: u64,
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
    pub ingest_time: Timestamp,
}

/// Builds [`DeadLetters`] row by row.
#[derive(Debug, Default)]
pub struct DeadLettersBuilder(BorrowedDeadLettersBuilder);

impl DeadLettersBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self(BorrowedDeadLettersBuilder::new())
    }

    /// Adds a row.
    pub fn push(&mut self, row: &DeadLetterRow) {
        self.0.push(BorrowedDeadLetter {
            source: &row.source,
            locator: &row.locator,
            reason: row.reason,
            detail: &row.detail,
            rows: row.rows,
            content_type: row.content_type,
            bytes: &row.bytes,
            ingest_time: row.ingest_time,
        });
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError::Arrow`] when they are larger than one Arrow column can hold.
    pub fn finish(&mut self) -> Result<DeadLetters, SchemaError> {
        self.0.finish()
    }
}

const fn accept_all(_: &DeadLetters) -> Result<(), SchemaError> {
    Ok(())
}
