//! Publishing: a model package goes to the store, and an announcement puts it in force.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nilometer_engine::now;
use nilometer_packages::{Announcement, DEFINITION, MODELS, Mixture, PackageStore};
use nilometer_schemas::Timestamp;

use crate::storage;

/// What `models publish` is asked for.
pub struct Publication<'a> {
    /// folder of the package or the blend
    pub package: &'a Path,
    /// address of the store
    pub store: &'a str,
    /// why it takes the place of the one before
    pub reason: String,
    /// who says so
    pub author: String,
    /// the first tick from which on it may be in force
    pub from: Option<Timestamp>,
}

/// Puts a package into a store that a pipeline has run on, and announces it. The pipeline goes on with it from its next tick on.
///
/// # Errors
/// When the package is not what its card says, or of another model than what is in force.
pub async fn publish(publication: Publication<'_>) -> Result<String> {
    let Publication { package, store, reason, author, from } = publication;
    let models = Mixture::load(package)?;
    let packages = PackageStore::new(storage::look(store, &[storage::LOG, storage::SNAPSHOTS, MODELS]).await?);
    let before = packages.announcements().await?;
    let Some(newest) = before.last() else {
        bail!("{store} has no model yet; accepted is a store that a pipeline has run on");
    };
    let in_force = Mixture::of_files(MODELS.as_ref(), &packages.fetch(&newest.package_sha256).await?)
        .context("the package that is in force cannot be read")?;
    let problems = differences(&in_force, &models);
    if !problems.is_empty() {
        bail!(
            "{} is another model than {} {}, which is in force: {}; accepted are other weights of the same graphs, or a definition that names the package, with --accept-state-loss ensemble",
            package.display(),
            newest.name,
            newest.version,
            problems.join("; ")
        );
    }
    packages.publish(&models).await?;
    let announcement = Announcement { from, ..Announcement::of(&models, reason, author, now()) };
    let number = packages.announce(&announcement).await?;
    let when = from.map_or_else(|| "its next tick".to_owned(), |from| format!("the first tick at or after {from}"));
    Ok(format!(
        "{} {} is {MODELS}/{} of {store}; announcement {number}: in force from {when} on\n",
        models.name(),
        models.version(),
        models.content_sha256()
    ))
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
pub async fn announce_definition(packages: &PackageStore, models: &Mixture) -> Result<()> {
    let announcements = packages.announcements().await?;
    let named = announcements.iter().rev().find(|announcement| announcement.author == DEFINITION);
    if named.is_some_and(|named| named.package_sha256 == models.content_sha256()) {
        return Ok(());
    }
    packages.publish(models).await?;
    let reason = "the definition names it".to_owned();
    packages.announce(&Announcement::of(models, reason, DEFINITION.to_owned(), now())).await?;
    Ok(())
}
