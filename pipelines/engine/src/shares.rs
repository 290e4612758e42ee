//! Which partitions of a role this process has: all of them, or those that it was given among others.

use nilometer_schemas::Contract;
use tokio::sync::{mpsc, oneshot};

use crate::{Log, LogError};

/// A log whose partitions several processes share.
pub trait SharedLog: Log {
    /// Joins the processes that share the partitions of `topic` for a role; leaves when what it gives is dropped.
    ///
    /// # Errors
    /// What is wrong with the options, or with the topic.
    fn join(&self, role: &'static str, topic: Contract) -> Result<Shares, LogError>;

    /// Closes what it has open of these partitions' topics, behind what was handed over; the next use opens them again.
    fn release(&self, number: u32);
}

/// What changes.
#[derive(Debug)]
pub enum Share {
    /// these are ours from now on, besides those that were
    Taken(Vec<u32>),
    /// these go to another process as soon as it is said that they have been let go
    Asked(Vec<u32>, oneshot::Sender<()>),
}

/// The changes, one after the other. Dropping it leaves the group: others are given what it had.
#[derive(Debug)]
pub struct Shares {
    changes: mpsc::Receiver<Share>,
    made_by: Maker,
}

#[derive(Debug)]
enum Maker {
    /// keeps the changes open
    Fixed { _open: mpsc::Sender<Share> },
    /// says when this process has left
    Others(oneshot::Receiver<()>),
}

impl Shares {
    /// All of them, for good.
    #[must_use]
    pub fn all(numbers: impl Iterator<Item = u32>) -> Self {
        let (sender, changes) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(Share::Taken(numbers.collect()));
        Self { changes, made_by: Maker::Fixed { _open: sender } }
    }

    /// What others leave us, for a [`SharedLog`]; the group's thread drops the other end of `left` when this process has left.
    #[must_use]
    pub const fn among_others(changes: mpsc::Receiver<Share>, left: oneshot::Receiver<()>) -> Self {
        Self { changes, made_by: Maker::Others(left) }
    }

    /// The next change; `None` when none can come any more because the group's thread has failed.
    pub async fn next(&mut self) -> Option<Share> {
        self.changes.recv().await
    }

    /// Leaves, and completes when the others know: a process that ends before is waited for.
    pub async fn leave(self) {
        let Self { changes, made_by } = self;
        drop(changes);
        if let Maker::Others(left) = made_by {
            let _ = left.await;
        }
    }
}
