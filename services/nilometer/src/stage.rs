//! Stages of the flow, and how one knows that those before it in other processes have ended.

use std::{sync::Arc, time::Duration};

use nilometer_engine::{Lifecycle, Snapshots};

/// How often a stage looks whether those before it in other processes have ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What runs on its own where the log is on Kafka, in the order of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    /// sources become rows in the log
    Ingest,
    /// rows become states and forecasts
    Forecast,
    /// forecasts meet what came
    Score,
    /// the log becomes files and metrics
    Publish,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Forecast, Self::Score, Self::Publish];

    /// The role whose snapshots say how far the stage has come; that of the last nobody waits for.
    pub const fn role(self) -> Option<&'static str> {
        match self {
            Self::Ingest => Some("ingest"),
            Self::Forecast => Some("forecast"),
            Self::Score => Some("score"),
            Self::Publish => None,
        }
    }
}

/// Stages of other processes that a stage of ours comes behind.
#[derive(Clone)]
pub struct Foreign {
    /// with their snapshots
    pub roles: Vec<(&'static str, Snapshots)>,
    /// ordinal of a snapshot of the last tick
    pub last: u64,
}

impl Foreign {
    /// Completes when all have ended. Their last snapshot is saved behind everything that they append.
    async fn have_ended(&self) {
        for (role, snapshots) in &self.roles {
            loop {
                match snapshots.ordinals().await {
                    Ok(ordinals) if ordinals.last().is_some_and(|newest| *newest >= self.last) => break,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(role, %error, "cannot see how far it has come; looking again"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Completes the inputs of a role of ours when those of other processes that append to them have ended, or somebody asks to stop.
pub async fn complete_behind(foreign: Foreign, lifecycle: Arc<Lifecycle>, index: usize) {
    tokio::select! { () = foreign.have_ended() => {}, () = lifecycle.asked_to_stop() => {} }
    lifecycle.complete(index);
}
