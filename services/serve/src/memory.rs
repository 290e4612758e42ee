//! Memory: the messages that are held at one instant, for readers of many rows. It stays as it is while the service goes on.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use arrow::array::RecordBatch;
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, Timestamp};

use crate::{Site, site::FOLLOWED, tail::Held};

/// What memory has at one instant.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// by partition, oldest first
    messages: BTreeMap<Partition, Vec<Arc<Held>>>,
    /// contracts whose log is still being read since the start
    behind: BTreeSet<Contract>,
}

/// A message in memory that has rows.
#[derive(Debug, Clone, Copy)]
pub struct HeldMessage<'a> {
    /// of which stream
    pub partition: Partition,
    /// its position there
    pub position: u64,
    /// its time
    pub time: Timestamp,
    /// its rows, of the contract's schema
    pub rows: &'a RecordBatch,
}

impl Memory {
    /// What a site has now.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let partitions =
            FOLLOWED.into_iter().flat_map(|contract| site.numbers().map(move |n| Partition::new(contract, n)));
        let held = |partition| Some((partition, site.tail(partition)?.from(0)));
        // Asked first: what has caught up stays so.
        let behind = site.behind();
        Self { messages: partitions.filter_map(held).collect(), behind }
    }

    /// Whether the newest message of a contract here is the newest there was: not while the log is still being read since the start.
    #[must_use]
    pub fn has_caught_up(&self, contract: Contract) -> bool {
        !self.behind.contains(&contract)
    }

    /// The messages of a contract, partition by partition, oldest first.
    pub fn messages(&self, contract: Contract) -> impl Iterator<Item = HeldMessage<'_>> {
        let of_contract = self.messages.iter().filter(move |(partition, _)| partition.contract == contract);
        of_contract.flat_map(|(partition, held)| {
            held.iter().map(|held| HeldMessage {
                partition: *partition,
                position: held.position,
                time: held.time,
                rows: &held.batch,
            })
        })
    }

    /// The newest forecast of each catchment.
    #[must_use]
    pub fn newest_forecasts(&self) -> Vec<RecordBatch> {
        let mut found = Vec::new();
        for held in
            self.messages.iter().filter(|(partition, _)| partition.contract == Contract::Forecast).map(|of| of.1)
        {
            let mut known: HashSet<&str> = HashSet::new();
            for message in held.iter().rev() {
                let new: Vec<&str> = message.keys().filter(|key| !known.contains(key)).collect();
                if new.len() == message.keys().count() {
                    found.push(message.batch.clone());
                } else {
                    found.extend(new.iter().filter_map(|key| message.of(key)));
                }
                known.extend(new);
            }
        }
        found
    }
}
