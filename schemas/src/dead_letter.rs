//! Dead letters: what could not be used keeps its bytes and gets a reason.

use std::{fmt, sync::Arc};

use arrow::array::{BinaryBuilder, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use serde::{Deserialize, Serialize};

use crate::{Contract, DeadLetters, SchemaError, Timestamp, builders::assemble};

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
    /// a reading that is suspect, or whose gauge is shifted, where checks.suspect leaves it out; the ledger keeps it, not a dead letter
    Suspect,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
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
            Self::Suspect => "suspect",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// Builds [`DeadLetters`].
#[derive(Debug, Default)]
pub struct DeadLettersBuilder {
    source: StringBuilder,
    locator: StringBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    rows: UInt64Builder,
    content_type: StringBuilder,
    bytes: BinaryBuilder,
    ingest_time: TimestampMicrosecondBuilder,
}

impl DeadLettersBuilder {
    /// No dead letters yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a letter.
    pub fn push(&mut self, letter: &DeadLetterRow) {
        self.source.append_value(&letter.source);
        self.locator.append_value(&letter.locator);
        self.reason.append_value(letter.reason.name());
        self.detail.append_value(&letter.detail);
        self.rows.append_value(letter.rows);
        self.content_type.append_value(letter.content_type);
        self.bytes.append_value(&letter.bytes);
        self.ingest_time.append_value(letter.ingest_time.0);
    }

    /// The dead letters so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError::Arrow`] when the dead letters are larger than one Arrow column can hold.
    pub fn finish(&mut self) -> Result<DeadLetters, SchemaError> {
        assemble(
            Contract::DeadLetter,
            vec![
                Arc::new(self.source.finish()),
                Arc::new(self.locator.finish()),
                Arc::new(self.reason.finish()),
                Arc::new(self.detail.finish()),
                Arc::new(self.rows.finish()),
                Arc::new(self.content_type.finish()),
                Arc::new(self.bytes.finish()),
                Arc::new(self.ingest_time.finish().with_timezone("UTC")),
            ],
        )?
        .try_into()
    }
}
