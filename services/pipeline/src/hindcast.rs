//! Hindcast: a replay into a fresh store.

use anyhow::{Context, Result, bail};
use nilometer_connectors::{FolderSeries, folder::Gap};
use nilometer_definitions::Pipeline;
use nilometer_engine::{Clock, Use};
use nilometer_ingest::OPERATOR;
use nilometer_notify::FEED;
use nilometer_packages::MODELS;
use nilometer_schemas::{Contract, Timestamp};

use crate::{
    assemble::{Accept, Opening, Run},
    coverage, flow,
    intake::{self, Mode},
    roles,
    storage::{self, ARCHIVE, LOG, SNAPSHOTS},
    topics,
};

const DAY_S: i64 = 86_400;
/// Gaps worth reading at once.
const SHOWN: usize = 20;

/// Folders of what was asked of a pipeline: in a package store beside the packages.
const ASKED_FOLDERS: [&str; 2] = ["announcements", "taken"];
/// Length of the name of a package's folder.
const SHA256_DIGITS: usize = 64;

/// Replays the window into `out`, which is emptied of an earlier run first.
///
/// # Errors
/// When the store cannot be emptied or the run fails.
pub async fn hindcast(mut pipeline: Pipeline, out: &str) -> Result<()> {
    out.clone_into(&mut pipeline.log.store);
    begin_where_forcing_does(&mut pipeline)?;
    // Nothing is deleted for a run that cannot begin.
    let sources = roles::rehearse(&pipeline)?;
    coverage::require_weather(&pipeline, Mode::Replay, &sources)?;
    drop(sources);
    // Held until the run has ended: a store that is in use is not emptied.
    let lease = storage::lease(out, "hindcast", Use::Alone).await?;
    lease.during(begin_empty(&pipeline, out)).await??;
    let time = &pipeline.time;
    let clock = Clock::Replay { from: time.from, to: time.to, every_s: time.tick_s(), speed: None };
    pipeline.serve.address = None;
    let opening = Opening { lease, accept: Accept::default() };
    Run::new(opening, pipeline, clock, Mode::Replay, &[]).await?.until_the_end(false).await
}

/// Empties a store of an earlier run, if it holds nothing else.
async fn begin_empty(pipeline: &Pipeline, out: &str) -> Result<()> {
    let store = storage::open(out)?;
    let topics: Vec<&str> = Contract::ALL.iter().map(|contract| contract.topic()).chain(["torn"]).collect();
    let roles = flow::ROLES.iter().map(|role| role.name).collect::<Vec<_>>();
    for (part, folders) in [(LOG, &topics), (ARCHIVE, &topics), (SNAPSHOTS, &roles)] {
        only_ours(&*storage::below(&store, part), |folder| folders.contains(&folder), &format!("{part} of {out}"))
            .await?;
    }
    let of_models = |folder: &str| ASKED_FOLDERS.contains(&folder) || folder.len() == SHA256_DIGITS;
    only_ours(&*storage::below(&store, MODELS), of_models, &format!("{MODELS} of {out}")).await?;
    let of_operators = |folder: &str| ASKED_FOLDERS.contains(&folder);
    only_ours(&*storage::below(&store, OPERATOR), of_operators, &format!("{OPERATOR} of {out}")).await?;
    // Partitions have feeds of their own.
    let of_feeds = |folder: &str| folder == "cap" || folder.parse::<u32>().is_ok();
    only_ours(&*storage::below(&store, FEED), of_feeds, &format!("{FEED} of {out}")).await?;
    if let Some(kafka) = &pipeline.log.kafka {
        topics::begin_empty(kafka, pipeline.log.partitions).await?;
    }
    for part in [LOG, SNAPSHOTS, ARCHIVE, MODELS, OPERATOR, FEED] {
        empty(&*storage::below(&store, part)).await.with_context(|| format!("{part} of {out} cannot be emptied"))?;
    }
    Ok(())
}

