//! Inspection: what a snapshot holds, and what another definition would make of it.

use std::fmt;

use nilometer_definitions::Pipeline;
use nilometer_engine::{Balance, Columns, Snapshots};
use nilometer_packages::Mixture;
use nilometer_schemas::Timestamp;

use crate::{
    ForecastError,
    state::{Identity, Stored, StoredState, current},
};

/// The newest snapshot of a partition.
pub struct Inspection {
    stored: StoredState,
    columns: Columns,
}

/// What becomes of a part of a state under another definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// catchment, or key of the definition
    pub subject: String,
    /// what becomes of it
    pub effect: Effect,
}

/// What becomes of a part of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// a catchment that begins with its initial state
    Begins,
    /// a catchment that goes, and the rows of it that waited
    Goes(u64),
    /// a part begins anew, if that is accepted
    BeginsAnew {
        /// name of the part
        part: &'static str,
        /// what the state was made with
        found: String,
        /// what the definition says
        expected: String,
    },
    /// nothing of the state serves
    Refused {
        /// what the state was made with
        found: String,
        /// what the definition says
        expected: String,
    },
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins => f.write_str("new: begins with its initial state"),
            Self::Goes(0) => f.write_str("gone: its state is forgotten"),
            Self::Goes(rows) => {
                write!(f, "gone: its state is forgotten, and {rows} rows that wait become a dead letter")
            }
            Self::BeginsAnew { part, found, expected } => {
                write!(f, "{found} -> {expected}: the {part} begins anew, with --accept-state-loss {part}")
            }
            Self::Refused { found, expected } => {
                write!(f, "{found} -> {expected}: the state does not serve; use another log.store")
            }
        }
    }
}

impl Inspection {
    /// Opens the newest snapshot; none where there is none.
    ///
    /// # Errors
    /// [`ForecastError::Snapshot`] where none can be read, [`ForecastError::Version`] where it is of another version.
    pub async fn newest(snapshots: &Snapshots) -> Result<Option<Self>, ForecastError> {
        let Some(found) = snapshots.newest::<Stored>().await? else { return Ok(None) };
        Ok(Some(Self { stored: *current(found.content)?, columns: found.columns }))
    }

    /// Identifiers of the catchments, in the order of their rows.
    #[must_use]
    pub fn catchments(&self) -> &[String] {
        &self.stored.catchments
    }

    /// The tick that it was made at, and the time that its ensembles have reached.
    #[must_use]
    pub const fn times(&self) -> (Timestamp, Timestamp) {
        (self.stored.progress.tick, self.stored.progress.state_time)
    }

    /// Steps that the ensembles have taken, and how many of these were filled in.
    #[must_use]
    pub const fn steps(&self) -> (u64, u64) {
        (self.stored.progress.steps, self.stored.progress.filled_steps)
    }

    /// The models, and the number of members.
    #[must_use]
    pub fn models(&self) -> (String, usize) {
        self.stored.identity.described()
    }

    /// Where the rows that it has received have gone.
    #[must_use]
    pub const fn balance(&self) -> &Balance {
        self.stored.balance()
    }

    /// The columns, each with how many numbers the first catchment has.
    pub fn columns(&self) -> impl Iterator<Item = (&str, usize)> {
        let rows = self.columns.keyed(self.columns.keys().into_iter().take(1));
        self.columns.names().map(move |name| {
            let numbers = [
                rows.f32(name, 0).map(<[f32]>::len),
                rows.f64(name, 0).map(<[f64]>::len),
                rows.i64(name, 0).map(<[i64]>::len),
            ];
            (name, numbers.into_iter().flatten().next().unwrap_or(0))
        })
    }

    /// What becomes of it under a definition and its models; nothing where all of it goes on. Horizon, lead times, thresholds, error parameters and
    /// weights may change.
    #[must_use]
    pub fn differences(&self, pipeline: &Pipeline, models: &Mixture) -> Vec<Difference> {
        let misfits = Identity::of(pipeline, models).misfits(&self.stored.identity);
        let mut differences: Vec<Difference> = misfits
            .into_iter()
            .map(|misfit| Difference {
                subject: misfit.key.to_owned(),
                effect: match misfit.part {
                    Some(part) => Effect::BeginsAnew { part, found: misfit.found, expected: misfit.expected },
                    None => Effect::Refused { found: misfit.found, expected: misfit.expected },
                },
            })
            .collect();
        let defined: Vec<&str> = pipeline.catchments.iter().map(|catchment| catchment.id.as_str()).collect();
        let goes = self.stored.catchments.iter().enumerate().filter(|(_, stored)| !defined.contains(&stored.as_str()));
        differences.extend(goes.map(|(place, stored)| Difference {
            subject: stored.clone(),
            effect: Effect::Goes(self.stored.alignment.pending_of(place)),
        }));
        let begins = defined.iter().filter(|id| !self.stored.catchments.iter().any(|stored| stored == *id));
        differences.extend(begins.map(|id| Difference { subject: (*id).to_owned(), effect: Effect::Begins }));
        differences
    }
}
