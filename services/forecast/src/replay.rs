//! Replay: the ticks of the log, one after the other, from a snapshot on. Where rows come late, the state goes back to an older snapshot and the
//! ticks are taken again, with the rows where they belong.
//!
//! ```text
//! log ──next_tick──▶ tick ──late rows?──▶ step ──▶ Taken::New, or Taken::Again on the way back to where the state was
//!                             └──▶ an older snapshot: Taken::WentBack
//! ```
//!
//! The ticks taken again are those of the log, so the result is that of a run in which the rows had been on time, to the last bit. Start, live
//! work and rewind are this one loop; what goes out of it is the caller's decision.

use std::{collections::BTreeSet, sync::Arc};

use nilometer_engine::{
    Columns, Input, Log, Partition, Position, Snapshot, SnapshotError, Snapshots, Stop, off_reactor,
};
use nilometer_packages::Mixture;
use nilometer_runtime::Runtime;
use nilometer_schemas::{Contract, Timestamp};

use crate::{
    ForecastError, Packages,
    late_rows::LateRow,
    setting::Setting,
    state::{Identity, Outputs, PartitionState, Stored, StoredState, Trial, current},
    tick::{Inputs, Positions, Tick},
};

/// A partition's state, and the ticks that it takes from the log.
pub(crate) struct Replay {
    setting: Arc<Setting>,
    identity: Identity,
    log: Arc<dyn Log>,
    snapshots: Snapshots,
    packages: Packages,
    /// the definition's, which are in force until the log names others
    models: Mixture,
    inputs: Inputs,
    /// none only while a thread computes with it
    state: Option<Box<PartitionState>>,
    rewind: Option<Rewind>,
    known: Known,
}

/// What ticks are taken from.
pub(crate) struct ReplayDependencies {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) snapshots: Snapshots,
    pub(crate) runtime: Runtime,
    /// the definition's
    pub(crate) models: Mixture,
    pub(crate) packages: Packages,
}

/// Which snapshots are gone back to for late rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// any
    All,
    /// those that say what was known when they were saved, so that what is made again is what was made
    ByThen,
}

/// What became of a tick.
pub(crate) enum Taken {
    /// the state has gone back: nothing that ticks taken again have led to so far counts
    WentBack,
    /// it was taken again
    Again {
        outputs: Outputs,
        /// the tick whose late rows are being placed
        to: Timestamp,
        /// rows that were placed the first time, and for which no state is old enough now
        unplaced: BTreeSet<String>,
        /// whether it led to a snapshot the first time
        snapshot: bool,
    },
    /// it is new; where rows of it came late, the state has gone back for them
    New { outputs: Outputs, rewound: Option<Rewound> },
}

/// A rewind that is over.
pub(crate) struct Rewound {
    pub(crate) rows: usize,
    /// event time that the state went back, s
    pub(crate) back_s: i64,
}

/// A rewind that is under way.
struct Rewind {
    to: Timestamp,
    rows: usize,
    was: Timestamp,
    from: Timestamp,
    /// snapshots that there are
    ordinals: Vec<i64>,
    /// whether the state had a shadow when it went back
    had_shadow: bool,
    /// that shadow, where it failed in ticks taken again, and why
    failed_shadow: Option<String>,
}

impl Replay {
    /// Goes on from a snapshot, or begins where there is none.
    pub(crate) async fn resume(
        setting: Arc<Setting>,
        dependencies: ReplayDependencies,
        snapshot: Option<Snapshot<Stored>>,
        accept_loss: &[String],
        known: Known,
    ) -> Result<Self, ForecastError> {
        let ReplayDependencies { log, snapshots, runtime, models, packages } = dependencies;
        let (begun, of_definition) = (setting.clone(), models.clone());
        let mut state =
            off_reactor(move || PartitionState::new(begun, &runtime, of_definition).map(Box::new)).await??;
        if let Some(Snapshot { content, columns, .. }) = snapshot {
            let stored = current(content)?;
            let misfits = state.identity().misfits(&stored.identity);
            for misfit in &misfits {
                if misfit.part.is_none_or(|part| !accept_loss.iter().any(|accepted| accepted == part)) {
                    return Err(ForecastError::misfit(misfit));
                }
                tracing::warn!(
                    key = misfit.key,
                    found = misfit.found,
                    expected = misfit.expected,
                    "the ensemble begins anew: its state is of another model"
                );
            }
            tracing::info!(tick = %stored.progress.tick, state_time = %stored.progress.state_time, "resuming from a snapshot");
            stored.report_changes(setting.index.catchments());
            // Of other models, or of fewer, it is the definition's that the state goes on with.
            if state.identity().has_models_of(&stored.identity)
                && let Some(in_force) = in_force_of(&packages, &stored).await?
            {
                state.go_on_with(in_force, shadow_of(&packages, &stored).await?)?;
            }
            state.restore(*stored, &columns)?;
        }
        let inputs = inputs(&setting, &log, state.progress.positions).await?;
        let identity = state.identity().clone();
        let state = Some(state);
        Ok(Self { setting, identity, log, snapshots, packages, models, inputs, state, rewind: None, known })
    }

