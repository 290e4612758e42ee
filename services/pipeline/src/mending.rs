//! What a store lacks, and which roles can append it again: every segment is opened, and what snapshots say of the log is held against it.
//!
//! ```text
//! snapshots ──what the log held──▶ survey of each partition ──▶ holes ──▶ who goes on from which snapshot, and what stays lost
//! ```
//!
//! A role is a function of its inputs and of its state. One whose messages are lost goes on from a snapshot that is older than the first of them,
//! if its inputs from there on are whole, and appends them again; what is there already it does not append twice. Ingest begins anew only in a replay,
//! whose sources are a function of their files.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Result, bail};
use nilometer_engine::{EmbeddedLog, Extent, Hole, Metrics, Partition, Position, Recorded, Snapshots, Survey};
use nilometer_schemas::Contract;
use object_store::{ObjectStore, path::Path};

use crate::{
    flow::{self, ROLES},
    role::RoleEntry,
    roles::{KEEP, RoleName},
    storage::{LOG, SNAPSHOTS},
};

/// Before every snapshot: where a role begins that has none.
pub const BEGINNING: i64 = i64::MIN;

/// What a role's snapshots say.
pub struct Remembered {
    pub snapshots: Snapshots,
    /// ascending
    pub ordinals: Vec<i64>,
    /// where the newest reads on
    pub reads: Vec<(Partition, Position)>,
}

/// What a partition of the log lacks, and who can append it again.
pub struct Loss {
    pub partition: Partition,
    pub hole: Hole,
    /// the roles that go back, or why none can
    pub remedy: Result<Vec<RoleName>, String>,
}

/// What is in a store.
#[derive(Default)]
pub struct Inventory {
    pub partitions: BTreeMap<Partition, Survey>,
    pub roles: BTreeMap<RoleName, Remembered>,
    pub losses: Vec<Loss>,
    /// the snapshot that a role goes on from, where it is not its newest; [`BEGINNING`] where it begins anew
    pub resume: BTreeMap<RoleName, i64>,
}

/// Opens all of a store. `begins_anew` says whether ingest may read its sources from their beginning.
///
/// # Errors
/// What the store says. Nothing is changed.
pub async fn inventory(store: &Arc<dyn ObjectStore>, begins_anew: bool) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    for role in &ROLES {
        let name = role.name;
        for number in numbers_below(&**store, &Path::from(SNAPSHOTS).join(name)).await? {
            let snapshots = Snapshots::new(store.clone(), SNAPSHOTS, name, KEEP).of_partition(number);
            let ordinals = snapshots.ordinals().await?;
            let reads = match ordinals.last() {
                Some(newest) => reads(role, number, &snapshots, *newest).await?,
                None => Vec::new(),
            };
            inventory.roles.insert((name, number), Remembered { snapshots, ordinals, reads });
        }
    }
    let known = known(&inventory.roles).await?;
    let log = EmbeddedLog::new(store.clone(), LOG, &Metrics::unregistered());
    let mut partitions: Vec<Partition> = known.keys().copied().collect();
    for contract in Contract::ALL {
        let numbers = numbers_below(&**store, &Path::from(LOG).join(contract.topic())).await?;
        partitions.extend(numbers.into_iter().map(|number| Partition::new(contract, number)));
    }
    for partition in partitions {
        let extent = known.get(&partition).cloned().unwrap_or_default();
        inventory.partitions.insert(partition, log.survey(partition, &extent).await?);
    }
    inventory.find_remedies(begins_anew).await?;
    Ok(inventory)
}

impl Inventory {
    /// Walks along the flow, so that of each role it is known what its inputs lack for good.
    async fn find_remedies(&mut self, begins_anew: bool) -> Result<()> {
        let holes: Vec<(Partition, Hole)> = self
            .partitions
            .iter()
            .flat_map(|(partition, survey)| survey.holes.iter().map(|hole| (*partition, hole.clone())))
            .collect();
        let mut holes: Vec<_> =
            holes.into_iter().map(|(partition, hole)| (order(partition), partition, hole)).collect();
        holes.sort_by_key(|(order, partition, hole)| (*order, *partition, hole.positions.start));
        for (_, partition, hole) in holes {
            let remedy = self.remedy(partition, &hole, begins_anew).await?;
            let remedy = remedy.map(|bases| {
                for (role, base) in &bases {
                    let resume = self.resume.entry(*role).or_insert(*base);
                    *resume = (*resume).min(*base);
                }
                bases.into_iter().map(|(role, _)| role).collect()
            });
            self.losses.push(Loss { partition, hole, remedy });
        }
        // A role whose newest snapshot serves goes on as always.
        let newest = |role: &RoleName| self.roles.get(role).and_then(|role| role.ordinals.last()).copied();
        self.resume.retain(|role, base| newest(role).is_some_and(|newest| newest != *base));
        Ok(())
    }

