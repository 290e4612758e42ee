//! `nilometer alerts`: what deserves attention, and what operators do about it.

use anyhow::Result;
use nilometer_pipeline::{Operation, operate};
use nilometer_schemas::{ActionKind, Level, Timestamp, Unit};

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// The alerts that there are, the most urgent river first
    List {
        /// the store, as log.store or hindcast --out names it
        store: String,
        /// as they stood at this time; the newest when absent
        #[arg(long)]
        at: Option<Timestamp>,
        /// every station, not only the three most urgent of each river
        #[arg(long)]
        all: bool,
    },
    /// Take note of an alert: it stays, and calls again when it rises or the river reaches the threshold
    Acknowledge {
        #[command(flatten)]
        about: About,
        /// until when, at most
        #[arg(long)]
        until: Option<Timestamp>,
        /// what is to be read beside it
        #[arg(long)]
        note: Option<String>,
    },
    /// Write something beside an alert
    Note {
        #[command(flatten)]
        about: About,
        /// what is to be read
        note: String,
    },
    /// Give a threshold another level, from the next tick on: forecasts and alerts go by it
    Threshold {
        #[command(flatten)]
        about: About,
        /// the level
        level: f64,
        /// its unit: "m3 s-1" or "ft3 s-1" of a flow, m or ft of a stage
        unit: Unit,
        /// until when; for good when absent
        #[arg(long)]
        until: Option<Timestamp>,
        /// why
        #[arg(long)]
        note: Option<String>,
    },
    /// Ask for quiet until a time: alerts are kept, and call no one
    Silence {
        #[command(flatten)]
        about: About,
        /// until when
        #[arg(long)]
        until: Timestamp,
        /// why
        #[arg(long)]
        note: Option<String>,
    },
}

/// Which alerts, and who.
#[derive(clap::Args)]
pub struct About {
    /// the station
    station: String,
    /// the store, as log.store names it
    #[arg(long)]
    store: String,
    /// identifier of the threshold; all when absent
    #[arg(long)]
    threshold: Option<String>,
    /// flood, low_flow or drought; all when absent
    #[arg(long)]
    kind: Option<String>,
    /// who does it; stays in the log
    #[arg(long, env = "USER")]
    by: String,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let mut level = None;
    let (about, action, until, note) = match arguments {
        Arguments::List { store, at, all } => {
            print!("{}", nilometer_pipeline::alerts(&store, at, all).await?);
            return Ok(());
        }
        Arguments::Acknowledge { about, until, note } => (about, ActionKind::Acknowledge, until, note),
        Arguments::Note { about, note } => (about, ActionKind::Note, None, Some(note)),
        Arguments::Threshold { about, level: value, unit, until, note } => {
            level = Some(Level { value, unit, until });
            (about, ActionKind::Threshold, until, note)
        }
        Arguments::Silence { about, until, note } => (about, ActionKind::Silence, Some(until), note),
    };
    let About { station, store, threshold, kind, by } = about;
    let operation = Operation { store: &store, station, kind, threshold, action, operator: by, note, until, level };
    print!("{}", operate(operation).await?);
    Ok(())
}
