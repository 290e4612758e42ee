//! What tests of several crates share: where data lie, definitions of pipelines, and packages of other weights.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails where it cannot go on")]

mod definition;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nilometer_packages::Mixture;
use sha2::{Digest as _, Sha256};
pub use toml::toml;

pub use self::definition::{Definition, TableSource, cance_definition};

/// The workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The Cance data, of tests that say `#[needs(cance)]`.
#[must_use]
pub fn cance() -> PathBuf {
    root().join(".cache/cance")
}

/// A folder with CAMELS-US, of tests that say `#[needs(camels)]`: `NILOMETER_CAMELS` names it, else it is beside the checkout.
#[must_use]
pub fn camels() -> PathBuf {
    let named = std::env::var_os("NILOMETER_CAMELS").map(PathBuf::from);
    named.unwrap_or_else(|| root().join("../shared/data/camels_us"))
}

/// Copies a package of the zoo into a folder, which is made.
pub fn copy_package(name: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(root().join("models/zoo").join(name)).unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Multiplies every weight of a package; gives the hash of the new ones.
pub fn scale_weights(package: &Path, factor: f32) -> String {
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (weights, card) = (package.join("weights.safetensors"), package.join("card.toml"));
    let old = fs::read(&weights).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(old[..8].try_into().unwrap())).unwrap();
    let scaled = old[header..].as_chunks::<4>().0.iter().flat_map(|b| (f32::from_le_bytes(*b) * factor).to_le_bytes());
    let new: Vec<u8> = old[..header].iter().copied().chain(scaled).collect();
    fs::write(&weights, &new).unwrap();
    fs::write(&card, fs::read_to_string(&card).unwrap().replace(&hex(&old), &hex(&new))).unwrap();
    hex(&new)
}

/// A package of the zoo whose every weight is multiplied.
#[must_use]
pub fn scaled(name: &str, factor: f32) -> Mixture {
    let folder = tempfile::tempdir().unwrap();
    copy_package(name, folder.path());
    scale_weights(folder.path(), factor);
    Mixture::load(folder.path()).unwrap()
}
