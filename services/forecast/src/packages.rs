//! Packages: the models that the log names, each loaded once a process.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use nilometer_engine::off_reactor;
use nilometer_packages::{MODELS, Mixture, PackageStore};

use crate::ForecastError;

/// Packages that are kept in memory: those of a rewind behind a few swaps.
const LOADED: usize = 8;

/// The models of a store. Copies share what is loaded.
#[derive(Clone)]
pub struct Packages {
    store: PackageStore,
    /// the newest last
    loaded: Arc<Mutex<VecDeque<Mixture>>>,
}

impl Packages {
    /// Those of a store, and the definition's own, which are there already.
    #[must_use]
    pub fn new(store: PackageStore, models: &Mixture) -> Self {
        Self { store, loaded: Arc::new(Mutex::new(VecDeque::from([models.clone()]))) }
    }

    /// The models of this content; or why the store's are of no use.
    ///
    /// # Errors
    /// [`ForecastError::PackageStore`] when the store fails.
    pub(crate) async fn load(&self, content_sha256: &str) -> Result<Result<Mixture, String>, ForecastError> {
        let loaded = self.loaded().iter().find(|models| models.content_sha256() == content_sha256).cloned();
        if let Some(models) = loaded {
            return Ok(Ok(models));
        }
        let files = self.store.fetch(content_sha256).await?;
        let origin = Path::new(MODELS).join(content_sha256);
        if files.is_empty() {
            let remedy = "put it there by `nilometer models publish`";
            return Ok(Err(format!("{} of log.store holds no package; {remedy}", origin.display())));
        }
        let models = match off_reactor(move || Mixture::of_files(&origin, &files)).await? {
            Ok(models) => models,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if models.content_sha256() != content_sha256 {
            return Ok(Err(format!("{MODELS}/{content_sha256} of log.store holds {}", models.content_sha256())));
        }
        let mut loaded = self.loaded();
        loaded.push_back(models.clone());
        if loaded.len() > LOADED {
            loaded.pop_front();
        }
        Ok(Ok(models))
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, VecDeque<Mixture>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
