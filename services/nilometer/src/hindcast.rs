//! Hindcast: a replay into a fresh store.

use anyhow::{Context, Result, bail};
use nilometer_definitions::Pipeline;
use nilometer_engine::Clock;
use nilometer_schemas::{Contract, Timestamp};

use crate::{
    assemble::{Mode, Run},
    storage,
};

/// Replays the window into `out`, which is emptied of an earlier run first.
///
/// # Errors
/// When the store cannot be emptied or the run fails.
pub async fn hindcast(mut pipeline: Pipeline, out: &str, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<()> {
    pipeline.time.from = from.unwrap_or(pipeline.time.from);
    pipeline.time.to = to.unwrap_or(pipeline.time.to);
    out.clone_into(&mut pipeline.log.store);
    if pipeline.time.from >= pipeline.time.to {
        bail!("--from is {}, accepted is before --to = {}", pipeline.time.from, pipeline.time.to);
    }
    // Nothing is deleted for a run that cannot begin.
    crate::assemble::rehearse(&pipeline)?;
    let store = storage::open(out)?;
    for part in [crate::assemble::LOG, crate::assemble::ARCHIVE] {
        only_ours(&*storage::below(&store, part), &format!("{part} of {out}")).await?;
    }
    for part in [crate::assemble::LOG, crate::assemble::SNAPSHOTS, crate::assemble::ARCHIVE] {
        empty(&*storage::below(&store, part)).await.with_context(|| format!("{part} of {out} cannot be emptied"))?;
    }
    let time = &pipeline.time;
    let clock = Clock::Replay { from: time.from, to: time.to, every_s: time.tick_s(), speed: None };
    pipeline.serve.address = None;
    Run::new(pipeline, clock, Mode::Replay)?.until_the_end(false).await
}

/// Refuses what another program may have put there.
async fn only_ours(store: &dyn object_store::ObjectStore, what: &str) -> Result<()> {
    use futures::TryStreamExt;
    let keys: Vec<_> = store.list(None).map_ok(|o| o.location).try_collect().await?;
    let ours = |folder: &str| folder == "torn" || Contract::ALL.iter().any(|c| c.topic() == folder);
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