/// A folder of the past is looked through before it is run: the warm-up begins behind the last hole in its days, and a number
/// that is missing after that is a reason not to run.
///
/// # Errors
/// What is missing, with its file and the days.
pub fn begin_where_forcing_does(pipeline: &mut Pipeline) -> Result<()> {
    let Some(folder) = intake::folder(pipeline)? else { return Ok(()) };
    let time = &pipeline.time;
    let issued_from = pipeline.forecast.from.unwrap_or(time.from);
    if !time.to.is_multiple_of_s(time.step.seconds()) {
        bail!("time.to is {}, accepted is the end of a step, as --to {} gives it", time.to, time.to.date());
    }
    let Some(begin) = folder.unbroken_from(time.to) else {
        let before = folder.forcing_until(time.to).map_or_else(
            || "none before it has any".to_owned(),
            |end| format!("the newest before it that has is {}", shown(end, folder.step_s())),
        );
        bail!(
            "source.path: {}, the last of --to, has no forcing ({before}); accepted is a window that has",
            shown(time.to, folder.step_s())
        );
    };
    if begin > issued_from {
        bail!(
            "source.path: {}; accepted is --from = {begin} or later, or a complete folder",
            hole_before(pipeline, &folder, begin)
        );
    }
    if begin > pipeline.time.from {
        tracing::warn!("{}, so the warm-up is shorter and begins at {begin}", hole_before(pipeline, &folder, begin));
    }
    let time = &mut pipeline.time;
    // The first tick is the end of the first step, and the state before it that step's begin.
    time.from = begin.max(time.from).plus_s(time.step.seconds());
    let basins: Vec<String> = pipeline.catchments.iter().map(|c| c.id.clone()).collect();
    let needed: Vec<_> = pipeline.sources.values().map(nilometer_definitions::SourceDefinition::variable).collect();
    let gaps = folder.gaps(&basins, &needed, time.from.plus_s(-time.step.seconds()), time.to);
    if !gaps.is_empty() {
        let more = gaps.len().saturating_sub(SHOWN);
        let lines: Vec<String> = gaps.iter().take(SHOWN).map(|gap| say(gap, &folder)).collect();
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        bail!(
            "source.path: forcing is missing inside the window; accepted is a number each step: complete the files, choose another window, or name the basins in source.leave_out\n  {}{more}",
            lines.join("\n  ")
        );
    }
    Ok(())
}

/// Why a warm-up cannot begin before `begin`: file, basins and step that are without forcing.
fn hole_before(pipeline: &Pipeline, folder: &FolderSeries, begin: Timestamp) -> String {
    let before = begin.plus_s(-folder.step_s());
    let missing = shown(begin, folder.step_s());
    let Some(newest) = folder.forcing_until(before) else {
        return format!("forcing begins behind {missing}");
    };
    let basins: Vec<&str> = pipeline.catchments.iter().map(|c| c.id.as_str()).collect();
    let file = basins.iter().find_map(|basin| folder.file_beside(basin, begin)).unwrap_or("forcing_*");
    let more = basins.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{file} has no forcing of {missing} for {}{more} (the newest before it is of {}), and a warm-up knows no gap",
        basins.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "),
        shown(newest, folder.step_s())
    )
}

/// A step by its end: the day that it is, or the time.
fn shown(end: Timestamp, step_s: i64) -> String {
    if step_s == DAY_S { end.plus_s(-DAY_S).date() } else { end.to_string() }
}

fn say(gap: &Gap, folder: &FolderSeries) -> String {
    let step_s = folder.step_s();
    let beside = || folder.file_beside(&gap.basin, gap.first);
    let file = gap.file.as_deref().or_else(beside).unwrap_or("forcing_*");
    format!(
        "{file}: {} of basin {} on {} {} from {}",
        gap.column,
        gap.basin,
        gap.steps,
        if step_s == DAY_S { "day(s)" } else { "step(s)" },
        shown(gap.first, step_s)
    )
}

/// Refuses what another program may have put there.
async fn only_ours(store: &dyn object_store::ObjectStore, ours: impl Fn(&str) -> bool, what: &str) -> Result<()> {
    use futures::TryStreamExt;
    let keys: Vec<_> = store.list(None).map_ok(|o| o.location).try_collect().await?;
    match keys.iter().find(|key| key.parts().count() < 2 || !key.parts().next().is_some_and(|f| ours(f.as_ref()))) {
        Some(foreign) => bail!(
            "{what} holds {foreign}, which is no part of a store; accepted is a new or empty folder, or an earlier run's"
        ),
        None => Ok(()),
    }
}

async fn empty(store: &dyn object_store::ObjectStore) -> Result<()> {
    use futures::{StreamExt, TryStreamExt};
    use object_store::ObjectStoreExt;
    let keys: Vec<_> = store.list(None).map_ok(|o| o.location).try_collect().await?;
    futures::stream::iter(keys)
        .map(Ok)
        .try_for_each(|key| async move { store.delete(&key).await.map_err(Into::into) })
        .await
}
