//! Announcement: which weights are to be in force, as the store keeps it until a tick takes it.

use std::sync::Arc;

use nilometer_engine::{Asked, Numbered};
use nilometer_packages::{MODELS, Mixture};
use nilometer_schemas::{ModelRow, ModelsBuilder, Timestamp};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

/// The author of what a definition names.
pub const DEFINITION: &str = "definition";

/// That a package is to be in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// name of the package or the blend
    pub name: String,
    /// its version
    pub version: String,
    /// SHA-256 of all of its files
    pub package_sha256: String,
    /// SHA-256 of its weights
    pub weights_sha256: String,
    /// share of it in what forecasts say, 0 to 1
    pub weight: f64,
    /// why
    pub reason: String,
    /// who says so
    pub author: String,
    /// when
    pub announced_time: Timestamp,
    /// the first tick from which on it may be in force; the next one where it is absent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

impl Announcement {
    /// All announcements of a store, beside its packages.
    #[must_use]
    pub fn of_store(store: Arc<dyn ObjectStore>) -> Numbered<Self> {
        Numbered::new(store, MODELS)
    }

    /// Adds its row, of a tick and under its number.
    pub(crate) fn push(&self, rows: &mut ModelsBuilder, number: u64, tick: Timestamp) {
        rows.push(ModelRow {
            name: &self.name,
            version: &self.version,
            package_sha256: &self.package_sha256,
            weights_sha256: &self.weights_sha256,
            weight: self.weight,
            reason: &self.reason,
            author: &self.author,
            announcement: number,
            ingest_time: tick,
        });
    }

    /// Of verified models, with weight 1.
    #[must_use]
    pub fn of(models: &Mixture, reason: String, author: String, announced_time: Timestamp) -> Self {
        Self {
            name: models.name().to_owned(),
            version: models.version().to_owned(),
            package_sha256: models.content_sha256().to_owned(),
            weights_sha256: models.weights_sha256().to_owned(),
            weight: 1.0,
            reason,
            author,
            announced_time,
            from: None,
        }
    }
}

impl Asked for Announcement {
    fn from(&self) -> Option<Timestamp> {
        self.from
    }

    fn problem(&self) -> Option<String> {
        let digits = self.package_sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !digits || self.package_sha256.len() != 64 {
            return Some(format!("package_sha256 is {:?}, no 64 hexadecimal digits", self.package_sha256));
        }
        (!(0.0..=1.0).contains(&self.weight)).then(|| format!("weight is {}, not 0 to 1", self.weight))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use std::path::Path;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_damaged_announcement_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/zoo/exphydro-cance");
        let models = &Mixture::load(&folder).unwrap();
        let whole = Announcement::of(models, "a test".to_owned(), "test".to_owned(), Timestamp(0));
        let heavy = Announcement { weight: 2.0, ..whole.clone() };
        let nowhere = Announcement { package_sha256: "../log".to_owned(), ..whole };
        for (damaged, why) in [(heavy, "weight is 2"), (nowhere, "package_sha256 is")] {
            let announcements = Announcement::of_store(Arc::new(InMemory::new()));
            announcements.ask(&damaged).await.unwrap();
            let error = announcements.asked(1).await.unwrap_err().to_string();
            assert!(error.contains("models/announcements/00000001.json: ") && error.contains(why), "{error}");
        }
    }
}