    /// Goes on from another state, as if it had never been further; with its shadow, which a promotion puts in force.
    pub(crate) async fn go_on_from(&mut self, stored: StoredState, columns: Columns) -> Result<(), ForecastError> {
        let in_force = in_force_of(&self.packages, &stored).await?.unwrap_or_else(|| self.models.clone());
        let shadow = shadow_of(&self.packages, &stored).await?;
        self.compute(move |state| {
            state.go_on_with(in_force, shadow)?;
            state.restore(stored, &columns)
        })
        .await?;
        self.rewind = None;
        self.inputs = inputs(&self.setting, &self.log, self.state().progress.positions).await?;
        Ok(())
    }

    /// What the state does otherwise than in operations.
    pub(crate) fn trial(&mut self) -> &mut Trial {
        let Some(state) = &mut self.state else { unreachable!("the state comes back with every result") };
        &mut state.trial
    }

    /// Reads the next tick; none at the end of the inputs.
    pub(crate) async fn next_tick(&mut self, stop: &Stop) -> Result<Option<Tick>, ForecastError> {
        self.inputs.next_tick(&self.setting.index, stop).await
    }

    /// Takes a tick, or goes back for its late rows.
    pub(crate) async fn take(&mut self, tick: Tick) -> Result<Taken, ForecastError> {
        let late = self.state().late_in(&tick);
        if let Some(base) = self.base(&late).await? {
            self.go_back(base, late, tick.time).await?;
            return Ok(Taken::WentBack);
        }
        let mut tick = tick;
        for change in tick.models.iter_mut().flat_map(|message| message.rows.iter_mut().flatten()) {
            change.models = self.packages.load(&change.package_sha256).await?;
        }
        let unplaced = late.iter().map(|row| row.locator(self.setting.partition)).collect();
        let mut outputs = self.compute(move |state| state.step(&tick)).await?;
        if let Some(rewind) = self.rewind.as_mut().filter(|rewind| rewind.had_shadow) {
            rewind.failed_shadow = rewind.failed_shadow.take().or(outputs.report.failed_shadow.take());
        }
        match self.rewind.take_if(|rewind| outputs.tick >= rewind.to) {
            Some(rewind) => {
                outputs.report.failed_shadow = outputs.report.failed_shadow.or(rewind.failed_shadow);
                let from = rewind.from.max(self.setting.pipeline.time.from);
                let rewound = Rewound { rows: rewind.rows, back_s: rewind.was.seconds_since(from) };
                Ok(Taken::New { outputs, rewound: Some(rewound) })
            }
            None => Ok(match &self.rewind {
                Some(rewind) => {
                    let snapshot = rewind.ordinals.binary_search(&outputs.tick.0).is_ok();
                    Taken::Again { outputs, to: rewind.to, unplaced, snapshot }
                }
                None => Taken::New { outputs, rewound: None },
            }),
        }
    }

