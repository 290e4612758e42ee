//! `nilometer models`: what packages there are, what they say of themselves, and whether it is true.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nilometer_runtime::{PROBES, Package, Provider, Runtime, check_golden, probe};

/// A line a package below `folder`.
///
/// # Errors
/// When the folder cannot be read. A package that does not load is a line that says so.
pub fn list(folder: &Path) -> Result<String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read; accepted is a folder of packages", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("card.toml").exists())
        .collect();
    folders.sort();
    let mut text = String::new();
    for path in folders {
        match Package::load(&path) {
            Ok(package) => {
                let card = package.card();
                let whose = match card.catchments.len() {
                    0 => format!("any catchment with {} attributes", card.attributes.len()),
                    n => format!("{n} catchments"),
                };
                writeln!(
                    text,
                    "{:<20} {:<8} {:>6} s  {whose:<38} {}",
                    card.name, card.version, card.time_step_s, card.summary
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
pub fn show(folder: &Path) -> Result<String> {
    let package = Package::load(folder)?;
    let path = package.file("card.toml");
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Golden vectors and physics probes of a package, a line each.
///
/// # Errors
/// When the package does not load, a golden vector is missed, or a probe fails that the card does not own up to.
pub fn check(folder: &Path, library: Option<&Path>) -> Result<String> {
    let package = Package::load(folder)?;
    let runtime = Runtime::open(library, &[Provider::Cpu])?;
    let mut text = format!("{} {}\n", package.card().name, package.card().version);
    let mut failed = Vec::new();
    for difference in check_golden(&runtime, &package)? {
        let good = difference.relative < difference.limit;
        line(
            &mut text,
            Some(good),
            &difference.output,
            &format!("largest relative difference {:.1e}", difference.relative),
        )?;
        if !good {
            failed.push(difference.output);
        }
    }
    // A word on the card that names no probe would excuse nothing, and look as if it did.
    let names: Vec<&str> = PROBES.to_vec();
    for unknown in package.card().known_failures.iter().filter(|f| !names.contains(&f.as_str())) {
        line(
            &mut text,
            Some(false),
            unknown,
            &format!("on the card, but no probe; accepted are {}", names.join(", ")),
        )?;
        failed.push(unknown.clone());
    }
    for answer in probe(&runtime, &package)? {
        let owned = package.card().known_failures.iter().any(|name| name == answer.name);
        let note = if owned { " (on the card)" } else { "" };
        line(&mut text, answer.holds, answer.name, &format!("{}{note}", answer.found))?;
        if answer.holds == Some(false) && !owned {
            failed.push(answer.name.to_owned());
        }
    }
    if failed.is_empty() { Ok(text) } else { bail!("{text}failed: {}", failed.join(", ")) }
}

fn line(text: &mut String, holds: Option<bool>, name: &str, found: &str) -> Result<()> {
    let mark = match holds {
        Some(true) => "pass",
        Some(false) => "FAIL",
        None => "-",
    };
    Ok(writeln!(text, "  {mark:<5}{name:<34}{found}")?)
}
