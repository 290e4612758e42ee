//! Fields: how the samples of a grid file become values, whatever its format.

use nilometer_schemas::{Reason, Unit, Variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConvertError;

/// Cells that a file may hold by default (a 0.05° global grid has 26 million).
pub const MAX_CELLS: u64 = 64_000_000;
/// No compression that we read packs more than this many bytes into one: LZW's longest string is 4096 bytes.
pub(super) const MAX_COMPRESSION: u64 = 4096;

/// An inclusive range in a variable's canonical unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// smallest value inside
    pub min: f64,
    /// largest value inside
    pub max: f64,
}

impl Range {
    /// Whether a value lies inside.
    #[must_use]
    pub const fn contains(&self, value: f64) -> bool {
        self.min <= value && value <= self.max
    }
}

/// How the samples of a source's files become values.
#[derive(Debug, Clone, PartialEq)]
pub struct GridDecoding {
    /// what the field is about
    pub variable: Variable,
    /// unit of `sample × scale`
    pub unit: Unit,
    /// factor on the samples
    pub scale: f64,
    /// possible values in the variable's canonical unit; a cell outside becomes missing and is counted
    pub valid_range: Option<Range>,
    /// coordinate reference system, where the files do not name it or name it vaguely
    pub crs: Option<String>,
    /// cells that a file may hold at most
    pub max_cells: u64,
}

/// Why a file is not a field that we can use.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DecodeError {
    /// Not a TIFF, truncated, or of a kind that the decoder does not know.
    #[error("not a readable TIFF")]
    Tiff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This build has no decoder of the format.
    #[error("this build does not read GeoTIFF; accepted is one with the feature geotiff")]
    Absent,
    /// Larger than allowed, or than its own bytes can hold.
    #[error(
        "header promises {width} x {height} cells in {bytes} bytes; accepted are at most {max_cells} cells and {MAX_COMPRESSION} bytes of samples a byte"
    )]
    TooLarge { width: u32, height: u32, bytes: usize, max_cells: u64 },
    /// No cells, or not one band.
    #[error("{width} x {height} cells with {samples} samples each; accepted is one band with at least one cell")]
    Bands { width: u32, height: u32, samples: u64 },
    /// The place is absent or not a north-up grid.
    #[error("tag {tag} is {found}; accepted is {accepted}")]
    Place { tag: &'static str, found: String, accepted: &'static str },
    /// The reference system is not the configured one.
    #[error("file is in {found}; expected {expected} as the source's crs says")]
    Crs { found: String, expected: String },
    /// The configured unit does not fit.
    #[error(transparent)]
    Unit(#[from] ConvertError),
}

impl DecodeError {
    /// The reason of the dead letter.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Crs { .. } => Reason::GridShape,
            Self::Tiff(_)
            | Self::Absent
            | Self::TooLarge { .. }
            | Self::Bands { .. }
            | Self::Place { .. }
            | Self::Unit(_) => Reason::Undecodable,
        }
    }
}
