//! Announcements: which weights are to be in force, from the store to the log. The tick of each is decided once, in the store and before the log has
//! the row, so that a tick that is done again has the same rows.

use std::time::{Duration, Instant};

use nilometer_engine::{Log, Partition, RoleMetrics};
use nilometer_packages::{Announcement, MODELS, PackageStore, PackageStoreError};
use nilometer_schemas::{Contract, ModelRow, Models, ModelsBuilder, Timestamp};

use crate::{IngestError, PRODUCER, in_full};

/// Real time between two looks of a replay, which may make thousands of ticks a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The announcements that are still to be taken.
pub(crate) struct Announcements {
    packages: PackageStore,
    /// number of the next one
    next: u64,
    /// the next one, where it has been read
    head: Option<Announcement>,
    /// newest tick that a partition has of us: no announcement is decided for it or for one before
    reached: Timestamp,
    /// whether each tick looks
    every_tick: bool,
    looked: Option<Instant>,
    /// what was said last of a store that cannot be read
    failing: Option<String>,
    role_metrics: RoleMetrics,
}

impl Announcements {
    /// Those from number `next` on.
    pub(crate) async fn new(
        packages: PackageStore,
        next: u64,
        log: &dyn Log,
        numbers: impl Iterator<Item = u32>,
        planned: Option<Timestamp>,
        every_tick: bool,
        role_metrics: RoleMetrics,
    ) -> Result<Self, IngestError> {
        let mut reached = planned.unwrap_or(Timestamp::MIN);
        for number in numbers {
            for contract in [Contract::Forcing, Contract::Observation] {
                let newest = log.last_sequence(Partition::new(contract, number), PRODUCER).await?;
                reached = reached.max(newest.map_or(Timestamp::MIN, Timestamp));
            }
        }
        Ok(Self { packages, next, head: None, reached, every_tick, looked: None, failing: None, role_metrics })
    }

    /// The number of the next one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The rows of a tick. In operations a store that cannot be read holds up no new tick: it is looked at again at the next.
    pub(crate) async fn rows(&mut self, tick: Timestamp) -> Result<Models, IngestError> {
        let mut rows = ModelsBuilder::new();
        loop {
            match self.due(tick).await {
                Ok(None) => break,
                Ok(Some(announcement)) => {
                    push(&mut rows, self.next, &announcement, tick);
                    self.next += 1;
                }
                Err(error) if self.every_tick && tick > self.reached => {
                    let why = in_full(&error);
                    self.role_metrics.source_failed(MODELS);
                    if self.failing.replace(why.clone()).as_ref() != Some(&why) {
                        tracing::error!(
                            why,
                            "announced models cannot be read: the weights stay as they are until they can"
                        );
                    }
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rows.finish()?)
    }

    /// The next announcement, if it is in force from this tick on.
    async fn due(&mut self, tick: Timestamp) -> Result<Option<Announcement>, PackageStoreError> {
        if self.head.is_none() {
            if !self.every_tick && self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
                return Ok(None);
            }
            self.head = self.packages.announcement(self.next).await?;
            self.looked = Some(Instant::now());
            self.failing = None;
        }
        let in_time = |head: &&Announcement| head.from.is_none_or(|from| from <= tick);
        if self.head.as_ref().filter(in_time).is_none() {
            return Ok(None);
        }
        let due = match self.packages.taken_at(self.next).await? {
            Some(taken) => taken <= tick,
            None if tick > self.reached => {
                self.packages.take(self.next, tick).await?;
                true
            }
            None => false,
        };
        if !due {
            return Ok(None);
        }
        // The one behind it is looked for at once.
        self.looked = None;
        Ok(self.head.take())
    }
}

fn push(rows: &mut ModelsBuilder, number: u64, announcement: &Announcement, tick: Timestamp) {
    rows.push(ModelRow {
        name: &announcement.name,
        version: &announcement.version,
        package_sha256: &announcement.package_sha256,
        weights_sha256: &announcement.weights_sha256,
        weight: announcement.weight,
        reason: &announcement.reason,
        author: &announcement.author,
        announcement: number,
        ingest_time: tick,
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::sync::Arc;

    use nilometer_engine::{EmbeddedLog, Message, Metrics};
    use object_store::memory::InMemory;

    use super::*;

    fn announcement(reason: &str, from: Option<Timestamp>) -> Announcement {
        Announcement {
            name: "m".to_owned(),
            version: "1".to_owned(),
            package_sha256: "0".repeat(64),
            weights_sha256: "00".to_owned(),
            weight: 1.0,
            reason: reason.to_owned(),
            author: "test".to_owned(),
            announced_time: Timestamp(0),
            from,
        }
    }

    async fn announcements(packages: &PackageStore, log: &dyn Log, next: u64) -> Announcements {
        let role_metrics = Metrics::unregistered().role(PRODUCER);
        Announcements::new(packages.clone(), next, log, 0..1, None, true, role_metrics).await.unwrap()
    }

    async fn reasons(announcements: &mut Announcements, tick: i64) -> Vec<String> {
        let rows = announcements.rows(Timestamp(tick)).await.unwrap();
        rows.reason().iter().map(|reason| reason.unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_tick_that_is_done_again_has_the_rows_that_it_had() {
        let store = Arc::new(InMemory::new());
        let (packages, log) =
            (PackageStore::new(store.clone()), EmbeddedLog::new(store, "log", &Metrics::unregistered()));
        packages.announce(&announcement("first", None)).await.unwrap();
        packages.announce(&announcement("later", Some(Timestamp(30)))).await.unwrap();
        packages.announce(&announcement("behind it", None)).await.unwrap();
        let mut live = announcements(&packages, &log, 1).await;
        assert_eq!(reasons(&mut live, 10).await, ["first"]);
        assert_eq!(reasons(&mut live, 20).await, [""; 0]);
        assert_eq!(reasons(&mut live, 30).await, ["later", "behind it"]);
        // The log has ticks to 40; a start that goes on from before 10 meets the same rows, and one announced since only behind 40.
        let rows = nilometer_schemas::Forcings::empty().into_batch();
        let message = Message { time: Timestamp(40), producer: PRODUCER, sequence: 40, batch: rows };
        log.append(Partition::new(Contract::Forcing, 0), message).await.unwrap();
        packages.announce(&announcement("since", None)).await.unwrap();
        let mut again = announcements(&packages, &log, 1).await;
        assert_eq!(reasons(&mut again, 10).await, ["first"]);
        assert_eq!(reasons(&mut again, 20).await, [""; 0]);
        assert_eq!(reasons(&mut again, 30).await, ["later", "behind it"]);
        assert_eq!(reasons(&mut again, 40).await, [""; 0]);
        assert_eq!(reasons(&mut again, 50).await, ["since"]);
        assert_eq!(again.next(), 5);
    }
}
