//! Due: what was asked in the store, from the store to the log. The tick of each is decided once, in the store and before the log has the row, so that a
//! tick that is done again has the same rows.

use std::time::{Duration, Instant};

use nilometer_engine::{Asked, Log, Numbered, NumberedError, Partition, RoleMetrics};
use nilometer_schemas::{Contract, Timestamp};

use crate::{IngestError, PRODUCER, in_full};

/// Real time between two looks of a replay, which may make thousands of ticks a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was asked and is still to be taken.
pub(crate) struct Due<T> {
    numbered: Numbered<T>,
    /// number of the next one
    next: u64,
    /// the next one, where it has been read
    head: Option<T>,
    /// newest tick that a partition has of us: nothing is decided for it or for one before
    reached: Timestamp,
    /// whether each tick looks
    every_tick: bool,
    looked: Option<Instant>,
    /// what was said last of a store that cannot be read
    failing: Option<String>,
    role_metrics: RoleMetrics,
}

/// Newest tick that the log has of us, or that was planned.
pub(crate) async fn reached(
    log: &dyn Log,
    numbers: impl Iterator<Item = u32>,
    planned: Option<Timestamp>,
) -> Result<Timestamp, IngestError> {
    let mut reached = planned.unwrap_or(Timestamp::MIN);
    for number in numbers {
        for contract in [Contract::Forcing, Contract::Observation] {
            let newest = log.last_sequence(Partition::new(contract, number), PRODUCER).await?;
            reached = reached.max(newest.map_or(Timestamp::MIN, Timestamp));
        }
    }
    Ok(reached)
}

impl<T: Asked> Due<T> {
    /// What has a number from `next` on.
    pub(crate) fn new(
        numbered: Numbered<T>,
        next: u64,
        reached: Timestamp,
        every_tick: bool,
        role_metrics: RoleMetrics,
    ) -> Self {
        Self { numbered, next, head: None, reached, every_tick, looked: None, failing: None, role_metrics }
    }

    /// The number of the next one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// What holds from a tick on, with its numbers. In operations a store that cannot be read holds up no new tick: it is looked at again at the next.
    pub(crate) async fn at(&mut self, tick: Timestamp) -> Result<Vec<(u64, T)>, IngestError> {
        let mut all = Vec::new();
        loop {
            match self.due(tick).await {
                Ok(None) => return Ok(all),
                Ok(Some(asked)) => {
                    all.push((self.next, asked));
                    self.next += 1;
                }
                Err(error) if self.every_tick && tick > self.reached => {
                    let (why, folder) = (in_full(&error), self.numbered.folder());
                    self.role_metrics.source_failed(folder);
                    if self.failing.replace(why.clone()).as_ref() != Some(&why) {
                        tracing::error!(why, folder, "what was asked cannot be read: nothing changes until it can");
                    }
                    return Ok(all);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next one, if it holds from this tick on.
    async fn due(&mut self, tick: Timestamp) -> Result<Option<T>, NumberedError> {
        if self.head.is_none() {
            if !self.every_tick && self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
                return Ok(None);
            }
            self.head = self.numbered.asked(self.next).await?;
            self.looked = Some(Instant::now());
            self.failing = None;
        }
        let in_time = |head: &&T| head.from().is_none_or(|from| from <= tick);
        if self.head.as_ref().filter(in_time).is_none() {
            return Ok(None);
        }
        let due = match self.numbered.taken_at(self.next).await? {
            Some(taken) => taken <= tick,
            None if tick > self.reached => {
                self.numbered.take(self.next, tick).await?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::sync::Arc;

    use nilometer_engine::{EmbeddedLog, Message, Metrics};
    use object_store::memory::InMemory;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Wish {
        word: String,
        from: Option<Timestamp>,
    }

    impl Asked for Wish {
        fn from(&self) -> Option<Timestamp> {
            self.from
        }

        fn problem(&self) -> Option<String> {
            None
        }
    }

    fn wish(word: &str, from: Option<Timestamp>) -> Wish {
        Wish { word: word.to_owned(), from }
    }

    async fn due(numbered: &Numbered<Wish>, log: &dyn Log, next: u64) -> Due<Wish> {
        let role_metrics = Metrics::unregistered().role(PRODUCER);
        Due::new(numbered.clone(), next, reached(log, 0..1, None).await.unwrap(), true, role_metrics)
    }

    async fn words(due: &mut Due<Wish>, tick: i64) -> Vec<String> {
        due.at(Timestamp(tick)).await.unwrap().into_iter().map(|(_, wish)| wish.word).collect()
    }

    #[tokio::test]
    async fn a_tick_that_is_done_again_has_the_rows_that_it_had() {
        let store = Arc::new(InMemory::new());
        let (numbered, log) =
            (Numbered::new(store.clone(), "wishes"), EmbeddedLog::new(store, "log", &Metrics::unregistered()));
        numbered.ask(&wish("first", None)).await.unwrap();
        numbered.ask(&wish("later", Some(Timestamp(30)))).await.unwrap();
        numbered.ask(&wish("behind it", None)).await.unwrap();
        let mut live = due(&numbered, &log, 1).await;
        assert_eq!(words(&mut live, 10).await, ["first"]);
        assert_eq!(words(&mut live, 20).await, [""; 0]);
        assert_eq!(words(&mut live, 30).await, ["later", "behind it"]);
        // The log has ticks to 40; a start that goes on from before 10 meets the same, and one asked since only behind 40.
        let rows = nilometer_schemas::Forcings::empty().into_batch();
        let message = Message { time: Timestamp(40), producer: PRODUCER, sequence: 40, batch: rows };
        log.append(Partition::new(Contract::Forcing, 0), message).await.unwrap();
        numbered.ask(&wish("since", None)).await.unwrap();
        let mut again = due(&numbered, &log, 1).await;
        assert_eq!(words(&mut again, 10).await, ["first"]);
        assert_eq!(words(&mut again, 20).await, [""; 0]);
        assert_eq!(words(&mut again, 30).await, ["later", "behind it"]);
        assert_eq!(words(&mut again, 40).await, [""; 0]);
        assert_eq!(words(&mut again, 50).await, ["since"]);
        assert_eq!(again.next(), 5);
    }
}
