//! Publishing: a model package goes to the store, and an announcement puts it in force.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use nilometer_engine::now;
use nilometer_ingest::{Announcement, DEFINITION};
use nilometer_packages::{MODELS, Mixture, PackageStore};
use nilometer_schemas::Timestamp;
use object_store::ObjectStore;

use crate::storage;

/// What `models publish` is asked for.
pub struct Publication<'a> {
    /// folder of the package or the blend
    pub package: &'a Path,
    /// address of the store
    pub store: &'a str,
    /// why
    pub reason: String,
    /// who says so
    pub author: String,
    /// the first tick from which on it may be in force
    pub from: Option<Timestamp>,
    /// whether it runs beside the one in force
    pub shadow: bool,
}

/// Puts a package into a store that a pipeline has run on, and announces it. The pipeline goes on with it from its next tick on, or runs it as a shadow.
///
/// # Errors
/// When the package is not what its card says, or of another model than what is in force.
pub async fn publish(publication: Publication<'_>) -> Result<String> {
    let Publication { package, store, reason, author, from, shadow } = publication;
    let models = Mixture::load(package)?;
    let place = storage::look(store, &[storage::LOG, storage::SNAPSHOTS, MODELS]).await?;
    let (packages, announcements) = (PackageStore::new(place.clone()), Announcement::of_store(place));
    let before = announcements.all().await?;
    let Some(newest) = before.iter().rev().find(|announcement| announcement.weight == 1.0) else {
        bail!("{store} has no model yet; accepted is a store that a pipeline has run on");
    };
    let in_force = Mixture::of_files(MODELS.as_ref(), &packages.fetch(&newest.package_sha256).await?)
        .context("the package that is in force cannot be read")?;
    let problems = if shadow { weather_differences(&in_force, &models) } else { differences(&in_force, &models) };
    if !problems.is_empty() {
        let accepted = match shadow {
            true => "accepted is a package with the same weather and time step",
            false => {
                "accepted are other weights of the same graphs, or a definition that names the package, with --accept-state-loss ensemble"
            }
        };
        bail!(
            "{} is another model than {} {}, which is in force: {}; {accepted}",
            package.display(),
            newest.name,
            newest.version,
            problems.join("; ")
        );
    }
    packages.publish(&models).await?;
    let weight = if shadow { 0.0 } else { 1.0 };
    let announcement = Announcement { from, weight, ..Announcement::of(&models, reason, author, now()) };
    let number = announcements.ask(&announcement).await?;
    let when = from.map_or_else(|| "its next tick".to_owned(), |from| format!("the first tick at or after {from}"));
    let becomes = match shadow {
        true if models.content_sha256() == in_force.content_sha256() => "no shadow beside it",
        true => "a shadow",
        false => "in force",
    };
    Ok(format!(
        "{} {} is {MODELS}/{} of {store}; announcement {number}: {becomes} from {when} on\n",
        models.name(),
        models.version(),
        models.content_sha256()
    ))
}

/// Why a model cannot take the same steps as another.
fn weather_differences(before: &Mixture, after: &Mixture) -> Vec<String> {
    let weather = |models: &Mixture| {
        let names = models.first().card().weather().map(|input| input.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let step = |models: &Mixture| format!("{} s", models.first().card().time_step_s);
    let differ = |what: &str, of: &dyn Fn(&Mixture) -> String| {
        (of(before) != of(after)).then(|| format!("{what} is {} instead of {}", of(after), of(before)))
    };
    [differ("its weather", &weather), differ("its time step", &step)].into_iter().flatten().collect()
}

/// The graphs in which two models differ.
fn differences(before: &Mixture, after: &Mixture) -> Vec<String> {
    if before.members().len() != after.members().len() {
        return vec![format!("{} packages instead of {}", after.members().len(), before.members().len())];
    }
    let pairs = before.members().iter().zip(after.members()).map(|(before, after)| (&before.package, &after.package));
    let graphs = pairs.flat_map(|pair| ["step.onnx", "rollout.onnx"].map(|graph| (pair, graph)));
    let differ = graphs.filter(|((before, after), graph)| before.sha256(graph) != after.sha256(graph));
    differ.map(|((_, after), graph)| format!("{graph} of {} differs", after.card().name)).collect()
}

/// Announces what a definition names, unless it was the last that a definition named: so a start with other weights is in the log, and what has been
/// published since the last start stays in force.
///
/// # Errors
/// What the store says.
pub async fn announce_definition(store: &Arc<dyn ObjectStore>, models: &Mixture) -> Result<()> {
    let (packages, announcements) = (PackageStore::new(store.clone()), Announcement::of_store(store.clone()));
    let before = announcements.all().await?;
    let named = before.iter().rev().find(|announcement| announcement.author == DEFINITION);
    if named.is_some_and(|named| named.package_sha256 == models.content_sha256()) {
        return Ok(());
    }
    packages.publish(models).await?;
    let reason = "the definition names it".to_owned();
    announcements.ask(&Announcement::of(models, reason, DEFINITION.to_owned(), now())).await?;
    Ok(())
}
