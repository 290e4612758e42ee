//! Late rows: those that came behind the state and were given their place. When steps are taken again from an older state, they are found here
//! at their own time.

use nilometer_alignment::{ForcingContent, Observation, ObservationContent, PeriodForcing, Subject};
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp, Variable};
use serde::{Deserialize, Serialize};

/// A late row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LateRow {
    /// position of its message, and its place there
    pub(crate) at: (u64, usize),
    /// the tick that brought it
    pub(crate) arrived: Timestamp,
    pub(crate) content: LateContent,
}

impl LateRow {
    /// Where it stands in the log, of a partition's number.
    pub(crate) fn locator(&self, partition: u32) -> String {
        format!("{}@{}#{}", Partition::new(self.content.topic(), partition), self.at.0, self.at.1)
    }
}

/// What a late row says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LateContent {
    /// a value that had not been there, or was another one
    Observation(Observation),
    /// a value that is not to be believed any more
    Withdrawal(Subject),
    /// forcing that had not been there, or was another one
    Forcing(PeriodForcing),
}

/// What two rows are about when one takes the place of the other.
#[derive(PartialEq)]
pub(crate) enum About {
    Observed(Subject),
    Forcing(Variable, usize, Timestamp, i64),
}

impl LateContent {
    /// What a row says, if it can take a place.
    pub(crate) const fn of_observation(content: &ObservationContent) -> Option<Self> {
        match content {
            ObservationContent::Value(observation) => Some(Self::Observation(*observation)),
            ObservationContent::Withdrawal(subject) => Some(Self::Withdrawal(*subject)),
            ObservationContent::Missing | ObservationContent::Rejected(_) => None,
        }
    }

    /// What a row says, if it can take a place: a weather forecast is never late for what it is about.
    pub(crate) fn of_forcing(content: &ForcingContent) -> Option<Self> {
        content.observed().copied().map(Self::Forcing)
    }

    pub(crate) const fn topic(&self) -> Contract {
        match self {
            Self::Observation(_) | Self::Withdrawal(_) => Contract::Observation,
            Self::Forcing(_) => Contract::Forcing,
        }
    }

    pub(crate) const fn valid_time(&self) -> Timestamp {
        match self {
            Self::Observation(row) => row.valid_time,
            Self::Withdrawal(about) => about.valid_time,
            Self::Forcing(row) => row.valid_time,
        }
    }

    /// The catchment it is of.
    pub(crate) const fn catchment(&self) -> usize {
        match self {
            Self::Observation(row) => row.catchment,
            Self::Withdrawal(about) => about.catchment,
            Self::Forcing(row) => row.catchment,
        }
    }

    /// In words.
    pub(crate) fn described(&self, catchment: &str) -> String {
        match self {
            Self::Observation(row) => {
                format!("{} of {catchment}, {} {}", row.variable, row.value, row.variable.unit())
            }
            Self::Withdrawal(about) => format!("withdrawal of the {} of {catchment}", about.variable),
            Self::Forcing(row) => format!("{} of {catchment}, {} {}", row.variable, row.value, row.variable.unit()),
        }
    }

    fn catchment_mut(&mut self) -> &mut usize {
        match self {
            Self::Observation(row) => &mut row.catchment,
            Self::Withdrawal(about) => &mut about.catchment,
            Self::Forcing(row) => &mut row.catchment,
        }
    }

    pub(crate) const fn about(&self) -> About {
        match self {
            Self::Observation(row) => About::Observed(row.subject()),
            Self::Withdrawal(about) => About::Observed(*about),
            Self::Forcing(row) => About::of(row),
        }
    }
}

impl About {
    pub(crate) const fn of(row: &PeriodForcing) -> Self {
        Self::Forcing(row.variable, row.catchment, row.valid_time, row.period_s)
    }
}

/// The late rows of the lateness window, by topic in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LateRows(Vec<LateRow>);

impl LateRows {
    /// Takes up rows that it does not have yet, behind those that came before.
    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = LateRow>) {
        self.0.extend(rows);
        self.0.sort_by_key(|row| (row.content.topic(), row.at));
        self.0.dedup_by_key(|row| (row.content.topic(), row.at));
    }

    pub(crate) fn rows(&self) -> &[LateRow] {
        &self.0
    }

    /// Whether a row has its place already.
    pub(crate) fn has(&self, topic: Contract, at: (u64, usize)) -> bool {
        self.0.binary_search_by_key(&(topic, at), |row| (row.content.topic(), row.at)).is_ok()
    }

    /// The late row that took the place of the one `at` a position, if any: the newest about the same that came behind it.
    pub(crate) fn in_place_of(&self, topic: Contract, at: (u64, usize), about: &About) -> Option<&LateRow> {
        let behind = self.0.partition_point(|row| (row.content.topic(), row.at) <= (topic, at));
        self.0[behind..].iter().rfind(|row| row.content.topic() == topic && row.content.about() == *about)
    }

    /// Forgets what came before `time`: no state that is that old is gone back to any more.
    pub(crate) fn forget_before(&mut self, time: Timestamp) {
        self.0.retain(|row| row.arrived >= time);
    }

    /// Those of other catchments, of which each was at its place `from` in these.
    pub(crate) fn select(&self, from: &[Option<usize>]) -> Self {
        let moved = |row: &LateRow| {
            let mut row = row.clone();
            let old = row.content.catchment();
            *row.content.catchment_mut() = from.iter().position(|place| *place == Some(old))?;
            Some(row)
        };
        Self(self.0.iter().filter_map(moved).collect())
    }
}