    /// Who can append what is lost, each with the snapshot that it goes on from; or why that is not possible.
    async fn remedy(
        &self,
        partition: Partition,
        hole: &Hole,
        begins_anew: bool,
    ) -> Result<Result<Vec<(RoleName, i64)>, String>> {
        if partition.contract == Contract::Raw {
            return Ok(Err("what sources give once cannot be given again".to_owned()));
        }
        let possible: Vec<&'static str> =
            ROLES.iter().filter(|role| role.appends.contains(&partition.contract)).map(|role| role.name).collect();
        let named = hole.producers();
        let producers: Vec<&'static str> = match (possible.as_slice(), named.len()) {
            ([only], _) => vec![*only],
            (_, 0) => return Ok(Err("it is not known who had appended it".to_owned())),
            (several, _) => several.iter().copied().filter(|name| named.contains(name)).collect(),
        };
        if producers.is_empty() {
            return Ok(Err("no role appends to it".to_owned()));
        }
        if producers.len() > 1 && hole.len() > 1 {
            return Ok(Err(format!("the order in which {} had appended it is not known", producers.join(" and "))));
        }
        if hole.after.is_none() {
            return Ok(Err("nothing before it can be read".to_owned()));
        }
        let mut bases = Vec::new();
        for name in producers {
            // One ingest role feeds all partitions.
            let number = match name {
                "ingest" => self.roles.keys().find(|(role, _)| *role == name).map_or(partition.number, |(_, n)| *n),
                _ => partition.number,
            };
            match self.base((name, number), partition, hole, begins_anew).await? {
                Ok(base) => bases.push(((name, number), base)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(bases))
    }

    /// The newest snapshot of a role before what is lost, or [`BEGINNING`], if its inputs from there on are whole.
    async fn base(
        &self,
        role: RoleName,
        partition: Partition,
        hole: &Hole,
        begins_anew: bool,
    ) -> Result<Result<i64, String>> {
        let (name, number) = role;
        let remembered = self.roles.get(&role);
        let first = hole.positions.start;
        let mut base = BEGINNING;
        if let Some(Remembered { snapshots, ordinals, .. }) = remembered {
            let mut at_the_end = BEGINNING;
            for ordinal in ordinals.iter().rev() {
                let Some(held) = snapshots.recorded_at(*ordinal).await?.flatten().filter(|held| !held.is_empty())
                else {
                    continue;
                };
                let end = end_of(&held, partition);
                // In operations ingest has planned the tick behind a snapshot. Else what was appended before the lost is made again too, and compared.
                let planned = name == "ingest" && !begins_anew;
                let serves = if planned { end <= first } else { end < first || end == 0 };
                if serves && planned && self.ticks_behind(&held, number) > 1 {
                    return Ok(Err("ingest has read more since, and in operations its sources may give other rows when they are read again; a replay would append it again".to_owned()));
                }
                if serves {
                    base = *ordinal;
                    break;
                }
                if end == first && at_the_end == BEGINNING {
                    at_the_end = *ordinal;
                }
            }
            if base == BEGINNING {
                base = at_the_end;
            }
        }
        if base == BEGINNING && name == "ingest" {
            return Ok(match begins_anew {
                true => Ok(BEGINNING),
                false => Err("ingest has no snapshot that is old enough, and in operations does not read its sources from their beginning; a replay would".to_owned()),
            });
        }
        let inputs = match (flow::role(name), remembered) {
            (Some(role), Some(remembered)) if base > BEGINNING => {
                reads(role, number, &remembered.snapshots, base).await?
            }
            (Some(role), _) => {
                let partitions = role.reads.iter().map(|contract| Partition::new(*contract, number));
                partitions.map(|partition| (partition, Position::default())).collect()
            }
            (None, _) => Vec::new(),
        };
        for (input, from) in inputs {
            let start = self.partitions.get(&input).map_or(0, |survey| survey.extent.start);
            if from.next < start {
                return Ok(Err(format!(
                    "{name} needs {input} from {}, of which retention has left what is behind {start}",
                    from.next
                )));
            }
            let lost =
                |loss: &&Loss| loss.partition == input && loss.remedy.is_err() && loss.hole.positions.end > from.next;
            if let Some(loss) = self.losses.iter().find(lost) {
                return Ok(Err(format!("{name} needs {input} from {}, and there {} stays lost", from.next, loss.hole)));
            }
        }
        Ok(Ok(base))
    }

    /// Ticks that ingest has appended since a snapshot which held this.
    fn ticks_behind(&self, held: &[Recorded], number: u32) -> u64 {
        let forcing = Partition::new(Contract::Forcing, number);
        let end = self.partitions.get(&forcing).map_or(0, |survey| survey.extent.end);
        end.saturating_sub(end_of(held, forcing))
    }

    /// What cannot be appended again.
    pub fn lost(&self) -> impl Iterator<Item = &Loss> {
        self.losses.iter().filter(|loss| loss.remedy.is_err())
    }
}

/// A log that goes on from what is there, and the snapshots that roles go on from.
///
/// # Errors
/// What is lost for good, unless that is accepted.
pub async fn open(
    store: &Arc<dyn ObjectStore>,
    metrics: &Metrics,
    begins_anew: bool,
    accept_loss: bool,
) -> Result<(EmbeddedLog, BTreeMap<RoleName, (i64, i64)>)> {
    let mut inventory = inventory(store, begins_anew).await?;
    let lost: Vec<String> = inventory.lost().map(lost_in_words).collect();
    if !lost.is_empty() && !accept_loss {
        bail!(
            "the log does not hold what its snapshots say was there; accepted is a copy of it that does, or --accept-loss, which goes on without:\n{}",
            lost.join("\n")
        );
    }
    let log = EmbeddedLog::new(store.clone(), LOG, metrics).accepting_loss(accept_loss);
    for loss in &inventory.losses {
        metrics.found_damaged();
        match &loss.remedy {
            Err(why) => {
                tracing::warn!(partition = %loss.partition, lost = %loss.hole, why, "given up (--accept-loss)");
                log.give_up(loss.partition, &loss.hole).await?;
                if let Some(survey) = inventory.partitions.get_mut(&loss.partition) {
                    survey.holes.retain(|hole| *hole != loss.hole);
                }
            }
            Ok(roles) => {
                let roles: Vec<&str> = roles.iter().map(|(name, _)| *name).collect();
                tracing::warn!(partition = %loss.partition, lost = %loss.hole, by = roles.join(" and "), "lost messages are appended again");
            }
        }
    }
    for (partition, survey) in inventory.partitions {
        log.go_on(partition, survey).await?;
    }
    let newest =
        |role: &RoleName| inventory.roles.get(role).and_then(|role| role.ordinals.last()).copied().unwrap_or(BEGINNING);
    let resume = inventory.resume.iter().map(|(role, base)| (*role, (*base, newest(role)))).collect();
    Ok((log, resume))
}

/// Where a partition ended when a snapshot was made.
fn end_of(held: &[Recorded], partition: Partition) -> u64 {
    let of = |recorded: &&Recorded| recorded.topic == partition.contract.topic() && recorded.number == partition.number;
    held.iter().find(of).map_or(0, |recorded| recorded.extent.end)
}

/// A loss as a line.
pub fn lost_in_words(loss: &Loss) -> String {
    let end = match &loss.remedy {
        Ok(roles) => {
            let roles: Vec<String> = roles.iter().map(|(name, number)| format!("{name}/{number}")).collect();
            format!("appended again by {} at the next start", roles.join(" and "))
        }
        Err(why) => format!("lost: {why}"),
    };
    format!("  {}: {}; {end}", loss.partition, loss.hole)
}

/// How far along the flow a topic is.
fn order(partition: Partition) -> usize {
    // Every role appends dead letters; only the last role of the flow reads them.
    let first = ROLES.iter().position(|role| role.appends.contains(&partition.contract));
    first.filter(|_| partition.contract != Contract::DeadLetter).unwrap_or(ROLES.len())
}

/// What has been there for certain: of each partition the furthest that a role's newest readable snapshot knows of.
async fn known(roles: &BTreeMap<RoleName, Remembered>) -> Result<BTreeMap<Partition, Extent>> {
    let mut known: BTreeMap<Partition, Extent> = BTreeMap::new();
    let mut learn = |partition, extent: Extent| {
        let there = known.entry(partition).or_default();
        // Of two that say as much the one is better that knows the producers.
        if (extent.end, extent.producers.len()) > (there.end, there.producers.len()) {
            *there = extent;
        }
    };
    for Remembered { snapshots, ordinals, reads } in roles.values() {
        let Some(recorded) = newest_record(snapshots, ordinals).await? else {
            // Of an earlier version: only where it reads on is known.
            for (partition, position) in reads {
                learn(*partition, Extent { end: position.next, rows: position.rows, ..Extent::default() });
            }
            continue;
        };
        for Recorded { topic, number, extent } in recorded {
            let contract = Contract::ALL.into_iter().find(|contract| contract.topic() == topic);
            contract.into_iter().for_each(|contract| learn(Partition::new(contract, number), extent.clone()));
        }
    }
    Ok(known)
}

/// What the newest snapshot that can be read says of the log.
async fn newest_record(snapshots: &Snapshots, ordinals: &[i64]) -> Result<Option<Vec<Recorded>>> {
    for ordinal in ordinals.iter().rev() {
        if let Some(recorded) = snapshots.recorded_at(*ordinal).await? {
            return Ok(recorded);
        }
    }
    Ok(None)
}

/// Where a snapshot of a role reads on.
async fn reads(
    role: &'static RoleEntry,
    number: u32,
    snapshots: &Snapshots,
    ordinal: i64,
) -> Result<Vec<(Partition, Position)>> {
    let needed = role.needed_from(snapshots, Some(ordinal)).await?.unwrap_or_default();
    Ok(needed.into_iter().map(|(contract, position)| (Partition::new(contract, number), position)).collect())
}

/// Numbers of the partitions below a folder.
async fn numbers_below(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<u32>> {
    let listed = store.list_with_delimiter(Some(folder)).await?;
    let mut numbers: Vec<u32> =
        listed.common_prefixes.iter().filter_map(|prefix| prefix.filename()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
