//! Roles: each is a file with what it reads and appends, what its snapshots need, and how it is made; `flow.rs` lists them once.

pub mod alert;
pub mod drought;
pub mod forecast;
pub mod ingest;
pub mod notify;
pub mod publish;
pub mod score;
pub mod serve;

use std::{future::Future, pin::Pin, sync::Arc};

use anyhow::Result;
use futures::future::BoxFuture;
use nilometer_definitions::Pipeline;
use nilometer_engine::{Balance, Metrics, Position, SnapshotError, Snapshots, Stop};
use nilometer_schemas::Contract;

use crate::{role_kind::RoleKind, roles::Roles};

/// A role of one partition, ready to run.
pub type Role = Pin<Box<dyn Future<Output = Result<Balance>> + Send>>;

/// The positions that a snapshot needs; none where there is no snapshot.
pub type Needed = Option<Vec<(Contract, Position)>>;

/// Looks up what a role's snapshot of an ordinal needs.
type NeededFrom = fn(&'static RoleEntry, Snapshots, Option<i64>) -> BoxFuture<'static, Result<Needed, SnapshotError>>;

/// A role by what the rest of the service has to know of it.
pub struct RoleEntry {
    /// as a producer of messages, and of the folder of its snapshots
    pub name: &'static str,
    /// the kind of role that it belongs to
    pub kind: RoleKind,
    /// the topics that it reads
    pub reads: &'static [Contract],
    /// the topics that it appends to
    pub appends: &'static [Contract],
    /// see [`RoleEntry::needed_from`]
    needed_from: NeededFrom,
    /// makes it
    pub make: fn(&Making<'_>) -> Result<Role>,
}

impl RoleEntry {
    /// The positions that the snapshot of an ordinal needs, the oldest where none is named; none where there is no snapshot.
    ///
    /// # Errors
    /// What the snapshots' store says.
    pub async fn needed_from(
        &'static self,
        snapshots: &Snapshots,
        ordinal: Option<i64>,
    ) -> Result<Needed, SnapshotError> {
        (self.needed_from)(self, snapshots.clone(), ordinal).await
    }

    /// Whether a definition asks for it.
    pub fn is_of(&self, pipeline: &Pipeline) -> bool {
        match self.kind {
            RoleKind::Score => pipeline.forecast.score,
            RoleKind::Drought => pipeline.drought.is_some(),
            RoleKind::Notify => notify::is_asked_for(self.name, pipeline),
            RoleKind::Serve => pipeline.serve.address.is_some(),
            _ => true,
        }
    }
}

/// What a role of a partition is made of.
pub struct Making<'a> {
    pub role: &'static RoleEntry,
    pub roles: &'a Roles,
    /// the definition with the catchments of the partition
    pub part: &'a Arc<Pipeline>,
    pub number: u32,
    /// of the partition
    pub metrics: &'a Metrics,
    pub stop: &'a Stop,
}

impl Making<'_> {
    /// Where the role keeps its state.
    fn snapshots(&self) -> Snapshots {
        self.roles.snapshots(self.role.kind, self.role.name, self.number)
    }
}
