//! `nilometer models`: what packages there are, what they say of themselves, and whether it is true.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nilometer_packages::{Mixture, Package, Provider};
use nilometer_pipeline::{Publication, publish};
use nilometer_runtime::{CudaReport, PROBES, Runtime, check_golden, probe};
use nilometer_schemas::Timestamp;

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// A line a package
    List {
        /// folder of packages
        #[arg(default_value = "models/zoo")]
        zoo: PathBuf,
    },
    /// The card of a package whose files are what it says
    Show {
        /// folder of the package
        package: PathBuf,
    },
    /// Put a package into the store of a pipeline, which goes on with it from its next tick on
    Publish {
        /// folder of the package or the blend
        package: PathBuf,
        /// the store, as log.store names it
        #[arg(long)]
        store: String,
        /// why it takes the place of the one before; stays in the log
        #[arg(long)]
        reason: String,
        /// who says so; stays in the log
        #[arg(long, env = "USER", default_value = "unknown")]
        author: String,
        /// event time of the first tick from which on it may be in force; the next one when absent
        #[arg(long)]
        from: Option<Timestamp>,
        /// run it beside the one in force: its forecasts go to shadow_forecast.v1 and are scored; published again without this, the two change
        /// places. The package in force as its own shadow ends the shadow
        #[arg(long)]
        shadow: bool,
    },
    /// Run golden vectors and physics probes
    Check {
        /// folder of the package
        package: PathBuf,
        /// ONNX Runtime's shared library; found as the pipelines find it when absent
        #[arg(long)]
        library: Option<PathBuf>,
    },
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let text = match arguments {
        Arguments::List { zoo } => list(&zoo)?,
        Arguments::Show { package } => show(&package)?,
        Arguments::Publish { package, store, reason, author, from, shadow } => {
            let publication = Publication { package: &package, store: &store, reason, author, from, shadow };
            publish(publication).await?
        }
        Arguments::Check { package, library } => check(&package, library.as_deref())?,
    };
    print!("{text}");
    Ok(())
}

/// What a folder that can be a model holds.
const CARDS: [&str; 2] = ["blend.toml", "card.toml"];

/// A line a package below `folder`.
///
/// # Errors
/// When the folder cannot be read. A package that does not load is a line that says so.
fn list(folder: &Path) -> Result<String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read; accepted is a folder of packages", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| CARDS.iter().any(|card| path.join(card).exists()))
        .collect();
    folders.sort();
    let mut text = String::new();
    for path in folders {
        match Mixture::load(&path) {
            Ok(models) => {
                let card = models.first().card();
                let whose = match card.catchments.len() {
                    0 => format!("any catchment with {} attributes", card.attributes.len()),
                    n => format!("{n} catchments"),
                };
                let shares: Vec<String> =
                    models.members().iter().map(|m| format!("{:.2} {}", m.weight, m.package.card().name)).collect();
                let summary = if shares.len() > 1 { shares.join(" + ") } else { card.summary.clone() };
                writeln!(
                    text,
                    "{:<20} {:<8} {:>6} s  {whose:<38} {summary}",
                    models.name(),
                    models.version(),
                    card.time_step_s,
                )?;
            }
            Err(error) => writeln!(text, "{:<20} cannot be used: {:#}", path.display(), anyhow::Error::from(error))?,
        }
    }
    Ok(text)
}

/// The whole card, as it is.
///
/// # Errors
/// When the package is not what its card says.
fn show(folder: &Path) -> Result<String> {
    Mixture::load(folder)?;
    let card = CARDS.iter().map(|card| folder.join(card)).find(|path| path.exists());
    let path = card.with_context(|| format!("{} holds no card", folder.display()))?;
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Golden vectors, physics probes and the CUDA report of a package, or of each member of a blend, a line each.
///
/// # Errors
/// When a package does not load, a golden vector is missed, or a probe fails that the card does not own up to.
fn check(folder: &Path, library: Option<&Path>) -> Result<String> {
    let models = Mixture::load(folder)?;
    let runtime = Runtime::open(library, &[Provider::Cpu])?;
    let (mut text, mut failed) = (String::new(), Vec::new());
    for member in models.members() {
        check_package(&runtime, &member.package, &mut text, &mut failed)?;
    }
    if failed.is_empty() { Ok(text) } else { bail!("{text}failed: {}", failed.join(", ")) }
}

fn check_package(runtime: &Runtime, package: &Package, text: &mut String, failed: &mut Vec<String>) -> Result<()> {
    let card = package.card();
    writeln!(text, "{} {}", card.name, card.version)?;
    for difference in check_golden(runtime, package)? {
        let good = difference.relative < difference.limit;
        let found = format!("largest relative difference {:.1e}", difference.relative);
        line(text, Some(good), &difference.output, &found)?;
        if !good {
            failed.push(difference.output);
        }
    }
    // A word on the card that names no probe would excuse nothing, and look as if it did.
    for unknown in card.known_failures.iter().filter(|f| !PROBES.contains(&f.as_str())) {
        line(text, Some(false), unknown, &format!("on the card, but no probe; accepted are {}", PROBES.join(", ")))?;
        failed.push(unknown.clone());
    }
    for answer in probe(runtime, package)? {
        let owned = card.known_failures.iter().any(|name| name == answer.name);
        let note = if owned { " (on the card)" } else { "" };
        line(text, answer.holds, answer.name, &format!("{}{note}", answer.found))?;
        if answer.holds == Some(false) && !owned {
            failed.push(answer.name.to_owned());
        }
    }
    for graph in card.sha256.keys().filter(|file| file.ends_with(".onnx")) {
        let (holds, found) = match runtime.cuda_report(package.bytes(graph)) {
            CudaReport::All => (Some(true), "every node has a CUDA kernel".to_owned()),
            // Slower, not wrong: no reason to refuse the package.
            CudaReport::FallsBack(why) => (None, format!("nodes would fall back from CUDA: {why}")),
            CudaReport::Unknown(why) => (None, format!("cannot be asked here: {why}")),
        };
        line(text, holds, &format!("{graph} on CUDA"), &found)?;
    }
    Ok(())
}

fn line(text: &mut String, holds: Option<bool>, name: &str, found: &str) -> Result<()> {
    let mark = match holds {
        Some(true) => "pass",
        Some(false) => "FAIL",
        None => "-",
    };
    Ok(writeln!(text, "  {mark:<5}{name:<34}{found}")?)
}
