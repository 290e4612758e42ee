//! Names by which a table's rows come, and the stations that they mean.

use std::collections::BTreeMap;

/// What a pipeline knows of a station, or of a catchment whose weather comes by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// the name that its rows get
    pub name: String,
    /// area of its catchment, for discharge in mm
    pub area_km2: f64,
}

/// The stations of a pipeline by all of their names, today's and earlier ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stations {
    by_name: BTreeMap<String, Station>,
    /// whether rows of other stations are passed over; otherwise they go on under their own name
    skip_others: bool,
}

impl Stations {
    /// Stations by name; `skip_others` passes over rows of any other.
    #[must_use]
    pub const fn new(by_name: BTreeMap<String, Station>, skip_others: bool) -> Self {
        Self { by_name, skip_others }
    }

    pub(super) fn of(&self, name: &str) -> Option<&Station> {
        self.by_name.get(name)
    }

    /// Whether rows of this name are passed over.
    pub(super) fn skips(&self, name: &str) -> bool {
        self.skip_others && !self.by_name.contains_key(name)
    }
}
