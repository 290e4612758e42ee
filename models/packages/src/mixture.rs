//! Several packages that speak with one voice: each runs by itself, what they say is mixed by weight.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    FEEDBACK, Package, PackageError, Skill, Training,
    files::{Files, name_in_store},
    package::{hex, text},
};

const BLEND: &str = "blend.toml";
/// Weights sum to 1 up to what six decimals leave.
const ROUNDING: f64 = 1e-4;

/// One package, or a blend of several.
#[derive(Debug, Clone)]
pub struct Mixture {
    name: String,
    version: String,
    sha256: String,
    content_sha256: String,
    files: BTreeMap<String, Arc<[u8]>>,
    members: Vec<Member>,
}

/// A package of a mixture.
#[derive(Debug, Clone)]
pub struct Member {
    /// its share, above 0; all shares sum to 1
    pub weight: f64,
    /// the verified package
    pub package: Package,
}

/// The file `blend.toml` of a folder that names packages instead of holding one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    name: String,
    version: String,
    #[allow(dead_code)]
    summary: String,
    #[allow(dead_code)]
    licence: String,
    #[serde(rename = "member")]
    members: Vec<Named>,
    #[allow(dead_code)]
    training: Training,
    #[serde(rename = "skill", default)]
    #[allow(dead_code)]
    skills: Vec<Skill>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// folder, relative to the blend's
    package: PathBuf,
    weight: f64,
    /// the weights that the share was fitted for
    weights_sha256: String,
}

impl Mixture {
    /// Reads a folder with a `blend.toml`, or else the one package that it is, and verifies all of it.
    ///
    /// # Errors
    /// [`PackageError`] names the file and lists every problem found in it.
    pub fn load(folder: &Path) -> Result<Self, PackageError> {
        Self::read(Files::Folder(folder))
    }

    /// As [`Mixture::load`], of files that lie in memory as [`Mixture::files`] gives them; `origin` names them in messages.
    ///
    /// # Errors
    /// As [`Mixture::load`].
    pub fn of_files(origin: &Path, files: &BTreeMap<String, Arc<[u8]>>) -> Result<Self, PackageError> {
        Self::read(Files::Memory(origin, files))
    }

    fn read(files: Files<'_>) -> Result<Self, PackageError> {
        let path = files.path(Path::new(BLEND));
        if files.read(Path::new(BLEND)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let package = Package::read(files, Path::new(""))?;
            let (name, version) = (package.card().name.clone(), package.card().version.clone());
            let sha256 = package.weights_sha256().to_owned();
            let files = package.files().clone();
            return Ok(Self::new(name, version, sha256, files, vec![Member { weight: 1.0, package }]));
        }
        let text = text(files, Path::new(BLEND))?;
        let card: Card = toml::from_str(&text)
            .map_err(|source| PackageError::Card { path: path.clone(), source: Box::new(source) })?;
        let mut problems = Vec::new();
        let mut members = Vec::new();
        for named in &card.members {
            let package = Package::read(files, &named.package)?;
            if package.weights_sha256() != named.weights_sha256 {
                problems.push(format!(
                    "{} has weights {}, the blend was fitted for {}: fit it again, or restore them",
                    named.package.display(),
                    package.weights_sha256(),
                    named.weights_sha256
                ));
            }
            if named.weight <= 0.0 || !named.weight.is_finite() {
                problems.push(format!("{} has weight {}, accepted is above 0", named.package.display(), named.weight));
            }
            members.push(Member { weight: named.weight, package });
        }
        if members.is_empty() {
            problems.push("no [[member]], accepted is at least one".to_owned());
        }
        let total: f64 = members.iter().map(|m| m.weight).sum();
        if (total - 1.0).abs() > ROUNDING {
            problems.push(format!("the weights sum to {total}, accepted is 1"));
        }
        if let [first, others @ ..] = &members[..] {
            for other in others.iter().filter(|o| o.package.card().time_step_s != first.package.card().time_step_s) {
                let (a, b) = (first.package.card(), other.package.card());
                problems.push(format!(
                    "{} has steps of {} s, {} of {} s; accepted are members of one time step",
                    a.name, a.time_step_s, b.name, b.time_step_s
                ));
            }
            for other in others.iter().filter(|o| !o.package.card().weather().eq(first.package.card().weather())) {
                problems.push(format!(
                    "{} and {} take different weather; accepted are members with the same [[input]] rows in the same order, but for those of {FEEDBACK:?}",
                    first.package.card().name,
                    other.package.card().name
                ));
            }
        }
        if !problems.is_empty() {
            return Err(PackageError::Package { path, problems });
        }
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        let mut all = BTreeMap::from([(BLEND.to_owned(), Arc::from(text.into_bytes()))]);
        for (named, member) in card.members.iter().zip(&members) {
            let files = member.package.files().iter();
            all.extend(files.map(|(file, bytes)| (name_in_store(&named.package.join(file)), bytes.clone())));
        }
        Ok(Self::new(card.name, card.version, sha256, all, members))
    }

    fn new(
        name: String,
        version: String,
        sha256: String,
        files: BTreeMap<String, Arc<[u8]>>,
        members: Vec<Member>,
    ) -> Self {
        let mut contents = Sha256::new();
        for (file, bytes) in &files {
            contents.update(format!("{}  {file}\n", hex(&Sha256::digest(bytes))));
        }
        Self { name, version, sha256, content_sha256: hex(&contents.finalize()), files, members }
    }

    /// Whose forecasts they are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Semantic version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of the weights: of the package's file, or of the `blend.toml` that names all of them.
    #[must_use]
    pub fn weights_sha256(&self) -> &str {
        &self.sha256
    }

    /// SHA-256 of all files: of the lines that `sha256sum` prints of them, sorted by file name. It names the package in a store.
    #[must_use]
    pub fn content_sha256(&self) -> &str {
        &self.content_sha256
    }

    /// Every file by its name in a store, cards among them.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<String, Arc<[u8]>> {
        &self.files
    }

    /// The packages.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The first package; all take the same weather.
    #[must_use]
    pub fn first(&self) -> &Package {
        &self.members[0].package
    }
}
