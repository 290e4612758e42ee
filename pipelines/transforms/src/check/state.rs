//! What the checks remember: the newest points of each series.

use std::collections::{BTreeMap, VecDeque};

use nilometer_schemas::{Timestamp, Variable};
use serde::{Deserialize, Serialize};

/// Points that a series remembers.
pub const MEMORY: usize = 48;

/// The memory of every station and variable, at most [`MEMORY`] points each. Goes into the snapshot as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckState {
    series: BTreeMap<String, BTreeMap<Variable, Series>>,
}

/// One series: its newest points, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Series {
    pub(super) points: VecDeque<Point>,
}

/// What is known of one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Point {
    /// no row came for this step
    #[serde(rename = "gap")]
    Gap(Timestamp),
    /// a row without a value
    #[serde(rename = "missing")]
    Missing(Timestamp),
    /// a row with a value, kept as text so that every format gives back the same bits, and when it came
    #[serde(rename = "value")]
    Value(Timestamp, f64, Timestamp),
}

impl Point {
    pub(super) const fn time(self) -> Timestamp {
        match self {
            Self::Gap(time) | Self::Missing(time) | Self::Value(time, ..) => time,
        }
    }

    pub(super) const fn value(self) -> Option<f64> {
        match self {
            Self::Value(_, value, _) => Some(value),
            Self::Gap(_) | Self::Missing(_) => None,
        }
    }
}

impl CheckState {
    /// Number of series remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(super) fn series(&mut self, station: &str, variable: Variable) -> &mut Series {
        if !self.series.contains_key(station) {
            self.series.insert(station.to_owned(), BTreeMap::new());
        }
        let of_station = self.series.get_mut(station).expect("it was inserted above when absent");
        of_station.entry(variable).or_default()
    }
}

impl Series {
    /// Where a time is, or where it would go.
    pub(super) fn find(&self, time: Timestamp) -> Result<usize, usize> {
        self.points.binary_search_by_key(&time, |p| p.time())
    }

    /// Remembers a point, in place of what was known of its time; forgets the oldest beyond [`MEMORY`].
    pub(super) fn remember(&mut self, point: Point) {
        match self.find(point.time()) {
            Ok(at) => self.points[at] = point,
            Err(at) => {
                self.points.insert(at, point);
                if self.points.len() > MEMORY {
                    self.points.pop_front();
                }
            }
        }
    }
}