    /// Computes with the state on a thread of its own: it must not hold up the reactor.
    pub(crate) async fn compute<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut PartitionState) -> Result<T, ForecastError> + Send + 'static,
    ) -> Result<T, ForecastError> {
        let Some(mut state) = self.state.take() else { unreachable!("the state comes back with every result") };
        let (state, result) = off_reactor(move || {
            let result = work(&mut state);
            (state, result)
        })
        .await?;
        self.state = Some(state);
        result
    }

    /// Whether ticks are being taken again: the state is then not one to go on from.
    pub(crate) const fn is_rewinding(&self) -> bool {
        self.rewind.is_some()
    }

    pub(crate) fn state(&self) -> &PartitionState {
        let Some(state) = &self.state else { unreachable!("the state comes back with every result") };
        state
    }

    /// Where each topic is read on.
    pub(crate) fn places(&self) -> [(Partition, u64); 4] {
        self.inputs.places()
    }

    /// The newest state that is older than every late row and serves them. None when there is none: then the rows stay late.
    async fn base(&mut self, late: &[LateRow]) -> Result<Option<Base>, ForecastError> {
        let Some(oldest) = late.iter().map(|row| row.content.valid_time()).min() else { return Ok(None) };
        let (known, tick) = (self.state().late_rows().rows().to_vec(), self.state().progress.tick);
        let (identity, catchments) = (&self.identity, self.setting.index.catchments());
        let serves = |found: &Snapshot<Stored>| {
            let counts = self.known == Known::All || found.content.current().is_some_and(|state| state.is_as_saved());
            let stored = found.content.current().filter(|stored| counts && *identity == stored.identity);
            stored.is_some_and(|stored| stored.serves(catchments, late, &known))
        };
        if let Some(found) = self.snapshots.newest_before::<Stored>(oldest.0, serves).await? {
            return Ok(Some(Base::Snapshot(Box::new((found.content, found.columns)))));
        }
        // The very first state serves as long as no late row has been forgotten since.
        let since = tick.plus_s(-self.setting.memory_of_late_rows_s());
        let from_the_start = self.setting.pipeline.time.from >= since && is_whole(&*self.log, &self.setting).await?;
        Ok(from_the_start.then_some(Base::Beginning))
    }

    /// Takes up an older state, with the late rows that it does not know.
    async fn go_back(&mut self, base: Base, late: Vec<LateRow>, tick: Timestamp) -> Result<(), ForecastError> {
        let (was, rows, had_shadow) = (self.state().progress.state_time, late.len(), self.state().has_shadow());
        let stored = match &base {
            Base::Beginning => None,
            Base::Snapshot(found) => found.0.current(),
        };
        let (in_force, shadow) = match stored {
            Some(stored) => (in_force_of(&self.packages, stored).await?, shadow_of(&self.packages, stored).await?),
            None => (None, None),
        };
        let in_force = in_force.unwrap_or_else(|| self.models.clone());
        let from = self
            .compute(move |state| {
                let (known, unpublished) = (state.late_rows().rows().to_vec(), state.accounts.take_dead_letters());
                state.go_on_with(in_force, shadow)?;
                match base {
                    Base::Beginning => state.begin_anew()?,
                    Base::Snapshot(found) => {
                        let (stored, columns) = *found;
                        state.restore(*current(stored)?, &columns)?;
                    }
                }
                state.accounts.put_back(unpublished);
                state.remember_late(known.into_iter().chain(late));
                Ok(state.progress.state_time)
            })
            .await?;
        self.inputs = inputs(&self.setting, &self.log, self.state().progress.positions).await?;
        let ordinals = self.snapshots.ordinals().await?;
        let begun = Rewind { to: tick, rows, was, from, ordinals, had_shadow, failed_shadow: None };
        let rewind = self.rewind.get_or_insert(begun);
        rewind.from = from;
        tracing::info!(%from, to = %rewind.to, rows, "rewinding");
        Ok(())
    }
}

/// Whether the log still has everything that the state has been made of, from the very first row on.
pub(crate) async fn is_whole(log: &dyn Log, setting: &Setting) -> Result<bool, ForecastError> {
    for contract in [Contract::Forcing, Contract::Observation] {
        if log.bounds(Partition::new(contract, setting.partition)).await?.start > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A state to begin again from.
enum Base {
    Beginning,
    Snapshot(Box<(Stored, Columns)>),
}

/// The models in force that a stored state goes on with; none where it does not say.
async fn in_force_of(packages: &Packages, stored: &StoredState) -> Result<Option<Mixture>, ForecastError> {
    let Some(package_sha256) = &stored.package_sha256 else { return Ok(None) };
    let package_gone = |why| ForecastError::PackageGone { package_sha256: package_sha256.clone(), why };
    packages.load(package_sha256).await?.map(Some).map_err(package_gone)
}

/// The models of a stored state's shadow, or why they are of no use.
async fn shadow_of(
    packages: &Packages,
    stored: &StoredState,
) -> Result<Option<Result<Mixture, String>>, ForecastError> {
    match &stored.shadow {
        Some(shadow) => Ok(Some(packages.load(&shadow.package_sha256).await?)),
        None => Ok(None),
    }
}

/// Of operators nothing was read before there were levels, and old messages may have gone.
async fn inputs(setting: &Setting, log: &Arc<dyn Log>, positions: Positions) -> Result<Inputs, ForecastError> {
    let partition = |contract| Partition::new(contract, setting.partition);
    let first = Position::first(&**log, partition(Contract::Operator)).await?;
    let operator = if positions.operator.next < first.next { first } else { positions.operator };
    let input = |contract, position| Input::new(log.clone(), partition(contract), position);
    Ok(Inputs {
        models: input(Contract::Model, positions.model),
        operators: input(Contract::Operator, operator),
        forcings: input(Contract::Forcing, positions.forcing),
        observations: input(Contract::Observation, positions.observation),
    })
}

/// The positions that a snapshot of the role needs its inputs from, the oldest where none is named; `None` where there is none.
///
/// # Errors
/// What the snapshots' store says.
pub async fn needed_from(
    snapshots: &Snapshots,
    ordinal: Option<i64>,
) -> Result<Option<[(Contract, Position); 4]>, SnapshotError> {
    let snapshot = snapshots.readable_or_oldest::<Stored>(ordinal).await?;
    let positions = snapshot.and_then(|s| Some(s.content.current()?.progress.positions));
    Ok(positions.map(|p| {
        [
            (Contract::Model, p.model),
            (Contract::Operator, p.operator),
            (Contract::Forcing, p.forcing),
            (Contract::Observation, p.observation),
        ]
    }))
}
