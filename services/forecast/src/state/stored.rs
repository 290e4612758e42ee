//! Stored: the state of a partition as a snapshot keeps it, and how a state goes on from it.
//!
//! Numbers are in named columns, a row a catchment; the rest is in the manifest. Catchments are found by their identifier, so a definition may add
//! and remove some: those that stay go on, and one that is new begins with its initial state.

use std::collections::BTreeMap;

use nilometer_alignment::{StepAlignment, StepReadings, WeatherForecasts};
use nilometer_assimilation::FirstGuessCheck;
use nilometer_definitions::{Levels, Pipeline};
use nilometer_engine::{Balance, Columns, ColumnsBuilder, VersionError, Versioned};
use nilometer_packages::{Member, Mixture};
use nilometer_schemas::{DeadLetterRow, Reason};
use serde::{Deserialize, Serialize};

use super::{PartitionState, Progress};
use crate::{ForecastError, PRODUCER, forecaster::Forecaster, late_rows::LateRows};

/// What this build writes and reads. A version that follows reads this one too.
pub(crate) const VERSION: u64 = 7;
/// The oldest version that it reads: 2 has no position of model.v1, and does not say which weights are in force; 3 has no shadow; up to
/// 4 each lead time has calibrators of its own, and errors are as the definition says; 5 does not say when a gauge read last; 6 has no position of operator.v1,
/// and no levels.
pub(crate) const OLDEST: u64 = 2;

/// Everything of a state but its numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredState {
    pub(crate) identity: Identity,
    /// SHA-256 of the package that is in force
    #[serde(default)]
    pub(crate) package_sha256: Option<String>,
    /// there where one runs beside it; its columns are named behind `shadow.`
    #[serde(default)]
    pub(crate) shadow: Option<StoredShadow>,
    /// identifiers, in the order of every catchment axis here
    pub(crate) catchments: Vec<String>,
    pub(crate) progress: Progress,
    pub(crate) alignment: StepAlignment,
    weather: WeatherForecasts,
    pub(crate) late_rows: LateRows,
    step_readings: StepReadings,
    first_guess: Vec<FirstGuessCheck>,
    balance: Balance,
    #[serde(default)]
    levels: Levels,
}

/// A shadow, besides its numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredShadow {
    /// SHA-256 of the package
    pub(crate) package_sha256: String,
    /// steps that its ensembles have taken
    steps: u64,
}

const SHADOW: &str = "shadow.";

/// What a state is a state of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    models: Vec<StoredModel>,
    members: usize,
    step_s: i64,
    partitions: u32,
}

/// A model whose state this is. Its weights may change, its graph may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredModel {
    name: String,
    step_sha256: String,
}

/// A state in a snapshot: of this version, or of another.
pub(crate) type Stored = Versioned<Box<StoredState>, VERSION, OLDEST>;

/// The state, or an error that says what to do with another version.
pub(crate) fn current(stored: Stored) -> Result<Box<StoredState>, VersionError> {
    stored.into_current("forecast")
}

impl PartitionState {
    /// As a snapshot keeps it.
    pub(crate) fn store(&mut self) -> Result<(Stored, Columns), ForecastError> {
        self.forget_late_rows();
        let mut columns = ColumnsBuilder::new(self.setting.index.catchments().iter().map(String::as_str));
        self.in_force.store("", &mut columns);
        if let Some(history) = &self.history {
            history.store(self.setting.index.len(), &mut columns);
        }
        if let Some(shadow) = &self.shadow {
            shadow.store(SHADOW, &mut columns);
        }
        let shadow = |shadow: &Forecaster| StoredShadow {
            package_sha256: shadow.models.content_sha256().to_owned(),
            steps: shadow.ensembles.steps(),
        };
        let state = StoredState {
            identity: self.identity.clone(),
            package_sha256: Some(self.in_force.models.content_sha256().to_owned()),
            shadow: self.shadow.as_ref().map(shadow),
            catchments: self.setting.index.catchments().to_vec(),
            progress: self.progress,
            alignment: self.alignment.clone(),
            weather: self.weather.clone(),
            late_rows: self.late_rows.clone(),
            step_readings: self.step_readings.clone(),
            first_guess: self.first_guess.clone(),
            balance: self.accounts.balance.clone(),
            levels: self.levels.clone(),
        };
        Ok((Versioned::Current(Box::new(state)), columns.finish()?))
    }

    /// Goes on from a stored state, whose models [`PartitionState::go_on_with`] has taken up. Catchments that it does not have begin anew at its time.
    pub(crate) fn restore(&mut self, stored: StoredState, columns: &Columns) -> Result<(), ForecastError> {
        let time = stored.progress.state_time;
        self.begin_at(time)?;
        let setting = self.setting.clone();
        let rows = columns.keyed(setting.index.catchments().iter().map(String::as_str));
        let serves = stored.identity.serving(&self.identity);
        self.in_force.restore("", &rows, stored.progress.steps, &serves)?;
        if let (Some(shadow), Some(stored_shadow)) = (&mut self.shadow, &stored.shadow) {
            let serves = vec![stored.identity.members == self.identity.members; shadow.models.members().len()];
            shadow.restore(SHADOW, &rows, stored_shadow.steps, &serves)?;
        }
        if let Some(history) = &mut self.history {
            history.restore(&rows, time);
        }
        let from = stored.places_of(setting.index.catchments());
        self.accounts.balance = stored.balance;
        self.levels = stored.levels;
        for (removed, catchment) in stored.catchments.iter().enumerate() {
            if setting.index.place_of_catchment(catchment).is_none() {
                self.refuse_waiting(&stored.progress, catchment, stored.alignment.pending_of(removed));
            }
        }
        self.progress = stored.progress;
        self.alignment = stored.alignment.select(&from);
        self.weather = stored.weather.select(&from);
        self.late_rows = stored.late_rows.select(&from);
        self.step_readings = stored.step_readings.select(&from);
        let learned =
            |old: &Option<usize>| old.and_then(|old| stored.first_guess.get(old).cloned()).unwrap_or_default();
        self.first_guess = from.iter().map(learned).collect();
        Ok(())
    }

