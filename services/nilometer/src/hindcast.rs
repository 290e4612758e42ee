//! Hindcast: a replay into a fresh store.

use anyhow::{Context, Result};
use nilometer_definitions::Pipeline;
use nilometer_engine::Clock;
use nilometer_schemas::Timestamp;

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
    let store = storage::open(out)?;
    for part in [crate::assemble::LOG, crate::assemble::SNAPSHOTS, crate::assemble::ARCHIVE] {
        empty(&*storage::below(&store, part)).await.with_context(|| format!("{part} of {out} cannot be emptied"))?;
    }
    let time = &pipeline.time;
    let clock = Clock::Replay { from: time.from, to: time.to, every_s: time.tick_s(), speed: None };
    pipeline.serve.address = None;
    Run::new(pipeline, clock, Mode::Replay)?.until_the_end(false).await
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
