//! Which partitions of a role this process has: all of them, or those that it was given among others.

use tokio::sync::{mpsc, oneshot};

/// What changes.
#[derive(Debug)]
pub enum Share {
    /// these are ours from now on, besides those that were
    Taken(Vec<u32>),
    /// these go to another process as soon as it is said that they have been let go
    Asked(Vec<u32>, oneshot::Sender<()>),
}

/// The changes, one after the other. Whoever drops it leaves: others are given what it had.
#[derive(Debug)]
pub struct Shares {
    changes: mpsc::Receiver<Share>,
    /// keeps the changes open where there is nobody who makes them
    _nobody: Option<mpsc::Sender<Share>>,
}

impl Shares {
    /// All of them, for good.
    #[must_use]
    pub fn all(numbers: impl Iterator<Item = u32>) -> Self {
        let (sender, changes) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(Share::Taken(numbers.collect()));
        Self { changes, _nobody: Some(sender) }
    }

    pub(crate) const fn among_others(changes: mpsc::Receiver<Share>) -> Self {
        Self { changes, _nobody: None }
    }

    /// The next change; `None` when none can come any more because whoever made them has failed.
    pub async fn next(&mut self) -> Option<Share> {
        self.changes.recv().await
    }
}