    /// What waits of a catchment that the definition no longer has.
    fn refuse_waiting(&mut self, progress: &Progress, catchment: &str, rows: u64) {
        if rows == 0 {
            return;
        }
        let detail = format!("{rows} rows of {catchment} waited for their step when the definition lost it");
        let dead_letter = DeadLetterRow {
            source: PRODUCER.to_owned(),
            locator: catchment.to_owned(),
            reason: Reason::UnknownStation,
            rows,
            content_type: "text/plain",
            bytes: detail.clone().into_bytes(),
            detail,
            ingest_time: progress.tick,
        };
        self.accounts.balance.pending -= rows.min(self.accounts.balance.pending);
        self.accounts.refuse(None, dead_letter);
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Identity {
    /// Of a definition and its models.
    pub(crate) fn of(pipeline: &Pipeline, models: &Mixture) -> Self {
        let model = |member: &Member| StoredModel {
            name: member.package.card().name.clone(),
            step_sha256: member.package.sha256("step.onnx").to_owned(),
        };
        Self {
            models: models.members().iter().map(model).collect(),
            members: pipeline.assimilation.members,
            step_s: pipeline.time.step.seconds(),
            partitions: pipeline.log.partitions,
        }
    }

    /// Whether both are of the same models, so that other weights of the one are weights of the other.
    pub(crate) fn has_models_of(&self, other: &Self) -> bool {
        self.models == other.models
    }

    /// The models, and the number of members.
    pub(crate) fn described(&self) -> (String, usize) {
        (self.models_in_words(), self.members)
    }

    /// Of each model of `other` whether the ensemble of this identity is one that it can go on from.
    fn serving(&self, other: &Self) -> Vec<bool> {
        let alike = self.members == other.members;
        other.models.iter().map(|model| alike && self.models.contains(model)).collect()
    }

    /// What of a stored state a state of this identity cannot go on from.
    pub(crate) fn misfits(&self, stored: &Self) -> Vec<Misfit> {
        let numbers = [
            ("time.step", None, stored.step_s, self.step_s, " s"),
            ("log.partitions", None, stored.partitions.into(), self.partitions.into(), ""),
            ("assimilation.members", Some(ENSEMBLE), stored.members as i64, self.members as i64, ""),
        ];
        let differs = numbers.into_iter().filter(|(_, _, found, expected, _)| found != expected);
        let misfit = |(key, part, found, expected, unit): (_, _, i64, i64, _)| Misfit {
            key,
            part,
            found: format!("{found}{unit}"),
            expected: format!("{expected}{unit}"),
        };
        let mut misfits: Vec<Misfit> = differs.map(misfit).collect();
        if self.models.iter().any(|model| !stored.models.contains(model)) {
            let (found, expected) = (stored.models_in_words(), self.models_in_words());
            misfits.push(Misfit { key: "model.package", part: Some(ENSEMBLE), found, expected });
        }
        misfits
    }

    fn models_in_words(&self) -> String {
        let one = |m: &StoredModel| format!("{} with step {}", m.name, &m.step_sha256[..m.step_sha256.len().min(12)]);
        self.models.iter().map(one).collect::<Vec<_>>().join(" and ")
    }
}

/// The part of a state that another model or another number of members cannot go on from.
pub const ENSEMBLE: &str = "ensemble";

/// A difference between a stored state and the definition that a state cannot go on over.
pub(crate) struct Misfit {
    pub(crate) key: &'static str,
    /// what may begin anew instead; none where nothing of the state serves
    pub(crate) part: Option<&'static str>,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl StoredState {
    pub(crate) const fn balance(&self) -> &Balance {
        &self.balance
    }

    /// Whether it says what was known at its tick: a rewind that came later has not put another one in its place.
    pub(crate) fn is_as_saved(&self) -> bool {
        self.late_rows.rows().iter().all(|row| row.arrived <= self.progress.tick)
    }

    /// The place of each of `catchments` on the catchment axes here; none of one that is new.
    pub(super) fn places_of(&self, catchments: &[String]) -> Vec<Option<usize>> {
        let places: BTreeMap<&String, usize> =
            self.catchments.iter().enumerate().map(|(place, catchment)| (catchment, place)).collect();
        catchments.iter().map(|catchment| places.get(catchment).copied()).collect()
    }

    /// Says which catchments of a definition are new, and which are gone.
    pub(crate) fn report_changes(&self, catchments: &[String]) {
        let gone = self.catchments.iter().filter(|stored| !catchments.contains(stored));
        gone.for_each(|catchment| tracing::warn!(catchment, "a catchment is gone: its state is forgotten"));
        let added = catchments.iter().zip(self.places_of(catchments)).filter(|(_, place)| place.is_none());
        added.for_each(|(catchment, _)| {
            tracing::warn!(catchment, "a catchment is new: it begins with its initial state")
        });
    }
}

#[cfg(test)]
mod tests;
