//! Several packages that speak with one voice: each runs by itself, what they say is mixed by weight.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    FEEDBACK, Package, RuntimeError, Skill, Training,
    package::{hex, read_text},
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
    /// [`RuntimeError`] names the file and lists every problem found in it.
    pub fn load(folder: &Path) -> Result<Self, RuntimeError> {
        let path = folder.join(BLEND);
        if !path.exists() {
            let package = Package::load(folder)?;
            let (name, version) = (package.card().name.clone(), package.card().version.clone());
            let sha256 = package.weights_sha256().to_owned();
            return Ok(Self { name, version, sha256, members: vec![Member { weight: 1.0, package }] });
        }
        let text = read_text(&path)?;
        let card: Card = toml::from_str(&text)
            .map_err(|source| RuntimeError::Card { path: path.clone(), source: Box::new(source) })?;
        let mut problems = Vec::new();
        let mut members = Vec::new();
        for named in &card.members {
            let package = Package::load(&folder.join(&named.package))?;
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
            return Err(RuntimeError::Package { path, problems });
        }
        Ok(Self { name: card.name, version: card.version, sha256: hex(&Sha256::digest(text.as_bytes())), members })
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
