//! `state show` and `state diff`: what the forecast role's newest snapshots hold, and what another definition would make of them. Nothing is
//! changed.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

use anyhow::Result;
use nilometer_definitions::{Partitioning, Pipeline};
use nilometer_engine::Snapshots;
use nilometer_forecast::{Effect, Inspection};
use object_store::{ObjectStore, path::Path};

use crate::storage::{self, SNAPSHOTS};

/// The exit code where a part of the state begins anew only if that is accepted.
const ACCEPT: u8 = 3;
/// The exit code where the state does not serve.
const REFUSED: u8 = 4;

/// What each partition's newest snapshot holds.
///
/// # Errors
/// When there is no store or no state, or it cannot be read.
pub async fn show(address: &str) -> Result<String> {
    let mut text = String::new();
    for (partition, state) in inspect(address).await? {
        let ((tick, state_time), (steps, filled)) = (state.times(), state.steps());
        let (models, members) = state.models();
        let balance = state.balance();
        writeln!(text, "partition {partition}, tick {tick}")?;
        writeln!(text, "  state at    {state_time}, after {steps} steps, {filled} of them filled in")?;
        writeln!(text, "  models      {models}")?;
        writeln!(text, "  members     {members}")?;
        writeln!(
            text,
            "  rows        received {}, used {}, rejected {}, late {}, missing {}, waiting {}",
            balance.received,
            balance.used,
            balance.rejected_rows(),
            balance.late,
            balance.missing,
            balance.pending
        )?;
        writeln!(text, "  catchments  {}", state.catchments().join(" "))?;
        writeln!(text, "  {:<56}{:>10}", "column", "numbers")?;
        for (column, numbers) in state.columns() {
            writeln!(text, "  {column:<56}{numbers:>10}")?;
        }
    }
    Ok(text)
}

/// What becomes of each partition's state under a definition.
///
/// # Errors
/// When there is no store or no state, it cannot be read.
pub async fn diff(address: &str, pipeline: &Pipeline) -> Result<(String, ExitCode)> {
    let (parts, mut text, mut code) = (Partitioning::new(pipeline), String::new(), 0);
    let states = inspect(address).await?;
    for partition in parts.numbers().filter(|number| !states.contains_key(number)) {
        writeln!(text, "partition {partition}: new, all of its catchments begin with their initial state")?;
    }
    for (partition, state) in states {
        let Some(part) = parts.part(partition) else {
            writeln!(text, "partition {partition}: no catchment of the definition; its state is left alone")?;
            continue;
        };
        let differences = state.differences(part, &pipeline.models);
        let mut of_partition = 0;
        let gone = differences.iter().filter(|difference| matches!(difference.effect, Effect::Goes(_))).count();
        for difference in &differences {
            writeln!(text, "partition {partition}: {} {}", difference.subject, difference.effect)?;
            of_partition = of_partition.max(match difference.effect {
                Effect::Begins | Effect::Goes(_) => 0,
                Effect::BeginsAnew { .. } => ACCEPT,
                Effect::Refused { .. } => REFUSED,
            });
        }
        let stay = state.catchments().len() - gone;
        code = code.max(of_partition);
        if of_partition < ACCEPT {
            writeln!(text, "partition {partition}: {stay} catchments go on as they are")?;
        }
    }
    Ok((text, ExitCode::from(code)))
}

/// The newest snapshot of each partition that has one.
async fn inspect(address: &str) -> Result<BTreeMap<u32, Inspection>> {
    let store = storage::look(address, &[SNAPSHOTS]).await?;
    let folder = Path::from(SNAPSHOTS).join("forecast");
    let listed = store.list_with_delimiter(Some(&folder)).await?;
    let mut found = BTreeMap::new();
    for number in listed.common_prefixes.iter().filter_map(|prefix| prefix.filename()?.parse().ok()) {
        let snapshots = Snapshots::new(store.clone(), SNAPSHOTS, "forecast", 2).of_partition(number);
        if let Some(state) = Inspection::newest(&snapshots).await? {
            found.insert(number, state);
        }
    }
    anyhow::ensure!(
        !found.is_empty(),
        "{address} has no state yet; accepted is a store in which the forecast role has saved a snapshot"
    );
    Ok(found)
}
