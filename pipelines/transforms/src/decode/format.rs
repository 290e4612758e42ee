//! Formats: what bytes from outside are, by name.

/// A format of files or messages. Its decoder is a file of this module; its name stands in definitions and in `raw.v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// its name
    pub name: &'static str,
    /// as dead letters say it, a media type
    pub content_type: &'static str,
}

impl Format {
    /// One band of cells, north up.
    pub const GEOTIFF: Self = Self { name: "geotiff", content_type: "image/tiff" };
    /// A text table, a row a line.
    pub const CSV: Self = Self { name: "csv", content_type: "text/csv" };

    /// Every format of whole files and messages.
    pub const ALL: [Self; 2] = [Self::GEOTIFF, Self::CSV];

    /// The format of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name == name)
    }
}
