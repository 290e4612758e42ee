//! `store check`: what a store holds, what it lacks, and what the next start will do about it. Nothing is changed.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use nilometer_schemas::Timestamp;

use crate::{
    mending::{self, Inventory, lost_in_words},
    storage::{self, LOG, SNAPSHOTS},
};

/// The exit code where the next start mends what is lost.
const MENDABLE: u8 = 3;
/// The exit code where something is lost for good.
const LOST: u8 = 4;

/// Says what is in a store: a table of the log, one of the roles, and what is lost.
///
/// # Errors
/// When there is no store, or it cannot be read.
pub async fn check(address: &str) -> Result<(String, ExitCode)> {
    let store = storage::look(address, &[LOG, SNAPSHOTS]).await?;
    let inventory = mending::inventory(&store, true).await?;
    let mut text = String::new();
    if let Some(owner) = storage::user(&*store).await {
        writeln!(text, "in use by {owner}: what it writes meanwhile may show as lost here\n")?;
    }
    tables(&inventory, &mut text)?;
    let lost = inventory.lost().count();
    for loss in &inventory.losses {
        writeln!(text, "{}", lost_in_words(loss))?;
    }
    let code = match (inventory.losses.len(), lost) {
        (0, _) => 0,
        (_, 0) => MENDABLE,
        _ => LOST,
    };
    let verdict = match code {
        0 => "no loss found".to_owned(),
        MENDABLE => "the next replay appends again what is lost".to_owned(),
        _ => format!("{lost} gaps stay lost; --accept-loss of run and replay goes on without them"),
    };
    writeln!(text, "{verdict}")?;
    Ok((text, ExitCode::from(code)))
}

fn tables(inventory: &Inventory, text: &mut String) -> Result<()> {
    writeln!(
        text,
        "{:<22}{:>16}{:>12}{:>6}{:>10}{:>6}  first .. last",
        "partition", "positions", "rows", "lost", "given up", "torn"
    )?;
    for (partition, survey) in &inventory.partitions {
        let positions = format!("{}..{}", survey.extent.start, survey.extent.end);
        let times = survey.times.map_or_else(String::new, |(first, last)| format!("{first} .. {last}"));
        writeln!(
            text,
            "{:<22}{positions:>16}{:>12}{:>6}{:>10}{:>6}  {times}",
            partition.to_string(),
            survey.extent.rows,
            survey.lost(),
            survey.given_up.len(),
            survey.torn.len()
        )?;
    }
    writeln!(text, "\n{:<24}{:>10}{:>22}  reads on", "role", "snapshots", "newest")?;
    for ((name, number), role) in &inventory.roles {
        let newest = role.ordinals.last().map_or_else(String::new, |newest| made_at(name, *newest));
        let reads: Vec<String> = role.reads.iter().map(|(partition, at)| format!("{partition}@{}", at.next)).collect();
        let role_name = format!("{name}/{number}");
        writeln!(text, "{role_name:<24}{:>10}{newest:>22}  {}", role.ordinals.len(), reads.join(" "))?;
    }
    writeln!(text)?;
    Ok(())
}

/// What a snapshot's ordinal says: a tick in microseconds, of who publishes a position.
fn made_at(role: &str, ordinal: i64) -> String {
    if role.starts_with("publish") { ordinal.to_string() } else { Timestamp(ordinal).floor_s(1).to_string() }
}
