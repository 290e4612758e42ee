//! A kind of role in this process: what it has of its partitions, and how it is known that those before it have ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use nilometer_engine::{Balance, Lifecycle, Share, Shares, Snapshots, Stop};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    http::{Health, RoleState},
    role_kind::RoleKind,
    roles::Roles,
};

/// How often a kind of role looks whether those before it have ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A kind of this process, ready to run.
pub struct Work {
    pub kind: RoleKind,
    pub shares: Shares,
    /// how it is known that its roles have ended everywhere
    pub whole: Progress,
    pub roles: Arc<Roles>,
    pub health: Health,
}

/// What a kind of role has of one partition.
struct Held {
    stop: Stop,
    /// roles that have not ended
    running: usize,
}

/// Those who wait for partitions that they asked for.
struct Asking {
    numbers: Vec<u32>,
    gone: oneshot::Sender<()>,
}

/// Runs the roles of a kind of the partitions that this process has, as these come and go, until their inputs are complete or it is stopped.
///
/// # Errors
/// The first of a role, behind which the others have ended at their next safe point.
pub async fn run(work: Work, stop: Stop) -> Result<()> {
    let Work { kind, mut shares, whole, roles, health } = work;
    let mut everywhere = Box::pin(async move { whole.have_ended().await });
    let mut running: JoinSet<(u32, String, Result<Balance>)> = JoinSet::new();
    let mut held: BTreeMap<u32, Held> = BTreeMap::new();
    let (mut asking, mut failure) = (Vec::<Asking>::new(), None);
    // Whether it is known what we have, and whether roles have ended because there is nothing left to do.
    let (mut joined, mut finished) = (false, false);
    loop {
        let (waiting, answered): (Vec<_>, Vec<_>) =
            asking.into_iter().partition(|asked| asked.numbers.iter().any(|number| held.contains_key(number)));
        asking = waiting;
        for Asking { numbers, gone } in answered {
            roles.release(kind, &numbers);
            // The receiver may have been dropped.
            let _ = gone.send(());
        }
        if running.is_empty() && (stop.is_now() || failure.is_some()) {
            break;
        }
        // What others have may still become ours.
        let idle = running.is_empty() && joined && (stop.is_draining() || finished);
        tokio::select! {
            share = shares.next() => match share {
                Some(Share::Taken(numbers)) => {
                    joined = true;
                    for number in numbers {
                        let own = stop.child();
                        // A failed role starts no new work.
                        if failure.is_some() {
                            own.now();
                        }
                        for (name, role) in roles.of(kind, number, &own)? {
                            health.set(&name, RoleState::Running);
                            held.entry(number).or_insert_with(|| Held { stop: own.clone(), running: 0 }).running += 1;
                            running.spawn(async move { (number, name, role.await) });
                        }
                    }
                }
                Some(Share::Asked(numbers, gone)) => {
                    numbers.iter().filter_map(|number| held.get(number)).for_each(|held| held.stop.now());
                    asking.push(Asking { numbers, gone });
                }
                None => return Err(anyhow!("{} has lost its group; another process may have its name (log.kafka.member)", kind.name())),
            },
            Some(ended) = running.join_next() => {
                let (number, name, ended) = ended.context("a role panicked")?;
                let mut handed_over = false;
                if let Some(of_number) = held.get_mut(&number) {
                    finished |= !of_number.stop.is_now();
                    handed_over = of_number.stop.is_now() && !stop.is_now();
                    of_number.running -= 1;
                    if of_number.running == 0 {
                        held.remove(&number);
                    }
                }
                match ended {
                    Ok(balance) => {
                        say(&name, &balance);
                        match handed_over {
                            true => health.forget(&name),
                            false => health.set(&name, RoleState::Finished),
                        }
                    }
                    Err(error) => {
                        tracing::error!(role = name, error = format!("{error:#}"), "a role gave up; the others end at their next safe point");
                        health.set(&name, RoleState::Failed(format!("{error:#}")));
                        failure.get_or_insert(error);
                        held.values().for_each(|held| held.stop.now());
                    }
                }
            }
            () = &mut everywhere, if idle => break,
            () = stop.requested(), if running.is_empty() && !stop.is_draining() => {}
            () = stop.requested_now(), if running.is_empty() => {}
        }
    }
    shares.leave().await;
    failure.map_or(Ok(()), Err)
}

fn say(role: &str, balance: &Balance) {
    tracing::info!(
        role,
        received = balance.received,
        used = balance.used,
        rejected = balance.rejected_rows(),
        late = balance.late,
        missing = balance.missing,
        pending = balance.pending,
        skipped = balance.skipped,
        "rows"
    );
}

/// How far roles have come that may run in other processes.
#[derive(Clone)]
pub struct Progress {
    /// of every role and partition
    pub snapshots: Vec<Snapshots>,
    /// ordinal of a snapshot of the last tick
    pub last: i64,
}

impl Progress {
    /// Completes when all have ended. Their last snapshot is saved behind everything that they append.
    async fn have_ended(&self) {
        for snapshots in &self.snapshots {
            loop {
                match snapshots.ordinals().await {
                    Ok(ordinals) if ordinals.last().is_some_and(|newest| *newest >= self.last) => break,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "cannot see how far others have come; looking again"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Completes the inputs of a kind of ours when those before it have ended, or somebody asks to stop.
pub async fn complete_behind(before: Progress, lifecycle: Arc<Lifecycle>, index: usize) {
    tokio::select! { () = before.have_ended() => {}, () = lifecycle.asked_to_stop() => {} }
    lifecycle.complete(index);
}
